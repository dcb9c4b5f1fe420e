//! Sockets that a service manager has opened: which listener they serve, and what happens where
//! they do not fit. The test passes them on as systemd does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::gate::{EMPTY, Gate, LIMIT, Ran, Running, closed};

/// `serve` with this socket as descriptor 3, called `name`.
fn activated(gate: &Gate, socket: &TcpListener, name: &str) -> Command {
    let serve = gate.serve_by("2");
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "exec 3<&0 </dev/null; LISTEN_PID=$$ exec \"$@\"",
            "sh",
        ])
        .arg(serve.get_program())
        .args(serve.get_args())
        .current_dir("/")
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", name)
        .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
    shell
}

fn start(gate: &Gate, socket: &TcpListener) -> Running {
    let running = Running::start(&mut activated(gate, socket, "main"));
    running.err.wait(0, " ready ");
    running
}

fn listening() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

fn bind(addr: SocketAddr) -> String {
    format!("[listener.main]\nbind = [\"{addr}\"]\n")
}

/// A client that knows nothing of TLS is answered by an alert or an end: by the gateway.
fn answered(mut client: TcpStream) {
    client.set_read_timeout(Some(LIMIT)).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    closed(&mut client);
}

#[test]
fn an_inherited_socket_serves_the_listener_that_binds_its_address() {
    let (socket, addr) = listening();
    let gate = Gate::stopped(&bind(addr));
    // One that came before the gateway.
    let early = TcpStream::connect(addr).unwrap();
    let mut running = start(&gate, &socket);
    answered(early);
    // All threads accept on it, whichever is first.
    for _ in 0..20 {
        answered(TcpStream::connect(addr).unwrap());
    }
    assert_eq!(gate.addr(), addr);

    // Clients wait in it while the gateway is away.
    running.signal(Signal::TERM);
    assert_eq!(running.end().code(), Some(0));
    let waiting = TcpStream::connect(addr).unwrap();
    let _running = start(&gate, &socket);
    answered(waiting);
}

#[test]
fn a_reload_may_drop_it_and_take_it_back() {
    let (socket, addr) = listening();
    let gate = Gate::stopped(&bind(addr));
    let running = start(&gate, &socket);
    gate.configure(EMPTY);
    let told = gate.ctl(&["reload"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let warning = format!("nothing binds the inherited socket {addr} (main) any more");
    assert!(told.err.contains(&warning), "{told:?}");
    running.err.wait(0, &warning);
    let waiting = TcpStream::connect(addr).unwrap();

    // Another address on the same port cannot be bound beside it.
    gate.configure(&bind(SocketAddr::from(([0, 0, 0, 0], addr.port()))));
    let told = gate.ctl(&["reload"]).failed(1);
    let way = format!("the inherited socket {addr} (main) conflicts");
    assert!(
        told.contains(&way) && told.contains("ListenStream="),
        "{told}"
    );

    gate.configure(&bind(addr));
    let told = gate.ctl(&["reload"]);
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{told:?}");
    answered(waiting);
}

#[test]
fn a_socket_that_nothing_binds_stops_the_start() {
    let (socket, addr) = listening();
    let gate = Gate::stopped(EMPTY);
    let told = Ran::of(&mut activated(&gate, &socket, "pg")).failed(1);
    for part in [
        &format!("{addr} (pg)"),
        "it binds 127.0.0.1:0",
        "ListenStream=",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn metrics_can_have_one_too() {
    let (socket, addr) = listening();
    let gate = Gate::stopped(&format!("{EMPTY}[metrics]\nbind = \"{addr}\"\n"));
    let _running = start(&gate, &socket);
    let mut client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    client
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_socket_for_another_process_is_left_alone() {
    let gate = Gate::stopped(EMPTY);
    let mut serve = gate.serve();
    let running = Running::start(serve.env("LISTEN_FDS", "1").env("LISTEN_PID", "1"));
    running.err.wait(0, " ready ");
}

#[test]
fn what_is_no_listening_socket_is_named() {
    let (socket, addr) = listening();
    let gate = Gate::stopped(&bind(addr));
    let connection = TcpListener::from(OwnedFd::from(TcpStream::connect(addr).unwrap()));
    let told = Ran::of(&mut activated(&gate, &connection, "main")).failed(1);
    assert!(
        told.contains("socket main (descriptor 3)") && told.contains("Accept=yes"),
        "{told}"
    );
    let file = TcpListener::from(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
    let told = Ran::of(&mut activated(&gate, &file, "main")).failed(1);
    assert!(told.contains("not a socket"), "{told}");
    drop(socket);
}
