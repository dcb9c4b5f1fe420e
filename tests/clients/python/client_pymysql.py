"""PyMySQL, TLS by Python's ssl module."""

import pymysql
from common import describe, ready, run, tls_context


def connect(target):
    mode = target["sslmode"] or ("verify-full" if target["verify"] else "require")
    tls = {"ssl_disabled": True}
    if mode != "disable":
        context = tls_context({**target, "verify": mode.startswith("verify-")})
        context.check_hostname = mode == "verify-full"
        tls = {"ssl": context}
    return pymysql.connect(
        host=target["host"],
        port=target["port"],
        user=target["user"],
        password=target["password"] or "",
        database=target["dbname"],
        connect_timeout=20,
        read_timeout=20,
        **tls,
    )


def identity(connection):
    with connection.cursor() as cursor:
        cursor.execute("select @@report_host")
        who = cursor.fetchone()[0]
    socket = connection._sock
    return {"who": who, **describe(socket if hasattr(socket, "getpeercert") else None)}


def whoami(target):
    with connect(target) as connection:
        return identity(connection)


def idle(target):
    with connect(target) as connection:
        ready()
        return identity(connection)


run("pymysql", whoami=whoami, idle=idle)
