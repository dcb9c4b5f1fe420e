//! Limits on open handshakes, and descriptors that run out.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustix::process::Signal;
use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};

use crate::gateway::Gateway;
use crate::raw::{
    Fake, Hello, Pki, first_flight, is_accepted, plain_startup, put, request_tls, rest,
    ssl_request, take, tls_client, wait_read,
};
use crate::testbed::{self, TIMEOUT};

/// The answer to a TLS client that is turned away: the alert `internal_error`.
const INTERNAL_ERROR: &[u8] = b"\x15\x03\x03\0\x02\x02\x50";

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
    socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    socket.into()
}

#[track_caller]
fn wait_handshakes(gateway: &Gateway, count: usize) {
    let status = || gateway.call("status", &json!({}));
    let reached = testbed::until(|| status()["handshakes"] == json!(count));
    assert!(reached, "not {count} handshakes: {}", status());
}

/// A client that the gateway has seen before it sees the next: its workers accept side by side, so
/// clients that connect at once may change places.
#[track_caller]
fn connect_in_turn(gateway: &Gateway, handshakes: usize) -> TcpStream {
    let client = gateway.connect();
    wait_handshakes(gateway, handshakes);
    client
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

/// A client that was turned away for this reason, once it has read these words and the end.
#[track_caller]
fn assert_turned_away(gateway: &Gateway, mut client: TcpStream, words: &[u8], reason: &str) {
    let addr = client.local_addr().expect("its own address").to_string();
    let read = rest(&mut client);
    let told = read == words || (words.len() > 7 && read.windows(words.len()).any(|w| w == words));
    assert!(told, "{reason}: {}", read.escape_ascii());
    drop(client);
    let line = gateway.wait_reason(reason);
    assert_eq!(
        (&line["client"], &line["close"]),
        (&json!(addr), &json!("reject"))
    );
    let reject: Value = gateway.wait_reject(reason);
    assert_eq!(reject["client"], addr);
}

#[test]
fn when_handshakes_are_full_the_oldest_of_the_address_with_most_gives_way() {
    let fake = Fake::start();
    let gateway = Gateway::start(&gateway(&fake, "max_handshakes = 3"));
    let mut oldest = gateway.connect();
    request_tls(&mut oldest);
    wait_handshakes(&gateway, 1);
    let mut idle = vec![gateway.connect(), gateway.connect()];
    wait_handshakes(&gateway, 3);
    // From whatever address the next comes, its own included.
    let other = connect_from(Ipv4Addr::new(127, 0, 0, 2), gateway.addr("main"));
    let _session = serve(other, &fake);
    idle.push(gateway.connect());
    wait_handshakes(&gateway, 3);
    let _session = serve(gateway.connect(), &fake);
    assert_turned_away(&gateway, oldest, INTERNAL_ERROR, "handshake_gave_way");
    drop(idle);
    wait_handshakes(&gateway, 0);
    let sessions = [(); 4].map(|()| serve(gateway.connect(), &fake));
    wait_handshakes(&gateway, 0);
    assert_eq!(gateway.sessions().len(), sessions.len() + 2);
}

#[test]
fn beyond_the_limit_of_an_address_clients_wait_for_their_turn() {
    let fake = Fake::start();
    let gateway = Gateway::start(&gateway(&fake, "max_handshakes_per_ip = 2"));
    let [first, second] = [gateway.connect(), gateway.connect()];
    wait_handshakes(&gateway, 2);
    let hello = Hello::to(HOST).bytes();
    let waiting = [3, 4, 5].map(|count| {
        let mut client = connect_in_turn(&gateway, count);
        put(&mut client, &hello);
        client
    });
    // Somebody else is not concerned.
    let other = connect_from(Ipv4Addr::new(127, 0, 0, 2), gateway.addr("main"));
    let _session = serve(other, &fake);
    fake.assert_unasked();
    // One that gives up is noticed, though nobody reads from it.
    let [mut next, gone, mut last] = waiting;
    drop(gone);
    wait_handshakes(&gateway, 4);
    fake.assert_unasked();
    // One turn is enough for both: a client whose hello is read gives it to the next. Which of them
    // reaches the backend first is not said, since two workers dial side by side.
    drop(first);
    let mut backends = [fake.accept(), fake.accept()];
    for backend in &mut backends {
        assert_eq!(take(backend, hello.len()), hello);
        put(backend, b"answer");
    }
    for client in [&mut next, &mut last] {
        assert_eq!(take(client, 6), b"answer");
    }
    wait_handshakes(&gateway, 1);
    drop(second);
    wait_handshakes(&gateway, 0);
    serve(gateway.connect(), &fake);
}

#[test]
fn a_turn_that_does_not_come_is_told_as_the_client_speaks() {
    const WORDS: &[u8] = b"too many clients of your address are connecting at once";
    for (sent, words) in [
        (ssl_request(), WORDS),
        (plain_startup(), WORDS),
        (Hello::to(HOST).bytes(), INTERNAL_ERROR),
    ] {
        let fake = Fake::start();
        let limits = "max_handshakes_per_ip = 1\n[timeouts]\nhandshake = \"1500ms\"";
        let gateway = Gateway::start(&gateway(&fake, limits));
        // It says nothing and, told so, does not hang up: its place is taken beyond its deadline.
        let _silent = gateway.connect();
        wait_handshakes(&gateway, 1);
        let mut waiting = gateway.connect();
        put(&mut waiting, &sent);
        assert_turned_away(&gateway, waiting, words, "handshakes_per_ip");
        fake.assert_unasked();
    }
}

#[test]
fn a_silent_backend_keeps_nobody_from_other_databases() {
    let (silent, fake) = (Fake::start(), Fake::start());
    let pki = Pki::new();
    let config = "[limits]\nmax_handshakes = 3\nmax_handshakes_per_ip = 2\n".to_owned()
        + &pki.database("pg1", "postgres", "passthrough", &[silent.addr()])
        + &pki.database("redis1", "tls", "passthrough", &[fake.addr()]);
    let gateway = Gateway::start(&config);
    let ask = || {
        let mut client = gateway.connect();
        put(&mut client, &Hello::to("pg1.example.test").bytes());
        client
    };
    // Its SSLRequests are not answered.
    let _asked = [(); 3].map(|()| (ask(), silent.accept()));
    wait_handshakes(&gateway, 0);
    serve(gateway.connect(), &fake);
    // So many clients may wait for one database, and no more.
    assert_turned_away(&gateway, ask(), INTERNAL_ERROR, "connects_full");
    silent.assert_unasked();
}

#[test]
fn what_unfinished_handshakes_hold_is_bounded_in_bytes() {
    let fake = Fake::start();
    let gateway = Gateway::start(&gateway(&fake, "max_handshakes = 4"));
    // The beginning of a hello in records of 16 KiB, of which there are two more.
    let record = [&b"\x16\x03\x01\x40\0\x01\0\xc0\0\x03\x03"[..], &[0; 16_378]].concat();
    let [mut first, mut second, mut third] =
        [1, 2, 3].map(|count| connect_in_turn(&gateway, count));
    for client in [&mut first, &mut second, &mut third] {
        put(client, &record);
        wait_read(client);
    }
    wait_handshakes(&gateway, 3);
    let mut other = connect_from(Ipv4Addr::new(127, 0, 0, 2), gateway.addr("main"));
    put(&mut other, &record);
    assert_turned_away(&gateway, first, INTERNAL_ERROR, "handshake_gave_way");
    wait_handshakes(&gateway, 3);
}

#[test]
fn a_burst_of_large_hellos_is_not_read_beyond_the_budget() {
    const CLIENTS: u16 = 1000;
    // Of a hello announced as 60 KB; a client that is read to here holds 11 steps of the budget.
    const SENT: usize = 48_000;
    const HELD: u64 = 11 * 4096;
    // For each handshake, beside 4 KiB that are free.
    let budget = 12 * 1024;
    let fake = Fake::start();
    let limits = format!("max_handshakes = {CLIENTS}\n[timeouts]\nhandshake = \"60s\"");
    let gateway = Gateway::start(&gateway(&fake, &limits));
    let hello = [
        &b"\x16\x03\x01\x40\0\x01\0\xea\x60\x03\x03"[..],
        &[0; 16_378],
    ]
    .concat();
    let record = [&b"\x16\x03\x01\x40\0"[..], &[0; 0x4000]].concat();
    let burst = [&hello[..], &record, &record].concat()[..SENT].to_vec();
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let [high, low] = (n / 50 + 1).to_be_bytes();
        clients.push(connect_from(
            Ipv4Addr::new(127, 0, high, low),
            gateway.addr("main"),
        ));
    }
    wait_handshakes(&gateway, usize::from(CLIENTS));
    let before = peak_memory(gateway.pid());
    // All of it is there before anything is read.
    gateway.signal(Signal::STOP);
    for client in &mut clients {
        put(client, &burst);
    }
    gateway.signal(Signal::CONT);
    let open = || gateway.call("status", &json!({}))["handshakes"].as_u64();
    let fits = |handshakes: u64| handshakes * HELD <= u64::from(CLIENTS) * budget;
    let settled = testbed::until(|| open().is_some_and(fits));
    assert!(settled, "{:?} handshakes hold more than the budget", open());
    let grown = peak_memory(gateway.pid()) - before;
    // 16 KiB for each in bytes, and as much for tasks, and for what it takes to turn so many away.
    let most = usize::from(CLIENTS) * 32 * 1024;
    assert!(
        grown < most,
        "{grown} bytes in {CLIENTS} handshakes, of {most}"
    );
}

