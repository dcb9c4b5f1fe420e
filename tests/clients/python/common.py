"""What every client program of the tests shares: the JSON argument in, the one JSON line out.

Not a library of its own: each program talks to its server through its real driver only.
The keys of the argument are the fields of `Target` in tests/ground/clients, and `action`.
"""

import hashlib
import json
import os
import ssl
import sys
import time
import traceback

ROW_BYTES = 64 * 1024  # one row or value of `pump`
POLL_SECONDS = 0.02


def run(program, **actions):
    """Runs the wanted action and prints its answer; ends the process at once, open queries included."""
    target = json.loads(sys.argv[1])
    try:
        answer = {"ok": True, **actions[target["action"]](target)}
    except BaseException as error:  # whatever a driver raises is the answer
        traceback.print_exc()
        answer = {"ok": False, "error": str(error) or repr(error)}
    print(json.dumps({"client": program, **answer}), flush=True)
    os._exit(0 if answer["ok"] else 1)


def ready():
    """Tells the harness that the connection stands, and waits until it says to go on."""
    print("ready", flush=True)
    sys.stdin.readline()


def tls_context(target):
    """The context for drivers that take Python's own: chain and name are verified unless told."""
    context = ssl.create_default_context(cafile=target["ca"])
    if not target["verify"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if target["client_cert"]:
        context.load_cert_chain(target["client_cert"], target["client_key"])
    return context


def describe(ssl_object):
    """TLS version and serial number of the server's certificate, as the client sees them."""
    if ssl_object is None:
        return {"tls": None, "serial": None}
    serial = (ssl_object.getpeercert() or {}).get("serialNumber")
    return {"tls": ssl_object.version(), "serial": serial and serial.lower()}


def rows(mib):
    """Random hexadecimal text, in rows of 64 KiB: it fits every protocol and does not compress well."""
    for _ in range(mib * 1024 * 1024 // ROW_BYTES):
        yield os.urandom(ROW_BYTES // 2).hex()


class Digest:
    """Checksum of rows that pass by."""

    def __init__(self):
        self.hash = hashlib.sha256()
        self.bytes = 0

    def add(self, row):
        data = row.encode() if isinstance(row, str) else row
        self.hash.update(data)
        self.bytes += len(data)
        return row

    def hex(self):
        return self.hash.hexdigest()


def compare(mib, sent, stored, received):
    """The answer of `pump`: fails unless all checksums are one. `stored` may be None."""
    wanted = mib * 1024 * 1024
    if (sent.bytes, received.bytes) != (wanted, wanted):
        raise RuntimeError(f"sent {sent.bytes} and received {received.bytes} of {wanted} bytes")
    if sent.hex() != received.hex() or stored not in (None, sent.hex()):
        raise RuntimeError("the data changed on the way")
    return {"bytes": wanted, "sha256": sent.hex()}


def until(condition, seconds, what):
    """Waits for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} s still not: {what}")
        time.sleep(POLL_SECONDS)


# The SQL of the Postgres clients, one for all of them.
CREATE = "create temp table pump (n int, chunk text)"
STORED = "select encode(sha256(string_agg(chunk, '' order by n)::bytea), 'hex') from pump"
STORED_ROWS = "select chunk from pump order by n"
SLEEP = "select pg_sleep(60)"
SLEEPING = f"select count(*) from pg_stat_activity where state = 'active' and starts_with(query, '{SLEEP}') and pid = "
