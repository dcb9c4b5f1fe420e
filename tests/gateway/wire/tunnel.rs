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

use super::MODES;
use crate::certs::Ca;
use crate::clients::{Client, Target};
use crate::gateway::Gateway;
use crate::raw::Pki;
use crate::servers::Postgres;
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

/// psql goes through the tunnel that `open` makes, with each of these modes of its own.
fn psql_inside(sslmodes: &[&str], open: impl Fn(u16, &'static str, &Ca) -> u16) {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&HOSTS);
    let server = Postgres::named("inside").tls(&leaf).plain().start();
    let mut config = pki.tls();
    for (name, mode) in ["pg1", "pg2", "pg3"].into_iter().zip(MODES) {
        config += &pki.database(name, "postgres", mode, &[server.addr()]);
    }
    let gateway = Gateway::start(&config);
    for (host, mode) in HOSTS.into_iter().zip(MODES) {
        let port = open(gateway.port(), host, &pki.ca);
        for sslmode in sslmodes {
            let target = Target::unverified("127.0.0.1", port).app().sslmode(sslmode);
            let answer = Client::Psql.whoami(&target);
            assert_eq!(answer.expect_who(), "inside", "{mode}, sslmode={sslmode}");
            let line = gateway.wait_access(|line| line["sni"] == host);
            assert_eq!(line["reason"], "client_closed", "{mode}: {line}");
        }
    }
}

#[test]
fn psql_without_tls_in_socat() {
    psql_inside(&["disable"], socat);
}

#[test]
fn psql_that_prefers_tls_in_socat() {
    psql_inside(&["prefer"], socat);
}

#[test]
fn psql_in_stunnel() {
    let folder = testbed::scratch();
    psql_inside(&["disable", "prefer"], |port, host, ca| {
        stunnel(port, host, ca, folder.path())
    });
}
