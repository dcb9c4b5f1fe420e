//! Who made a change, and why, as those who look later are told.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::gate::{EMPTY, Gate, LIMIT, closed, echo};

/// One database of the configuration.
fn pg1() -> String {
    format!(
        "{EMPTY}[database.pg1]\nprotocol = \"tls\"\nbackends = [\"127.0.0.1:1\"]\nhosts = [\"a.example\"]\n"
    )
}

/// The answer to a request by hand.
fn by_hand(gate: &Gate, request: &str) -> Value {
    let mut stream = UnixStream::connect(gate.socket()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    writeln!(stream, "{request}").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
}

#[test]
fn the_audit_line_names_user_and_command() {
    let mut gate = Gate::new(&pg1());
    gate.ctl(&["hide", "pg1"]).done();
    let (line, _) = gate.running().err.wait(0, "hide");
    let uid = rustix::process::geteuid().as_raw();
    for part in [
        format!("uid={uid} gid="),
        format!("command=\"dbgate ctl --socket {}", gate.socket().display()),
        "hide pg1\"".to_owned(),
    ] {
        assert!(line.contains(&part), "{part} in {line}");
    }
    if uid == 0 {
        assert!(line.contains(" user=root "), "{line}");
    }
}

#[test]
fn a_reason_is_kept_where_nothing_is_left_to_show_it() {
    let gate = Gate::new(&format!("{}[limits]\nmax_sessions = 9\n", pg1()));
    let to = echo().to_string();
    let expose = ["expose", "db", "--host", "b.example", "--to", &to];
    gate.ctl(&[&expose[..], &["--protocol", "tls"]].concat())
        .done();
    let mut session = gate.session("b.example");
    for words in [
        &["kill", "--database", "db", "--reason", "because of kill"][..],
        &["reload", "--reason", "because of reload"],
        &["delete", "db", "--reason", "because of delete"],
    ] {
        gate.ctl(words).done();
    }
    closed(&mut session);
    let all = gate.json(&["events", "--kind", "database", "control", "reload"]);
    for (event, reason) in [
        ("killed", "because of kill"),
        ("reload", "because of reload"),
        ("deleted", "because of delete"),
    ] {
        let mut events = all["events"].as_array().unwrap().iter();
        let found = events.find(|e| e["event"] == event).unwrap();
        assert_eq!(found["by"]["reason"], reason, "{found}");
        let words = gate.ctl(&["events"]).done();
        assert!(words.contains(reason), "{words}");
    }
    let status = gate.ctl(&["status"]).done();
    assert!(status.contains("because of reload"), "{status}");
}

#[test]
fn a_reason_goes_to_the_audit_line_on_one_line() {
    let mut gate = Gate::new(&pg1());
    let request = r#"{"v":1,"id":1,"cmd":"hide","name":"pg1","reason":"moved\n2026 INFO audit: who=root \" uid=7"}"#;
    let answer = by_hand(&gate, request);
    assert_eq!(answer["ok"], true, "{answer}");
    let (line, _) = gate.running().err.wait(0, "reason=");
    assert!(
        line.contains(r#"reason="moved\\u{a}2026 INFO audit: who=root \" uid=7""#),
        "{line}"
    );
    // The test is no dbgate, so its arguments are nobody's business.
    let program = std::env::current_exe().unwrap();
    let program = program.file_name().unwrap().to_string_lossy();
    assert!(
        line.contains(&format!("command=\"{program}\" reason")),
        "{line}"
    );
    let answer = by_hand(&gate, r#"{"v":1,"id":1,"cmd":"list","reason":"to see"}"#);
    assert_eq!(
        answer["error"]["message"],
        "list: a reason goes with a change, and this is none"
    );
}
