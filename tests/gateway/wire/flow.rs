//! Bytes in flight: ends of one side, ends of both, and readers that do not read.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use socket2::{Domain, SockRef, Socket, Type};

use super::MODES;
use crate::certs::Leaf;
use crate::gateway::Gateway;
use crate::raw::{End, Fake, Hello, Pki, pattern, put, rest, take, tls_client, tls_server};
use crate::testbed::TIMEOUT;

const HOST: &str = "pg1.example.test";

/// Larger than all buffers on the way together.
const LARGE: usize = 8 * 1024 * 1024;

/// A session of a database that speaks first or last as it likes, in one of the modes or by port.
struct Session {
    gateway: Gateway,
    client: Box<dyn End + Send>,
    backend: Box<dyn End + Send>,
}

/// Opens a session; `received` bounds what the client's kernel takes for it, in bytes.
fn session(mode: &str, received: Option<usize>) -> Session {
    let (pki, fake) = (Pki::new(), Fake::start());
    let leaf: Leaf = pki.ca.leaf(&[HOST]);
    let by_port = mode == "by port";
    let mode = if by_port { "passthrough" } else { mode };
    let mut config = pki.tls() + &pki.database("pg1", "tls", mode, &[fake.addr()]);
    if by_port {
        config +=
            "[listener.main]\nbind = [\"127.0.0.1:0\"]\nprotocol = \"tcp\"\ndefault = \"pg1\"\n";
    }
    let gateway = Gateway::start(&config);

    let mut tcp = connect(&gateway, received);
    let (client, backend): (Box<dyn End + Send>, Box<dyn End + Send>) = match mode {
        "passthrough" if by_port => (Box::new(tcp), Box::new(fake.accept())),
        "passthrough" => {
            let hello = Hello::to(HOST).bytes();
            put(&mut tcp, &hello);
            let mut backend = fake.accept();
            assert_eq!(take(&mut backend, hello.len()), hello);
            (Box::new(tcp), Box::new(backend))
        }
        "terminate" => {
            let client = tls_client(tcp, HOST, &pki.ca, &[]);
            (Box::new(client), Box::new(fake.accept()))
        }
        _ => {
            let client = tls_client(tcp, HOST, &pki.ca, &[]);
            let backend = tls_server(fake.accept(), &leaf, &[]);
            (Box::new(client), Box::new(backend))
        }
    };
    Session {
        gateway,
        client,
        backend,
    }
}

/// A connection whose receive buffer is bounded before its window is agreed on.
fn connect(gateway: &Gateway, received: Option<usize>) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    if let Some(bytes) = received {
        socket
            .set_recv_buffer_size(bytes)
            .expect("a receive buffer");
    }
    socket
        .connect(&gateway.addr("main").into())
        .expect("a connection");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    socket.into()
}

/// One side says what it has to say and ends its side; the other answers at length.
fn half_close(mut first: Box<dyn End + Send>, mut second: Box<dyn End + Send>, what: &str) {
    put(&mut first, b"that is all");
    first.finish();
    assert_eq!(rest(&mut second), b"that is all", "{what}");
    let answer = pattern(LARGE);
    let sent = answer.clone();
    let writer = std::thread::spawn(move || {
        put(&mut second, &sent);
        second.finish();
    });
    assert!(rest(&mut first) == answer, "{what}: the answer changed");
    writer.join().expect("the answer is sent");
}

#[test]
fn a_client_that_ended_its_side_gets_its_large_answer() {
    for mode in MODES.into_iter().chain(["by port"]) {
        let Session {
            gateway,
            client,
            backend,
        } = session(mode, None);
        half_close(client, backend, mode);
        let line = gateway.wait_access(|_| true);
        assert_eq!(line["reason"], "client_closed", "{mode}");
        assert!(
            line["bytes_out"].as_u64() >= Some(LARGE as u64),
            "{mode}: {line}"
        );
    }
}

#[test]
fn a_backend_that_ended_its_side_gets_all_that_the_client_sends() {
    for mode in MODES.into_iter().chain(["by port"]) {
        let Session {
            gateway,
            client,
            backend,
        } = session(mode, None);
        half_close(backend, client, mode);
        let line = gateway.wait_access(|_| true);
        assert_eq!(line["reason"], "backend_closed", "{mode}");
        assert!(
            line["bytes_in"].as_u64() >= Some(LARGE as u64),
            "{mode}: {line}"
        );
    }
}

#[test]
fn the_last_byte_before_a_close_arrives() {
    const LEN: usize = 1024 * 1024;
    for mode in MODES.into_iter().chain(["by port"]) {
        let Session {
            gateway,
            mut client,
            mut backend,
        } = session(mode, Some(4096));
        let sent = pattern(LEN);
        let answer = sent.clone();
        // A backend that writes and closes has long gone when the last byte is read.
        let writer = std::thread::spawn(move || {
            put(&mut backend, &answer);
            backend.finish();
            drop(backend);
        });
        let mut received = Vec::new();
        while received.len() < LEN {
            received.extend(take(&mut client, 1024));
        }
        assert_eq!(rest(&mut client), b"", "{mode}");
        assert!(received == sent, "{mode}: the answer changed");
        writer.join().expect("the answer is sent");
        drop(client);
        assert_eq!(
            gateway.wait_access(|_| true)["reason"],
            "backend_closed",
            "{mode}"
        );
    }
}

