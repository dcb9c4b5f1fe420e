//! Nobody is left hanging: clients and backends that fall silent, backends that answer with
//! anything but what they should, and limits that are reached.
//!
//! Each ends with its own reason, the client is told as far as its protocol has words, and the
//! gateway holds nothing of it afterwards.

mod backend;
mod limits;
mod unanswered;

use std::io::Read;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::certs::Leaf;
use crate::gateway::Gateway;
use crate::raw::{
    Fake, Hello, Pki, first_flight, put, request_tls, rest, ssl_request, take, tls_client,
    wait_read,
};
use crate::testbed;

/// For clients that fall silent: short, since tests wait for the deadline to pass, and long enough
/// for a TLS handshake on a busy machine.
const SHORT_HANDSHAKE: &str = "[timeouts]\nhandshake = \"1500ms\"\nconnect = \"500ms\"\n";

/// Hosts and what is behind them.
const DATABASES: [(&str, &str, &str); 5] = [
    ("pg1", "postgres", "passthrough"),
    ("pg2", "postgres", "terminate"),
    ("pg3", "postgres", "reencrypt"),
    ("redis1", "tls", "passthrough"),
    ("redis2", "tls", "reencrypt"),
];

/// A gateway with short deadlines, and what it held before the first client.
struct Stage {
    pki: Pki,
    leaf: Leaf,
    gateway: Gateway,
    descriptors: usize,
}

impl Stage {
    /// All of [`DATABASES`] on the same backends.
    fn start(timeouts: &str, backends: &[SocketAddr]) -> Self {
        let pki = Pki::new();
        let leaf = pki.ca.leaf(&["*.example.test"]);
        let mut config = pki.tls() + timeouts;
        for (name, protocol, mode) in DATABASES {
            config += &pki.database(name, protocol, mode, backends);
        }
        let gateway = Gateway::start(&config);
        let mut stage = Self {
            pki,
            leaf,
            gateway,
            descriptors: 0,
        };
        stage.descriptors = stage.held().0;
        stage
    }

    /// Descriptors and handshakes that the gateway holds.
    fn held(&self) -> (usize, u64) {
        let handshakes = self.gateway.call("status", &json!({}))["handshakes"].as_u64();
        (self.gateway.descriptors(), handshakes.expect("a number"))
    }

    /// Waits for the end of the last session, and that nothing is left of it.
    #[track_caller]
    fn assert_ended(&self, reason: &str, what: &str) -> Value {
        let line = self.gateway.wait_reason(reason);
        let all = self.gateway.access();
        assert_eq!(all.len(), 1, "{what}: {all:#?}");
        let mut held = (0, 0);
        let cleared = testbed::until(|| {
            held = self.held();
            held == (self.descriptors, 0)
        });
        assert!(
            cleared,
            "{what}: {held:?} descriptors and handshakes, before ({}, 0)",
            self.descriptors
        );
        line
    }

    /// As any rejected session, in the list of rejects, too.
    #[track_caller]
    fn assert_rejected(&self, reason: &str, what: &str) {
        let line = self.assert_ended(reason, what);
        assert_eq!(line["close"], "reject", "{what}: {line}");
        self.gateway.wait_reject(reason);
    }
}

/// A client that sends these bytes, each part after the gateway has read the one before, and falls
/// silent; it must read the answer and then the end.
#[track_caller]
fn falls_silent(parts: &[&[u8]], answer: &[u8], reason: &str) {
    let fake = Fake::start();
    let stage = Stage::start(SHORT_HANDSHAKE, &[fake.addr()]);
    let mut client = stage.gateway.connect();
    for part in parts {
        put(&mut client, part);
        wait_read(&client);
    }
    assert_eq!(rest(&mut client), answer, "{reason}");
    drop(client);
    stage.assert_rejected(reason, reason);
    fake.assert_unasked();
}

fn hello(host: &str) -> Vec<u8> {
    Hello::to(format!("{host}.example.test")).bytes()
}

