//! Rates of new sessions (`rate`): by network and by database, over reloads and changes.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::gateway::Gateway;
use crate::raw::{Fake, Hello, Pki, first_flight, put, rest, take, tls_client};
use crate::testbed::{self, TIMEOUT};

const HOST: &str = "redis1.example.test";

/// The alert `user_canceled`: for some reason that has nothing to do with TLS.
const USER_CANCELED: &[u8] = b"\x15\x03\x03\0\x02\x02\x5a";

/// A client from this address of the machine.
fn connect_from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    socket.bind(&from.into()).expect("an address of loopback");
    socket.connect(&to.into()).expect("a connection");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    socket.into()
}

/// One session of a client from this address, to its end; false if it was refused by a rate.
#[track_caller]
fn comes_in(gateway: &Gateway, fake: &Fake, last: u8) -> bool {
    let mut client = connect_from(last, gateway.addr("main"));
    let hello = Hello::to(HOST).bytes();
    put(&mut client, &hello);
    // Either the backend gets it, or the client an answer.
    let mut backend = None;
    client.set_nonblocking(true).expect("a socket option");
    let came = testbed::until(|| {
        backend = fake.try_accept();
        backend.is_some() || client.peek(&mut [0]).is_ok()
    });
    client.set_nonblocking(false).expect("a socket option");
    assert!(came, "neither served nor refused: {}", gateway.log());
    let Some(mut backend) = backend else {
        assert_eq!(rest(&mut client), USER_CANCELED);
        return false;
    };
    assert_eq!(take(&mut backend, hello.len()), hello);
    put(&mut backend, b"answer");
    assert_eq!(take(&mut client, 6), b"answer");
    drop((client, backend));
    true
}

/// The reject of this reason and with this sentence, once there is one.
#[track_caller]
fn reject(gateway: &Gateway, reason: &str, detail: &str) -> Value {
    let mut all = Value::Null;
    let mut found = None;
    testbed::until(|| {
        all = gateway.call("rejects", &json!({}));
        let rejects = all["rejects"].as_array();
        let fits = |r: &&Value| r["reason"] == reason && r["detail"] == detail;
        found = rejects.and_then(|rejects| rejects.iter().find(fits).cloned());
        found.is_some()
    });
    found.unwrap_or_else(|| panic!("no such reject: {all:#}"))
}

#[test]
fn a_network_has_its_rate_over_reloads_that_do_not_change_it() {
    let (fake, pki) = (Fake::start(), Pki::new());
    let config = pki.database("redis1", "tls", "passthrough", &[fake.addr()]);
    let with = |rate: &str| format!("{config}rate = {{ {rate} }}\n");
    let gateway = Gateway::start(&with("network = \"2/h\""));
    let comes_in = |last| comes_in(&gateway, &fake, last);
    assert!(comes_in(1) && comes_in(1) && !comes_in(1));
    let detail = "more than 2/h new sessions of redis1 from 127.0.0.1/32 (rate.network)";
    let told = reject(&gateway, "rate_network", detail);
    let explained = |last: u8| {
        let client = format!("127.0.0.{last}");
        let asked = json!({"host": HOST, "client": client});
        let explained = gateway.call("explain", &asked);
        let walk = explained["walk"].as_array().cloned().unwrap_or_default();
        let last = walk.last().and_then(Value::as_str).unwrap_or_default();
        (explained["reason"].clone(), last.to_owned())
    };
    let reached = "rate of redis1, 2/h from 127.0.0.1/32: more than 2/h new sessions of redis1 from 127.0.0.1/32 (rate.network): rejected";
    assert_eq!(explained(1), (json!("rate_network"), reached.to_owned()));
    for _ in 0..3 {
        let not_reached = "rate of redis1, 2/h from 127.0.0.2/32: not reached";
        assert_eq!(explained(2), (Value::Null, not_reached.to_owned()));
    }
    let remedy = told["remedy"].as_str().unwrap_or_default();
    assert!(remedy.contains("`network` in `rate`"), "{told}");
    assert!(comes_in(2), "another network");

    gateway.configure(&(with("network = \"2/h\"") + "max_sessions = 50\n"));
    gateway.ctl_ok(&["reload"]);
    assert!(!comes_in(1), "forgotten by a reload");
    gateway.configure(&with("network = \"3/h\", prefix = \"24/64\""));
    gateway.ctl_ok(&["reload"]);
    assert!(comes_in(1) && comes_in(2) && comes_in(3) && !comes_in(4));
    let detail = "more than 3/h new sessions of redis1 from 127.0.0.0/24 (rate.network)";
    reject(&gateway, "rate_network", detail);

    gateway.configure(&config);
    gateway.ctl_ok(&["reload"]);
    assert!((0..9).all(|_| comes_in(1)), "no rate any more");
}

#[test]
fn a_database_has_its_rate_whoever_comes() {
    let fake = Fake::start();
    let gateway = Gateway::start("");
    let backend = fake.addr().to_string();
    gateway.ctl_ok(&[
        "expose",
        "redis1",
        "--host",
        HOST,
        "--to",
        &backend,
        "--protocol",
        "tls",
        "--no-check",
        "--rate",
        "network=2/h,database=3/h",
    ]);
    let comes_in = |last| comes_in(&gateway, &fake, last);
    assert!(comes_in(1) && comes_in(1) && !comes_in(1));
    assert!(comes_in(2) && !comes_in(2) && !comes_in(3));
    let detail = "more than 3/h new sessions of redis1 (rate.database)";
    reject(&gateway, "rate_database", detail);
    let shown = gateway.call("show", &json!({"name": "redis1"}));
    let rate = json!({"network": "2/h", "database": "3/h"});
    assert_eq!(shown["database"]["settings"]["rate"], rate, "{shown}");
    let changed = gateway.ctl_ok(&["expose", "redis1", "--rate", "network=9/h", "--no-check"]);
    assert!(changed.contains("rate"), "{changed}");
    assert!((0..9).all(|_| comes_in(2)) && !comes_in(2));
    let undo = gateway.ctl_ok(&["delete", "redis1"]);
    assert!(undo.contains("--rate network=9/h"), "{undo}");
}

#[test]
fn only_a_client_whose_tls_is_up_counts_for_the_database() {
    let (fake, pki) = (Fake::start(), Pki::new());
    let gateway = Gateway::start(
        &(pki.tls()
            + &pki.database("redis1", "tls", "terminate", &[fake.addr()])
            + "rate = { database = \"1/h\" }\n"),
    );
    let stalled = [(); 3].map(|()| {
        let mut client = gateway.connect();
        put(&mut client, &first_flight(HOST, &pki.ca));
        client
    });
    gateway.wait_sessions(3);
    let mut client = tls_client(gateway.connect(), HOST, &pki.ca, &[]);
    put(&mut client, b"hello");
    assert_eq!(take(&mut fake.accept(), 5), b"hello");
    // The rate is reached now: whoever would come in vain is told before its TLS is up.
    let mut more = gateway.connect();
    put(&mut more, &first_flight(HOST, &pki.ca));
    assert_eq!(rest(&mut more), USER_CANCELED);
    let detail = "more than 1/h new sessions of redis1 (rate.database)";
    reject(&gateway, "rate_database", detail);
    fake.assert_unasked();
    drop(stalled);
}
