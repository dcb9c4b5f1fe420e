//! Checks of backends: what they find without a session, who is told, and that servers do not notice.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::certs::{Ca, Leaf};
use crate::clients::{Client, Target};
use crate::gateway::Gateway;
use crate::metrics::{METRICS, Scrape};
use crate::raw::closed_port;
use crate::servers::{MariaDb, Postgres, Redis, Server};
use crate::streams::{Echo, Line, Trust};
use crate::testbed;

const HOST: &str = "redis1.example.test";

/// The rhythm of tests: whatever they wait for comes soon.
const FAST: &str = "interval = \"20ms\", fast_interval = \"20ms\", timeout = \"10s\"";

/// Relays connections to a server, from another address of this machine than its own, and counts
/// them.
struct Counter {
    addr: SocketAddr,
    count: Arc<AtomicUsize>,
}

impl Counter {
    fn before(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = listener.local_addr().expect("its own address");
        let (server, count) = (server.addr(), Arc::new(AtomicUsize::new(0)));
        let counted = count.clone();
        // It ends with the tests.
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a client");
                let Ok(server) = from_elsewhere(server) else {
                    continue;
                };
                counted.fetch_add(1, Ordering::Relaxed);
                relay(&client, &server);
                relay(&server, &client);
            }
        });
        Self { addr, count }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

/// A connection that comes from 127.0.0.5: MariaDB never blocks 127.0.0.1.
fn from_elsewhere(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let own = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 5), 0));
    socket.bind(&own.into())?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// Copies one direction, and ends it as it ended: in order.
