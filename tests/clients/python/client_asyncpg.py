"""asyncpg: its own implementation of the protocol, TLS by Python's ssl module."""

import asyncio
import io

import asyncpg
from common import CREATE, SLEEP, SLEEPING, STORED, STORED_ROWS, Digest, compare, describe, ready, rows, run, tls_context


async def connect(target):
    # Only the modes that verify need a context; the others go by asyncpg's own names for them.
    mode = target["sslmode"] or "verify-full"
    verifies = mode.startswith("verify-")
    context = tls_context(target)
    context.check_hostname = context.check_hostname and mode == "verify-full"
    context.set_alpn_protocols(["postgresql"])  # the driver leaves a context of one's own as it is
    return await asyncpg.connect(
        host=target["host"],
        port=target["port"],
        user=target["user"],
        password=target["password"],
        database=target["dbname"],
        ssl=context if verifies else mode,
        direct_tls=target["sslnegotiation"] == "direct",
        timeout=20,
    )


async def identity(connection):
    who = await connection.fetchval("show cluster_name")
    return {"who": who, **describe(connection._transport.get_extra_info("ssl_object"))}


async def whoami(target):
    connection = await connect(target)
    answer = await identity(connection)
    await connection.close()
    return answer


async def idle(target):
    connection = await connect(target)
    await asyncio.to_thread(ready)
    return await identity(connection)


async def pump(target):
    sent, received = Digest(), Digest()
    connection = await connect(target)
    await connection.execute(CREATE)
    lines = (f"{n}\t{sent.add(row)}\n".encode() for n, row in enumerate(rows(target["mib"])))

    async def source():
        for line in lines:
            yield line

    await connection.copy_to_table("pump", source=source())
    stored = await connection.fetchval(STORED)
    sink = io.BytesIO()
    await connection.copy_from_query(STORED_ROWS, output=sink)
    for row in sink.getvalue().splitlines():
        received.add(row)
    return {**await identity(connection), **compare(target["mib"], sent, stored, received)}


async def sleep_cancel(target):
    watcher, sleeper = await connect(target), await connect(target)
    sleeping = f"{SLEEPING}{sleeper.get_server_pid()}"

    async def until_sleeping(wanted, seconds):
        async with asyncio.timeout(seconds):
            while await watcher.fetchval(sleeping) != wanted:
                await asyncio.sleep(0.02)

    task = asyncio.ensure_future(sleeper.execute(SLEEP))
    await until_sleeping(1, 20)
    task.cancel()
    try:
        # The task ends at once; only the server knows whether its query did.
        await until_sleeping(0, target["timeout"])
    except TimeoutError:
        return {"cancelled": False, "transport": "as the session"}
    return {"cancelled": True, "transport": "as the session"}


async def write(target):
    """50 connections write, each the next number once the last is acknowledged, until told to stop.

    Whoever fails connects anew and writes the same number again. Answers what was acknowledged, by
    writer, the longest time between two acknowledgements, and what went wrong how often.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    errors = {}

    async def writer(number, writing):
        acknowledged, longest, connection, last = 0, 0.0, None, loop.time()
        while not stop.is_set():
            try:
                connection = connection or await connect(target)
                await connection.execute(
                    "insert into written (writer, number) values ($1, $2) on conflict do nothing", number, acknowledged
                )
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                kind = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                errors[kind] = errors.get(kind, 0) + 1
                if connection:
                    connection.terminate()
                connection = None
                await asyncio.sleep(0.02)
                continue
            now = loop.time()
            longest, last = max(longest, now - last), now
            acknowledged += 1
            if acknowledged == 1:
                last, longest = now, 0.0
                writing.set()
            await asyncio.sleep(0.01)
        if connection:
            connection.terminate()
        return {"acknowledged": acknowledged, "longest": longest}

    begun = [asyncio.Event() for _ in range(50)]
    writers = [asyncio.ensure_future(writer(n, event)) for n, event in enumerate(begun)]
    for event in begun:
        await event.wait()
    await asyncio.to_thread(ready)
    stop.set()
    return {"writers": await asyncio.gather(*writers), "errors": errors}


def synchronous(action):
    return lambda target: asyncio.run(action(target))


run(
    "asyncpg",
    whoami=synchronous(whoami),
    idle=synchronous(idle),
    pump=synchronous(pump),
    sleep_cancel=synchronous(sleep_cancel),
    write=synchronous(write),
)