#[test]
fn a_client_falls_silent_before_its_hello_is_complete() {
    let hello = hello("redis1");
    let half = &hello[..hello.len() / 2];
    let request = &ssl_request()[..];
    falls_silent(&[], b"", "silent");
    falls_silent(&[request], b"S", "silent_after_ssl_request");
    falls_silent(&[&request[..5]], b"", "hello_timeout");
    falls_silent(&[half], b"", "hello_timeout");
    falls_silent(&[&half[..1]], b"", "hello_timeout");
    falls_silent(&[request, half], b"S", "hello_timeout");
}

#[test]
fn a_client_that_sends_a_byte_at_a_time_is_not_waited_for() {
    let fake = Fake::start();
    let stage = Stage::start(SHORT_HANDSHAKE, &[fake.addr()]);
    let hello = Hello::to("redis1.example.test").padding(60 * 1024).bytes();
    let mut client = stage.gateway.connect();
    client.set_nodelay(true).expect("no delay");
    // Always busy: at no time is there a pause that a timeout between two reads would notice.
    let mut sent = 0;
    for byte in hello.chunks(1) {
        put(&mut client, byte);
        wait_read(&client);
        sent += 1;
        client.set_nonblocking(true).expect("a socket option");
        let ended = matches!(client.read(&mut [0; 1]), Ok(0));
        client.set_nonblocking(false).expect("a socket option");
        if ended {
            break;
        }
    }
    assert!(sent < hello.len(), "it got all of its {sent} bytes through");
    drop(client);
    stage.assert_rejected("hello_timeout", "slow");
    fake.assert_unasked();
}

#[test]
fn a_client_falls_silent_in_its_tls_handshake_with_the_gateway() {
    let fake = Fake::start();
    for host in ["pg2", "pg3"] {
        let stage = Stage::start(SHORT_HANDSHAKE, &[fake.addr()]);
        let mut client = stage.gateway.connect();
        request_tls(&mut client);
        // A hello to which the gateway answers with its own flight.
        let name = format!("{host}.example.test");
        put(&mut client, &first_flight(&name, &stage.pki.ca));
        let answer = rest(&mut client);
        assert_eq!(
            answer.first(),
            Some(&0x16),
            "{host}: {}",
            answer.escape_ascii()
        );
        drop(client);
        stage.assert_rejected("tls_timeout", host);
        fake.assert_unasked();
    }
}

#[test]
fn a_client_falls_silent_in_its_tls_handshake_with_the_backend() {
    let fake = Fake::start();
    let stage = Stage::start(SHORT_HANDSHAKE, &[fake.addr()]);
    let mut client = stage.gateway.connect();
    put(&mut client, &hello("redis1"));
    let mut backend = fake.accept();
    take(&mut backend, hello("redis1").len());
    put(&mut backend, b"\x16\x03\x03\0\x04\x02\0\0\0");
    // Both ends see the end, the client after all that the backend said.
    assert_eq!(rest(&mut client), b"\x16\x03\x03\0\x04\x02\0\0\0");
    assert_eq!(rest(&mut backend), b"");
    drop((client, backend));
    stage.assert_rejected("tls_timeout", "passthrough");
}

#[test]
fn a_client_with_tls_sends_no_startup_message() {
    for (host, sent) in [("pg2", &b""[..]), ("pg3", b""), ("pg2", b"\0\0\0\x20")] {
        let fake = Fake::start();
        let stage = Stage::start(SHORT_HANDSHAKE, &[fake.addr()]);
        let mut tcp = stage.gateway.connect();
        request_tls(&mut tcp);
        let name = format!("{host}.example.test");
        let mut client = tls_client(tcp, &name, &stage.pki.ca, &[]);
        put(&mut client, sent);
        assert_eq!(rest(&mut client), b"", "{host}");
        drop(client);
        stage.assert_rejected("startup_timeout", host);
        fake.assert_unasked();
    }
}
