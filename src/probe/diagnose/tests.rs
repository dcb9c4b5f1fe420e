//! Conversations made by hand, and the one rule that each must lead to.

use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::super::exchange::Connect;
use super::*;
use crate::preface::postgres::{ErrorResponse, SSL_REQUEST};
use crate::protocol::Protocol;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A conversation told in lines, one millisecond each.
struct Story(Exchange, u64);

impl Story {
    fn new() -> Self {
        let exchange = Exchange {
            connect: Connect::Accepted(ms(1)),
            ..Exchange::default()
        };
        Self(exchange, 1)
    }

    fn now(&mut self) -> Duration {
        self.1 += 1;
        ms(self.1)
    }

    fn client(mut self, bytes: &[u8]) -> Self {
        let at = self.now();
        self.0.client.push(bytes, at);
        self
    }

    fn server(mut self, bytes: &[u8]) -> Self {
        let at = self.now();
        self.0.server.push(bytes, at);
        self
    }

    fn ends(mut self, side: Side, end: StreamEnd) -> Self {
        let at = self.now();
        self.0.side_mut(side).end(end, at);
        self
    }

    fn open(mut self) -> Self {
        self.0.open = true;
        self
    }

    fn report(&self, hint: Option<Protocol>, vantage: Vantage) -> Report {
        report(&self.0, hint, vantage)
    }

    #[track_caller]
    fn leads_to(&self, hint: Option<Protocol>, vantage: Vantage, code: &str) {
        let report = self.report(hint, vantage);
        assert_eq!(report.code, code, "{vantage:?} {:#?}", report.findings);
    }

    #[track_caller]
    fn capture(&self, code: &str) {
        self.leads_to(None, Vantage::Capture, code);
    }
}

