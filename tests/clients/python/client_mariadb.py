"""The real mariadb program, Debian's; this file only writes its command line and its standard input.

Without a word about TLS (`sslmode` "default") it does as its version does.
"""

import os
import subprocess

from common import ready, run

IDENTITY = "select @@report_host; show status like 'Ssl_version';\n"


class MariaDbError(Exception):
    """What the program printed on its standard error."""


def tls(target):
    mode = target["sslmode"] or ("verify-full" if target["verify"] else "require")
    if mode == "default":
        return []
    if mode == "disable":
        return ["--skip-ssl"]
    verify = "--ssl-verify-server-cert" if mode == "verify-full" else "--disable-ssl-verify-server-cert"
    options = {"ssl-ca": target["ca"], "ssl-cert": target["client_cert"], "ssl-key": target["client_key"]}
    return ["--ssl", verify, *(f"--{key}={value}" for key, value in options.items() if value is not None)]


def start(target):
    command = ["setpriv", "--pdeathsig", "KILL", "mariadb", "--no-defaults", "--protocol=tcp", "--batch"]
    command += ["--skip-column-names", "--unbuffered", "--connect-timeout=20"]
    command += [f"--host={target['host']}", f"--port={target['port']}", f"--user={target['user'] or 'app'}"]
    command += tls(target)
    command += [target["dbname"]] if target["dbname"] else []
    environment = {**os.environ, "MYSQL_PWD": target["password"] or ""}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, text=True)


def finish(process, script):
    output, errors = process.communicate(script)
    if process.returncode != 0:
        raise MariaDbError((errors + output).strip())
    return output.splitlines()


def identity(lines):
    version = subprocess.run(["mariadb", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    who, tls_version = lines
    return {"who": who, "server_tls": tls_version.partition("\t")[2] or None, "version": version}


def whoami(target):
    return identity(finish(start(target), IDENTITY))


def idle(target):
    process = start(target)
    try:
        process.stdin.write("select 'standing';\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass
    if process.stdout.readline() != "standing\n":
        finish(process, None)
        raise MariaDbError("mariadb ended without an error")
    ready()
    return identity(finish(process, IDENTITY))


run("mariadb", whoami=whoami, idle=idle)
