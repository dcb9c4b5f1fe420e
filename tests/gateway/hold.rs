//! `hold` and `wake`: clients wait while no backend of their database is ready, as many and as long as
//! they may, and the database is called for once.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use socket2::Socket;

use crate::clients::{Client, Target};
use crate::gateway::Gateway;
use crate::raw::{Fake, Hello, Pki, closed_port, put, take};
use crate::servers::{Postgres, Redis};
use crate::testbed;

/// Longer than any test.
const LONG: &str = "hold = \"10m\"\n";

fn held(gateway: &Gateway) -> usize {
    let sessions = gateway.sessions();
    sessions.iter().filter(|s| s["state"] == "held").count()
}

#[track_caller]
fn wait_held(gateway: &Gateway, count: usize) {
    assert!(
        testbed::until(|| held(gateway) == count),
        "{} wait, {count} should",
        held(gateway)
    );
}

/// Reads a request, and gives its first line.
fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.extend(take(stream, 1));
    }
    let text = String::from_utf8(text).expect("a request");
    text.lines().next().unwrap_or_default().to_owned()
}

/// Accepts at a port that refused so far, and relays to a server that runs already: one that only
/// starts, as Postgres does, accepts and refuses in words of its own for a while.
fn open(door: Socket, server: SocketAddr) {
    door.listen(16).expect("a listening socket");
    let door = TcpListener::from(door);
    // It ends with the tests.
    std::thread::spawn(move || {
        for client in door.incoming() {
            let client = client.expect("a client");
            let server = TcpStream::connect(server).expect("the server");
            for (mut from, mut to) in [
                (
                    client.try_clone().expect("a socket"),
                    server.try_clone().expect("a socket"),
                ),
                (server, client),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
}

#[test]
fn clients_of_every_mode_wait_until_the_server_is_up() {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&["*.example.test"]);
    let postgres = Postgres::named("pg-a").tls(&leaf).plain().start();
    let redis = Redis::start("redis-a", &leaf);
    let (pg_door, redis_door) = (closed_port(), closed_port());
    let modes = [
        ("pg1", "postgres", "passthrough"),
        ("pg2", "postgres", "terminate"),
        ("redis1", "redis", "passthrough"),
        ("redis2", "redis", "reencrypt"),
    ];
    let mut config = pki.tls();
    for (name, protocol, mode) in modes {
        let door = if protocol == "redis" {
            redis_door.0
        } else {
            pg_door.0
        };
        config += &pki.database(name, protocol, mode, &[door]);
        config += LONG;
    }
    let gateway = Gateway::start(&config);
    let ask = |host: &'static str, client: Client| {
        let target = Target::new(host, gateway.port(), &pki.ca);
        let target = if host.starts_with("pg") {
            target.app()
        } else {
            target
        };
        std::thread::spawn(move || client.whoami(&target))
    };
    let clients = [
        ask("pg1.example.test", Client::Psql),
        ask("pg2.example.test", Client::Psql),
        ask("redis1.example.test", Client::RedisPy),
        ask("redis2.example.test", Client::RedisPy),
    ];
    wait_held(&gateway, 4);
    open(pg_door.1, postgres.addr());
    open(redis_door.1, redis.addr());
    for (client, server) in clients
        .into_iter()
        .zip([&postgres, &postgres, &redis, &redis])
    {
        let answer = client.join().expect("a client");
        assert_eq!(answer.expect_who(), server.name());
    }
    wait_held(&gateway, 0);
}

#[test]
fn a_thousand_wait_and_the_database_is_called_for_once() {
    const CLIENTS: usize = 1000;
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&["*.example.test"]);
    let mut redis = Redis::start("redis-a", &leaf);
    let starter = Fake::start();
    let wake = format!(
        "wake = {{ http = \"POST http://{}/redis1?now=1\" }}\n",
        starter.addr()
    );
    let config = pki.tls()
        + "[limits]\nmax_handshakes_per_ip = 2000\n[metrics]\nbind = \"127.0.0.1:0\"\n"
        + &pki.database("redis1", "redis", "passthrough", &[redis.addr()])
        + LONG
        + &wake;
    let gateway = Gateway::start(&config);
    redis.stop();
    let hello = Hello::to("redis1.example.test").bytes();
    let connect = |_| {
        let mut client = gateway.connect();
        put(&mut client, &hello);
        client
    };
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(connect).collect();
    let mut call = starter.accept();
    assert_eq!(request(&mut call), "POST /redis1?now=1 HTTP/1.1");
    wait_held(&gateway, CLIENTS);
    let metrics = scrape(gateway.call("status", &serde_json::json!({}))["metrics"].as_str());
    assert!(
        metrics.contains(&format!(
            "dbgate_held_clients{{database=\"redis1\"}} {CLIENTS}"
        )),
        "{metrics}"
    );
    redis.restart();
    put(
        &mut call,
        b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
    );
    for client in &mut clients {
        // The server's hello, or its alert about one that is no more than a name.
        let mut first = [0; 1];
        client
            .read_exact(&mut first)
            .expect("an answer of the server");
    }
    gateway.wait_log("database woken");
    assert!(starter.try_accept().is_none(), "it was called twice");
    assert_eq!(held(&gateway), 0);
}

fn scrape(metrics: Option<&str>) -> String {
    let to: SocketAddr = metrics.expect("its address").parse().expect("an address");
    let mut stream = TcpStream::connect(to).expect("metrics");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n")
        .expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

#[test]
fn who_waited_in_vain_reads_so_and_so_does_who_may_not_wait() {
    let pki = Pki::new();
    let (nobody, _kept) = closed_port();
    let config = pki.tls()
        + &pki.database("pg1", "postgres", "terminate", &[nobody])
        + "hold = \"300ms\"\n"
        + &pki.database("pg2", "postgres", "terminate", &[nobody])
        + LONG
        + "hold_max = 1\n";
    let gateway = Gateway::start(&config);
    let target = |host| Target::postgres(host, gateway.port(), &pki.ca);
    let answer = Client::Psql.whoami(&target("pg1.example.test"));
    let words = "the database behind \"pg1.example.test\" did not become ready in time";
    assert!(answer.error.contains(words), "{answer:#?}");
    let reject = gateway.wait_reject("hold_expired");
    let detail = reject["detail"].as_str().unwrap_or_default();
    assert!(
        detail.starts_with("no backend of pg1 was ready within 300ms (hold): backend 127.0.0.1:"),
        "{reject}"
    );

    let second = target("pg2.example.test");
    let first = second.clone();
    let first = Client::Psql.spawn(crate::clients::Action::Whoami, &first);
    wait_held(&gateway, 1);
    let answer = Client::Psql.whoami(&second);
    let words = "the database behind \"pg2.example.test\" is not ready, and too many clients wait";
    assert!(answer.error.contains(words), "{answer:#?}");
    gateway.wait_reject("hold_full");
    assert_eq!(held(&gateway), 1);

    // Who leaves gives its place back, and the turn to try.
    first.kill();
    gateway.wait_reject("gone_while_connecting");
    wait_held(&gateway, 0);
}

#[test]
fn a_backend_that_only_accepts_is_not_ready_and_not_stormed() {
    let pki = Pki::new();
    let (fake, starter) = (Fake::start(), Fake::start());
    let call = format!("wake = {{ http = \"POST http://{}/\" }}\n", starter.addr());
    let config = pki.tls()
        + &pki.database("redis1", "redis", "passthrough", &[fake.addr()])
        + "hold = \"2s\"\n"
        + &call;
    let gateway = Gateway::start(&config);
    let mut client = gateway.connect();
    put(&mut client, &Hello::to("redis1.example.test").bytes());
    // The first attempt, and those of two seconds with pauses that double from 100 ms on.
    let mut attempts = 0;
    let refused = testbed::until(|| {
        while let Some(stream) = fake.try_accept() {
            drop(stream);
            attempts += 1;
        }
        gateway
            .access()
            .iter()
            .any(|line| line["reason"] == "hold_expired")
    });
    assert!(refused, "{attempts} attempts: {:?}", gateway.access());
    assert!((2..=7).contains(&attempts), "{attempts} attempts");
    let mut call = starter.accept();
    assert_eq!(request(&mut call), "POST / HTTP/1.1");
    assert!(starter.try_accept().is_none(), "it was called twice");
    assert_eq!(held(&gateway), 0);
}
