//! `dbgate top`: without a terminal, and in one.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::gate::{EMPTY, Gate, LIMIT, Ran, closed, dbgate, echo};
use crate::terminal::Terminal;

fn top(gate: &Gate, words: &[&str]) -> Command {
    let mut top = dbgate();
    top.current_dir(gate.dir()).arg("top").arg("--socket");
    top.arg(gate.socket()).args(words);
    top
}

fn with_database() -> Gate {
    let gate = Gate::new(EMPTY);
    let to = echo().to_string();
    let expose = ["expose", "db", "--host", "a.example", "--to", &to];
    gate.ctl(&[&expose[..], &["--protocol", "tls"]].concat())
        .done();
    gate
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let gate = Gate::new(EMPTY);
    let told = Ran::of(&mut top(&gate, &[])).failed(2);
    assert!(told.contains("standard output is not a terminal"), "{told}");
    assert!(told.contains("--once"), "{told}");
}

#[test]
fn usage_is_told_before_anything_else() {
    let gate = Gate::stopped(EMPTY);
    for (words, said) in [
        (&["--once", "--sort", "sped"][..], "no column sped"),
        (&["--once", "--sort", "age:up"], "asc or desc"),
        (
            &["--once", "--filter", "age>soon"],
            "\"soon\" is not a number",
        ),
        (
            &["--once", "--tab", "rejects", "--filter", "state:x"],
            "no column state",
        ),
        (&["--once", "--interval", "1ms"], "from 100ms to 60s"),
        (&["-o", "table"], "--once"),
    ] {
        let told = Ran::of(&mut top(&gate, words)).failed(2);
        assert!(told.contains(said), "{words:?}: {told}");
    }
}

#[test]
fn no_gateway() {
    let gate = Gate::stopped(EMPTY);
    let told = Ran::of(&mut top(&gate, &["--once"])).failed(3);
    assert!(told.contains("no gateway can be reached at"), "{told}");
    assert!(told.contains("It does not exist."), "{told}");
    // The socket of the environment, as ctl takes it.
    let mut by_env = dbgate();
    by_env
        .args(["top", "--once"])
        .env("DBGATE_SOCKET", gate.socket());
    let told = Ran::of(&mut by_env).failed(3);
    assert!(told.contains(gate.socket().to_str().unwrap()), "{told}");
}

#[test]
fn once_as_json_holds_what_all_tabs_hold() {
    let gate = with_database();
    let (_one, _two) = (gate.session("a.example"), gate.session("a.example"));
    let events = gate.follow();
    gate.client("nowhere.example");
    events.out.wait(0, "unknown_host");
    let json = |words: &[&str]| -> Value {
        let fast = ["--once", "-o", "json", "--interval", "100ms"];
        let out = Ran::of(&mut top(&gate, &[&fast[..], words].concat())).done();
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
    };
    let all = json(&[]);
    let sessions = all["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{all:#}");
    // The same as `ctl sessions` says, field by field; ages go on.
    let by_ctl = gate.json(&["sessions"]);
    for told in by_ctl["sessions"].as_array().unwrap() {
        let shown = sessions.iter().find(|s| s["id"] == told["id"]).unwrap();
        for key in [
            "database", "host", "sni", "client", "listener", "protocol", "tls", "backend",
        ] {
            assert_eq!(shown[key], told[key], "{key}\n{all:#}");
        }
        assert_eq!(shown["bytes_in"], told["bytes_in"], "{all:#}");
        assert_eq!(shown["state"], "open", "{all:#}");
    }
    assert_eq!(all["databases"][0]["name"], "db", "{all:#}");
    assert_eq!(all["backends"][0]["sessions"], 2, "{all:#}");
    assert_eq!(all["rejects"][0]["reason"], "unknown_host", "{all:#}");
    assert_eq!(all["rejects"][0]["sni"], "nowhere.example", "{all:#}");
    let reason = &all["gateway"]["reject_reasons"]["unknown_host"];
    assert_eq!(
        (&reason["last_minute"], &reason["count"]),
        (&1.into(), &1.into())
    );
    assert_eq!(all["gateway"]["sessions"], 2, "{all:#}");
    let exposed = all["events"].as_array().unwrap();
    assert!(exposed.iter().any(|e| e["event"] == "exposed"), "{all:#}");

    let id = sessions[0]["id"].to_string();
    let other = sessions[1]["id"].to_string();
    let one = json(&["--tab", "sessions", "--filter", &format!("!id:{id}")]);
    let keys: Vec<&String> = one.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["gateway", "sessions"]);
    assert_eq!(one["sessions"].as_array().unwrap().len(), 1, "{one:#}");
    assert_eq!(one["sessions"][0]["id"].to_string(), other, "{one:#}");
    let sorted = json(&["--sort", "id:asc"]);
    let ids: Vec<u64> = sorted["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["id"].as_u64().unwrap())
        .collect();
    assert!(ids.is_sorted(), "{ids:?}");
}

