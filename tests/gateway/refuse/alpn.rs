//! Application protocols (ALPN), where the gateway ends the client's TLS.

use serde_json::json;

use super::{assert_rejected, s_client};
use crate::gateway::Gateway;
use crate::raw::{Fake, Pki, plain_startup, put, take, tls_client};

const NAMES: [(&str, &str); 3] = [
    ("pg1", "postgres"),
    ("redis1", "redis"),
    ("mongo1", "mongodb"),
];

/// A browser that was led to a database (the ALPACA attack) says what it speaks.
#[test]
fn a_client_that_offers_only_foreign_protocols() {
    let fake = Fake::start();
    for mode in ["terminate", "reencrypt"] {
        for (name, protocol) in NAMES {
            let pki = Pki::new();
            let config = pki.tls() + &pki.database(name, protocol, mode, &[fake.addr()]);
            let gateway = Gateway::start(&config);
            let host = format!("{name}.example.test");
            let printed = s_client(gateway.port(), &host, Some("h2,http/1.1"));
            assert!(
                printed.contains("alert number 120"),
                "{mode}, {protocol}: {printed}"
            );
            assert_rejected(&gateway, "no_application_protocol", &json!("ok"));
            let rejects = gateway.ctl_ok(&["rejects"]);
            assert!(rejects.contains("by ALPN"), "{rejects}");
        }
    }
    fake.assert_unasked();
}

#[test]
fn one_known_protocol_among_foreign_ones_is_agreed_to() {
    let (fake, pki) = (Fake::start(), Pki::new());
    let config = pki.tls() + &pki.database("pg1", "postgres", "terminate", &[fake.addr()]);
    let gateway = Gateway::start(&config);
    let offer = ["h2", "postgresql"];
    let mut client = tls_client(gateway.connect(), "pg1.example.test", &pki.ca, &offer);
    assert_eq!(client.conn.alpn_protocol(), Some(&b"postgresql"[..]));
    put(&mut client, &plain_startup());
    let startup = take(&mut fake.accept(), plain_startup().len());
    assert_eq!(startup, plain_startup());
}

#[test]
fn a_database_that_only_speaks_tls_takes_the_clients_favourite() {
    let (fake, pki) = (Fake::start(), Pki::new());
    let config = pki.tls() + &pki.database("pg1", "tls", "terminate", &[fake.addr()]);
    let gateway = Gateway::start(&config);
    let offer = ["h2", "http/1.1"];
    let mut client = tls_client(gateway.connect(), "pg1.example.test", &pki.ca, &offer);
    assert_eq!(client.conn.alpn_protocol(), Some(&b"h2"[..]));
    put(&mut client, b"hello");
    let mut backend = fake.accept();
    assert_eq!(take(&mut backend, 5), b"hello");
}
