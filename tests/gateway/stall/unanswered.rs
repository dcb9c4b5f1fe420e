//! Backends that take a connection and then do not answer what the client says first: the next one
//! gets it where it cannot have had an effect, else the client reads what happened.

use std::net::{Shutdown, TcpStream};

use serde_json::Value;

use crate::gateway::Gateway;
use crate::raw::{
    End, Fake, Hello, Pki, TlsClient, cancel_request, plain_startup, put, request_tls, rest, take,
    tls_client, tls_server,
};

/// For backends that fall silent: short, since tests wait for it to pass.
const SHORT: &str = "[timeouts]\nhandshake = \"60s\"\nconnect = \"2s\"\n";

/// For all others: nothing may depend on it.
const LONG: &str = "[timeouts]\nhandshake = \"60s\"\nconnect = \"60s\"\n";

/// The behaviour of a backend once it has the client's first bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It closes.
    Closes,
    /// It closes before it has read them, so that the connection is reset.
    Resets,
    /// It says nothing.
    Silent,
}

impl Fault {
    fn timeouts(self) -> &'static str {
        match self {
            Self::Silent => SHORT,
            Self::Closes | Self::Resets => LONG,
        }
    }
}

const ALL: [Fault; 3] = [Fault::Closes, Fault::Resets, Fault::Silent];

/// A database with two backends that the test plays.
struct Stage {
    pki: Pki,
    gateway: Gateway,
    protocol: &'static str,
    mode: &'static str,
    first: Fake,
    second: Fake,
}

impl Stage {
    fn start(protocol: &'static str, mode: &'static str, timeouts: &str) -> Self {
        let pki = Pki::new();
        let (first, second) = (Fake::start(), Fake::start());
        let backends = [first.addr(), second.addr()];
        let config = pki.tls() + timeouts + &pki.database("db", protocol, mode, &backends);
        Self {
            gateway: Gateway::start(&config),
            pki,
            protocol,
            mode,
            first,
            second,
        }
    }

    /// A client, up to what is for the backend; that comes back too.
    fn client(&self) -> Box<dyn End> {
        let mut tcp = self.gateway.connect();
        if self.protocol == "postgres" {
            request_tls(&mut tcp);
        }
        match self.mode {
            "passthrough" => Box::new(tcp),
            _ => Box::new(self.inside(tcp)),
        }
    }

    fn inside(&self, tcp: TcpStream) -> TlsClient {
        let alpn: &[&str] = match self.protocol {
            "postgres" => &["postgresql"],
            _ => &[],
        };
        tls_client(tcp, "db.example.test", &self.pki.ca, alpn)
    }

    /// The gateway's connection to one of the backends, up to what is the client's.
    fn accept(&self, fake: &Fake) -> Box<dyn End> {
        let tcp = match (self.protocol, self.mode) {
            ("postgres", "passthrough" | "reencrypt") => fake.accept_ssl_request(),
            _ => fake.accept(),
        };
        match self.mode {
            "reencrypt" => {
                let leaf = self.pki.ca.leaf(&["*.example.test"]);
                Box::new(tls_server(tcp, &leaf, &[]))
            }
            _ => Box::new(tcp),
        }
    }

    /// Plays the fault on this connection; gives it back if it is still open.
    fn play(mut backend: Box<dyn End>, fault: Fault, flight: &[u8]) -> Option<Box<dyn End>> {
        if fault == Fault::Resets {
            // It has arrived, and is not read.
            let arrived = backend.tcp().peek(&mut [0]);
            assert!(matches!(arrived, Ok(1..)), "{arrived:?}");
            return None;
        }
        let read = take(&mut backend, flight.len());
        assert_eq!(read, flight, "other bytes than the client's");
        (fault == Fault::Silent).then_some(backend)
    }

    fn state(&self, fake: &Fake) -> String {
        let shown = self
            .gateway
            .call("show", &serde_json::json!({"name": "db"}));
        let addr = fake.addr().to_string();
        let backends = shown["database"]["backends"].as_array().expect("backends");
        let backend = backends.iter().find(|b| b["address"] == addr.as_str());
        backend.expect("the backend")["state"].to_string()
    }
}

