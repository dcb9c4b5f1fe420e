//! Servers that answer to a client of `MongoDB`.

use bson::rawdoc;

use super::{
    mock_servers,
    scene::{NAME, Scene, good},
};
use crate::{
    certs::Ca,
    servers::{Mongo, Nginx, Redis},
};

pub(super) fn plain() -> Scene {
    Scene::of(Mongo::plain("mongo"))
}

pub(super) fn tls() -> Scene {
    let ca = Ca::new("Root");
    Scene::of(Mongo::start("mongo", &good(&ca, &[NAME]))).ca(ca)
}

/// `FerretDB` is no replica set: the answer to hello is played, behind TLS that nginx ends.
pub(super) fn replica_set_elsewhere() -> Scene {
    let ca = Ca::new("Root");
    let member = mock_servers::mongodb(&rawdoc! {
        "isWritablePrimary": true, "setName": "rs0", "me": "mongo-0.internal:27017",
        "hosts": ["mongo-0.internal:27017", "mongo-1.internal:27017"],
        "maxWireVersion": 21, "ok": 1.0,
    });
    let stream = format!(
        "server {{ listen 127.0.0.1:PORT ssl; ssl_certificate server.crt; \
         ssl_certificate_key server.key; proxy_pass 127.0.0.1:{member}; }}"
    );
    Scene::of(Nginx::start(&good(&ca, &[NAME]), &stream, "")).ca(ca)
}

/// Redis inside TLS.
pub(super) fn redis_inside() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &[NAME]);
    Scene::of(Redis::named("redis").tls(&leaf).password("secret").run()).ca(ca)
}