fn hello() -> Vec<u8> {
    let mut client = client("db.example");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

fn client(name: &str) -> ClientConnection {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The first flight of a server, in answer to a hello.
fn server_flight(hello: &[u8]) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(["db.example".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    server.read_tls(&mut &*hello).unwrap();
    server.process_new_packets().unwrap();
    let mut bytes = Vec::new();
    server.write_tls(&mut bytes).unwrap();
    bytes
}

/// A record of `n` encrypted bytes.
fn sealed(n: u16) -> Vec<u8> {
    let mut record = vec![0x17, 3, 3];
    record.extend(n.to_be_bytes());
    record.resize(5 + usize::from(n), 0xaa);
    record
}

#[test]
fn a_flight_that_stops_in_the_middle_is_not_the_certificates_fault() {
    let hello = hello();
    let flight = server_flight(&hello);
    let left = |bytes: &[u8]| {
        let story = Story::new().client(&hello).server(bytes);
        story.ends(Side::Client, StreamEnd::Closed)
    };
    left(&flight[..flight.len() - 1]).capture("tls-server-flight-cut");
    left(&flight[..flight.len() - 100]).capture("tls-server-flight-cut");
    // Of the ServerHello itself.
    left(&flight[..60]).capture("tls-interrupted");
    left(&flight).capture("client-left-in-handshake");
    // Where bytes may be missing in the recording, nothing is known of what the client has got.
    let mut story = left(&flight[..flight.len() - 1]);
    story.0.server.miss_end();
    story.capture("ok");
}

const STARTUP: &[u8] = b"\0\0\0\x13\0\x03\0\0user\0alice\0\0";

#[test]
fn before_tls() {
    let ssl = || Story::new().client(&SSL_REQUEST);
    ssl()
        .ends(Side::Server, StreamEnd::Closed)
        .capture("pg-closed-after-request");
    ssl()
        .ends(Side::Client, StreamEnd::Closed)
        .capture("pg-no-answer");
    ssl().open().capture("capture-still-open");
    ssl()
        .server(b"N")
        .ends(Side::Client, StreamEnd::Closed)
        .capture("pg-tls-refused");
    ssl()
        .server(b"S")
        .ends(Side::Client, StreamEnd::Closed)
        .capture("client-left-after-s");
    ssl()
        .server(b"S")
        .client(b"x")
        .capture("client-illegal-preface");
    ssl()
        .server(b"HTTP/1.1 400 Bad Request\r\n")
        .capture("http-server");
    ssl().server(b"S\x00").open().capture("capture-still-open");
    ssl()
        .server(&[0x15, 3, 3, 0, 2, 2, 10])
        .capture("pg-expects-tls-first");
    let greeting = b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0\xff\xff\x2d\x02\0\xff\xff\x15";
    ssl().server(greeting).capture("is-mysql");
    Story::new()
        .ends(Side::Client, StreamEnd::Closed)
        .capture("ok");
    Story::new()
        .client(b"GET / HTTP/1.1\r\n")
        .capture("client-other-protocol");
}

#[test]
fn a_servers_own_words_are_told() {
    let error = ErrorResponse {
        severity: "FATAL",
        code: "28000",
        message: "no pg_hba.conf entry, no encryption",
        detail: None,
        hint: None,
    }
    .encode();
    let refused = Story::new().client(STARTUP).server(&error);
    refused.capture("server-refused-plaintext");
    let report = refused.report(None, Vantage::Capture);
    let detail = &report.findings[0].detail;
    assert!(detail.contains("28000: no pg_hba.conf entry"), "{detail}");

    let answered = Story::new().client(&SSL_REQUEST).server(&error);
    answered.capture("pg-error-answer");
}

#[test]
fn plaintext_is_a_warning_and_no_handshake() {
    let plain = Story::new().client(STARTUP).server(b"R\0\0\0\x08\0\0\0\0");
    plain.capture("client-plaintext");
    let report = plain.report(None, Vantage::Capture);
    assert_eq!(
        (report.verdict, report.established),
        (super::super::Verdict::Warn, false)
    );
    assert_eq!(
        (report.protocol.as_str(), report.starttls),
        ("postgres", false)
    );
    Story::new()
        .client(&SSL_REQUEST)
        .server(b"N")
        .client(STARTUP)
        .capture("pg-tls-refused");
    Story::new()
        .client(b"*1\r\n$4\r\nPING\r\n")
        .capture("client-plaintext");
}

#[test]
fn in_the_handshake() {
    let hello = hello();
    let said = || Story::new().client(&hello);
    said()
        .ends(Side::Server, StreamEnd::Closed)
        .capture("tls-closed-after-hello");
    said()
        .ends(Side::Server, StreamEnd::Reset)
        .capture("tls-reset-after-hello");
    said()
        .ends(Side::Client, StreamEnd::Closed)
        .capture("tls-no-answer");
    said()
        .server(&[0x15, 3, 3, 0, 2, 2, 112])
        .capture("alert-unrecognized-name");
    said()
        .server(&[0x15, 3, 3, 0, 2, 2, 40])
        .capture("alert-handshake-failure");
    said()
        .server(&[0x15, 3, 3, 0, 2, 2, 70])
        .capture("alert-protocol-version");
    said()
        .server(b"-ERR unknown command\r\n")
        .capture("redis-plain-port");
    said()
        .server(b"\x01\x02\x03\x04")
        .capture("tls-plaintext-answer");

    let flight = server_flight(&hello);
    let met = || said().server(&flight);
    met()
        .ends(Side::Client, StreamEnd::Closed)
        .capture("client-left-in-handshake");
    met()
        .client(&[0x15, 3, 3, 0, 2, 2, 48])
        .capture("client-unknown-ca");
    met()
        .client(&sealed(19))
        .ends(Side::Client, StreamEnd::Closed)
        .capture("client-likely-refused");
    met()
        .ends(Side::Server, StreamEnd::Reset)
        .capture("tls-interrupted");
    let done = met()
        .client(&sealed(53))
        .server(&sealed(200))
        .client(&sealed(100));
    done.capture("ok");
    let report = done.report(None, Vantage::Capture);
    assert!(report.established);
    assert_eq!(report.tls_version.as_deref(), Some("1.3"));
    assert_eq!(report.sni.as_deref(), Some("db.example"));
    assert_eq!(report.protocol, "tls");
    let phases = format!("{:?}", report.phases_ms);
    assert_eq!(phases, r#"{"tcp": 1.0, "tls": 2.0}"#);
    met()
        .client(&sealed(53))
        .server(&sealed(19))
        .ends(Side::Server, StreamEnd::Closed)
        .capture("server-likely-refused");

    let half = Story::new().client(&hello[..hello.len() / 2]);
    half.capture("tls-hello-incomplete");
    Story::new()
        .client(b"\x16\x03\x01\x00\x00\x00")
        .capture("tls-hello-malformed");
}

#[test]
fn who_watches_decides_whose_fault_it_can_be() {
    let hello = hello();
    let refused = Story::new()
        .client(&hello)
        .server(&[0x15, 3, 3, 0, 2, 2, 112]);
    refused.leads_to(None, Vantage::Active, "alert-unrecognized-name");
    refused.leads_to(None, Vantage::Listen, "ok");
    let granted = Story::new()
        .client(&SSL_REQUEST)
        .server(b"S")
        .ends(Side::Client, StreamEnd::Closed);
    granted.leads_to(
        Some(Protocol::Postgres),
        Vantage::Listen,
        "client-left-after-s",
    );
    granted.leads_to(Some(Protocol::Postgres), Vantage::Active, "ok");
}

#[test]
fn what_was_not_recorded_is_nobodys_fault() {
    let mut cut = Story::new().client(&hello()[..100]);
    cut.0.client.lose(Loss::Snaplen);
    cut.capture("capture-snaplen");
    let mut gap = Story::new()
        .client(&hello())
        .ends(Side::Client, StreamEnd::Closed);
    gap.0.server.lose(Loss::Gap);
    gap.capture("capture-gap");
}

#[test]
fn no_cut_of_a_conversation_makes_it_panic() {
    let hello = hello();
    let flight = server_flight(&hello);
    for end in (0..hello.len()).chain(0..flight.len()) {
        for vantage in [Vantage::Capture, Vantage::Listen, Vantage::Active] {
            let client = hello.get(..end).unwrap_or(&hello);
            let server = flight.get(..end).unwrap_or(&flight);
            Story::new()
                .client(client)
                .server(server)
                .report(None, vantage);
        }
    }
}