/// The most resident memory that a process has had, in bytes. Source: proc(5), `VmHWM`.
fn peak_memory(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.expect("VmHWM").parse::<usize>().expect("a number") * 1024
}

#[test]
fn a_client_whose_tls_is_not_up_takes_no_place_of_its_database() {
    let fake = Fake::start();
    let pki = Pki::new();
    let config = pki.tls()
        + &pki.database("redis1", "tls", "terminate", &[fake.addr()])
        + "max_sessions = 1\nmax_sessions_per_ip = 1\n";
    let gateway = Gateway::start(&config);
    let stalled = [(); 3].map(|()| {
        let mut client = gateway.connect();
        put(&mut client, &first_flight(HOST, &pki.ca));
        client
    });
    gateway.wait_sessions(3);
    let list = gateway.call("list", &json!({}));
    assert_eq!(list["databases"][0]["sessions"], 0, "{list}");
    let mut client = tls_client(gateway.connect(), HOST, &pki.ca, &[]);
    put(&mut client, b"hello");
    let mut backend = fake.accept();
    assert_eq!(take(&mut backend, 5), b"hello");
    // The limit holds: here for one that is told before its TLS is up.
    let mut more = gateway.connect();
    put(&mut more, &first_flight(HOST, &pki.ca));
    assert_turned_away(&gateway, more, INTERNAL_ERROR, "sessions_per_ip");
    drop(stalled);
}

