//! Servers that ask for a client certificate and let in without one.

use super::scene::{NAME, Scene, good};
use crate::{
    certs::Ca,
    servers::{HaProxy, OpensslServer, Postgres, Redis},
};

/// The system's own Postgres.
pub(super) fn postgres() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &[NAME]);
    Scene::of(Postgres::named("pg").tls(&leaf).client_ca(&ca).start()).ca(ca)
}

/// Postgres 18, which takes TLS from the first byte, too.
pub(super) fn postgres_18() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &[NAME]);
    let server = Postgres::named("pg").version_18().tls(&leaf).client_ca(&ca);
    Scene::of(server.start()).ca(ca)
}

/// A proxy that ends TLS before a Postgres in plaintext.
pub(super) fn haproxy_before_postgres() -> Scene {
    let ca = Ca::new("Root");
    let postgres = Postgres::named("pg").plain().start();
    let sections = format!(
        "listen pg\n  mode tcp\n  bind 127.0.0.1:PORT ssl crt server.pem verify optional ca-file {}\n  \
         server pg {}\n",
        ca.path().display(),
        postgres.addr()
    );
    let proxy = HaProxy::start(&good(&ca, &[NAME]), &sections);
    Scene::of(proxy).behind(postgres).ca(ca)
}

/// Redis, without a password.
pub(super) fn redis() -> Scene {
    let ca = Ca::new("Root");
    let (leaf, one) = (good(&ca, &[NAME]), ca.client("one"));
    let server = Redis::named("redis").tls(&leaf).clients(&ca, &one);
    let server = server.arguments(&["--tls-auth-clients", "optional"]).run();
    Scene::of(server).ca(ca).identity(one)
}

/// Keeps the file of an authority for a server's command line.
fn authority(ca: &Ca) -> String {
    ca.path().to_str().expect("a path in ASCII").to_owned()
}

/// A server of TLS 1.2 that does not need the certificate it asks for.
pub(super) fn openssl_tls12() -> Scene {
    let ca = Ca::new("Root");
    let file = authority(&ca);
    let arguments = ["-rev", "-tls1_2", "-verify", "1", "-CAfile", &file];
    Scene::of(OpensslServer::start(&good(&ca, &[NAME]), &arguments)).ca(ca)
}
