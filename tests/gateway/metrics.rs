//! Monitoring: metrics that add up, health, readiness, and a listener of its own that
//! nobody can exhaust.

mod add_up;
mod agree;
mod crowd;
mod dashboard;
mod slow;
mod unready;
mod views;

pub(crate) mod scan;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::process::Signal;
use serde_json::json;

use crate::certs::Ca;
use crate::gateway::Gateway;
use crate::streams::{Echo, Line, Trust};
use crate::testbed::{self, TIMEOUT};

/// The section for a test that does not care for the port.
pub(crate) const METRICS: &str = "[metrics]\nbind = \"127.0.0.1:0\"\n";

/// The address at which a gateway serves its metrics.
fn address(gateway: &Gateway) -> SocketAddr {
    let status = gateway.call("status", &json!({}));
    let addr = status["metrics"].as_str().map(str::parse);
    addr.unwrap_or_else(|| panic!("no metrics: {status}"))
        .expect("an address")
}

/// The answer to a request, from the status line on; its body begins behind the empty line.
fn ask(to: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(to).expect("a connection");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn get(to: SocketAddr, path: &str) -> String {
    ask(to, &format!("GET {path} HTTP/1.1\r\nHost: gate\r\n\r\n"))
}

/// Everything that `/metrics` says now: series with their labels as they are written, and values.
pub(crate) struct Scrape(BTreeMap<String, String>);

impl Scrape {
    #[track_caller]
    pub(crate) fn of(gateway: &Gateway) -> Self {
        Self::at(address(gateway))
    }

    #[track_caller]
    fn at(to: SocketAddr) -> Self {
        let answer = get(to, "/metrics");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let samples = body.lines().filter(|line| !line.starts_with('#'));
        let parse = |line: &str| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.to_owned())
        };
        let all: Vec<_> = samples.map(parse).collect();
        let (count, map) = (all.len(), BTreeMap::from_iter(all));
        assert_eq!(map.len(), count, "a series is there twice:\n{body}");
        Self(map)
    }

    /// The value of a series that is a duration.
    #[track_caller]
    pub(crate) fn seconds(&self, series: &str) -> f64 {
        let value = self.0.get(series).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("no {series}: {:#?}", self.0))
    }

    /// The value of a series that counts something.
    #[track_caller]
    pub(crate) fn value(&self, series: &str) -> u64 {
        let value = self.0.get(series).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("no {series}: {:#?}", self.0))
    }

    /// The sum over all series of this name whose labels hold `label`.
    fn sum(&self, name: &str, label: &str) -> u64 {
        let of = |series: &str| series.split('{').next() == Some(name) && series.contains(label);
        let of = self.0.keys().filter(|series| of(series));
        of.map(|series| self.value(series)).sum()
    }

    /// The series in which these words stand.
    fn about(&self, words: &str) -> Vec<&String> {
        self.0.keys().filter(|s| s.contains(words)).collect()
    }
}

/// A gateway with databases that echo.
struct Ground {
    gateway: Gateway,
    trust: Trust,
    echo: Echo,
}

impl Ground {
    fn new(names: &[&str]) -> Self {
        let ca = Ca::new("Echo");
        let echo = Echo::tls(&ca.leaf(&["*.example.test"]));
        Self {
            gateway: Gateway::start(&config(&echo, names)),
            trust: Trust::new(&ca),
            echo,
        }
    }

    fn configure(&self, head: &str, names: &[&str]) {
        self.gateway
            .configure(&(head.to_owned() + &databases(self.echo.addr(), names)));
    }

    fn open(&self, name: &str) -> std::io::Result<Line> {
        let host = format!("{name}.example.test");
        Line::open(self.gateway.addr("main"), &host, &self.trust)
    }
}

fn config(echo: &Echo, names: &[&str]) -> String {
    METRICS.to_owned() + &databases(echo.addr(), names)
}

