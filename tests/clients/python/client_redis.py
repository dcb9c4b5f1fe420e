"""redis-py. It also gives a fresh server its identity, the key `whoami`."""

import redis
from common import Digest, compare, describe, ready, rows, run


def connect(target):
    client = redis.Redis(
        host=target["host"],
        port=target["port"],
        password=target["password"],
        ssl=target["sslmode"] != "disable",
        ssl_ca_certs=target["ca"],
        ssl_cert_reqs="required" if target["verify"] else "none",
        ssl_check_hostname=target["verify"],
        ssl_certfile=target["client_cert"],
        ssl_keyfile=target["client_key"],
        socket_timeout=20,
        single_connection_client=True,
        retry=None,
    )
    client.ping()
    return client


def identity(client):
    socket = client.connection._sock
    tls = describe(socket) if hasattr(socket, "getpeercert") else {"tls": None}
    return {"who": (client.get("whoami") or b"").decode(), **tls}


def whoami(target):
    return identity(connect(target))


def introduce(target):
    client = connect(target)
    client.set("whoami", target["name"])
    return identity(client)


def idle(target):
    client = connect(target)
    ready()
    return identity(client)


def pump(target):
    sent, received = Digest(), Digest()
    client = connect(target)
    count = 0
    for count, row in enumerate(rows(target["mib"]), 1):
        client.rpush("pump:redis-py", sent.add(row))
    for row in client.lrange("pump:redis-py", 0, count):
        received.add(row)
    client.delete("pump:redis-py")
    return {**identity(client), **compare(target["mib"], sent, None, received)}


run("redis-py", whoami=whoami, introduce=introduce, idle=idle, pump=pump)
