//! Looks at a running gateway that are narrowed down, or go on: `list NAME…`, `sessions`,
//! `rejects`, `events`, `status`.

use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::gate::{EMPTY, Gate, Running, closed, echo};

/// Two databases of the configuration.
fn gate() -> Gate {
    let to = echo();
    let database = |name: &str| {
        format!(
            "[database.{name}]\nprotocol = \"tls\"\nbackends = [\"{to}\"]\nhosts = [\"{name}.example\"]\n"
        )
    };
    Gate::new(&format!("{EMPTY}{}{}", database("pg1"), database("pg2")))
}

/// The values of a key in all rows.
fn all<'a>(answer: &'a Value, rows: &str, key: &str) -> Vec<&'a Value> {
    let found = answer[rows].as_array();
    let found = found.unwrap_or_else(|| panic!("no {rows} in {answer:#}"));
    found.iter().map(|row| &row[key]).collect()
}

/// Ends a command as Ctrl-C does, which is its good end.
fn interrupted(mut running: Running) {
    running.signal(Signal::INT);
    assert_eq!(running.end().code(), Some(0), "{}", running.err.all());
}

#[test]
fn list_takes_names() {
    let gate = gate();
    let listed = gate.json(&["list", "pg2"]);
    assert_eq!(all(&listed, "databases", "name"), ["pg2"]);
    let listed = gate.json(&["ls", "pg2", "pg1", "pg2"]);
    assert_eq!(all(&listed, "databases", "name"), ["pg1", "pg2"]);
    let error = gate.ctl(&["list", "pg1", "pg3"]).failed(5);
    assert!(error.contains("no database pg3"), "{error}");
}

#[test]
fn what_others_call_it_is_known() {
    let gate = gate();
    let _session = gate.session("pg1.example");
    for (alias, verb) in [
        (&["ls"][..], "list"),
        (&["describe", "pg1"], "show"),
        (&["ps"], "sessions"),
    ] {
        let words = [&[verb], &alias[1..]].concat();
        let (by_alias, by_verb) = (gate.json(alias), gate.json(&words));
        let keys =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(keys(&by_alias), keys(&by_verb), "{alias:?}");
    }
    gate.ctl(&[
        "expose",
        "made",
        "--host",
        "m.example",
        "--to",
        "127.0.0.1:5432",
    ])
    .done();
    gate.ctl(&["rm", "made"]).done();
    gate.ctl(&["show", "made"]).failed(5);
}

#[test]
fn sessions_are_narrowed_down_by_the_gateway() {
    let gate = gate();
    let _of_pg1 = gate.session("pg1.example");
    let _of_pg2 = gate.session("pg2.example");
    for (words, names) in [
        (&["sessions"][..], &["pg1", "pg2"][..]),
        (&["sessions", "pg2"], &["pg2"]),
        (&["sessions", "--client", "127.0.0.0/8"], &["pg1", "pg2"]),
        (&["sessions", "pg1", "--client", "127.0.0.1"], &["pg1"]),
        (&["sessions", "--client", "10.0.0.0/8"], &[]),
    ] {
        let answer = gate.json(words);
        assert_eq!(all(&answer, "sessions", "database"), names, "{words:?}");
    }
    gate.ctl(&["sessions", "pg3"]).failed(5);
}

#[test]
fn watched_sessions_come_anew_until_ctrl_c() {
    let gate = gate();
    let plain = Running::start(&mut gate.command(&["sessions", "--watch"]));
    let (_, at) = plain.out.wait(0, "No sessions.");
    let json = Running::start(&mut gate.command(&["sessions", "pg1", "--watch", "-o", "json"]));
    let (line, seen) = json.out.wait(0, "sessions");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line, json!({"sessions": []}));
    let _session = gate.session("pg1.example");
    let (_, at) = plain.out.wait(at, "pg1.example");
    // Each is a table of its own.
    plain.out.wait(at, "DATABASE");
    let (line, _) = json.out.wait(seen, "pg1.example");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["sessions"][0]["database"], "pg1");
    interrupted(plain);
    interrupted(json);
}

