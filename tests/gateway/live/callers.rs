//! The control socket: the first thing anybody types, callers at the same time, and those who follow.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::{Barrier, mpsc};
use std::thread;

use dbgate::control::client::{Client as Control, ClientError};
use dbgate::control::error::ErrorCode;
use serde_json::{Value, json};

use crate::certs::Ca;
use crate::clients::{Client, Target};
use crate::gateway::{self, Gateway};
use crate::servers::Postgres;
use crate::testbed::{self, TIMEOUT};

/// Changes of each caller, where two call at the same time.
const EACH: u64 = 50;

#[test]
fn expose_and_hide_as_anybody_would_type_it() {
    let ca = Ca::new("Usage");
    let server = Postgres::debian("my-postgres", &ca.leaf(&["my-postgres.example"]));
    let gateway = Gateway::start(&format!(
        "[database.pg1]\nprotocol = \"postgres\"\nbackends = [\"{}\"]\n",
        server.addr()
    ));
    let target = Target::postgres("my-postgres.example", gateway.port(), &ca);
    let refused = || {
        let answer = Client::Psql.whoami(&target);
        assert!(!answer.ok, "{answer:#?}");
        assert!(
            answer.error.contains("unrecognized name"),
            "{}",
            answer.error
        );
    };

    refused();
    gateway.ctl_ok(&["expose", "pg1", "--host", "my-postgres.example"]);
    assert_eq!(Client::Psql.whoami(&target).expect_who(), "my-postgres");
    gateway.ctl_ok(&["hide", "pg1"]);
    refused();
}

fn revision(gateway: &Gateway) -> u64 {
    gateway.routes().0
}

fn wish(name: &str, host: &str) -> Value {
    json!({"name": name, "hosts": [host], "to": ["127.0.0.1:1"], "protocol": "tls"})
}

#[test]
fn two_callers_get_their_changes_and_a_follower_sees_each() {
    let gateway = Gateway::start("");
    let before = revision(&gateway);
    let mut follower = Control::connect(&gateway.socket()).expect("the control socket");
    follower
        .follow("events", &json!({"follow": true}))
        .expect("a subscription");

    let both = Barrier::new(2);
    thread::scope(|scope| {
        for caller in ["a", "b"] {
            let (gateway, both) = (&gateway, &both);
            scope.spawn(move || {
                let mut control = Control::connect(&gateway.socket()).expect("the control socket");
                both.wait();
                for n in 0..EACH {
                    let wish = wish(&format!("{caller}{n}"), &format!("{caller}{n}.example"));
                    let answer = control.send("expose", &wish);
                    answer.unwrap_or_else(|e| panic!("{wish}: {e}"));
                }
            });
        }
    });

    assert_eq!(revision(&gateway), before + 2 * EACH);
    for n in 1..=2 * EACH {
        let event: Value = follower.event().expect("an event");
        assert_eq!(event["event"], "exposed", "{event}");
        assert_eq!(event["revision"], before + n, "{event}");
    }
    let list = gateway.call("list", &json!({}));
    let names = list["databases"].as_array().map_or(0, Vec::len);
    assert_eq!(names as u64, 2 * EACH, "{list}");
}

#[test]
fn a_host_wanted_by_two_goes_to_one() {
    let gateway = Gateway::start("");
    let before = revision(&gateway);
    let both = Barrier::new(2);
    for n in 0..EACH {
        let host = format!("wanted{n}.example");
        let results = thread::scope(|scope| {
            ["a", "b"]
                .map(|caller| {
                    let (gateway, both, host) = (&gateway, &both, &host);
                    scope.spawn(move || {
                        let mut control =
                            Control::connect(&gateway.socket()).expect("the control socket");
                        both.wait();
                        control.send("expose", &wish(&format!("{caller}{n}"), host))
                    })
                })
                .map(|caller| caller.join().expect("a caller"))
        });
        let won = results.iter().filter(|r| r.is_ok()).count();
        let conflicts = results
            .iter()
            .filter(|r| matches!(r, Err(ClientError::Command(e)) if e.code == ErrorCode::Conflict))
            .count();
        assert_eq!((won, conflicts), (1, 1), "{results:?}");
    }
    assert_eq!(revision(&gateway), before + EACH);
}

#[test]
fn the_command_line_tells_a_conflict_by_its_exit_code() {
    let gateway = Gateway::start("");
    let both = Barrier::new(2);
    let mut codes = thread::scope(|scope| {
        ["a", "b"]
            .map(|name| {
                let (gateway, both) = (&gateway, &both);
                scope.spawn(move || {
                    both.wait();
                    let to = ["--to", "127.0.0.1:5432"];
                    let host = ["expose", name, "--host", "wanted.example"];
                    gateway.ctl(&[&host[..], &to[..]].concat()).status.code()
                })
            })
            .map(|caller| caller.join().expect("a caller"))
    });
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(4)]);
}

#[test]
fn the_command_line_follows_events() {
    let gateway = Gateway::start("");
    let mut command = testbed::mortal("KILL", gateway::binary());
    command
        .args(["ctl", "--socket"])
        .arg(gateway.socket())
        .args(["-o", "json", "events", "--follow"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut ctl = testbed::spawn(command);
    let stdout = ctl.stdout.take().expect("its output");
    let (lines, follower) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = lines.send(line);
        }
    });
    let event = |line: &str| -> Value {
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
    };

    // What happens before it has subscribed it does not see.
    let (mut first, mut changes) = (None, 0);
    testbed::until(|| {
        expose_another(&gateway, &mut changes);
        first = follower.try_recv().ok();
        first.is_some()
    });
    let first = event(&first.expect("a line of ctl events"));
    for _ in 0..EACH {
        expose_another(&gateway, &mut changes);
    }
    let from = first["revision"].as_u64().expect("a revision");
    for wanted in from + 1..=revision(&gateway) {
        let line = follower.recv_timeout(TIMEOUT).expect("a line");
        let event = event(&line);
        assert_eq!(event["event"], "exposed", "{event}");
        assert_eq!(event["revision"], wanted, "{event}");
    }
    let _ = ctl.kill();
    let _ = ctl.wait();
}

fn expose_another(gateway: &Gateway, changes: &mut u64) {
    *changes += 1;
    let name = format!("event{changes}");
    gateway.call("expose", &wish(&name, &format!("{name}.example")));
}
