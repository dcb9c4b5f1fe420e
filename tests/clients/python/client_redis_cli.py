"""The real redis-cli program; this file only writes its command line and its standard input.

redis-cli verifies the chain of the server's certificate, never the name in it.
"""

import os
import subprocess

from common import Digest, compare, ready, rows, run


class RedisCliError(Exception):
    """What redis-cli printed."""


def start(target):
    command = ["setpriv", "--pdeathsig", "KILL", "redis-cli", "--raw", "-h", target["host"], "-p", str(target["port"])]
    if target["sslmode"] != "disable":
        command += ["--tls"]
        command += ["--cacert", target["ca"]] if target["ca"] else []
        command += [] if target["verify"] else ["--insecure"]
        command += ["--sni", target["host"]] if target["sni"] else []
        command += ["--cert", target["client_cert"], "--key", target["client_key"]] if target["client_cert"] else []
    environment = dict(os.environ)
    if target["password"]:
        environment["REDISCLI_AUTH"] = target["password"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, text=True)


def finish(process, script):
    output, errors = process.communicate(script)
    # With its commands from a pipe redis-cli ends with 0 whatever happened.
    if process.returncode != 0 or errors:
        raise RedisCliError((errors + output).strip())
    return output.splitlines()


def identity(lines):
    version = subprocess.run(["redis-cli", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {"who": lines[-1], "version": version}


def whoami(target):
    return identity(finish(start(target), "get whoami\n"))


def idle(target):
    process = start(target)
    process.stdin.write("ping\n")
    process.stdin.flush()
    if process.stdout.readline() != "PONG\n":
        finish(process, "")
        raise RedisCliError("redis-cli ended without an error")
    ready()
    return identity(finish(process, "get whoami\n"))


def pump(target):
    sent, received = Digest(), Digest()
    lines = [f"rpush pump:redis-cli {sent.add(row)}\n" for row in rows(target["mib"])]
    script = [*lines, "lrange pump:redis-cli 0 -1\n", "del pump:redis-cli\n", "get whoami\n"]
    output = finish(start(target), "".join(script))
    for row in output[len(lines) : 2 * len(lines)]:
        received.add(row)
    return {**identity(output), **compare(target["mib"], sent, None, received)}


run("redis-cli", whoami=whoami, idle=idle, pump=pump)
