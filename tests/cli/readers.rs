//! The socket of those who may look and not touch.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::gate::{EMPTY, Gate, LIMIT, Ran, Running, closed, dbgate, echo};
use crate::terminal::Terminal;

/// A gateway with a socket for readers, a database of the configuration with a secret in the URL
/// that wakes it, and one that `ctl` made.
fn with_readers(keys: &str) -> Gate {
    // A session here never gets beyond its first hello.
    let config = format!(
        "{EMPTY}[timeouts]\nhandshake = \"1h\"\n[control]\nsocket = \"s.sock\"\nread_only_socket = \"read.sock\"\n{keys}\
         [database.pg1]\nprotocol = \"tls\"\nbackends = [\"127.0.0.1:1\"]\nhosts = [\"a.example\"]\n\
         hold = \"5s\"\nwake = {{ http = \"POST http://127.0.0.1:1/pg1?token=s3cret\" }}\n"
    );
    let gate = Gate::new(&config);
    let to = echo().to_string();
    let expose = ["expose", "db", "--host", "b.example", "--to", &to];
    gate.ctl(&[&expose[..], &["--protocol", "tls"]].concat())
        .done();
    gate
}

fn socket(gate: &Gate) -> PathBuf {
    gate.dir().join("read.sock")
}

/// `dbgate` with these words, at the readers' socket.
fn reader(gate: &Gate, words: &[&str]) -> Command {
    let mut command = dbgate();
    command.current_dir(gate.dir()).args(words);
    command.arg("--socket").arg(socket(gate));
    command
}

fn ctl(gate: &Gate, words: &[&str]) -> Ran {
    Ran::of(&mut reader(gate, &[&["ctl"], words].concat()))
}

#[test]
fn everything_can_be_looked_at() {
    let gate = with_readers("");
    let _session = gate.session("b.example");
    for (words, shown) in [
        (&["list"][..], "a.example"),
        (&["ls", "db"], "b.example"),
        (&["show", "pg1"], "a.example"),
        (&["explain", "b.example"], "db"),
        (&["sessions"], "b.example"),
        (&["ps", "db"], "b.example"),
        (&["status"], "127.0.0.1"),
        (&["export"], "[database.db]"),
        (&["events", "--kind", "database"], "b.example"),
    ] {
        for output in ["table", "json"] {
            let out = ctl(&gate, &[words, &["-o", output]].concat()).done();
            assert!(out.contains(shown), "{words:?}: {out}");
        }
    }
    assert_eq!(ctl(&gate, &["rejects"]).code, Some(0));
    assert!(ctl(&gate, &["diff"]).differs().contains("made by ctl"));

    // What goes on.
    let events = Running::start(&mut reader(&gate, &["ctl", "events", "--follow"]));
    events.err.wait(0, "Following");
    let rejects = Running::start(&mut reader(&gate, &["ctl", "rejects", "--follow"]));
    rejects.err.wait(0, "Following");
    let sessions = Running::start(&mut reader(&gate, &["ctl", "sessions", "--watch"]));
    sessions.out.wait(0, "b.example");
    gate.client("nowhere.example");
    rejects.out.wait(0, "nowhere.example");
    events.out.wait(0, "nowhere.example");

    let once = ["top", "--once", "-o", "json", "--interval", "100ms"];
    let out = Ran::of(&mut reader(&gate, &once)).done();
    let all: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(all["databases"].as_array().unwrap().len(), 2, "{all:#}");
}

