"""pymongo. It also gives a fresh server its identity, the one document of `app.whoami`."""

import pymongo
from common import Digest, compare, ready, rows, run


def connect(target):
    tls = {}
    if target["sslmode"] != "disable":
        tls["tls"] = True
        if not target["verify"]:
            tls["tlsAllowInvalidCertificates"] = True
        if target["ca"]:
            tls["tlsCAFile"] = target["ca"]
    return pymongo.MongoClient(
        target["host"],
        target["port"],
        directConnection=True,
        serverSelectionTimeoutMS=target["timeout"] * 1000,
        **tls,
    )


def identity(client):
    who = client.app.whoami.find_one()["name"]
    return {"who": who, "server": client.admin.command("buildInfo")["version"]}


def whoami(target):
    with connect(target) as client:
        return identity(client)


def introduce(target):
    with connect(target) as client:
        client.app.whoami.delete_many({})
        client.app.whoami.insert_one({"name": target["name"]})
        return identity(client)


def idle(target):
    with connect(target) as client:
        client.admin.command("ping")
        ready()
        return identity(client)


def pump(target):
    sent, received = Digest(), Digest()
    with connect(target) as client:
        collection = client.app.pump_pymongo
        collection.drop()
        for n, row in enumerate(rows(target["mib"])):
            collection.insert_one({"_id": n, "row": sent.add(row)})
        for document in collection.find().sort("_id"):
            received.add(document["row"])
        collection.drop()
        return {**identity(client), **compare(target["mib"], sent, None, received)}


run("pymongo", whoami=whoami, introduce=introduce, idle=idle, pump=pump)