#[test]
fn a_backend_keeps_what_ended_sessions_moved() {
    let gate = with_database();
    let events = gate.follow();
    let mut seen = 0;
    for _ in 0..3 {
        drop(gate.session("a.example"));
        (_, seen) = events.out.wait(seen, "session_closed");
    }
    let open = gate.session("a.example");
    let counts = |row: &Value| ["sessions", "bytes_in", "bytes_out"].map(|key| row[key].clone());
    let shown = |addr: &str, database: &[Value; 3]| {
        let words = ["--once", "-o", "json", "--interval", "100ms"];
        let all: Value = serde_json::from_str(&Ran::of(&mut top(&gate, &words)).done()).unwrap();
        assert_eq!(counts(&all["databases"][0]), *database, "{all:#}");
        let backends = all["backends"].as_array().unwrap();
        let backend = backends.iter().find(|b| b["address"] == addr).unwrap();
        assert_eq!(counts(backend), *database, "{all:#}");
        let show = gate.json(&["show", "db"]);
        let backends = show["database"]["backends"].as_array().unwrap();
        let backend = backends.iter().find(|b| b["address"] == addr).unwrap();
        assert_eq!(counts(backend), *database, "{show:#}");
    };
    let list = gate.json(&["list"]);
    let database = counts(&list["databases"][0]);
    let open_in = gate.json(&["sessions"])["sessions"][0]["bytes_in"].clone();
    assert_eq!(
        (&database[0], database[1].as_u64()),
        (&1.into(), open_in.as_u64().map(|bytes| 4 * bytes)),
        "{list:#}"
    );
    let addr = list["databases"][0]["backends"][0].as_str().unwrap();
    shown(addr, &database);
    // Also where the backends change, by the address: now it is the second of two.
    let other = echo().to_string();
    let expose = ["expose", "db", "--host", "a.example", "--replace"];
    let to = ["--to", &other, "--to", addr, "--protocol", "tls"];
    gate.ctl(&[&expose[..], &to].concat()).done();
    shown(addr, &database);
    drop(open);
}

#[test]
fn a_name_is_found_behind_a_wildcard() {
    let gate = with_database();
    gate.ctl(&["expose", "db", "--host", "*.wild.example"])
        .done();
    let (_exact, _wild) = (gate.session("a.example"), gate.session("One.wild.example"));
    let found = |filter: &str| -> Value {
        let words = ["--once", "-o", "json", "--tab", "sessions", "--filter"];
        let out = Ran::of(&mut top(&gate, &[&words[..], &[filter]].concat())).done();
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
    };
    for (filter, names) in [
        (
            "sni:one.wild",
            &[("*.wild.example", "one.wild.example")][..],
        ),
        ("sni:a.example", &[("a.example", "a.example")]),
        ("host:*.wild", &[("*.wild.example", "one.wild.example")]),
        ("sni:*", &[]),
    ] {
        let found = found(filter);
        let rows = found["sessions"].as_array().unwrap().iter();
        let told: Vec<_> = rows
            .map(|row| (row["host"].as_str().unwrap(), row["sni"].as_str().unwrap()))
            .collect();
        assert_eq!(told, names, "{filter}: {found:#}");
    }
}