#[test]
fn nothing_can_be_changed() {
    let mut gate = with_readers("");
    let mut session = gate.session("b.example");
    let id = gate.json(&["sessions"])["sessions"][0]["id"].to_string();
    let revision = gate.revision();
    let changes: [&[&str]; 12] = [
        &["expose", "db", "--host", "c.example", "--no-check"],
        &["expose", "db", "--host", "c.example", "--dry-run"],
        &[
            "expose",
            "new",
            "--host",
            "n.example",
            "--to",
            "127.0.0.1:1",
        ],
        &["hide", "db", "--kill"],
        &["hide", "nobody", "--if-exists"],
        &["delete", "db"],
        &["rm", "db", "--dry-run"],
        &["kill", &id],
        &["kill", "--database", "db"],
        &["drain", "db"],
        &["resume", "db"],
        &["reload"],
    ];
    let mut seen = 0;
    for words in changes {
        let told = ctl(&gate, words).failed(1);
        assert_eq!(
            told,
            "dbgate: nothing changed: this control socket is for reading only; changes are made on the \
             gateway's other one, by those who may open it\n",
            "{words:?}"
        );
        let line;
        (line, seen) = gate.running().err.wait(seen, "on the read-only socket");
        for part in ["refused: asked for", "uid=", "command=\"dbgate ctl "] {
            assert!(line.contains(part), "{part} in {line}");
        }
        let told = ctl(&gate, &[words, &["-o", "json"]].concat());
        let error: Value = serde_json::from_str(&told.out).unwrap();
        assert_eq!(error["error"]["code"], "refused", "{words:?}: {error}");
        assert_eq!(told.code, Some(1), "{words:?}");
        (_, seen) = gate.running().err.wait(seen, "on the read-only socket");
    }
    assert_eq!(gate.revision(), revision);
    assert!(gate.json(&["status"])["last_reload"].is_null());
    let kept = gate.json(&["events", "--kind", "control"]);
    assert_eq!(kept["events"], Value::Array(Vec::new()));

    // The session lives, and ends by those who may end it.
    assert_eq!(gate.json(&["sessions"])["sessions"][0]["state"], "open");
    gate.ctl(&["kill", &id]).done();
    closed(&mut session);
}

#[test]
fn top_neither_offers_nor_does_what_changes_anything() {
    let gate = with_readers("");
    let _session = gate.session("b.example");
    let mut terminal = Terminal::run(&format!(
        "stty rows 24 cols 100; exec '{}' top --interval 100ms --tab sessions --socket '{}'",
        env!("CARGO_BIN_EXE_dbgate"),
        socket(&gate).display(),
    ));
    terminal.shows("b.example");
    terminal.shows("read-only");
    terminal.type_in("jK");
    terminal.shows("read-only: nothing can be changed here");
    terminal.type_in("?");
    let help = terminal.shows("dbgate top: keys");
    let offered = ["kill sessions", "drain or resume"].map(|keys| help.contains(keys));
    assert_eq!(offered, [false, false], "{help}");
    assert_eq!(gate.json(&["sessions"])["sessions"][0]["state"], "open");
}

