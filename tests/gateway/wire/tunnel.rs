//! A TLS tunnel on the client's side, as people set it up for clients that cannot name a server:
//! TLS from the first byte without ALPN, and Postgres without TLS inside.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::fd::OwnedFd,
    path::Path,
    process::Command,
    thread,
};

use serde_json::json;

use super::MODES;
use crate::certs::Ca;
use crate::clients::{Client, Target};
use crate::gateway::Gateway;
use crate::raw::Pki;
use crate::servers::{Postgres, Server};
use crate::testbed;

const HOSTS: [&str; 3] = ["pg1.example.test", "pg2.example.test", "pg3.example.test"];

/// Listens on a free port and starts the program for each connection, which it gets as its
/// standard input and output; ends with the tests.
fn tunnel(program: impl Fn() -> Command + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("its own address").port();
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let mut command = program();
            let output = client.try_clone().expect("the socket");
            command
                .stdin(OwnedFd::from(client))
                .stdout(OwnedFd::from(output));
            let mut child = testbed::spawn(command);
            thread::spawn(move || child.wait());
        }
    });
    port
}

fn socat(gateway: u16, host: &'static str, ca: &Ca) -> u16 {
    let ca = ca.path().display().to_string();
    tunnel(move || {
        let mut command = testbed::mortal("KILL", "socat");
        let address = format!("OPENSSL:{host}:{gateway},verify=1,cafile={ca},snihost={host}");
        command.args(["STDIO", &address]);
        command
    })
}

fn stunnel(gateway: u16, host: &'static str, ca: &Ca, folder: &Path) -> u16 {
    let file = folder.join(format!("{host}.conf"));
    let ca = ca.path().display();
    let text = format!(
        "foreground = yes\ndebug = 3\nclient = yes\nconnect = 127.0.0.1:{gateway}\nsni = {host}\n\
         checkHost = {host}\nverifyChain = yes\nCAfile = {ca}\n"
    );
    fs::write(&file, text).expect("a configuration for stunnel");
    tunnel(move || {
        let mut command = testbed::mortal("KILL", "stunnel4");
        command.arg(&file);
        command
    })
}

/// Three databases, in each mode one, before a server that asks for the password in this way.
fn gateway(pki: &Pki, password: &str) -> (Gateway, Server) {
    let leaf = pki.ca.leaf(&HOSTS);
    let server = Postgres::named("inside").tls(&leaf).plain();
    let server = server.password(password).start();
    let mut config = pki.tls();
    for (name, mode) in ["pg1", "pg2", "pg3"].into_iter().zip(MODES) {
        config += &pki.database(name, "postgres", mode, &[server.addr()]);
    }
    (Gateway::start(&config), server)
}

/// psql goes through the tunnel that `open` makes, with and without a wish for TLS of its own.
fn psql_inside(open: impl Fn(u16, &'static str, &Ca) -> u16) {
    let pki = Pki::new();
    let (gateway, _server) = gateway(&pki, "password");
    for (host, mode) in HOSTS.into_iter().zip(MODES) {
        let port = open(gateway.port(), host, &pki.ca);
        for sslmode in ["disable", "prefer"] {
            // A Postgres server on TLS takes a wish for TLS inside it for a mistake.
            if (mode, sslmode) == ("passthrough", "prefer") {
                continue;
            }
            let target = Target::unverified("127.0.0.1", port).app().sslmode(sslmode);
            let answer = Client::Psql.whoami(&target);
            assert_eq!(answer.expect_who(), "inside", "{mode}, sslmode={sslmode}");
            // In terminate the database itself may agree to TLS inside the tunnel.
            let twice = mode == "terminate" && sslmode == "prefer";
            assert_eq!(answer.json["tls"].is_string(), twice, "{mode}: {answer:#?}");
        }
        let line = gateway.wait_access(|line| line["sni"] == host);
        assert_eq!(
            (&line["close"] != "reject", &line["alpn"]),
            (true, &json!(null)),
            "{mode}: {line}"
        );
    }
}

#[test]
fn psql_in_socat() {
    psql_inside(socat);
}

#[test]
fn psql_in_stunnel() {
    let folder = testbed::scratch();
    psql_inside(|port, host, ca| stunnel(port, host, ca, folder.path()));
}

/// libpq refuses a server that offers channel binding to a connection without TLS, and a Postgres
/// server on TLS always offers it with SCRAM. In reencrypt the gateway takes the offer out; in
/// passthrough it cannot.
#[test]
fn psql_in_a_tunnel_logs_in_by_scram_where_the_gateway_ends_the_tunnel() {
    let pki = Pki::new();
    let (gateway, _server) = gateway(&pki, "scram-sha-256");
    for (host, mode) in HOSTS.into_iter().zip(MODES) {
        let port = socat(gateway.port(), host, &pki.ca);
        let target = Target::unverified("127.0.0.1", port).app();
        for sslmode in ["disable", "prefer"] {
            let answer = Client::Psql.whoami(&target.clone().sslmode(sslmode));
            if mode == "passthrough" {
                assert!(!answer.ok, "{mode}, sslmode={sslmode}: {answer:#?}");
            } else {
                assert_eq!(answer.expect_who(), "inside", "{mode}, sslmode={sslmode}");
            }
        }
    }
    let target = Target::unverified("127.0.0.1", socat(gateway.port(), HOSTS[0], &pki.ca)).app();
    let answer = Client::Psql.whoami(&target.sslmode("disable"));
    let words = "offered SCRAM-SHA-256-PLUS authentication over a non-SSL connection";
    assert!(answer.error.contains(words), "{answer:#?}");
}

/// The same by the library under pgAdmin.
#[test]
fn psycopg_in_a_tunnel_logs_in_by_scram_in_reencrypt() {
    let pki = Pki::new();
    let (gateway, _server) = gateway(&pki, "scram-sha-256");
    let port = socat(gateway.port(), HOSTS[2], &pki.ca);
    let target = Target::unverified("127.0.0.1", port).app();
    for sslmode in ["disable", "prefer"] {
        let answer = Client::Psycopg.whoami(&target.clone().sslmode(sslmode));
        assert_eq!(answer.expect_who(), "inside", "sslmode={sslmode}");
    }
    let line = gateway.wait_access(|line| line["tls"] == "reencrypt" && line["close"] != "reject");
    assert!(line["bytes_in"].as_u64().is_some_and(|n| n > 100), "{line}");
}
