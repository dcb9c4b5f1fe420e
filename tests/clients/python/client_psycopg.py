"""psycopg 3 with the libpq of its own binary package."""

import threading

import psycopg
from common import CREATE, SLEEP, SLEEPING, STORED, STORED_ROWS, Digest, compare, ready, rows, run, until


def connect(target):
    options = {
        "host": target["host"],
        "hostaddr": target["hostaddr"],
        "port": target["port"],
        "user": target["user"],
        "password": target["password"],
        "dbname": target["dbname"],
        "sslmode": target["sslmode"] or ("verify-full" if target["verify"] else "require"),
        "sslrootcert": target["ca"],
        "sslnegotiation": target["sslnegotiation"],
        "channel_binding": target["channel_binding"],
        "sslcert": target["client_cert"],
        "sslkey": target["client_key"],
        "sslsni": None if target["sni"] else "0",
    }
    options = {key: value for key, value in options.items() if value is not None}
    return psycopg.connect(autocommit=True, connect_timeout=20, **options)


def identity(connection):
    who, tls = connection.execute(
        "select current_setting('cluster_name'), version"
        " from pg_stat_ssl where pid = pg_backend_pid()"
    ).fetchone()
    # libpq's view through psycopg has no TLS version: this is the server's.
    return {"who": who, "server_tls": tls, "libpq": psycopg.pq.version()}


def whoami(target):
    with connect(target) as connection:
        return identity(connection)


def idle(target):
    with connect(target) as connection:
        ready()
        return identity(connection)


def pump(target):
    sent, received = Digest(), Digest()
    with connect(target) as connection, connection.cursor() as cursor:
        cursor.execute(CREATE)
        with cursor.copy("copy pump from stdin") as copy:
            for n, row in enumerate(rows(target["mib"])):
                copy.write_row((n, sent.add(row)))
        stored = cursor.execute(STORED).fetchone()[0]
        with cursor.copy(f"copy ({STORED_ROWS}) to stdout") as copy:
            for (row,) in copy.rows():
                received.add(row)
        return {**identity(connection), **compare(target["mib"], sent, stored, received)}


def sleep_cancel(target):
    watcher, sleeper = connect(target), connect(target)
    error = []

    def sleep():
        try:
            sleeper.execute(SLEEP)
        except psycopg.Error as caught:
            error.append(caught)

    thread = threading.Thread(target=sleep, daemon=True)
    thread.start()
    pid = sleeper.info.backend_pid
    until(lambda: watcher.execute(f"{SLEEPING}{pid}").fetchone()[0] == 1, 20, "sleeping")
    if target["legacy_cancel"]:
        sleeper.cancel()
    else:
        sleeper.cancel_safe(timeout=target["timeout"])
    thread.join(target["timeout"])
    cancelled = bool(error) and isinstance(error[0], psycopg.errors.QueryCanceled)
    transport = "plaintext" if target["legacy_cancel"] else "as the session"
    return {"cancelled": cancelled, "transport": transport, "detail": str(error[0]) if error else None}


run("psycopg", whoami=whoami, idle=idle, pump=pump, sleep_cancel=sleep_cancel)
