//! Causes that keep a client from reaching the server.

use super::{
    mock_servers,
    scene::{NAME, Scene, good},
};
use crate::{
    certs::Ca,
    servers::{HaProxy, Postgres},
};

/// Only `/etc/hosts` knows names.
pub(super) fn no_such_name() -> Scene {
    Scene::empty().instead_of("/etc/nsswitch.conf", "hosts: files\n")
}

/// Drills whose target alone is the cause.
pub(super) fn nothing() -> Scene {
    Scene::empty()
}

/// The name server that is asked does not run.
pub(super) fn no_name_server() -> Scene {
    Scene::empty()
        .instead_of("/etc/nsswitch.conf", "hosts: dns\n")
        .instead_of("/etc/resolv.conf", "nameserver 127.0.0.250\n")
}

pub(super) fn nobody_listens() -> Scene {
    let (port, socket) = mock_servers::closed();
    Scene::empty().keep(socket).port(port)
}

/// Connection requests are dropped, as a firewall does it.
pub(super) fn packets_vanish() -> Scene {
    let (port, waiting, listener) = mock_servers::full_queue();
    Scene::empty().keep(waiting).keep(listener).port(port)
}

pub(super) fn no_network() -> Scene {
    Scene::empty().without_network()
}

/// A proxy accepts, and throws away at once.
pub(super) fn rejected_at_the_door() -> Scene {
    let ca = Ca::new("Root");
    let sections =
        "listen door\n  mode tcp\n  bind 127.0.0.1:PORT\n  tcp-request connection reject\n";
    Scene::of(HaProxy::start(&good(&ca, &[NAME]), sections)).ca(ca)
}

/// A name with two addresses; at one of them nobody listens.
pub(super) fn one_address_is_down() -> Scene {
    let ca = Ca::new("Root");
    let server = Postgres::debian("pg", &good(&ca, &["two.example.test"]));
    Scene::of(server).ca(ca).instead_of(
        "/etc/hosts",
        "127.0.0.1 two.example.test\n127.0.0.2 two.example.test\n",
    )
}
