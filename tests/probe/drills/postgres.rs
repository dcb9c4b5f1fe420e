//! Servers on the port of a Postgres, and their bytes before TLS.

use super::{
    mock_servers,
    scene::{NAME, Scene, good},
};
use crate::{
    certs::Ca,
    servers::{HaProxy, MariaDb, Mongo, Nginx, Postgres, Redis},
};

pub(super) fn without_tls() -> Scene {
    Scene::of(Postgres::named("pg").plain().start())
}

pub(super) fn web_server() -> Scene {
    let http = "server { listen 127.0.0.1:PORT; return 404; }";
    let ca = Ca::new("Root");
    Scene::of(Nginx::start(&good(&ca, &[NAME]), "", http))
}

/// A web server with TLS.
pub(super) fn web_server_with_tls() -> Scene {
    let http = "server { listen 127.0.0.1:PORT ssl; ssl_certificate server.crt; \
                ssl_certificate_key server.key; return 404; }";
    let ca = Ca::new("Root");
    Scene::of(Nginx::start(&good(&ca, &[NAME]), "", http)).ca(ca)
}

/// A proxy that ends TLS and knows nothing of Postgres.
pub(super) fn proxy_with_tls() -> Scene {
    let ca = Ca::new("Root");
    let server = Postgres::named("pg").plain().start();
    let sections = format!(
        "listen pg\n  mode tcp\n  bind 127.0.0.1:PORT ssl crt server.pem\n  server pg {}\n",
        server.addr()
    );
    let proxy = HaProxy::start(&good(&ca, &[NAME]), &sections);
    Scene::of(proxy).behind(server).ca(ca)
}

/// The same by nginx, which agrees to no ALPN.
pub(super) fn proxy_without_alpn() -> Scene {
    let ca = Ca::new("Root");
    let server = Postgres::named("pg").plain().start();
    let stream = format!(
        "server {{ listen 127.0.0.1:PORT ssl; ssl_certificate server.crt; \
         ssl_certificate_key server.key; proxy_pass {}; }}",
        server.addr()
    );
    let proxy = Nginx::start(&good(&ca, &[NAME]), &stream, "");
    Scene::of(proxy).behind(server).ca(ca)
}

/// A proxy that has nobody to pass on to.
pub(super) fn proxy_without_backend() -> Scene {
    let ca = Ca::new("Root");
    let sections = "listen pg\n  mode tcp\n  bind 127.0.0.1:PORT\n";
    Scene::of(HaProxy::start(&good(&ca, &[NAME]), sections)).ca(ca)
}

/// A Postgres that stands still.
pub(super) fn stuck() -> Scene {
    let ca = Ca::new("Root");
    let server = Postgres::debian("pg", &good(&ca, &[NAME]));
    let (port, frozen) = (server.port(), server.freeze());
    // It has to be thawed before it can be stopped: what is kept first is dropped first.
    Scene::empty().keep(frozen).keep(server).port(port)
}

pub(super) fn mariadb() -> Scene {
    let ca = Ca::new("Root");
    Scene::of(MariaDb::start("maria", &good(&ca, &[NAME]))).ca(ca)
}

pub(super) fn redis() -> Scene {
    Scene::of(Redis::plain("redis"))
}

pub(super) fn mongodb() -> Scene {
    Scene::of(Mongo::plain("mongo"))
}

/// The system's own: too old for TLS from the first byte.
pub(super) fn debian() -> Scene {
    let ca = Ca::new("Root");
    Scene::of(Postgres::debian("pg", &good(&ca, &[NAME]))).ca(ca)
}

pub(super) fn version_18() -> Scene {
    let ca = Ca::new("Root");
    Scene::of(Postgres::v18("pg", &good(&ca, &[NAME]))).ca(ca)
}

pub(super) fn plain_beside_tls() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &[NAME]);
    Scene::of(Postgres::named("pg").tls(&leaf).plain().start()).ca(ca)
}

/// The postmaster's answer when it cannot start a process, in the old form of an error, as it always
/// does; a real one cannot be brought to it.
pub(super) fn cannot_fork() -> Scene {
    Scene::empty().port(mock_servers::answering(
        b"Ecould not fork new process for connection: Cannot allocate memory\n\0",
    ))
}

/// Somebody on the way puts bytes behind the answer.
pub(super) fn injected() -> Scene {
    Scene::empty().port(mock_servers::answering(b"SZ\0\0\0\x05I"))
}

/// An answer of no known protocol.
pub(super) fn gibberish() -> Scene {
    Scene::empty().port(mock_servers::answering(b"?WHAT\r\n"))
}

/// No SSH server is in the testbed; its first line is played.
pub(super) fn ssh() -> Scene {
    Scene::empty().port(mock_servers::greeting(
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
    ))
}
