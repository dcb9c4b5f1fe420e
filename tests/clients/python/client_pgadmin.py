"""pgAdmin 4, driven as its own web page drives it: a server is added, then connected to.

`pgadmin` in the argument is where its web server listens, `key` lets in; the libpq is pgAdmin's own.
Not the start of that web server, which is `tests/ground/pgadmin.rs`.
"""

import http.cookiejar
import json
import re
import urllib.error
import urllib.request

from common import run


class PgAdminError(Exception):
    """What pgAdmin shows to its user."""


class Page:
    """A browser's session with pgAdmin: its cookies, and the token that its page sends along."""

    def __init__(self, address, key):
        self.address = address
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        self.headers = {"Content-Type": "application/json"}
        self.fetch(f"/?key={key}")
        script = self.fetch("/browser/js/utils.js")
        name, token = (re.search(rf"pgAdmin\['{it}'\] = '(.+)'", script)[1] for it in ("csrf_token_header", "csrf_token"))
        self.headers[name] = token

    def fetch(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, self.headers)
        with self.opener.open(request, timeout=50) as response:
            return response.read().decode()

    def post(self, path, body):
        try:
            return json.loads(self.fetch(path, body))
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            raise PgAdminError(shown(text)) from error


def shown(text):
    """The words of a refusal: its page shows them above the question for a password."""
    try:
        answer = json.loads(text)
    except ValueError:
        return text
    result = answer.get("result") or {}
    return answer["errormsg"] or result.get("errmsg") or text


def whoami(target):
    page = Page(target["pgadmin"], target["key"])
    parameters = {
        "hostaddr": target["hostaddr"],
        "sslmode": target["sslmode"] or ("verify-full" if target["verify"] else "require"),
        "sslrootcert": target["ca"],
        "sslnegotiation": target["sslnegotiation"],
        "channel_binding": target["channel_binding"],
        "sslcert": target["client_cert"],
        "sslkey": target["client_key"],
        "sslsni": None if target["sni"] else "0",
        "connect_timeout": 20,
    }
    server = {
        "name": f"{target['host']}:{target['port']}",
        "host": target["host"],
        "port": target["port"],
        "db": target["dbname"] or "postgres",
        "username": target["user"] or "postgres",
        "connection_params": [
            {"name": name, "keyword": name, "value": value} for name, value in parameters.items() if value is not None
        ],
    }
    added = page.post("/browser/server/obj/1/", server)["node"]
    sid = added["_id"]
    connected = page.post(f"/browser/server/connect/1/{sid}", {"password": target["password"] or "none"})
    # What its page shows as the server's configuration.
    settings = json.loads(page.fetch(f"/dashboard/config/{sid}"))
    who = next(one["setting"] for one in settings if one["name"] == "cluster_name")
    return {"who": who, "data": connected.get("data")}


run("pgadmin", whoami=whoami)
