//! Nobody is left hanging: clients and backends that fall silent, backends that answer with
//! anything but what they should, and limits that are reached.
//!
//! Each ends with its own reason, the client is told as far as its protocol has words, and the
//! gateway holds nothing of it afterwards.

mod limits;

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use dbgate::control::client::Client;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::certs::Leaf;
use crate::gateway::Gateway;
use crate::raw::{
    End, Fake, Hello, Pki, TlsClient, closed_port, first_flight, plain_startup, put,
    refused_tls_server, request_tls, rest, ssl_request, take, tls_client, tls_server, wait_read,
};
use crate::testbed;

/// For clients that fall silent: short, since tests wait for the deadline to pass, and long enough
/// for a TLS handshake on a busy machine.
const SHORT_HANDSHAKE: &str = "[timeouts]\nhandshake = \"1500ms\"\nconnect = \"500ms\"\n";

/// For backends that fall silent: the client has time, and so has the next backend.
const SHORT_CONNECT: &str = "[timeouts]\nhandshake = \"60s\"\nconnect = \"1s\"\n";

/// What a TLS client reads whose backend fails: the alert `internal_error`.
const INTERNAL_ERROR: &[u8] = b"\x15\x03\x03\0\x02\x02\x50";

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

    /// How many descriptors and handshakes the gateway holds.
    fn held(&self) -> (usize, u64) {
        let mut control = Client::connect(&self.gateway.socket()).expect("the control socket");
        let mut status = || control.call("status", &json!({})).expect("its status");
        // After two answers on this connection, those that ended before it are closed.
        let handshakes = (status(), status()).1["handshakes"].as_u64();
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

    /// A client whose TLS with the gateway is up and, for Postgres, whose first message is sent.
    #[track_caller]
    fn client(&self, name: &str) -> TlsClient {
        let host = format!("{name}.example.test");
        let mut tcp = self.gateway.connect();
        if name.starts_with("redis") {
            return tls_client(tcp, &host, &self.pki.ca, &[]);
        }
        request_tls(&mut tcp);
        let mut client = tls_client(tcp, &host, &self.pki.ca, &["postgresql"]);
        put(&mut client, &plain_startup());
        client
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

/// What a backend does with a connection, instead of serving it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It does not even accept: its queue is full.
    Unreachable,
    /// Nothing listens there.
    Closed,
    /// It accepts, and says nothing at all.
    Silent,
    /// It grants the SSLRequest, and says nothing more.
    SilentInTls,
    /// It answers the SSLRequest, or the hello where there is none, with this.
    Says(&'static [u8]),
    /// It closes at once.
    Closes,
    /// It shows a certificate of nobody's authority.
    Foreign,
}

/// A backend with a fault, for one connection.
struct Faulty {
    addr: SocketAddr,
    fault: Fault,
    fake: Option<Fake>,
    /// What makes the address unreachable or keeps it taken.
    _held: (Option<Socket>, Vec<TcpStream>),
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        let (addr, fake, held) = match fault {
            Fault::Unreachable => {
                let (listener, waiting) = full_queue();
                let addr = listener.local_addr().expect("its own address");
                let held = (Some(listener.into()), waiting);
                (addr, None, held)
            }
            Fault::Closed => {
                let (addr, socket) = closed_port();
                (addr, None, (Some(socket), Vec::new()))
            }
            _ => {
                let fake = Fake::start();
                (fake.addr(), Some(fake), (None, Vec::new()))
            }
        };
        Self {
            addr,
            fault,
            fake,
            _held: held,
        }
    }

    /// Takes the gateway's connection and does what it does; gives the connection if it is still
    /// open.
    #[track_caller]
    fn play(&self, postgres: bool) -> Option<TcpStream> {
        let fake = self.fake.as_ref()?;
        if self.fault == Fault::Closes {
            drop(fake.accept());
            return None;
        }
        let mut tcp = fake.accept();
        if postgres {
            assert_eq!(take(&mut tcp, 8), ssl_request());
        }
        match self.fault {
            Fault::SilentInTls => put(&mut tcp, b"S"),
            Fault::Says(words) => put(&mut tcp, words),
            Fault::Foreign => {
                if postgres {
                    put(&mut tcp, b"S");
                }
                let leaf = Pki::new().ca.leaf(&["*.example.test"]);
                // The gateway breaks it off.
                assert!(refused_tls_server(tcp, &leaf).is_err());
                return None;
            }
            _ => {}
        }
        Some(tcp)
    }
}

/// A listening socket that the system lets nobody connect to any more, and what fills its queue.
fn full_queue() -> (TcpListener, Vec<TcpStream>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("a free port");
    socket.listen(0).expect("a listening socket");
    let listener = TcpListener::from(socket);
    let addr = listener.local_addr().expect("its own address");
    let mut waiting = Vec::new();
    // Full when a connection on this very machine is not there within so long.
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(300)) {
        waiting.push(stream);
    }
    assert!(!waiting.is_empty(), "nobody could connect from the start");
    (listener, waiting)
}

