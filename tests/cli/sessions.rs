//! Running sessions under hide, drain and kill.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::gate::{EMPTY, Gate, closed, echo};

fn gate() -> Gate {
    let gate = Gate::new(&format!("[timeouts]\ndrain = \"5m\"\n{EMPTY}"));
    let to = echo().to_string();
    gate.ctl(&[
        "expose",
        "db",
        "--host",
        "a.example",
        "b.example",
        "--to",
        &to,
        "--protocol",
        "tls",
    ])
    .done();
    gate
}

/// It still relays.
fn alive(client: &mut TcpStream) {
    let mut word = [0; 4096];
    client.write_all(b"!").unwrap();
    loop {
        let read = client.read(&mut word).unwrap();
        assert_ne!(read, 0);
        if word[..read].ends_with(b"!") {
            return;
        }
    }
}

#[test]
fn hide_says_how_many_sessions_it_touches_and_what_becomes_of_them() {
    let gate = gate();
    let mut a1 = gate.session("a.example");
    let mut a2 = gate.session("a.example");
    let mut b = gate.session("b.example");
    assert_eq!(
        gate.ctl(&["hide", "db", "--host", "a.example"]).done(),
        "db is no longer reachable under a.example (revision 3)\n\
         clients that ask for a.example are refused, also where a wildcard or a default would take them\n\
         2 sessions get 5m, then they are closed\n\
         to take it back: dbgate ctl expose db --host a.example\n"
    );
    let states: Vec<_> = gate.json(&["sessions"])["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["draining", "draining", "open"]);
    alive(&mut a1);
    closed(&mut gate.client("a.example"));

    // Exposed again, they are as before.
    gate.ctl(&["expose", "db", "--host", "a.example"]).done();
    assert_eq!(gate.json(&["sessions"])["sessions"][0]["state"], "open");

    assert_eq!(
        gate.ctl(&["hide", "db", "--host", "a.example", "--keep"])
            .done(),
        "db is no longer reachable under a.example (revision 5)\n\
         clients that ask for a.example are refused, also where a wildcard or a default would take them\n2 sessions run on\n\
         to take it back: dbgate ctl expose db --host a.example\n"
    );
    alive(&mut a2);

    assert_eq!(
        gate.ctl(&["hide", "db", "--kill"]).done(),
        "db is no longer reachable under b.example (revision 6)\n\
         clients that ask for b.example are refused, also where a wildcard or a default would take them\n\
         3 sessions are closed at once\n\
         to take it back: dbgate ctl expose db\n"
    );
    for client in [&mut a1, &mut a2, &mut b] {
        closed(client);
    }
}

#[test]
fn a_drain_ends() {
    let gate = gate();
    let mut client = gate.session("a.example");
    assert_eq!(
        gate.ctl(&["drain", "db", "--within", "50ms"]).done(),
        "db takes no new sessions (revision 3)\n1 session gets 50ms, then it is closed\n\
         to take it back: dbgate ctl resume db\n"
    );
    closed(&mut client);
    closed(&mut gate.client("a.example"));
    assert_eq!(
        gate.ctl(&["resume", "db"]).done(),
        "db takes new sessions again (revision 4)\nto take it back: dbgate ctl drain db\n"
    );
    let mut client = gate.session("a.example");
    gate.ctl(&["hide", "db", "--drain", "50ms"]).done();
    closed(&mut client);
}

#[test]
fn kill_takes_ids_or_a_database() {
    let gate = gate();
    let (mut one, mut two) = (gate.session("a.example"), gate.session("b.example"));
    let sessions = gate.json(&["sessions"]);
    let id = sessions["sessions"][0]["id"].to_string();
    let killed = "killed 1 session\n\
        its client may connect again; to keep them out: dbgate ctl hide db\n";
    assert_eq!(gate.ctl(&["kill", &id]).done(), killed);
    closed(&mut one);
    alive(&mut two);
    assert_eq!(
        gate.ctl(&["kill", "99999"]).failed(5),
        "dbgate: no session 99999\n"
    );

    let id = sessions["sessions"][1]["id"].to_string();
    let partly = gate.ctl(&["kill", &id, "99999"]);
    assert_eq!(
        (partly.code, partly.out.as_str(), partly.err.as_str()),
        (Some(5), killed, "no session 99999\n")
    );
    closed(&mut two);
    let mut three = gate.session("a.example");
    assert_eq!(gate.ctl(&["kill", "--database", "db"]).done(), killed);
    closed(&mut three);

    // Those of a hidden database are out already.
    let mut four = gate.session("a.example");
    gate.ctl(&["hide", "db", "--keep"]).done();
    let told = gate.ctl(&["kill", "--database", "db"]).done();
    assert_eq!(told, "killed 1 session\n");
    closed(&mut four);
}

#[test]
fn a_hide_after_a_hide_says_how_many_sessions_it_touches() {
    let gate = gate();
    let follower = gate.follow();
    let mut a = gate.session("a.example");
    let hide = |more: &[&str]| gate.ctl(&[&["hide", "db"], more].concat()).done();
    hide(&["--keep"]);
    assert_eq!(
        hide(&["--keep"]),
        "unchanged: nothing of db to hide (revision 3)\n1 session runs on\n"
    );
    assert_eq!(
        hide(&["--kill", "--dry-run"]),
        "dry run: db is hidden already\n1 session is closed at once\n"
    );
    alive(&mut a);
    assert_eq!(
        hide(&["--kill"]),
        "db is hidden already (revision 3)\n1 session is closed at once\n"
    );
    closed(&mut a);
    follower.out.wait(0, "\"event\":\"session_closed\"");
    assert_eq!(
        hide(&["--kill"]),
        "unchanged: nothing of db to hide (revision 3)\n"
    );
}

/// Who did what to whom, and why, as a second operator reads it.
#[test]
fn each_change_is_an_event_with_its_author_and_reason() {
    let gate = gate();
    let follower = gate.follow();
    let mut client = gate.session("a.example");
    let uid = rustix::process::geteuid().as_raw();
    for (words, event, more) in [
        (
            &["drain", "db", "--within", "1h"][..],
            "drained",
            r#""sessions":1,"ends":""#,
        ),
        (&["resume", "db"], "resumed", r#""sessions":1"#),
        (
            &["hide", "db", "--host", "b.example"],
            "hidden",
            r#""host":"b.example""#,
        ),
        (&["expose", "db"], "exposed", r#""host":"b.example""#),
        (&["kill", "--database", "db"], "killed", r#""sessions":1"#),
        (&["reload"], "reload", r#""ok":true"#),
        (&["delete", "db"], "deleted", r#""sessions":0"#),
    ] {
        let reason = format!("because of {event}\u{1b}[31m");
        gate.ctl(&[words, &["--reason", &reason]].concat()).done();
        let said = format!("\"reason\":\"because of {event}");
        let kind = format!("\"event\":\"{event}\"");
        let (mut line, mut from) = follower.out.wait(0, &said);
        // What is deleted is hidden, too.
        while !line.contains(&kind) {
            (line, from) = follower.out.wait(from, &said);
        }
        assert!(!line.contains('\u{1b}'), "{line}");
        for part in [more, &format!("\"uid\":{uid}")] {
            assert!(line.contains(part), "no {part} in {line}");
        }
    }
    closed(&mut client);
    let long = "x".repeat(301);
    gate.ctl(&["hide", "db", "--reason", &long]).failed(2);
}