fn databases(backend: SocketAddr, names: &[&str]) -> String {
    let section = |name: &&str| {
        format!(
            "[database.{name}]\nprotocol = \"tls\"\nbackends = [\"{backend}\"]\nhosts = [\"{name}.example.test\"]\n"
        )
    };
    names.iter().map(section).collect()
}

#[test]
fn the_three_answers_and_no_others() {
    let ground = Ground::new(&["a"]);
    let to = address(&ground.gateway);
    let status = |request: &str| -> String {
        let answer = ask(to, request);
        let line = answer.lines().next().unwrap_or_default();
        line.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for (request, code) in [
        ("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ("GET /metrics?x=y HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ("GET /metrics HTTP/1.0\r\n\r\n", "200"),
        ("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "405"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        assert_eq!(status(request), code, "{request}");
    }
    let long = format!(
        "GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(8 << 10)
    );
    assert!(status(&long).starts_with('4'), "{}", ask(to, &long));
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
    assert!(status(&many).starts_with('4'), "{}", ask(to, &many));

    let answer = get(to, "/metrics");
    let head = answer.to_ascii_lowercase();
    assert!(
        head.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{answer}"
    );
    let head = ask(to, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let ground = Ground::new(&["a"]);
    let to = address(&ground.gateway);
    let connect = |_| TcpStream::connect(to).expect("a connection");
    let silent: Vec<TcpStream> = (0..40).map(connect).collect();
    let before = ground.gateway.descriptors();
    // Those that came first give way.
    let answer = get(to, "/healthz");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(before < 100, "{before} descriptors for {}", silent.len());
    drop(ground.open("a").expect("a session meanwhile"));
}

#[test]
fn series_go_with_their_database_and_late_sessions_bring_none_back() {
    let ground = Ground::new(&["a", "b"]);
    let a = ground.open("a").expect("a session");
    let b = ground.open("b").expect("a session");
    ground.gateway.wait_sessions(2);
    let scrape = Scrape::of(&ground.gateway);
    for name in ["a", "b"] {
        let active = format!("dbgate_sessions_active{{database=\"{name}\"}}");
        assert_eq!(scrape.value(&active), 1, "{name}");
    }
    let of_a = scrape.about("database=\"a\"").len();
    assert_eq!(of_a, scrape.about("database=\"b\"").len());

    // `b` is gone, and its session ends only after that.
    ground.configure(METRICS, &["a"]);
    ground.gateway.call("reload", &json!({}));
    let id = ground.gateway.session(b.addr())["id"].as_u64();
    assert_eq!(Scrape::of(&ground.gateway).about("database=\"b\"").len(), 0);
    b.finish().expect("the end of a session");
    ground.gateway.ended(id.expect("an id"));
    let scrape = Scrape::of(&ground.gateway);
    assert_eq!(scrape.about("database=\"b\""), Vec::<&String>::new());
    assert_eq!(scrape.about("database=\"a\"").len(), of_a);

    // Back again, it begins anew.
    ground.configure(METRICS, &["a", "b"]);
    ground.gateway.call("reload", &json!({}));
    let scrape = Scrape::of(&ground.gateway);
    assert_eq!(scrape.sum("dbgate_bytes_total", "database=\"b\""), 0);
    assert!(scrape.sum("dbgate_bytes_total", "database=\"a\"") > 0);
    a.finish().expect("the end of a session");
}

#[test]
fn a_reload_moves_the_address_and_one_that_fails_leaves_it() {
    let ground = Ground::new(&["a"]);
    let first = address(&ground.gateway);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken_by = taken.local_addr().expect("its own address");
    let state = "dbgate_config_last_reload_successful";
    assert_eq!(Scrape::at(first).value(state), 1);

    ground.configure(&format!("[metrics]\nbind = \"{taken_by}\"\n"), &["a", "b"]);
    let error = ground.gateway.try_call("reload", &json!({})).unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains(&format!("metrics: cannot listen on {taken_by}")),
        "{told}"
    );
    assert_eq!(address(&ground.gateway), first);
    let scrape = Scrape::at(first);
    assert_eq!(scrape.value(state), 0);
    assert_eq!(scrape.about("database=\"b\"").len(), 0, "all or nothing");

    // The same configuration keeps its socket, also where the system has chosen the port.
    ground.configure(METRICS, &["a"]);
    ground.gateway.call("reload", &json!({}));
    assert_eq!(address(&ground.gateway), first);
    assert_eq!(Scrape::at(first).value(state), 1);

    drop(taken);
    ground.configure(&format!("[metrics]\nbind = \"{taken_by}\"\n"), &["a"]);
    ground.gateway.call("reload", &json!({}));
    assert_eq!(address(&ground.gateway), taken_by);
    Scrape::at(taken_by);
    assert!(testbed::until(|| TcpStream::connect(first).is_err()));

    ground.configure("", &["a"]);
    ground.gateway.call("reload", &json!({}));
    let status = ground.gateway.call("status", &json!({}));
    assert!(status["metrics"].is_null(), "{status}");
    assert!(testbed::until(|| TcpStream::connect(taken_by).is_err()));
}

#[test]
fn the_address_grows_and_shrinks_around_itself() {
    let ground = Ground::new(&["a"]);
    let port = address(&ground.gateway).port();
    let reload = |bind: &str| {
        ground.configure(&format!("[metrics]\nbind = \"{bind}:{port}\"\n"), &["a"]);
        ground.gateway.try_call("reload", &json!({}))
    };
    let on = |host: [u8; 4]| SocketAddr::from((host, port));
    for (bind, other) in [
        ("0.0.0.0", true),
        ("127.0.0.1", false),
        ("[::]", true),
        ("0.0.0.0", true),
        ("127.0.0.1", false),
    ] {
        reload(bind).unwrap_or_else(|e| panic!("{bind}: {e}"));
        let now = address(&ground.gateway).to_string();
        assert_eq!(now, format!("{bind}:{port}"));
        Scrape::at(on([127, 0, 0, 1]));
        let wanted = || TcpStream::connect(on([127, 0, 0, 2])).is_ok() == other;
        assert!(testbed::until(wanted), "{bind}");
    }
    // Somebody else on a part of it is still in the way.
    let taken = TcpListener::bind(on([127, 0, 0, 2])).expect("a free port");
    let error = reload("0.0.0.0").unwrap_err().to_string();
    assert!(error.contains("metrics: cannot listen on"), "{error}");
    Scrape::at(on([127, 0, 0, 1]));
    drop(taken);
    reload("0.0.0.0").expect("a reload");
    Scrape::at(on([127, 0, 0, 2]));
}

#[test]
fn an_address_that_is_taken_at_the_start_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("its own address");
    let mut gateway = Gateway::start("");
    gateway.crash();
    gateway.configure(&format!("[metrics]\nbind = \"{addr}\"\n"));
    let said = gateway.refuses_to_start();
    assert!(
        said.contains(&format!("metrics: cannot listen on {addr}")),
        "{said}"
    );
}

#[test]
fn a_draining_gateway_is_healthy_and_not_ready() {
    let mut ground = Ground::new(&["a"]);
    let to = address(&ground.gateway);
    let line = ground.open("a").expect("a session");
    ground.gateway.wait_sessions(1);
    assert!(get(to, "/readyz").starts_with("HTTP/1.1 200"));
    ground.gateway.signal(Signal::TERM);
    assert!(testbed::until(
        || get(to, "/readyz").starts_with("HTTP/1.1 503")
    ));
    assert!(get(to, "/readyz").ends_with("draining: no new clients\n"));
    assert!(get(to, "/healthz").starts_with("HTTP/1.1 200"));
    assert_eq!(
        Scrape::at(to).value("dbgate_sessions_active{database=\"a\"}"),
        1
    );
    line.finish().expect("the last session");
    assert_eq!(ground.gateway.wait_end(), Some(0));
}