/// Every fault, where it can happen, and the reason that is told.
fn faults() -> Vec<(Fault, &'static [&'static str], &'static str)> {
    const ALL: &[&str] = &["pg1", "pg2", "pg3", "redis1", "redis2"];
    const ASKED: &[&str] = &["pg1", "pg3"];
    const TLS: &[&str] = &["pg3", "redis2"];
    vec![
        (Fault::Unreachable, ALL, "backend_unreachable"),
        (Fault::Closed, ALL, "backend_unreachable"),
        (Fault::Silent, &["pg1", "pg3", "redis2"], "backend_silent"),
        (Fault::SilentInTls, &["pg3"], "backend_silent"),
        (Fault::Says(b"N"), ASKED, "backend_refused_tls"),
        (
            Fault::Says(b"E\0\0\0\x0cSFATAL\0\0"),
            ASKED,
            "backend_bad_reply",
        ),
        (Fault::Says(b"E"), ASKED, "backend_bad_reply"),
        (Fault::Says(b"H"), ASKED, "backend_bad_reply"),
        (Fault::Says(b"Sx"), ASKED, "backend_bad_reply"),
        (Fault::Closes, ASKED, "backend_bad_reply"),
        (Fault::Closes, &["redis2"], "backend_tls_failed"),
        (
            Fault::Says(b"HTTP/1.1 400\r\n\r\n"),
            &["redis2"],
            "backend_tls_failed",
        ),
        (Fault::Foreign, TLS, "backend_tls_failed"),
    ]
}

/// Whether the gateway leads its connection to this database's backend by an SSLRequest.
fn asks(name: &str) -> bool {
    ["pg1", "pg3"].contains(&name)
}

/// A client of one of the databases, as far as it comes without a backend.
enum Patient {
    Passthrough(TcpStream),
    Inside(Box<TlsClient>),
}

impl Patient {
    #[track_caller]
    fn new(stage: &Stage, name: &str) -> Self {
        if !["pg1", "redis1"].contains(&name) {
            return Self::Inside(Box::new(stage.client(name)));
        }
        let mut tcp = stage.gateway.connect();
        if asks(name) {
            request_tls(&mut tcp);
        }
        put(&mut tcp, &hello(name));
        Self::Passthrough(tcp)
    }

    /// It reads why, and the proper end.
    #[track_caller]
    fn assert_told(self, name: &str, what: &str) {
        match self {
            Self::Passthrough(mut tcp) => assert_eq!(rest(&mut tcp), INTERNAL_ERROR, "{what}"),
            Self::Inside(mut tls) => {
                let words = rest(&mut tls);
                let text = words.escape_ascii().to_string();
                if name.starts_with("pg") {
                    assert!(text.contains(r"\x00C57P03\x00"), "{what}: {text}");
                    assert!(text.contains("cannot be reached now"), "{what}: {text}");
                } else {
                    assert_eq!(text, "", "{what}");
                }
            }
        }
    }

    fn end(&mut self) -> &mut dyn End {
        match self {
            Self::Passthrough(tcp) => tcp,
            Self::Inside(tls) => tls.as_mut(),
        }
    }
}

