//! A dbgate that refuses, and why.

use super::{
    mock_servers,
    scene::{NAME, Scene, good},
};
use crate::{certs::Ca, gateway::Gateway, servers::Postgres};

fn database(port: u16, more: &str) -> String {
    format!(
        "[database.pg1]\nprotocol = \"postgres\"\nbackends = [\"127.0.0.1:{port}\"]\n\
         hosts = [\"{NAME}\"]\n{more}\n"
    )
}

fn routed(more: &str) -> Scene {
    let ca = Ca::new("Root");
    let server = Postgres::debian("pg", &good(&ca, &[NAME]));
    let gateway = Gateway::start(&database(server.port(), more));
    let port = gateway.port();
    Scene::empty()
        .port(port)
        .keep(gateway)
        .behind(server)
        .ca(ca)
}

/// One database, `pg1.example.test`, passed through.
pub(super) fn passthrough() -> Scene {
    routed("")
}

/// The same, for other clients than those of this machine.
pub(super) fn denied() -> Scene {
    routed("deny = [\"127.0.0.1/32\"]")
}

pub(super) fn backend_is_down() -> Scene {
    let (port, socket) = mock_servers::closed();
    let gateway = Gateway::start(&database(port, ""));
    let port = gateway.port();
    Scene::empty().port(port).keep(gateway).keep(socket)
}
