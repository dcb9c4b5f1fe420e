//! Redis in all its states.

use std::process::Command;

use super::scene::{NAME, Scene, good};
use crate::{
    certs::Ca,
    servers::{HaProxy, Redis},
};

pub(super) fn plain() -> Scene {
    Scene::of(Redis::plain("redis"))
}

pub(super) fn open() -> Scene {
    let ca = Ca::new("Root");
    Scene::of(Redis::start("redis", &good(&ca, &[NAME]))).ca(ca)
}

pub(super) fn password() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &[NAME]);
    let server = Redis::named("redis").tls(&leaf).password("secret").run();
    Scene::of(server).ca(ca)
}

/// As Redis is when nobody says otherwise: it asks for client certificates.
pub(super) fn wants_a_certificate() -> Scene {
    let ca = Ca::new("Root");
    let (leaf, one) = (good(&ca, &[NAME]), ca.client("one"));
    let server = Redis::named("redis").tls(&leaf).clients(&ca, &one).run();
    Scene::of(server).ca(ca)
}

/// The same, and one is shown.
pub(super) fn is_shown_a_certificate() -> Scene {
    let ca = Ca::new("Root");
    let (leaf, one) = (good(&ca, &[NAME]), ca.client("one"));
    let server = Redis::named("redis").tls(&leaf).clients(&ca, &one);
    let server = server.password("secret").run();
    Scene::of(server).ca(ca).identity(one)
}

/// The same, and one of another authority is shown.
pub(super) fn is_shown_a_strangers_certificate() -> Scene {
    let (ca, stranger) = (Ca::new("Root"), Ca::new("Stranger"));
    let (leaf, one) = (good(&ca, &[NAME]), ca.client("one"));
    let server = Redis::named("redis").tls(&leaf).clients(&ca, &one).run();
    Scene::of(server).ca(ca).identity(stranger.client("two"))
}

/// No password, no bind address, and a client that is not of this machine: the proxy in front calls
/// from another address than 127.0.0.1.
pub(super) fn protected_mode() -> Scene {
    let ca = Ca::new("Root");
    let arguments = ["--bind", "*", "--protected-mode", "yes"];
    let server = Redis::named("redis").arguments(&arguments).run();
    let sections = format!(
        "listen redis\n  mode tcp\n  bind 127.0.0.1:PORT ssl crt server.pem\n  \
         server redis {} source 127.0.0.2\n",
        server.addr()
    );
    let proxy = HaProxy::start(&good(&ca, &[NAME]), &sections);
    Scene::of(proxy).behind(server).ca(ca)
}

/// A replica whose master is away.
pub(super) fn replica_without_master() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &[NAME]);
    let server = Redis::named("redis").tls(&leaf).run();
    for words in [
        "config set replica-serve-stale-data no",
        "replicaof 127.0.0.1 1",
    ] {
        let output = Command::new("redis-cli")
            .args(["--tls", "--insecure", "-p", &server.port().to_string()])
            .args(words.split(' '))
            .output()
            .expect("redis-cli");
        assert_eq!(output.stdout, b"OK\n", "{words}: {output:?}");
    }
    Scene::of(server).ca(ca)
}