/// The first bytes in each protocol and mode, which may be sent to the next backend.
fn greetings() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let hello = Hello::to("db.example.test").bytes();
    let redis = b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n".to_vec();
    // `hello` as an OP_MSG.
    let mongodb = b"\x2a\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x15\0\0\0\x10hello\0\x01\0\0\0\x02\0\0\0\0\0";
    vec![
        ("postgres", "passthrough", hello.clone()),
        ("tls", "passthrough", hello),
        ("postgres", "terminate", plain_startup()),
        ("postgres", "reencrypt", plain_startup()),
        ("redis", "terminate", redis.clone()),
        ("redis", "reencrypt", redis),
        ("mongodb", "terminate", mongodb.to_vec()),
    ]
}

#[test]
fn the_next_backend_gets_what_the_first_did_not_answer() {
    for (protocol, mode, flight) in greetings() {
        for fault in ALL {
            // The end of the handshake may have taken the first bytes off the socket with it.
            if mode == "reencrypt" && fault == Fault::Resets {
                continue;
            }
            let what = format!("{protocol}, {mode}, {fault:?}");
            let stage = Stage::start(protocol, mode, fault.timeouts());
            let mut client = stage.client();
            put(&mut client, &flight);
            let first = stage.accept(&stage.first);
            let held = Stage::play(first, fault, &flight);
            let mut second = stage.accept(&stage.second);
            assert_eq!(take(&mut second, flight.len()), flight, "{what}");
            put(&mut second, b"here");
            assert_eq!(take(&mut client, 4), b"here", "{what}");
            assert_eq!(stage.state(&stage.first), "\"down\"", "{what}");
            assert_eq!(stage.state(&stage.second), "\"unchecked\"", "{what}");
            // Nothing of the first is left in it.
            put(&mut client, b"more");
            assert_eq!(take(&mut second, 4), b"more", "{what}");
            client.finish();
            assert_eq!(rest(&mut second), b"", "{what}");
            second.finish();
            assert_eq!(rest(&mut client), b"", "{what}");
            drop((client, second, held));
            let line = stage.gateway.wait_reason("client_closed");
            assert_eq!(line["backend"], stage.second.addr().to_string(), "{what}");
            assert_eq!(line["bytes_in"], flight.len() + 4, "{what}: {line}");
            assert_eq!(line["bytes_out"], 4, "{what}: {line}");
        }
    }
}

/// The answer to a client that is not served, as text.
fn told(protocol: &str, mode: &str) -> &'static str {
    match (protocol, mode) {
        (_, "passthrough") => r"\x15\x03\x03\x02\x02P",
        ("postgres", _) => "C57P03",
        ("redis", _) => "-ERR dbgate: the database cannot be reached now",
        _ => "",
    }
}

#[test]
fn when_none_answers_the_client_is_told() {
    for (protocol, mode, flight) in greetings() {
        for (fault, reason) in [
            (Fault::Closes, "backend_closed_early"),
            (Fault::Silent, "backend_silent"),
        ] {
            let what = format!("{protocol}, {mode}, {fault:?}");
            let stage = Stage::start(protocol, mode, fault.timeouts());
            let mut client = stage.client();
            put(&mut client, &flight);
            let held = [&stage.first, &stage.second].map(|fake| {
                let backend = stage.accept(fake);
                Stage::play(backend, fault, &flight)
            });
            let words = rest(&mut client).escape_ascii().to_string();
            let words = words.replace(r"\x00", "");
            assert!(words.contains(told(protocol, mode)), "{what}: {words}");
            assert_eq!(words.is_empty(), told(protocol, mode).is_empty(), "{what}");
            drop((client, held));
            let reject: Value = stage.gateway.wait_reject(reason);
            let detail = reject["detail"].as_str().unwrap_or_default();
            let second = stage.second.addr().to_string();
            assert!(detail.contains(&second), "{what}: {reject}");
            assert_eq!(stage.state(&stage.second), "\"down\"", "{what}");
        }
    }
}

