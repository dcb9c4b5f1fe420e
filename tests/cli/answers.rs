//! Answers of `ctl`, for people and as JSON.

use serde_json::{Value, json};

use crate::gate::{EMPTY, Gate, Running, closed, echo};

/// One database of the configuration, with two hosts and limits.
fn pg1() -> String {
    format!(
        "{EMPTY}
[database.pg1]
protocol = \"tls\"
backends = [\"{}\"]
hosts = [\"a.example\", \"b.example\"]
allow = [\"127.0.0.0/8\"]
max_sessions = 7
",
        echo()
    )
}

/// The cells of a table: two spaces or more part them.
fn lines(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect()
}

#[test]
fn list_marks_what_leads_nowhere() {
    let gate = Gate::new(&pg1());
    gate.ctl(&["hide", "pg1", "--host", "b.example"]).done();
    gate.ctl(&[
        "expose",
        "pg2",
        "--host",
        "*.c.example",
        "--to",
        "db.internal:5432",
    ])
    .done();
    let backend = gate.json(&["list"])["databases"][0]["backends"][0].clone();
    let backend = backend.as_str().unwrap();
    assert_eq!(
        lines(&gate.ctl(&["list"]).done()),
        [
            vec![
                "NAME", "STATE", "PROTOCOL", "TLS", "HOSTS", "BACKENDS", "SESSIONS", "ORIGIN"
            ],
            vec![
                "pg1",
                "open",
                "tls",
                "passthrough",
                "a.example, b.example (hidden)",
                backend,
                "0",
                "config"
            ],
            vec![
                "pg2",
                "open",
                "postgres",
                "passthrough",
                "*.c.example",
                "db.internal:5432",
                "0",
                "runtime"
            ],
        ]
    );
    let wide = gate.ctl(&["list", "-o", "wide"]).done();
    assert_eq!(
        lines(&wide)[1][7..],
        ["7", "-", "127.0.0.0/8", "-", "config"],
        "{wide}"
    );
    let json = gate.json(&["list"]);
    assert_eq!(json["databases"][0]["hidden"], json!(["b.example"]));
    assert_eq!(json.get("ok"), None);
}

#[test]
fn nothing_there_is_said_beside_the_answer() {
    let gate = Gate::new(EMPTY);
    for (command, said) in [
        ("list", "No databases.\n"),
        ("sessions", "No sessions.\n"),
        ("rejects", "No rejects.\n"),
        ("diff", "No differences.\n"),
    ] {
        let ran = gate.ctl(&[command]);
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (Some(0), "", said)
        );
        let json = gate.json(&[command]);
        assert!(
            json.as_object().unwrap().values().any(|v| *v == json!([])),
            "{json}"
        );
    }
}

#[test]
fn show_tells_all_of_one_database() {
    let gate = Gate::new(&pg1());
    gate.ctl(&["expose", "pg1", "--host", "t.example", "--ttl", "2h"])
        .done();
    gate.ctl(&["expose", "pg1", "--host", "e.example", "--ephemeral"])
        .done();
    let shown = gate.ctl(&["show", "pg1"]).done();
    for line in [
        &["name", "pg1"][..],
        &["max_sessions", "7"],
        &["a.example", "active", "config", "-"],
        &["e.example", "active", "runtime", "restart"],
    ] {
        assert!(
            lines(&shown).iter().any(|l| l == line),
            "{line:?} in\n{shown}"
        );
    }
    let json = gate.json(&["show", "pg1"]);
    let exposures = json["database"]["exposures"].as_array().unwrap();
    let until = exposures.iter().find(|e| e["host"] == "t.example").unwrap();
    let until = until["expires"].as_str().unwrap();
    assert!(shown.contains(until), "{until} in\n{shown}");
}

#[test]
fn explain_tells_the_walk_and_the_verdict() {
    let gate = Gate::new(&pg1());
    gate.ctl(&[
        "expose",
        "wild",
        "--host",
        "*.w.example",
        "--to",
        "10.0.0.1:5432",
    ])
    .done();
    let walk = gate.ctl(&["explain", "X.w.example."]).done();
    assert_eq!(
        walk,
        "1. X.w.example. is looked up as x.w.example\n\
         2. exact x.w.example: no\n\
         3. wildcard *.w.example: database wild\n\
         X.w.example. at listener main reaches database wild (postgres, passthrough) at 10.0.0.1:5432\n"
    );
    let kept_out = gate
        .ctl(&["explain", "a.example", "--client", "10.1.1.1"])
        .done();
    assert!(
        kept_out.ends_with("a.example at listener main is kept out of database pg1\n"),
        "{kept_out}"
    );
    let nowhere = gate.ctl(&["explain", "x.example"]).done();
    assert!(
        nowhere.ends_with("x.example at listener main reaches no database\n"),
        "{nowhere}"
    );
    assert_eq!(
        gate.json(&["explain", "x.example"])["database"],
        Value::Null
    );
    let listener = gate
        .ctl(&["explain", "x.example", "--listener", "side"])
        .failed(5);
    assert!(listener.contains("there are: main"), "{listener}");
}

#[test]
fn sessions_and_rejects_are_told() {
    let gate = Gate::new(&pg1());
    let _session = gate.session("a.example");
    closed(&mut gate.client("nobody.example"));
    closed(&mut gate.client("nowhere.example"));

    let table = gate.ctl(&["sessions", "--database", "pg1"]).done();
    let rows = lines(&table);
    assert_eq!(
        rows[0],
        [
            "ID", "DATABASE", "HOST", "CLIENT", "BACKEND", "IN", "OUT", "AGE", "STATE"
        ]
    );
    assert_eq!(
        (rows[1][1], rows[1][2], rows[1][8]),
        ("pg1", "a.example", "open"),
        "{table}"
    );
    let wide = gate.ctl(&["sessions", "-o", "wide"]).done();
    assert_eq!(lines(&wide)[0].len(), 13, "{wide}");
    let json = gate.json(&["sessions"]);
    let keys: Vec<&str> = json["sessions"][0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "id",
            "database",
            "host",
            "sni",
            "client",
            "user_cert",
            "listener",
            "protocol",
            "tls",
            "backend",
            "bytes_in",
            "bytes_out",
            "age_ms",
            "state"
        ]
    );
    gate.ctl(&["sessions", "--database", "pg7"]).failed(5);

    // The newest is the last.
    let rejects = gate.ctl(&["rejects"]).done();
    let rows = lines(&rejects);
    assert_eq!(
        rows[0],
        [
            "LAST", "COUNT", "CLIENT", "LISTENER", "REASON", "SNI", "DETAIL"
        ]
    );
    assert_eq!(
        (rows[1][5], rows[2][5]),
        ("nobody.example", "nowhere.example"),
        "{rejects}"
    );
    let wide = gate.ctl(&["rejects", "-o", "wide"]).done();
    assert!(
        lines(&wide).last().is_some_and(|counts| counts[2] == "2"),
        "{wide}"
    );

    let status = gate.ctl(&["status"]).done();
    assert!(
        lines(&status).contains(&vec!["sessions", "1 now, 1 since the start"]),
        "{status}"
    );
    assert!(lines(&status).contains(&vec!["rejects", "2"]), "{status}");
    assert_eq!(gate.json(&["status"])["sessions"], json!(1));
}

#[test]
fn export_and_diff_tell_what_ctl_did() {
    let gate = Gate::new(&pg1());
    gate.ctl(&[
        "expose",
        "pg2",
        "--host",
        "c.example",
        "--to",
        "10.0.0.1:5432",
    ])
    .done();
    gate.ctl(&["hide", "pg1", "--host", "b.example"]).done();
    let diff = gate.ctl(&["diff"]).differs();
    for line in [
        ["KIND", "DATABASE", "WHAT"],
        ["runtime", "pg2", "made by ctl"],
        ["runtime", "pg2", "host c.example exposed by ctl"],
        ["runtime", "pg1", "host b.example hidden by ctl"],
    ] {
        assert!(
            lines(&diff).iter().any(|l| *l == line),
            "{line:?} in\n{diff}"
        );
    }
    let export = gate.ctl(&["export"]).done();
    assert_eq!(
        gate.json(&["export"])["toml"].as_str().unwrap().trim_end(),
        export.trim_end()
    );
    // What was exported is a configuration with the same routes.
    let other = Gate::new(&format!("{EMPTY}\n{export}"));
    let exported = other.json(&["list"]);
    assert_eq!(exported["databases"][1]["hosts"], json!(["c.example"]));
    assert_eq!(exported["databases"][0]["hosts"], json!(["a.example"]));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let gate = Gate::new(&pg1());
    for words in [&["list"][..], &["list", "-o", "json"], &["export"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = gate.command(words).stdout(writer).status().unwrap();
        assert_eq!(status.code(), Some(0), "{words:?}");
    }
}

#[test]
fn events_are_objects_a_line_until_the_reader_leaves() {
    let gate = Gate::new(&pg1());
    let follower = gate.follow();
    gate.ctl(&["hide", "pg1", "--host", "b.example"]).done();
    drop(gate.session("a.example"));
    closed(&mut gate.client("nobody.example"));
    gate.ctl(&["reload"]).done();
    for event in [
        "hidden",
        "session_opened",
        "session_closed",
        "rejected",
        "reload",
    ] {
        let (line, _) = follower.out.wait(0, &format!("\"event\":\"{event}\""));
        let parsed: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed["event"], event);
    }

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut deaf = gate.command(&["events", "--follow"]);
    let mut deaf = Running::start_with(&mut deaf, writer);
    deaf.err.wait(0, "Following");
    gate.ctl(&["reload"]).done();
    assert_eq!(deaf.end().code(), Some(0));
}