#[test]
fn secrets_are_not_shown() {
    let gate = with_readers("");
    gate.configure(
        &fs::read_to_string(gate.config())
            .unwrap()
            .replace("s3cret", "s3cret-2"),
    );
    let told = gate.ctl(&["export"]).done();
    assert!(told.contains("s3cret"), "operators need it: {told}");
    for words in [&["show", "pg1"][..], &["export"], &["diff"]] {
        for output in ["wide", "json"] {
            let ran = ctl(&gate, &[words, &["-o", output]].concat());
            assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
            assert!(!ran.out.contains("s3cret"), "{words:?}: {}", ran.out);
            assert!(ran.out.contains("/pg1?..."), "{words:?}: {}", ran.out);
        }
    }
    // What is exported there is a configuration all the same.
    let exported = ctl(&gate, &["export"]).done();
    let file = gate.dir().join("exported.toml");
    fs::write(&file, exported).unwrap();
    let mut check = dbgate();
    check.args(["serve", "--check", "-c"]).arg(file);
    let checked = Ran::of(&mut check);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[test]
fn it_has_a_mode_and_a_group_of_its_own() {
    let gid = rustix::process::getegid().as_raw();
    let keys = format!("mode = \"0600\"\nread_only_mode = \"0606\"\nread_only_group = \"{gid}\"\n");
    let gate = with_readers(&keys);
    let found = |path: PathBuf| {
        let meta = fs::metadata(path).unwrap();
        (meta.mode() & 0o777, meta.gid())
    };
    assert_eq!(found(socket(&gate)), (0o606, gid));
    assert_eq!(found(gate.socket().to_owned()).0, 0o600);

    // A stranger gets in there only, and is told of it.
    fs::set_permissions(gate.dir(), Permissions::from_mode(0o755)).unwrap();
    let list = reader(&gate, &["ctl", "list"]);
    if rustix::process::geteuid().is_root() {
        let mut list = gate.as_stranger(list);
        assert!(Ran::of(&mut list).done().contains("a.example"));
        fs::rename(gate.config(), gate.dir().join("dbgate.toml")).unwrap();
        let mut plain = dbgate();
        plain.args(["ctl", "list"]);
        let mut plain = gate.as_stranger(plain);
        let told = Ran::of(plain.current_dir(gate.dir())).failed(3);
        assert!(told.contains("you may not open it"), "{told}");
        assert!(told.contains("another one: --socket read.sock"), "{told}");
    }
}

#[test]
fn it_is_gone_with_the_gateway_and_taken_again() {
    let mut gate = with_readers("");
    gate.running().signal(rustix::process::Signal::TERM);
    assert_eq!(gate.running().end().code(), Some(0));
    assert!(!socket(&gate).exists());
    gate.start();
    gate.kill();
    assert!(socket(&gate).exists());
    gate.start();
    ctl(&gate, &["list"]).done();
}

#[test]
fn a_place_that_cannot_be_used_is_named_before_the_start_and_at_it() {
    let control = |keys: &str| format!("{EMPTY}[control]\n{keys}\n");
    let gate = Gate::stopped(EMPTY);
    fs::write(gate.dir().join("file"), "").unwrap();
    for (keys, line, words) in [
        ("read_only_mode = \"0660\"", 4, "goes with read_only_socket"),
        (
            "socket = \"a.sock\"\nread_only_socket = \"a.sock\"",
            5,
            "give it a path of its own",
        ),
        (
            "read_only_socket = \"file\"",
            4,
            "exists and is not a socket",
        ),
        ("socket = \"file/a.sock\"", 4, "is not a directory"),
        ("group = \"no-such-group\"", 4, "no group no-such-group"),
        (
            "read_only_socket = \"r.sock\"\nread_only_group = \"no-such-group\"",
            5,
            "no group no-such-group",
        ),
    ] {
        gate.configure(&control(keys));
        let checked = Ran::of(gate.serve().arg("--check"));
        assert_eq!(checked.code, Some(1), "{keys}: {checked:?}");
        let place = format!("{}:{line}:1: error: ", gate.config().display());
        let told = checked.out.lines().next().unwrap();
        assert!(told.starts_with(&place) && told.contains(words), "{told}");
    }
    gate.configure(&control("read_only_socket = \"file\""));
    let told = Ran::of(&mut gate.serve()).failed(1);
    for words in [
        "read-only control socket ",
        "file: exists and is not a socket",
        "[control] read_only_socket names another place for it",
    ] {
        assert!(told.contains(words), "{told}");
    }
    // Root may give it to any group, others only to their own.
    gate.configure(&control("group = \"4000000\""));
    fs::set_permissions(gate.dir(), Permissions::from_mode(0o755)).unwrap();
    let mut check = gate.serve();
    check.arg("--check");
    let told = Ran::of(&mut gate.as_stranger(check)).done();
    let place = format!("{}:4:1: warning: ", gate.config().display());
    let line = told.lines().next().unwrap();
    assert!(line.starts_with(&place), "{told}");
    assert!(line.contains("is no member of the group 4000000"), "{told}");
    // The path of the command line may be that of the file's other socket.
    gate.configure(&control("read_only_socket = \"s.sock\""));
    let told = Ran::of(&mut gate.serve()).failed(1);
    assert!(told.contains("the other control socket's path"), "{told}");
}

#[test]
fn readers_leave_room_for_those_who_steer() {
    let gate = with_readers("");
    let mut watching = Vec::new();
    let refused = loop {
        let mut stream = UnixStream::connect(socket(&gate)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let watch = r#"{"v":1,"id":1,"cmd":"watch","interval_ms":60000}"#;
        writeln!(stream, "{watch}").unwrap();
        let mut lines = BufReader::new(stream);
        let mut answer = String::new();
        lines.read_line(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        if answer["ok"] == false {
            break answer;
        }
        assert_eq!(answer["read_only"], true, "{answer}");
        watching.push(lines);
        assert!(watching.len() < 1000, "without a bound");
    };
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("callers watch this gateway"), "{refused}");
    let mut top = dbgate();
    top.args(["top", "--once", "--interval", "100ms", "--socket"]);
    Ran::of(top.arg(gate.socket())).done();
}