/// The most that the kernel keeps for one socket, by `tcp_rmem` or `tcp_wmem`, in bytes.
fn kernel_limit(name: &str) -> usize {
    let path = format!("/proc/sys/net/ipv4/{name}");
    let limits = std::fs::read_to_string(&path).expect("the kernel's limits");
    let last = limits.split_whitespace().last().expect("a limit");
    last.parse().expect("a number")
}

/// Memory that the gateway's process uses, in bytes.
fn resident(gateway: &Gateway) -> usize {
    let path = format!("/proc/{}/status", gateway.pid());
    let status = std::fs::read_to_string(&path).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.expect("VmRSS").parse::<usize>().expect("a number") * 1024
}

#[test]
fn a_client_that_does_not_read_holds_its_backend_back() {
    const ENDLESS: usize = 256 * 1024 * 1024;
    /// The pipe or buffer of one direction, and what the kernel adds to it.
    const OWN: usize = 1024 * 1024;
    /// For memory, allocation comes in larger steps.
    const GROWTH: usize = 4 * 1024 * 1024;
    /// So long without progress, and nothing more will be taken.
    const STUCK: Duration = Duration::from_secs(1);
    let bound = kernel_limit("tcp_rmem") + kernel_limit("tcp_wmem") + OWN;
    assert!(
        bound < ENDLESS / 2,
        "this kernel holds {bound} bytes itself"
    );
    for mode in MODES.into_iter().chain(["by port"]) {
        let Session {
            gateway,
            mut client,
            mut backend,
        } = session(mode, Some(64 * 1024));
        let before = resident(&gateway);
        let socket = SockRef::from(backend.tcp());
        socket
            .set_send_buffer_size(256 * 1024)
            .expect("a send buffer");
        socket.set_write_timeout(Some(STUCK)).expect("a timeout");
        // rustls tries to read where it cannot write.
        socket.set_read_timeout(Some(STUCK)).expect("a timeout");
        let chunk = pattern(64 * 1024);
        let mut written = 0;
        while written < ENDLESS {
            match backend.write(&chunk[written % chunk.len()..]) {
                Ok(n) => written += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => panic!("{mode}: {e}"),
            }
        }
        let grown = resident(&gateway).saturating_sub(before);
        println!("{mode}: {written} bytes, of which {grown} in the process");
        assert!(written < bound, "{mode}: {written} bytes were taken");
        assert!(grown < GROWTH, "{mode}: {grown} bytes are in the process");

        // Nothing of it is lost.
        let socket = SockRef::from(backend.tcp());
        socket.set_write_timeout(None).expect("no timeout");
        let flusher = std::thread::spawn(move || {
            backend.flush().expect("the rest is written");
            backend
        });
        let mut received = 0;
        while received < written {
            let len = chunk.len().min(written - received);
            assert!(
                take(&mut client, len) == chunk[..len],
                "{mode}: at {received}"
            );
            received += len;
        }
        drop((client, flusher.join().expect("the backend")));
        gateway.wait_sessions(0);
    }
}

/// A listener that leads everything to `pg1`.
const BY_PORT: &str =
    "[listener.main]\nbind = [\"127.0.0.1:0\"]\nprotocol = \"tcp\"\ndefault = \"pg1\"\n";

#[test]
fn a_server_that_speaks_first_is_reached_by_port() {
    let fake = Fake::start();
    let database = format!(
        "[database.pg1]\nprotocol = \"mysql\"\nbackends = [\"{}\"]\n",
        fake.addr()
    );
    let gateway = Gateway::start(&format!("{BY_PORT}{database}"));
    let mut client = gateway.connect();
    let mut backend = fake.accept();
    // The client has not sent a byte.
    let greeting = b"\x4a\0\0\0\x0a8.0.36\0\x01\0\0\0";
    put(&mut backend, greeting);
    assert_eq!(take(&mut client, greeting.len()), greeting);
    put(&mut client, b"\x20\0\0\x01login");
    client.finish();
    assert_eq!(rest(&mut backend), b"\x20\0\0\x01login");
    put(&mut backend, b"bye");
    drop(backend);
    assert_eq!(rest(&mut client), b"bye");
    let line = gateway.wait_reason("client_closed");
    assert_eq!(
        (&line["database"], &line["protocol"]),
        (&json!("pg1"), &json!("mysql"))
    );
    assert_eq!(
        (&line["sni"], &line["sni_status"]),
        (&json!(null), &json!(null))
    );
}

#[test]
fn a_port_whose_database_is_not_there_is_closed_at_once() {
    let gateway = Gateway::start(BY_PORT);
    let mut client = gateway.connect();
    assert_eq!(rest(&mut client), b"");
    drop(client);
    assert_eq!(gateway.wait_reason("no_default")["database"], json!(null));
    let reject = gateway.wait_reject("no_default");
    assert!(
        reject["detail"].as_str().is_some_and(|d| d.contains("pg1")),
        "{reject}"
    );
}
