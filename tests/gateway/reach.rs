//! Each client reaches its own database by name: two databases of one kind behind one port, in
//! each mode, with the certificate verified. The table in the README is made here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::certs::{Ca, Leaf};
use crate::clients::{Action, Client, Target};
use crate::gateway::Gateway;
use crate::servers::{Mongo, Postgres, Redis, Server};

/// The three modes, as the README's columns.
const MODES: [&str; 3] = ["passthrough", "terminate", "reencrypt"];

/// One authority for everybody, and the gateway's own certificate.
struct Pki {
    ca: Ca,
    gateway: Leaf,
}

impl Pki {
    fn new() -> Self {
        let ca = Ca::new("Gateway tests");
        let gateway = ca.leaf(&["*.example.test"]);
        Self { ca, gateway }
    }

    /// The `[tls]` section.
    fn tls(&self) -> String {
        format!(
            "[tls]\ncert = {:?}\nkey = {:?}\n",
            self.gateway.cert_path, self.gateway.key_path
        )
    }

    /// A database section.
    fn database(
        &self,
        name: &str,
        protocol: &str,
        server: &Server,
        mode: &str,
        host: &str,
    ) -> String {
        let ca = if mode == "reencrypt" {
            format!("backend_ca = {:?}\n", self.ca.path())
        } else {
            String::new()
        };
        format!(
            "[database.{name}]\nprotocol = \"{protocol}\"\nbackends = [\"{}\"]\ntls = \"{mode}\"\nhosts = [\"{host}\"]\n{ca}",
            server.addr()
        )
    }
}

/// Whom a client's certificate check has to see: the database in passthrough, else the gateway.
fn expected_serial<'a>(mode: &str, server: &'a Leaf, gateway: &'a Leaf) -> &'a str {
    if mode == "passthrough" {
        &server.serial
    } else {
        &gateway.serial
    }
}

fn assert_reached(client: Client, target: &Target, name: &str, serial: &str) {
    let answer = client.whoami(target);
    assert_eq!(answer.expect_who(), name, "{client:?} {target:?}");
    let seen = answer.json["serial"].as_str().unwrap_or_default();
    assert!(
        [serial, ""].contains(&seen),
        "{client:?} saw the certificate {seen}, not {serial}: {answer:#?}"
    );
}

/// Two servers of one kind behind one gateway: every client, every mode, both names, then data.
fn two_behind_one_port(
    protocol: &str,
    clients: &[Client],
    mode: &str,
    start: impl Fn(&str, &Leaf) -> Server,
    hosts: [&str; 2],
    target: impl Fn(&str, u16, &Ca) -> Target,
) {
    let pki = Pki::new();
    let leaves = hosts.map(|host| pki.ca.leaf(&[host]));
    let servers = [start("first", &leaves[0]), start("second", &leaves[1])];
    let mut config = pki.tls();
    for (i, host) in hosts.into_iter().enumerate() {
        config += &pki.database(&format!("db{i}"), protocol, &servers[i], mode, host);
    }
    let gateway = Gateway::start(&config);
    for &client in clients {
        for (i, host) in hosts.into_iter().enumerate() {
            let target = target(host, gateway.port(), &pki.ca);
            let serial = expected_serial(mode, &leaves[i], &pki.gateway);
            assert_reached(client, &target, servers[i].name(), serial);
        }
        let target = target(hosts[0], gateway.port(), &pki.ca);
        let pump = client.run(Action::Pump, &target);
        assert_eq!(pump.expect_who(), servers[0].name(), "{client:?}");
    }
}

fn postgres(mode: &str) {
    let plain = mode == "terminate";
    two_behind_one_port(
        "postgres",
        &Client::POSTGRES,
        mode,
        |name, leaf| {
            let server = Postgres::named(name).tls(leaf);
            if plain { server.plain() } else { server }.start()
        },
        ["pg1.example.test", "pg2.example.test"],
        |host, port, ca| postgres_target(mode, host, port, ca),
    );
}

/// In reencrypt a login must not be bound to the channel: the client's ends at the gateway.
fn postgres_target(mode: &str, host: &str, port: u16, ca: &Ca) -> Target {
    let target = Target::postgres(host, port, ca);
    if mode == "reencrypt" {
        target.channel_binding("disable")
    } else {
        target
    }
}

#[test]
fn postgres_clients_in_passthrough() {
    postgres("passthrough");
}

#[test]
fn postgres_clients_in_terminate() {
    postgres("terminate");
}

#[test]
fn postgres_clients_in_reencrypt() {
    postgres("reencrypt");
}
