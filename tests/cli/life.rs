//! Routes that survive restarts, reloads, signals, `kill -9`, a damaged state directory.

use std::fs;
use std::net::TcpStream;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::gate::{EMPTY, Gate, LIMIT, Ran, Running, closed, echo};

const TO: [&str; 2] = ["--to", "1.2.3.4:5432"];

const PG1: &str = "[listener.main]
bind = [\"127.0.0.1:0\"]
[database.pg1]
protocol = \"postgres\"
backends = [\"10.0.0.1:5432\"]
hosts = [\"a.example\", \"b.example\"]
";

fn names(gate: &Gate) -> Vec<String> {
    let list = gate.json(&["list"]);
    let rows = list["databases"].as_array().unwrap();
    rows.iter()
        .map(|d| d["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn exposures_survive_kill_9_but_ephemeral_and_limited_ones_do_not() {
    let mut gate = Gate::new(EMPTY);
    for (name, host, how) in [
        ("lasts", "l.example", &[][..]),
        ("ephemeral", "e.example", &["--ephemeral"]),
        ("limited", "t.example", &["--ttl", "1h"]),
    ] {
        gate.ctl(&[&["expose", name, "--host", host], &TO[..], how].concat())
            .done();
    }
    assert_eq!(names(&gate), ["ephemeral", "lasts", "limited"]);
    gate.kill();
    gate.start();
    assert_eq!(names(&gate), ["lasts"]);
    assert_eq!(
        gate.json(&["list"])["databases"][0]["hosts"],
        json!(["l.example"])
    );
}

#[test]
fn an_exposure_ends_when_its_time_is_over() {
    let gate = Gate::new(EMPTY);
    let follower = gate.follow();
    let words = ["expose", "t", "--host", "t.example", "--ttl", "200ms"];
    gate.ctl(&[&words[..], &TO].concat());
    let (_, at) = follower.out.wait(0, "\"event\":\"exposed\"");
    let (line, _) = follower.out.wait(at, "\"event\":\"hidden\"");
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&event["database"], &event["host"]),
        (&json!("t"), &json!("t.example"))
    );
    gate.ctl(&["show", "t"]).failed(5);
}

#[test]
fn a_hidden_host_of_the_configuration_stays_hidden_until_it_is_exposed() {
    let mut gate = Gate::new(PG1);
    gate.ctl(&["hide", "pg1", "--host", "b.example"]).done();
    let hidden = |gate: &Gate| gate.json(&["list"])["databases"][0]["hidden"].clone();
    gate.ctl(&["reload"]).done();
    assert_eq!(hidden(&gate), json!(["b.example"]));
    gate.kill();
    gate.start();
    assert_eq!(hidden(&gate), json!(["b.example"]));
    let diff = gate.ctl(&["diff"]).differs();
    assert!(diff.contains("host b.example hidden by ctl"), "{diff}");
    let back = gate.ctl(&["expose", "pg1"]).done();
    assert!(
        back.starts_with("pg1 is reachable under a.example, b.example "),
        "{back}"
    );
    assert_eq!(hidden(&gate), json!([]));
    assert_eq!(gate.ctl(&["diff"]).err, "No differences.\n");
}

#[test]
fn what_the_configuration_takes_from_ctl_is_said() {
    let gate = Gate::new(EMPTY);
    gate.ctl(&[
        "expose",
        "pg9",
        "--host",
        "a.example",
        "--to",
        "1.2.3.4:5432",
    ])
    .done();
    gate.configure(PG1);
    let reloaded = gate.ctl(&["reload"]);
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    assert!(
        reloaded.err.contains("note: host a.example leads to pg1"),
        "{reloaded:?}"
    );
    let list = gate.ctl(&["list"]);
    assert!(list.out.contains("a.example (shadowed)"), "{list:?}");
    assert!(
        list.err.contains("note: host a.example leads to pg1"),
        "{list:?}"
    );
}

#[test]
fn sighup_reads_the_configuration_again() {
    let mut gate = Gate::new(EMPTY);
    let follower = gate.follow();
    gate.configure(PG1);
    gate.running().signal(Signal::HUP);
    let (_, at) = follower.out.wait(0, "\"event\":\"reload\"");
    assert_eq!(names(&gate), ["pg1"]);

    gate.configure("nonsense");
    gate.running().signal(Signal::HUP);
    let (line, _) = follower.out.wait(at, "\"event\":\"reload\"");
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["ok"], false);
    gate.running().err.wait(0, "nothing changed");
    assert_eq!(names(&gate), ["pg1"]);
}

/// A gateway with a session that will not end by itself.
fn with_session(drain: &str) -> (Gate, TcpStream) {
    let gate = Gate::new(&format!("[timeouts]\ndrain = \"{drain}\"\n{EMPTY}"));
    let to = echo().to_string();
    gate.ctl(&[
        "expose",
        "db",
        "--host",
        "a.example",
        "--to",
        &to,
        "--protocol",
        "tls",
    ])
    .done();
    let client = gate.session("a.example");
    (gate, client)
}

#[test]
fn sigterm_waits_for_the_last_session() {
    let (mut gate, client) = with_session("5m");
    let addr = gate.addr();
    gate.running().signal(Signal::TERM);
    gate.running().err.wait(0, "stopping: no new clients");
    // One that knocks while the door is being closed may still be heard.
    let until = Instant::now() + LIMIT;
    while TcpStream::connect(addr).is_ok() {
        assert!(Instant::now() < until, "it still accepts");
    }
    drop(client);
    assert_eq!(gate.running().end().code(), Some(0));
    assert!(!gate.socket().exists());
}

#[test]
fn sigterm_waits_no_longer_than_the_drain_and_a_second_one_ends_it() {
    let (mut gate, mut client) = with_session("50ms");
    gate.running().signal(Signal::TERM);
    closed(&mut client);
    assert_eq!(gate.running().end().code(), Some(0));

    let (mut gate, mut client) = with_session("5m");
    gate.running().signal(Signal::TERM);
    gate.running().err.wait(0, "stopping: no new clients");
    gate.running().signal(Signal::INT);
    closed(&mut client);
    assert_eq!(gate.running().end().code(), Some(0));
    gate.running().out.wait(0, "reason=shutdown");
}

#[test]
fn followers_learn_that_the_gateway_stops() {
    let mut gate = Gate::new(EMPTY);
    let mut follower = Running::start(&mut gate.command(&["events", "--follow"]));
    follower.err.wait(0, "Following");
    gate.running().signal(Signal::TERM);
    assert_eq!(follower.end().code(), Some(3));
    follower.err.wait(0, "the gateway has stopped");
}

#[test]
fn a_damaged_state_file_stops_the_start_and_is_left_alone() {
    let mut gate = Gate::new(EMPTY);
    gate.ctl(&[&["expose", "pg1", "--host", "a.example"], &TO[..]].concat())
        .done();
    gate.kill();
    let file = gate.state().join("exposures.json");
    let whole = fs::read_to_string(&file).unwrap();
    let torn = &whole[..whole.len() / 2];
    fs::write(&file, torn).unwrap();
    let told = Ran::of(&mut gate.serve()).failed(1);
    assert!(told.contains(file.to_str().unwrap()), "{told}");
    assert!(told.contains("move it away"), "{told}");
    assert_eq!(fs::read_to_string(&file).unwrap(), torn);
    fs::write(&file, whole).unwrap();
    gate.start();
    assert_eq!(names(&gate), ["pg1"]);
}