#[test]
fn one_address_has_only_so_many_sessions() {
    let fake = Fake::start();
    let pki = Pki::new();
    let config = "[limits]\nmax_sessions_per_ip = 3\n".to_owned()
        + &pki.database("redis1", "tls", "passthrough", &[fake.addr()])
        + "max_sessions_per_ip = 2\n"
        + &pki.database("redis2", "tls", "passthrough", &[fake.addr()]);
    let gateway = Gateway::start(&config);
    let ask = |host: &str| {
        let mut client = gateway.connect();
        put(&mut client, &Hello::to(host).bytes());
        client
    };
    let mut sessions: Vec<_> = (0..2).map(|_| (ask(HOST), fake.accept())).collect();
    assert_turned_away(&gateway, ask(HOST), INTERNAL_ERROR, "sessions_per_ip");
    sessions.push((ask("redis2.example.test"), fake.accept()));
    // What is open counts on after a change, by the name of the database.
    gateway.configure(&config.replace("_per_ip = 2", "_per_ip = 4"));
    gateway.ctl_ok(&["reload"]);
    assert_eq!(rest(&mut ask(HOST)), INTERNAL_ERROR);
    let other = connect_from(Ipv4Addr::new(127, 0, 0, 2), gateway.addr("main"));
    let _session = serve(other, &fake);
    sessions.pop();
    gateway.wait_sessions(3);
    let _session = serve(gateway.connect(), &fake);
}

#[test]
fn a_client_that_is_gone_is_noticed_while_its_backend_is_being_reached() {
    let silent = Fake::start();
    let pki = Pki::new();
    let config = "[timeouts]\nconnect = \"60s\"\nhandshake = \"60s\"\n".to_owned()
        + &pki.database("pg1", "postgres", "passthrough", &[silent.addr()]);
    let gateway = Gateway::start(&config);
    let mut client = gateway.connect();
    put(&mut client, &Hello::to("pg1.example.test").bytes());
    let _backend = silent.accept();
    gateway.wait_sessions(1);
    drop(client);
    gateway.wait_reason("gone_while_connecting");
    gateway.wait_sessions(0);
}

