"""The real psql program; this file only writes its command line and its standard input.

Needs `psql` on PATH.
"""

import os
import re
import signal
import subprocess
import tempfile

from common import CREATE, SLEEP, SLEEPING, STORED, STORED_ROWS, Digest, compare, ready, rows, run, until


class PsqlError(Exception):
    """What psql printed on its standard error."""


def conninfo(target):
    options = {
        "host": target["host"],
        "hostaddr": target["hostaddr"],
        "port": target["port"],
        "user": target["user"],
        "dbname": target["dbname"],
        "sslmode": target["sslmode"] or ("verify-full" if target["verify"] else "require"),
        "sslrootcert": target["ca"],
        "sslnegotiation": target["sslnegotiation"],
        "channel_binding": target["channel_binding"],
        "sslcert": target["client_cert"],
        "sslkey": target["client_key"],
        "sslsni": None if target["sni"] else "0",
        "connect_timeout": 20,
    }
    return " ".join(f"{key}='{value}'" for key, value in options.items() if value is not None)


def start(target, *arguments):
    command = ["setpriv", "--pdeathsig", "KILL", "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    environment = {**os.environ, "PGPASSWORD": target["password"] or ""}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*command, *arguments, "-d", conninfo(target)], stdin=pipe, stdout=pipe, stderr=pipe, env=environment, text=True
    )


def finish(psql, script=None):
    output, errors = psql.communicate(script)
    if psql.returncode != 0:
        raise PsqlError(errors.strip())
    return output.splitlines()


def identity(lines):
    # `\conninfo` words its answer differently from version to version; the TLS version is the same.
    tls = re.search(r"TLSv1\.[0-9]", "\n".join(lines))
    version = subprocess.run(["psql", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {"who": lines[0], "tls": tls and tls.group(), "version": version}


IDENTITY = "show cluster_name;\n\\conninfo\n"


def whoami(target):
    return identity(finish(start(target), IDENTITY))


def idle(target):
    psql = start(target)
    psql.stdin.write("\\echo standing\n")
    psql.stdin.flush()
    if psql.stdout.readline() != "standing\n":
        finish(psql)
        raise PsqlError("psql ended without an error")
    ready()
    return identity(finish(psql, IDENTITY))


def pump(target):
    sent, received = Digest(), Digest()
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/out", "w", encoding="ascii") as file:
            for n, row in enumerate(rows(target["mib"])):
                file.write(f"{n}\t{sent.add(row)}\n")
        script = f"{CREATE};\n\\copy pump from '{folder}/out'\n{STORED};\n\\copy ({STORED_ROWS}) to '{folder}/in'\n"
        stored, *lines = finish(start(target), script + IDENTITY)
        with open(f"{folder}/in", encoding="ascii") as file:
            for row in file:
                received.add(row.rstrip("\n"))
    return {**identity(lines), **compare(target["mib"], sent, stored, received)}


def sleep_cancel(target):
    sleeper = start(target)
    sleeper.stdin.write("select pg_backend_pid();\n")
    sleeper.stdin.flush()
    pid = sleeper.stdout.readline().strip()
    if not pid:
        finish(sleeper)
    sleeper.stdin.write(f"{SLEEP};\n")
    sleeper.stdin.flush()
    until(lambda: finish(start(target), f"{SLEEPING}{pid};\n") == ["1"], 20, "sleeping")
    sleeper.send_signal(signal.SIGINT)  # what Ctrl-C does
    try:
        _, errors = sleeper.communicate(timeout=target["timeout"])
    except subprocess.TimeoutExpired:
        sleeper.kill()
        return {"cancelled": False}
    return {"cancelled": "canceling statement due to user request" in errors, "detail": errors.strip()}


run("psql", whoami=whoami, idle=idle, pump=pump, sleep_cancel=sleep_cancel)