fn relay(from: &TcpStream, to: &TcpStream) {
    let mut from = from.try_clone().expect("a socket");
    let mut to = to.try_clone().expect("a socket");
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

fn leaf() -> (Ca, Leaf) {
    let ca = Ca::new("Health");
    let leaf = ca.leaf(&[HOST, "pg1.example.test"]);
    (ca, leaf)
}

/// The backends of a database, as `show` gives them.
fn backends(gateway: &Gateway, name: &str) -> Vec<Value> {
    let shown = gateway.call("show", &json!({"name": name}));
    shown["database"]["backends"]
        .as_array()
        .expect("backends")
        .clone()
}

fn states(gateway: &Gateway, name: &str) -> Vec<String> {
    let states = backends(gateway, name).into_iter();
    states
        .map(|backend| backend["state"].as_str().expect("a state").to_owned())
        .collect()
}

#[track_caller]
fn wait_states(gateway: &Gateway, name: &str, expected: &[&str]) {
    assert!(
        testbed::until(|| states(gateway, name) == expected),
        "{:#?}\n{}",
        backends(gateway, name),
        gateway.log()
    );
}

fn redis(servers: &[&Server], more: &str) -> String {
    let addrs: Vec<String> = servers.iter().map(|s| s.addr().to_string()).collect();
    format!(
        "[database.cache]\nprotocol = \"redis\"\nbackends = {addrs:?}\nhosts = [\"{HOST}\"]\n{more}\n"
    )
}

#[test]
fn a_backend_is_found_dead_and_alive_without_a_session() {
    let (ca, leaf) = leaf();
    let mut servers = ["a", "b"].map(|name| Redis::start(name, &leaf));
    let health = format!("health = {{ {FAST} }}");
    let config = redis(&[&servers[0], &servers[1]], &health);
    let gateway = Gateway::start(&format!("{config}{METRICS}"));
    let target = Target::new(HOST, gateway.port(), &ca);
    let who = || Client::RedisPy.whoami(&target).expect_who().to_owned();
    wait_states(&gateway, "cache", &["up", "up"]);
    let first = &backends(&gateway, "cache")[0];
    assert!(
        first["check_ms"].as_f64().is_some_and(|ms| ms > 0.0),
        "{first}"
    );
    assert!(
        first["since"].is_string() && first["last_check"].is_string(),
        "{first}"
    );
    assert_eq!(who(), "a");

    servers[0].stop();
    wait_states(&gateway, "cache", &["down", "up"]);
    let first = &backends(&gateway, "cache")[0];
    assert_eq!(first["reason"], "backend_unreachable", "{first}");
    assert!(first["detail"].is_string(), "{first}");
    assert_eq!([who(), who()], ["b", "b"]);
    let log = gateway.log();
    assert!(!log.contains("backend fails"), "no session met it: {log}");
    let scrape = Scrape::of(&gateway);
    let (a, b) = (servers[0].addr(), servers[1].addr());
    let of = |addr: SocketAddr| format!("{{database=\"cache\",backend=\"{addr}\"}}");
    for (addr, up) in [(a, 0), (b, 1)] {
        let series = format!("dbgate_backend_up{}", of(addr));
        assert_eq!(scrape.value(&series), up, "{series}");
    }
    let took = format!("dbgate_backend_check_duration_seconds{}", of(b));
    assert!(scrape.seconds(&took) > 0.0, "{took}");

    servers[1].stop();
    wait_states(&gateway, "cache", &["down", "down"]);
    let listed = gateway.call("list", &json!({}));
    assert_eq!(listed["databases"][0]["state"], "down", "{listed}");
    let answer = Client::RedisPy.whoami(&target);
    assert!(!answer.ok, "{answer:#?}");

    servers[0].restart();
    wait_states(&gateway, "cache", &["up", "down"]);
    assert_eq!(who(), "a");
    let events = gateway.call("events", &json!({"kinds": ["backend"]}));
    let events = events["events"].as_array().expect("events");
    let told = |kind: &str, backend: SocketAddr| {
        let of_check =
            |e: &&Value| e["by"] == "check" && e["backend"] == json!(backend.to_string());
        let found = events
            .iter()
            .filter(of_check)
            .filter(|e| e["event"] == kind);
        found.count()
    };
    assert_eq!(told("backend_down", a), 1, "{events:#?}");
    assert_eq!(told("backend_up", a), 2, "{events:#?}");
    assert_eq!(events[0]["databases"], json!(["cache"]), "{events:#?}");
    let times = |words: &str| gateway.log().matches(words).count();
    assert_eq!(
        times("backend is down: its checks fail"),
        2,
        "{}",
        gateway.log()
    );
}

/// 150 checks of each: no line in the log, nobody blocked, though three errors would be enough.
#[test]
fn servers_do_not_notice_that_they_are_checked() {
    const CHECKS: usize = 150;
    const STEP: usize = 25;
    let (_ca, leaf) = leaf();
    // What the ground has switched on is off by default.
    let quiet = ["log_connections=off", "log_disconnections=off"];
    let postgres = |name| Postgres::named(name).tls(&leaf).settings(&quiet);
    let (debian, newest) = (
        postgres("pg").start(),
        postgres("pg18").version_18().start(),
    );
    let redis = Redis::named("kv").tls(&leaf).password("secret").run();
    let mariadb = MariaDb::named("maria")
        .arguments(&["--max-connect-errors=3"])
        .run();
    let servers = [&debian, &newest, &redis, &mariadb];
    let before = servers.map(Server::log);
    let counters = servers.map(Counter::before);
    let mut config = String::new();
    for (name, counter) in ["postgres", "pg18", "redis", "mariadb"]
        .iter()
        .zip(&counters)
    {
        let protocol = if *name == "pg18" { "postgres" } else { name };
        let line = format!(
            "[database.{name}]\nprotocol = \"{protocol}\"\nbackends = [\"{}\"]\nhealth = {{ interval = \"10ms\", timeout = \"10s\" }}\n",
            counter.addr
        );
        config += &line;
    }
    let gateway = Gateway::start(&config);
    let counts = || counters.each_ref().map(Counter::count);
    for checks in (STEP..=CHECKS).step_by(STEP) {
        assert!(
            testbed::until(|| counts().iter().all(|count| *count >= checks)),
            "{:?}\n{}",
            counts(),
            gateway.log()
        );
    }
    for name in ["postgres", "pg18", "redis", "mariadb"] {
        assert_eq!(states(&gateway, name), ["up"], "{}", gateway.log());
    }
    assert!(!gateway.log().contains("is down"), "{}", gateway.log());
    // A gateway that is killed breaks off the checks under way, which they would notice.
    for (server, before) in servers.iter().zip(&before).take(3) {
        let log = server.log();
        let more = log.strip_prefix(&**before).unwrap_or(&log);
        let start: String = more.chars().take(2000).collect();
        assert!(more.is_empty(), "{}: {start}", server.name());
    }
    drop(gateway);
    // Whoever comes from there is let in.
    let door = Counter::before(&mariadb);
    let target = Target::unverified("127.0.0.1", door.addr.port())
        .app()
        .sslmode("disable");
    assert_eq!(Client::PyMysql.whoami(&target).expect_who(), "maria");
    let log = mariadb.log();
    assert!(!log.contains("is blocked"), "{log}");
}

#[test]
fn a_check_that_is_broken_closes_no_database() {
    let (ca, leaf) = leaf();
    let servers = ["a", "b"].map(|name| Redis::start(name, &leaf));
    let (closed, _taken) = closed_port();
    let health = format!("health = {{ {FAST}, http = \"{}/up\" }}", closed.port());
    let gateway = Gateway::start(&redis(&[&servers[0], &servers[1]], &health));
    wait_states(&gateway, "cache", &["down", "down"]);
    let target = Target::new(HOST, gateway.port(), &ca);
    // The first is let through to see, and answered: all others are, too.
    for _ in 0..5 {
        assert_eq!(Client::RedisPy.whoami(&target).expect_who(), "a");
    }
    assert_eq!(
        states(&gateway, "cache"),
        ["up", "down"],
        "{:#?}",
        backends(&gateway, "cache")
    );
    let first = &backends(&gateway, "cache")[0];
    assert!(
        first["detail"].is_string(),
        "the check still fails: {first}"
    );
}

#[test]
fn a_change_forgets_no_state_and_hurts_no_session() {
    let (ca, leaf) = leaf();
    let servers = [(); 3].map(|()| Echo::tls(&leaf));
    let config = |servers: &[Echo], more: &str| {
        let addrs: Vec<String> = servers.iter().map(|s| s.addr().to_string()).collect();
        format!(
            "[database.lines]\nprotocol = \"tls\"\nbackends = {addrs:?}\nhosts = [\"{HOST}\"]\n{more}"
        )
    };
    // Whatever is known later was known before.
    let rarely = "health = { interval = \"1h\" }\n";
    let gateway = Gateway::start(&config(&servers[..2], rarely));
    wait_states(&gateway, "lines", &["up", "up"]);
    let known = || -> Vec<Value> {
        let backends = backends(&gateway, "lines").into_iter().take(2);
        let known = backends.map(|b| json!([b["state"], b["since"]]));
        known.collect()
    };
    let before = known();
    let (to, trust) = (gateway.addr("main"), Trust::new(&ca));
    let mut open = Line::open(to, HOST, &trust).expect("a session");
    for changed in [
        config(&servers[..2], &format!("{rarely}max_sessions = 9\n")),
        config(&servers, rarely),
        config(&servers[..2], "health = { interval = \"2h\", fall = 9 }\n"),
        config(&servers[..2], rarely),
    ] {
        gateway.configure(&changed);
        gateway.call("reload", &json!({}));
        assert_eq!(known(), before, "{changed}");
        open.echo().expect("the session goes on");
    }
    gateway.ctl_ok(&["expose", "lines", "--host", "redis2.example.test"]);
    assert_eq!(known(), before);
    open.echo().expect("the session goes on");
}