#[test]
fn a_client_that_is_gone_is_noticed_while_its_backend_takes_nothing() {
    let fake = Fake::start();
    let gateway = Gateway::start(&gateway(&fake, ""));
    let (mut client, _backend) = serve(gateway.connect(), &fake);
    client.set_nonblocking(true).expect("a socket option");
    let piece = [7; 8 * 1024];
    // Until neither the backend nor the gateway takes any more.
    let mut full = 0;
    testbed::until(|| {
        full = match client.write(&piece) {
            Ok(_) => 0,
            Err(_) => full + 1,
        };
        full > 20
    });
    assert!(full > 20, "it takes more and more");
    // With its connection reset, as by a crash of the machine behind a NAT.
    SockRef::from(&client)
        .set_linger(Some(std::time::Duration::ZERO))
        .expect("a socket option");
    drop(client);
    gateway.wait_reason("client_lost");
    gateway.wait_sessions(0);
}

#[test]
fn a_proxy_header_is_named_and_equal_rejects_are_one_row() {
    let fake = Fake::start();
    let gateway = Gateway::start(&gateway(&fake, ""));
    let v2 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[0; 12]].concat();
    let v1 = b"PROXY TCP4 203.0.113.9 10.1.0.1 55000 5432\r\n";
    for header in [&v1[..], &v2, &v2] {
        let mut client = gateway.connect();
        put(&mut client, header);
        assert_eq!(rest(&mut client), b"");
    }
    // A check of the port: counted, not kept.
    drop(gateway.connect());
    let mut answer = Value::Null;
    testbed::until(|| {
        answer = gateway.call("rejects", &json!({}));
        let status = gateway.call("status", &json!({}));
        answer["rejects"][0]["count"] == 3 && status["empty_connects"] == 1
    });
    let rows = answer["rejects"].as_array().expect("rows");
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["reason"].as_str(),
                row["protocol"].as_str(),
                row["count"].as_u64(),
            )
        })
        .collect();
    let row = |protocol, count| (Some("proxy_untrusted"), Some(protocol), Some(count));
    // One row for one client, reason and name; the rest is that of the last.
    assert_eq!(told, [row("proxy-v2", 3)], "{answer:#}");
    for row in rows {
        assert!(
            row["detail"]
                .as_str()
                .is_some_and(|d| d.contains("PROXY protocol")),
            "{row}"
        );
        assert_eq!(row["ts"], row["last"]);
    }
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

#[test]
fn clients_that_take_all_descriptors_leave_some_to_whoever_looks() {
    const DESCRIPTORS: usize = 64;
    const WORDS: &str = "cannot accept clients";
    let fake = Fake::start();
    let config = gateway(
        &fake,
        "max_sessions = 1000\n[timeouts]\nhandshake = \"60s\"\n[metrics]\nbind = \"127.0.0.1:0\"",
    );
    let limit = format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}");
    let gateway = Gateway::start_under(&config, &["prlimit", &limit]);
    let status = gateway.call("status", &json!({}));
    let metrics: SocketAddr = status["metrics"].as_str().unwrap().parse().unwrap();
    let addr = gateway.addr("main");
    // Each of them is worth two descriptors, its own and that of the backend.
    let hello = Hello::to(HOST).bytes();
    let clients: Vec<TcpStream> = (0..2 * DESCRIPTORS)
        .map(|_| {
            let mut client = connect_from(Ipv4Addr::LOCALHOST, addr);
            put(&mut client, &hello);
            client
        })
        .collect();
    gateway.wait_log(WORDS);
    for cmd in ["status", "list", "sessions", "reload"] {
        gateway.call(cmd, &json!({}));
    }
    assert!(gateway.ctl_ok(&["status"]).contains("sessions"));
    let mut scrape = TcpStream::connect(metrics).expect("a connection");
    scrape.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    put(&mut scrape, b"GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n");
    assert!(rest(&mut scrape).starts_with(b"HTTP/1.1 200"));
    drop(clients);
    gateway.wait_log("accepting clients again");
}
