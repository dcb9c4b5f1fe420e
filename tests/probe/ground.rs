//! The ground that only the diagnostics stand on, without `dbgate`: servers that misbehave on purpose
//! do so, clients that are refused tell everything they know, certificates are wrong as they say.
//!
//! When a test fails here, the fault is not dbgate's. What the gateway's tests stand on too is tested
//! in `tests/gateway/direct.rs`.

use crate::{
    certs::Ca,
    clients::{Client, Target},
    servers::Postgres,
};

#[test]
fn a_server_is_reached() {
    let ca = Ca::new("Testbed");
    let server = Postgres::debian("pg-a", &ca.leaf(&["pg1.example.test"]));
    let target = Target::postgres("pg1.example.test", server.port(), &ca);
    assert_eq!(Client::Psql.whoami(&target).expect_who(), "pg-a");
}