#[test]
fn once_as_text_is_a_table() {
    let gate = with_database();
    let _one = gate.session("a.example");
    let run = |words: &[&str]| Ran::of(&mut top(&gate, &[&["--once"], words].concat())).done();
    let out = run(&[]);
    assert!(out.contains("rates over 1s"), "{out}");
    let header = out.lines().find(|l| l.starts_with("ID ")).unwrap();
    for title in [
        "DATABASE", "HOST", "CLIENT", "IN/s", "OUT/s", "AGE", "STATE",
    ] {
        assert!(header.contains(title), "{title} in\n{out}");
    }
    assert!(out.contains("a.example"), "{out}");
    assert!(!out.contains('\u{1b}'), "{out}");
    let out = run(&["--tab", "databases"]);
    assert!(out.contains("\nDATABASE  "), "{out}");
    let out = run(&["--filter", "host:b.example"]);
    assert!(out.ends_with("no sessions\n"), "{out}");
}

/// A shell that runs `top` and says what the terminal was like before and after.
fn start(gate: &Gate, words: &str) -> Terminal {
    Terminal::run(&format!(
        "stty rows 24 cols 100; echo before $(stty -g); \
             sh -c 'echo pid $$ .; exec \"{}\" top --interval 100ms --socket \"{}\" {words}'; \
             echo code $? .; echo after $(stty -g) .",
        env!("CARGO_BIN_EXE_dbgate"),
        gate.socket().display(),
    ))
}

/// The process number of `top`.
fn pid(terminal: &Terminal) -> Pid {
    let seen = terminal.seen.0.lock().unwrap();
    let text = String::from_utf8_lossy(&seen.bytes);
    let (_, rest) = text.split_once("pid ").unwrap();
    let pid = rest.split(' ').next().unwrap().parse().unwrap();
    Pid::from_raw(pid).unwrap()
}

/// Waits for the end of `top`; the terminal has to be as it was before.
fn restored(mut terminal: Terminal, code: &str) {
    terminal.until("the end", |screen| {
        let text = screen.contents();
        text.contains("after ") && text.trim_end().ends_with('.')
    });
    terminal.child.wait().unwrap();
    let seen = terminal.seen.0.lock().unwrap();
    let screen = seen.screen.screen();
    let text = screen.contents();
    assert!(!screen.alternate_screen(), "{text}");
    assert!(!screen.hide_cursor(), "{text}");
    assert!(text.contains(&format!("code {code} .")), "{text}");
    let all = String::from_utf8_lossy(&seen.bytes);
    let settings = |word: &str| {
        let (_, rest) = all.rsplit_once(word).unwrap_or_else(|| panic!("{text}"));
        let settings = rest.split_whitespace().next().unwrap_or_default();
        settings.to_owned()
    };
    assert_eq!(settings("before "), settings("after "), "{text}");
}

#[test]
fn a_session_is_watched_and_killed_and_the_terminal_given_back() {
    let gate = with_database();
    let mut client = gate.session("a.example");
    let mut terminal = start(&gate, "");
    let screen = terminal.shows("a.example");
    assert!(screen.contains("1 Sessions 1"), "{screen}");
    terminal.until("the other screen", vt100::Screen::alternate_screen);

    terminal.type_in("jK");
    let screen = terminal.shows("Kill session");
    assert!(screen.contains("database db"), "{screen}");
    terminal.type_in("\r");
    terminal.shows("nothing done");
    assert_eq!(gate.json(&["status"])["sessions"], 1);
    terminal.type_in("Ky");
    terminal.shows("killed 1 session");
    closed(&mut client);
    terminal.shows("1 Sessions 0");

    terminal.type_in("4");
    gate.client("nowhere.example");
    terminal.shows("unknown_host 1 (1 in all)");
    terminal.type_in("q");
    restored(terminal, "0");
}