#[test]
fn a_backend_that_closes_before_anybody_spoke_is_not_the_last() {
    for (protocol, mode) in [("redis", "terminate"), ("tls", "terminate")] {
        let stage = Stage::start(protocol, mode, LONG);
        let mut client = stage.client();
        drop(stage.accept(&stage.first));
        let mut second = stage.accept(&stage.second);
        put(&mut client, b"INCR n\r\n");
        assert_eq!(take(&mut second, 8), b"INCR n\r\n", "{protocol}");
        put(&mut second, b":1\r\n");
        assert_eq!(take(&mut client, 4), b":1\r\n", "{protocol}");
    }
}

#[test]
fn a_command_that_may_have_been_executed_is_not_sent_again() {
    for flight in [
        &b"INCR n\r\n"[..],
        b"PING\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n",
    ] {
        for fault in [Fault::Closes, Fault::Resets] {
            let what = format!("{fault:?}, {}", flight.escape_ascii());
            let stage = Stage::start("redis", "terminate", LONG);
            let mut client = stage.client();
            put(&mut client, flight);
            Stage::play(stage.accept(&stage.first), fault, flight);
            let words = String::from_utf8(rest(&mut client)).expect("text");
            assert!(words.starts_with("-ERR dbgate: "), "{what}: {words}");
            assert!(words.contains("is not known"), "{what}: {words}");
            drop(client);
            stage.gateway.wait_reject("backend_closed_early");
            stage.second.assert_unasked();
        }
    }
}

#[test]
fn a_command_may_take_longer_than_a_greeting() {
    let stage = Stage::start("redis", "terminate", SHORT);
    let mut client = stage.client();
    put(&mut client, b"BLPOP list 0\r\n");
    let mut first = stage.accept(&stage.first);
    assert_eq!(take(&mut first, 14), b"BLPOP list 0\r\n");
    // Another client's greeting, sent later, is given up; the command is still waited for.
    let mut greeted = stage.client();
    let _silent = stage.accept(&stage.first);
    put(&mut greeted, b"PING\r\n");
    let mut next = stage.accept(&stage.second);
    assert_eq!(take(&mut next, 6), b"PING\r\n");
    put(&mut first, b"*0\r\n");
    assert_eq!(take(&mut client, 4), b"*0\r\n");
}

#[test]
fn a_client_that_has_ended_cannot_wait_for_the_answer() {
    // The others may have said all they have to say.
    let needs = |protocol: &str| matches!(protocol, "postgres" | "tls");
    for (protocol, mode, flight) in greetings() {
        if !needs(protocol) {
            continue;
        }
        let what = format!("{protocol} in {mode}");
        let stage = Stage::start(protocol, mode, LONG);
        let mut client = stage.client();
        put(&mut client, &flight);
        let mut backend = stage.accept(&stage.first);
        assert_eq!(take(&mut backend, flight.len()), flight, "{what}");
        stage.gateway.wait_sessions(1);
        client.tcp().shutdown(Shutdown::Write).expect("a FIN");
        stage.gateway.wait_sessions(0);
        stage.gateway.wait_reason("client_closed");
    }
}

#[test]
fn a_client_that_does_not_answer_the_server_hello_and_ends_is_gone() {
    let stage = Stage::start("tls", "passthrough", LONG);
    let mut client = stage.client();
    let hello = Hello::to("db.example.test").bytes();
    put(&mut client, &hello);
    let mut backend = stage.accept(&stage.first);
    assert_eq!(take(&mut backend, hello.len()), hello);
    put(&mut backend, b"\x16\x03\x03");
    assert_eq!(take(&mut client, 3), b"\x16\x03\x03");
    client.tcp().shutdown(Shutdown::Write).expect("a FIN");
    stage.gateway.wait_sessions(0);
    stage.gateway.wait_reason("client_closed");
}

#[test]
fn a_cancel_request_wants_no_answer() {
    for mode in ["terminate", "reencrypt"] {
        let stage = Stage::start("postgres", mode, LONG);
        let mut client = stage.client();
        let cancel = cancel_request(4);
        put(&mut client, &cancel);
        let mut backend = stage.accept(&stage.first);
        assert_eq!(take(&mut backend, cancel.len()), cancel, "{mode}");
        drop(backend);
        assert_eq!(rest(&mut client), b"", "{mode}");
        drop(client);
        stage.gateway.wait_reason("backend_closed");
        stage.second.assert_unasked();
        assert_eq!(stage.state(&stage.first), "\"unchecked\"", "{mode}");
    }
}