#[test]
fn a_backend_that_fails_is_told_to_the_client() {
    for (fault, names, reason) in faults() {
        for name in names {
            let what = format!("{name}, {fault:?}");
            let faulty = Faulty::new(fault);
            let stage = Stage::start(SHORT_CONNECT, &[faulty.addr]);
            let client = Patient::new(&stage, name);
            let held = faulty.play(asks(name));
            client.assert_told(name, &what);
            drop(held);
            stage.assert_rejected(reason, &what);
        }
    }
}

#[test]
fn a_backend_that_does_not_answer_a_hello_is_told_to_the_client() {
    for name in ["pg1", "redis1"] {
        let fake = Fake::start();
        let stage = Stage::start(SHORT_HANDSHAKE, &[fake.addr()]);
        let client = Patient::new(&stage, name);
        let mut backend = if asks(name) {
            fake.accept_ssl_request()
        } else {
            fake.accept()
        };
        take(&mut backend, hello(name).len());
        client.assert_told(name, name);
        assert_eq!(rest(&mut backend), b"", "{name}");
        drop(backend);
        stage.assert_rejected("backend_silent", name);
    }
}

#[test]
fn a_backend_that_closes_at_a_hello_closes_the_client() {
    let fake = Fake::start();
    let stage = Stage::start(SHORT_HANDSHAKE, &[fake.addr()]);
    let mut client = stage.gateway.connect();
    put(&mut client, &hello("redis1"));
    let mut backend = fake.accept();
    take(&mut backend, hello("redis1").len());
    drop(backend);
    assert_eq!(rest(&mut client), b"");
    drop(client);
    stage.assert_ended("backend_closed", "closes at the hello");
}

#[test]
fn the_next_backend_is_taken_when_one_fails() {
    for (fault, names, _) in faults() {
        for name in names {
            let what = format!("{name}, {fault:?}");
            let (faulty, good) = (Faulty::new(fault), Fake::start());
            let stage = Stage::start(SHORT_CONNECT, &[faulty.addr, good.addr()]);
            let mut client = Patient::new(&stage, name);
            let held = faulty.play(asks(name));
            let mut backend: Box<dyn End> = match *name {
                "pg1" => Box::new(good.accept_ssl_request()),
                "pg3" => Box::new(tls_server(good.accept_ssl_request(), &stage.leaf, &[])),
                "redis2" => Box::new(tls_server(good.accept(), &stage.leaf, &[])),
                _ => Box::new(good.accept()),
            };
            let first = match *name {
                "pg1" | "redis1" => hello(name),
                "redis2" => Vec::new(),
                _ => plain_startup(),
            };
            assert_eq!(take(&mut backend, first.len()), first, "{what}");
            put(&mut backend, b"here");
            assert_eq!(take(client.end(), 4), b"here", "{what}");
            // No fault of the one before is left in it.
            client.end().finish();
            assert_eq!(rest(&mut backend), b"", "{what}");
            backend.finish();
            assert_eq!(rest(client.end()), b"", "{what}");
            drop((client, backend, held));
            let line = stage.assert_ended("client_closed", &what);
            assert_eq!(line["backend"], good.addr().to_string(), "{what}: {line}");
            stage.gateway.wait_log("backend fails");
        }
    }
}

#[test]
fn when_all_backends_fail_the_client_is_told_about_the_last() {
    for (first, second, reason) in [
        (Fault::Closed, Fault::Says(b"N"), "backend_refused_tls"),
        (Fault::Says(b"N"), Fault::Closed, "backend_unreachable"),
        (Fault::Closes, Fault::Says(b"Sx"), "backend_bad_reply"),
        (Fault::Silent, Fault::Closed, "backend_unreachable"),
    ] {
        for name in ["pg1", "pg3"] {
            let what = format!("{name}, {first:?}, {second:?}");
            let (first, second) = (Faulty::new(first), Faulty::new(second));
            let stage = Stage::start(SHORT_CONNECT, &[first.addr, second.addr]);
            let client = Patient::new(&stage, name);
            let held = (first.play(true), second.play(true));
            client.assert_told(name, &what);
            drop(held);
            stage.assert_rejected(reason, &what);
            let reject = stage.gateway.wait_reject(reason);
            let detail = reject["detail"].as_str().unwrap_or_default();
            assert!(
                detail.contains(&second.addr.to_string()),
                "{what}: {reject}"
            );
        }
    }
}