#[test]
fn it_stops_and_goes_on_and_draws_anew() {
    let gate = with_database();
    let mut terminal =
        Terminal::run("stty rows 24 cols 100; PS1='$ ' exec bash --norc --noprofile -i");
    terminal.shows("$ ");
    terminal.type_in(&format!(
        "'{}' top --interval 100ms --tab databases --socket '{}'\n",
        env!("CARGO_BIN_EXE_dbgate"),
        gate.socket().display(),
    ));
    terminal.shows("2 Databases 1");
    terminal.type_in("\u{c}j");
    terminal.shows("a.example");
    terminal.type_in("\u{1a}");
    let screen = terminal.shows("Stopped");
    assert!(!screen.contains("2 Databases 1"), "{screen}");
    terminal.until("its own screen", |screen| {
        !screen.alternate_screen() && !screen.hide_cursor()
    });
    // Keys go to the shell, which shows them.
    terminal.type_in("echo a''b; fg; echo code $?\n");
    terminal.until("it goes on", |screen| {
        screen.alternate_screen() && screen.contents().contains("2 Databases 1")
    });
    terminal.type_in("?");
    terminal.shows("dbgate top: keys");
    terminal.type_in(" q");
    let screen = terminal.shows("code 0");
    assert!(screen.contains("\nab"), "{screen}");
    terminal.type_in("exit\n");
}

#[test]
fn the_terminal_is_given_back_at_a_signal() {
    let gate = with_database();
    for (signal, code) in [
        (Signal::TERM, "143"),
        (Signal::INT, "130"),
        (Signal::HUP, "129"),
    ] {
        let terminal = start(&gate, "--tab databases");
        terminal.shows("a.example");
        kill_process(pid(&terminal), signal).unwrap();
        restored(terminal, code);
    }
}

#[test]
fn a_gateway_that_goes_away_is_waited_for() {
    let mut gate = with_database();
    let mut terminal = start(&gate, "--tab databases --read-only");
    terminal.shows("a.example");
    terminal.shows("read-only");
    gate.kill();
    let screen = terminal.shows("GATEWAY LOST");
    assert!(screen.contains("a.example"), "the last frame\n{screen}");
    gate.start();
    terminal.shows("the gateway is back");
    terminal.until("no banner", |screen| !screen.contents().contains("LOST"));
    terminal.shows("a.example");
    terminal.type_in("\u{3}");
    restored(terminal, "0");
}

#[test]
fn without_a_gateway_the_terminal_is_left_alone() {
    let gate = Gate::stopped(EMPTY);
    let terminal = start(&gate, "");
    terminal.shows("no gateway can be reached");
    restored(terminal, "3");
}

#[test]
fn a_key_is_heard_in_a_storm_of_resizes() {
    let gate = with_database();
    let mut terminal = start(&gate, "--tab databases");
    terminal.shows("a.example");
    let pid = pid(&terminal);
    let storm = || (0..20).for_each(|_| kill_process(pid, Signal::WINCH).unwrap());
    for _ in 0..50 {
        storm();
        terminal.type_in("?");
        terminal.shows("dbgate top: keys");
        storm();
        terminal.type_in(" ");
        terminal.until("no help", |screen| {
            !screen.contents().contains("dbgate top: keys")
        });
    }
    terminal.type_in("q");
    restored(terminal, "0");
}

#[test]
fn it_ends_quietly_with_its_terminal() {
    let gate = with_database();
    let code = gate.dir().join("code");
    // The shell outlives the terminal, and tells how top ended.
    let mut terminal = Terminal::run(&format!(
        "stty rows 24 cols 100; trap '' HUP; \
         '{}' top --interval 100ms --tab databases --socket '{}'; echo $? >'{}'",
        env!("CARGO_BIN_EXE_dbgate"),
        gate.socket().display(),
        code.display(),
    ));
    terminal.shows("a.example");
    terminal.child.kill().unwrap();
    let until = Instant::now() + LIMIT;
    let ended = loop {
        let text = fs::read_to_string(&code).unwrap_or_default();
        if text.ends_with('\n') || Instant::now() > until {
            break text;
        }
        thread::yield_now();
    };
    assert_eq!(ended, "129\n");
}