#[test]
fn a_terminal_shows_sessions_in_one_place() {
    let gate = gate();
    let _session = gate.session("pg1.example");
    let words = gate.command(&["sessions", "--watch"]);
    let words: Vec<String> = [words.get_program()]
        .into_iter()
        .chain(words.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut script = Command::new("script");
    script
        .args(["-qefc", &words.join(" "), "/dev/null"])
        .env("TERM", "xterm")
        .stdin(std::process::Stdio::piped());
    let terminal = Running::start(&mut script);
    let (_, at) = terminal.out.wait(0, "\u{1b}[H");
    let (row, at) = terminal.out.wait(at - 1, "pg1.example");
    assert!(row.contains("\u{1b}[K"), "{row:?}");
    terminal.out.wait(at, "\u{1b}[H");
}

#[test]
fn rejects_are_narrowed_down_by_the_gateway() {
    let gate = gate();
    for name in [
        "a.gone.example",
        "a.gone.example",
        "b.gone.example",
        "x.example",
    ] {
        closed(&mut gate.client(name));
    }
    for (words, names) in [
        (
            &["rejects"][..],
            &["a.gone.example", "b.gone.example", "x.example"][..],
        ),
        (&["rejects", "--host", "X.example."], &["x.example"]),
        (
            &["rejects", "--host", "*.gone.example"],
            &["a.gone.example", "b.gone.example"],
        ),
        (
            &["rejects", "--client", "127.0.0.1", "--host", "x.example"],
            &["x.example"],
        ),
        (&["rejects", "--client", "10.0.0.0/8"], &[]),
        (
            &["rejects", "--since", "1h", "--host", "x.example"],
            &["x.example"],
        ),
    ] {
        let answer = gate.json(words);
        assert_eq!(all(&answer, "rejects", "sni"), names, "{words:?}");
    }
    assert_eq!(all(&gate.json(&["rejects"]), "rejects", "count"), [2, 1, 1]);
    // Those that began to wait after the last reject are told nothing of it.
    let newest = gate.json(&["rejects"])["rejects"][2]["last"].clone();
    let newest = humantime::parse_rfc3339(newest.as_str().unwrap()).unwrap();
    while newest.elapsed().unwrap_or_default().as_millis() < 5 {
        std::thread::yield_now();
    }
    let answer = gate.json(&["rejects", "--since", "1ms"]);
    assert_eq!(answer["rejects"], json!([]));
}

#[test]
fn followed_rejects_are_rows_that_grow() {
    let gate = gate();
    closed(&mut gate.client("a.example"));
    let table = Running::start(&mut gate.command(&["rejects", "--follow", "--host", "a.example"]));
    let json = Running::start(&mut gate.command(&["rejects", "-f", "-o", "json"]));
    table.out.wait(0, "REASON");
    let (_, at) = table.out.wait(0, "a.example");
    let (line, seen) = json.out.wait(0, "a.example");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["event"], &line["kind"], &line["count"]),
        (&"rejected".into(), &"reject".into(), &1.into())
    );
    closed(&mut gate.client("b.example"));
    json.out.wait(seen, "b.example");
    closed(&mut gate.client("a.example"));
    let (line, _) = json.out.wait(seen, "a.example");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["count"], 2);
    table.out.wait(at, "a.example");
    assert!(
        !table.out.all().contains("b.example"),
        "{}",
        table.out.all()
    );
    interrupted(table);
    interrupted(json);
}

/// Nothing listens on the backend's port, and the client is turned away for it.
#[test]
fn a_database_whose_backend_does_not_answer_is_down() {
    let config = "[database.pg1]\nprotocol = \"tls\"\nbackends = [\"127.0.0.1:1\"]\nhosts = [\"a.example\"]\n";
    let gate = Gate::new(&format!("{EMPTY}{config}"));
    closed(&mut gate.client("a.example"));
    assert_eq!(gate.json(&["list"])["databases"][0]["state"], "down");
    assert_eq!(gate.json(&["show", "pg1"])["database"]["state"], "down");
    let told = gate.ctl(&["list"]).done();
    assert!(told.contains("pg1   down "), "{told}");
}

