//! Backends that do not answer, or not as they should: the client is told, or the next one serves it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::{SHORT_HANDSHAKE, Stage, hello};
use crate::raw::{
    End, Fake, Pki, TlsClient, closed_port, plain_startup, put, refused_tls_server, request_tls,
    rest, ssl_request, take, tls_client, tls_server,
};

/// For backends that fall silent: the client has time, and so has the next backend.
const SHORT_CONNECT: &str = "[timeouts]\nhandshake = \"60s\"\nconnect = \"1s\"\n";

/// The answer to a TLS client whose backend fails: the alert `internal_error`.
const INTERNAL_ERROR: &[u8] = b"\x15\x03\x03\0\x02\x02\x50";

/// The answer to one whose backend has no TLS: the alert `handshake_failure`.
const HANDSHAKE_FAILURE: &[u8] = b"\x15\x03\x03\0\x02\x02\x28";

/// The behaviour of a backend that does not serve a connection.
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
    /// The socket that makes the address unreachable or keeps it taken.
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

/// Returns whether the gateway begins its connection to this database's backend with an SSLRequest.
fn asks(name: &str) -> bool {
    ["pg1", "pg3"].contains(&name)
}

/// A client of one of the databases, as far as it comes without a backend.
enum WaitingClient {
    Passthrough(TcpStream),
    Inside(Box<TlsClient>),
}

/// A client whose TLS with the gateway is up and, for Postgres, whose first message is sent.
#[track_caller]
fn inside(stage: &Stage, name: &str) -> TlsClient {
    let host = format!("{name}.example.test");
    let mut tcp = stage.gateway.connect();
    if name.starts_with("redis") {
        return tls_client(tcp, &host, &stage.pki.ca, &[]);
    }
    request_tls(&mut tcp);
    let mut client = tls_client(tcp, &host, &stage.pki.ca, &["postgresql"]);
    put(&mut client, &plain_startup());
    client
}

impl WaitingClient {
    #[track_caller]
    fn new(stage: &Stage, name: &str) -> Self {
        if !["pg1", "redis1"].contains(&name) {
            return Self::Inside(Box::new(inside(stage, name)));
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
    fn assert_told(self, name: &str, reason: &str, what: &str) {
        match self {
            Self::Passthrough(mut tcp) => {
                let alert = match reason {
                    "backend_refused_tls" => HANDSHAKE_FAILURE,
                    _ => INTERNAL_ERROR,
                };
                assert_eq!(rest(&mut tcp), alert, "{what}");
            }
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
            let client = WaitingClient::new(&stage, name);
            let held = faulty.play(asks(name));
            client.assert_told(name, reason, &what);
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
        let client = WaitingClient::new(&stage, name);
        let mut backend = if asks(name) {
            fake.accept_ssl_request()
        } else {
            fake.accept()
        };
        take(&mut backend, hello(name).len());
        client.assert_told(name, "backend_silent", name);
        assert_eq!(rest(&mut backend), b"", "{name}");
        drop(backend);
        stage.assert_rejected("backend_silent", name);
    }
}

#[test]
fn a_backend_that_closes_at_a_hello_is_told_to_the_client() {
    let fake = Fake::start();
    let stage = Stage::start(SHORT_HANDSHAKE, &[fake.addr()]);
    let mut client = stage.gateway.connect();
    put(&mut client, &hello("redis1"));
    let mut backend = fake.accept();
    take(&mut backend, hello("redis1").len());
    drop(backend);
    assert_eq!(rest(&mut client), INTERNAL_ERROR);
    drop(client);
    stage.assert_rejected("backend_closed_early", "closes at the hello");
}

#[test]
fn the_next_backend_is_taken_when_one_fails() {
    for (fault, names, _) in faults() {
        for name in names {
            let what = format!("{name}, {fault:?}");
            let (faulty, good) = (Faulty::new(fault), Fake::start());
            let stage = Stage::start(SHORT_CONNECT, &[faulty.addr, good.addr()]);
            let mut client = WaitingClient::new(&stage, name);
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
            let client = WaitingClient::new(&stage, name);
            let held = (first.play(true), second.play(true));
            client.assert_told(name, reason, &what);
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

#[test]
fn what_a_backend_says_before_tls_is_told() {
    const SAID: &[u8] = b"Ecould not fork new process: \x1b[2J out of memory\n\0";
    for name in ["pg1", "pg3"] {
        let faulty = Faulty::new(Fault::Says(SAID));
        let stage = Stage::start(SHORT_CONNECT, &[faulty.addr]);
        let client = WaitingClient::new(&stage, name);
        let _held = faulty.play(true);
        if let WaitingClient::Inside(mut tls) = client {
            let words = rest(&mut tls).escape_ascii().to_string();
            let said = r"It said, before TLS: could not fork new process: ";
            assert!(words.contains(said), "{words}");
            assert!(!words.contains(r"\x1b["), "{words}");
        } else {
            client.assert_told(name, "backend_bad_reply", name);
        }
        let reject = stage.gateway.wait_reject("backend_bad_reply");
        let detail = reject["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("could not fork new process: "), "{reject}");
        stage.gateway.wait_log("could not fork new process: ");
    }
}
