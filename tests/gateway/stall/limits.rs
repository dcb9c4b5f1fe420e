//! Limits on open handshakes, and descriptors that run out.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::gateway::Gateway;
use crate::raw::{Fake, Hello, Pki, is_accepted, put, rest, take};
use crate::testbed::{self, PATIENCE};

const HOST: &str = "redis1.example.test";

/// One database behind a backend that the test plays, under these limits.
fn gateway(fake: &Fake, limits: &str) -> String {
    let pki = Pki::new();
    let database = pki.database("redis1", "tls", "passthrough", &[fake.addr()]);
    format!("[limits]\n{limits}\n{database}")
}

/// A client from this address of the machine.
fn connect_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let from = SocketAddr::from((from, 0));
    socket.bind(&from.into()).expect("an address of loopback");
    socket.connect(&to.into()).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.into()
}

#[track_caller]
fn wait_handshakes(gateway: &Gateway, count: usize) {
    let status = || gateway.call("status", &json!({}));
    let reached = testbed::until(|| status()["handshakes"] == json!(count));
    assert!(reached, "not {count} handshakes: {}", status());
}

/// A whole session, with an answer of the backend.
#[track_caller]
fn serve(mut client: TcpStream, fake: &Fake) -> (TcpStream, TcpStream) {
    let hello = Hello::to(HOST).bytes();
    put(&mut client, &hello);
    let mut backend = fake.accept();
    assert_eq!(take(&mut backend, hello.len()), hello);
    round(&mut client, &mut backend);
    (client, backend)
}

/// A word in each direction.
#[track_caller]
fn round(client: &mut TcpStream, backend: &mut TcpStream) {
    put(backend, b"answer");
    assert_eq!(take(client, 6), b"answer");
    put(client, b"more");
    assert_eq!(take(backend, 4), b"more");
}

#[track_caller]
fn assert_closed_at_once(gateway: &Gateway, mut client: TcpStream, reason: &str) {
    let addr = client.local_addr().expect("its own address").to_string();
    assert_eq!(rest(&mut client), b"");
    let line = gateway.wait_reason(reason);
    assert_eq!(
        (&line["client"], &line["close"]),
        (&json!(addr), &json!("reject"))
    );
    let reject: Value = gateway.wait_reject(reason);
    assert_eq!(reject["client"], addr);
}

#[test]
fn open_handshakes_are_limited() {
    let fake = Fake::start();
    let gateway = Gateway::start(&gateway(&fake, "max_handshakes = 3"));
    let idle = [gateway.connect(), gateway.connect(), gateway.connect()];
    wait_handshakes(&gateway, 3);
    // From whatever address.
    let other = connect_from(Ipv4Addr::new(127, 0, 0, 2), gateway.addr("main"));
    assert_closed_at_once(&gateway, other, "handshakes_full");
    drop(idle);
    wait_handshakes(&gateway, 0);
    let sessions = [(); 4].map(|()| serve(gateway.connect(), &fake));
    wait_handshakes(&gateway, 0);
    assert_eq!(gateway.sessions().len(), sessions.len());
}

#[test]
fn open_handshakes_of_one_address_are_limited() {
    let fake = Fake::start();
    let gateway = Gateway::start(&gateway(&fake, "max_handshakes_per_ip = 2"));
    let idle = [gateway.connect(), gateway.connect()];
    wait_handshakes(&gateway, 2);
    assert_closed_at_once(&gateway, gateway.connect(), "handshakes_per_ip");
    // Somebody else is not concerned.
    let other = connect_from(Ipv4Addr::new(127, 0, 0, 2), gateway.addr("main"));
    serve(other, &fake);
    drop(idle);
    wait_handshakes(&gateway, 0);
    serve(gateway.connect(), &fake);
}

#[test]
fn running_out_of_descriptors_ends_no_session_and_passes() {
    const DESCRIPTORS: usize = 64;
    const WORDS: &str = "cannot accept clients";
    let fake = Fake::start();
    let config = gateway(
        &fake,
        "max_sessions = 1000\n[timeouts]\nhandshake = \"60s\"",
    );
    let limit = format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}");
    let gateway = Gateway::start_under(&config, &["prlimit", &limit]);
    // From here on the gateway may have no descriptor left to answer questions.
    let addr = gateway.addr("main");
    let connect = || connect_from(Ipv4Addr::LOCALHOST, addr);
    let mut sessions: Vec<_> = (0..4).map(|_| serve(connect(), &fake)).collect();
    let mut idle = Vec::new();
    while !gateway.log().contains(WORDS) {
        assert!(
            idle.len() < DESCRIPTORS,
            "it accepts more clients than it may"
        );
        let client = connect();
        let noticed = testbed::until(|| is_accepted(&client) || gateway.log().contains(WORDS));
        assert!(noticed, "client {}\n{}", idle.len(), gateway.log());
        idle.push(client);
    }
    for (client, backend) in &mut sessions {
        round(client, backend);
    }

    // One that waits in the kernel's queue all the while, and is served when others have left.
    let mut waiting = connect();
    let hello = Hello::to(HOST).bytes();
    put(&mut waiting, &hello);
    for (client, backend) in &mut sessions {
        round(client, backend);
    }
    drop(idle);
    let mut backend = fake.accept();
    assert_eq!(take(&mut backend, hello.len()), hello);
    round(&mut waiting, &mut backend);
    serve(connect(), &fake);
    gateway.wait_log("accepting clients again");
    for (client, backend) in &mut sessions {
        round(client, backend);
    }
    let log = gateway.log();
    // Once for each of its two threads that have a listening socket of their own.
    assert!((1..=2).contains(&log.matches(WORDS).count()), "{log}");
}