#[test]
fn events_are_kept_for_those_who_come_later() {
    let gate = gate();
    gate.ctl(&["hide", "pg1"]).done();
    closed(&mut gate.client("a.example"));
    drop(gate.session("pg2.example"));
    gate.ctl(&["reload"]).done();
    let kept = gate.json(&["events"]);
    assert_eq!(
        all(&kept, "events", "event"),
        ["hidden", "rejected", "reload"]
    );
    assert_eq!(
        all(&kept, "events", "kind"),
        ["database", "reject", "reload"]
    );
    let hidden = &kept["events"][0];
    assert_eq!(
        (&hidden["database"], &hidden["host"]),
        (&"pg1".into(), &"pg1.example".into())
    );
    let of_kinds = gate.json(&["events", "--kind", "reload", "database"]);
    assert_eq!(all(&of_kinds, "events", "event"), ["hidden", "reload"]);
    // In words, a line each, where nothing else is asked for.
    let lines = gate.ctl(&["events", "--kind", "reject"]).done();
    let lines: Vec<&str> = lines.lines().collect();
    let [heads, line] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    assert!(heads.starts_with("TIME"), "{heads}");
    assert!(
        line.starts_with(kept["events"][1]["ts"].as_str().unwrap()),
        "{line}"
    );
    assert!(
        line.contains("rejected") && line.ends_with("unknown_host, asked for a.example"),
        "{line}"
    );
    let none = gate.ctl(&["events", "--kind", "upgrade"]);
    assert_eq!(
        (none.code, none.out.as_str(), none.err.as_str()),
        (Some(0), "", "No events.\n")
    );
    let error = gate.ctl(&["events", "--kind", "sessions"]).failed(2);
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn followed_events_begin_with_those_that_are_kept() {
    let gate = gate();
    gate.ctl(&["hide", "pg1"]).done();
    let words = ["events", "--follow", "--kind", "database,session"];
    let follower = Running::start(&mut gate.command(&words));
    let (_, seen) = follower.out.wait(0, "hidden");
    gate.ctl(&["reload"]).done();
    drop(gate.session("pg2.example"));
    let (line, seen) = follower.out.wait(seen, "session_opened");
    assert!(line.contains("pg2") && !line.contains('{'), "{line}");
    follower.out.wait(seen, "session_closed");
    assert!(
        !follower.out.all().contains("reload"),
        "{}",
        follower.out.all()
    );
    interrupted(follower);
}

#[test]
fn status_tells_of_a_failed_reload_until_one_succeeds() {
    let gate = gate();
    assert_eq!(gate.json(&["status"])["last_reload"], Value::Null);
    let good = std::fs::read_to_string(gate.config()).unwrap();
    gate.configure(&format!("{good}\n[limits]\nmax_sesions = 7\n"));
    gate.ctl(&["reload", "--reason", "more sessions"]).failed(1);
    let status = gate.json(&["status"]);
    let last = &status["last_reload"];
    assert_eq!(
        (&last["ok"], &last["by"]["reason"]),
        (&false.into(), &"more sessions".into())
    );
    assert!(
        last["ts"].is_string() && last["by"]["pid"].is_u64(),
        "{last:#}"
    );
    assert!(
        last["problems"][0]
            .as_str()
            .unwrap()
            .contains("max_sesions"),
        "{last:#}"
    );
    let text = gate.ctl(&["status"]).done();
    for part in [
        "failed 20",
        "by ",
        "more sessions",
        "nothing changed",
        "max_sesions",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    gate.configure(&good);
    gate.ctl(&["reload"]).done();
    let status = gate.json(&["status"]);
    assert_eq!(status["last_reload"]["ok"], true);
    let text = gate.ctl(&["status"]).done();
    assert!(
        !text.contains("failed") && text.contains("done 20"),
        "{text}"
    );
}

#[test]
fn status_tells_that_the_gateway_stops() {
    let mut gate = gate();
    assert_eq!(gate.json(&["status"])["stopping"], Value::Null);
    let session = gate.session("pg1.example");
    gate.running().signal(Signal::TERM);
    gate.running().err.wait(0, "stopping");
    let status = gate.json(&["status"]);
    let stopping = &status["stopping"];
    assert_eq!(stopping["sessions"], 1, "{status:#}");
    let time = |key: &str| humantime::parse_rfc3339(stopping[key].as_str().unwrap()).unwrap();
    let left = time("deadline").duration_since(time("since")).unwrap();
    assert_eq!(left.as_secs(), 30, "{status:#}");
    // Nothing listens any more, which is said beside it.
    let text = gate.ctl(&["status"]).out;
    assert!(text.contains("at the latest, 1 session left"), "{text}");
    drop(session);
    assert!(gate.running().end().success());
}
