//! `dbgate serve` as its user meets it: how it greets, and what it says when it cannot start.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::gate::{EMPTY, Gate, Ran, Running, dbgate};

#[test]
fn a_terminal_is_greeted_with_what_was_chosen_and_what_to_type_next() {
    let gate = Gate::stopped(EMPTY);
    let serve = gate.serve();
    let words: Vec<&str> = std::iter::once(serve.get_program())
        .chain(serve.get_args())
        .map(|word| word.to_str().unwrap())
        .collect();
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &words.join(" "), "/dev/null"]);
    terminal
        .env_remove("DBGATE_LOG")
        .stdin(std::process::Stdio::null());
    let mut terminal = Running::start(&mut terminal);
    let (_, at) = terminal.out.wait(0, " is ready");
    let socket = gate.socket();
    terminal
        .out
        .wait(at, &format!("config     {}", gate.config().display()));
    terminal
        .out
        .wait(at, &format!("control    {}", socket.display()));
    let next = format!("dbgate ctl --socket {} expose pg1", socket.display());
    let (_, at) = terminal.out.wait(at, &next);
    let pid = gate.json(&["status"])["pid"].as_i64().unwrap();
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    terminal.out.wait(at, "stopped");
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn a_pipe_gets_the_next_command_and_a_service_manager_does_not() {
    for managed in [false, true] {
        let gate = Gate::stopped(EMPTY);
        let mut serve = gate.serve();
        for name in ["NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM"] {
            serve.env_remove(name);
        }
        if managed {
            serve.env("INVOCATION_ID", "1");
        }
        let mut running = Running::start(&mut serve);
        let (_, at) = running.err.wait(0, " ready ");
        if !managed {
            let next = format!(
                "Next, in another terminal: dbgate ctl --socket {} expose pg1",
                gate.socket().display()
            );
            running.err.wait(at, &next);
        }
        running.signal(Signal::TERM);
        running.end();
        running.err.wait(0, "stopped");
        let log = running.err.all();
        assert_eq!(log.contains("another terminal"), !managed, "{log}");
        assert!(!log.contains('\u{1b}'), "{log}");
    }
}

/// Of a database that the configuration declares it says where it is.
#[test]
fn the_next_command_works_as_it_is_printed() {
    let declared =
        format!("{EMPTY}[database.orders]\nprotocol = \"tls\"\nbackends = [\"127.0.0.1:9\"]\n");
    for config in [EMPTY, &declared] {
        let gate = Gate::stopped(config);
        let mut serve = gate.serve();
        for name in ["NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM"] {
            serve.env_remove(name);
        }
        let running = Running::start(&mut serve);
        let (line, _) = running.err.wait(0, "Next, in another terminal: ");
        let (_, next) = line.split_once("terminal: ").expect("a command");
        let words: Vec<&str> = next.split_whitespace().skip(1).collect();
        let done = Ran::of(dbgate().args(&words).arg("--no-check")).done();
        assert!(done.contains("is reachable under"), "{next}: {done}");
    }
}

/// In a network of its own, since the default port is the same for all.
#[test]
fn a_first_start_without_configuration_has_no_warning() {
    let gate = Gate::stopped(EMPTY);
    for limit in ["512:512", "300:300"] {
        let mut first = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            first.args(["--user", "--map-root-user"]);
        }
        first.args(["--net", "prlimit", &format!("--nofile={limit}")]);
        first.arg(dbgate().get_program()).arg("serve");
        first.arg("--socket").arg(gate.socket());
        first.arg("--state-dir").arg(gate.state());
        // There is no dbgate.toml.
        first
            .current_dir(gate.socket().parent().unwrap())
            .env_remove("DBGATE_LOG");
        fs::remove_file(gate.config()).ok();
        let mut running = Running::start(&mut first);
        running.err.wait(0, " ready ");
        running.signal(Signal::TERM);
        running.end();
        running.err.wait(0, "stopped");
        let log = running.err.all();
        assert!(!log.contains("WARN"), "{log}");
        assert!(log.contains("which gives way"), "{log}");
    }
    // One that was asked for is another matter, and so is one that fits.
    for (sessions, warned) in [(100, false), (20_000, true)] {
        gate.configure(&format!("{EMPTY}[limits]\nmax_sessions = {sessions}\n"));
        let serve = gate.serve();
        let mut limited = Command::new("prlimit");
        limited
            .arg("--nofile=512:512")
            .arg(serve.get_program())
            .args(serve.get_args());
        let mut running = Running::start(&mut limited);
        running.err.wait(0, " ready ");
        running.signal(Signal::TERM);
        running.end();
        let log = running.err.all();
        assert_eq!(
            log.contains("too low for limits.max_sessions"),
            warned,
            "{log}"
        );
    }
}

#[test]
fn without_a_configuration_there_are_defaults() {
    let gate = Gate::stopped(EMPTY);
    let told = Ran::of(dbgate().args(["serve", "--check"]).current_dir(gate.dir())).done();
    // A machine may have /etc/dbgate/dbgate.toml.
    assert!(
        told.contains("built-in defaults") || told.contains("/etc/dbgate"),
        "{told}"
    );
}

#[test]
fn a_wrong_configuration_is_told_in_full() {
    let gate = Gate::stopped("[listner.main]\n[database.pg1]\nprotocol = \"postgrs\"\n");
    let file = gate.config();
    let file = file.display();
    let told = Ran::of(&mut gate.serve()).failed(1);
    assert!(told.contains(&format!("{file}:1:")), "{told}");
    assert!(told.contains("did you mean"), "{told}");
    assert!(told.contains(&format!("{file}:3:12: error: ")), "{told}");
    let end = format!("dbgate: not started: {file} cannot be used as it is\n");
    assert!(told.ends_with(&end), "{told}");
    let checked = Ran::of(gate.serve().arg("--check"));
    assert_eq!((checked.code, checked.err.as_str()), (Some(1), ""));
    assert!(checked.out.contains(": not usable ("), "{checked:?}");

    fs::remove_file(gate.config()).unwrap();
    let told = Ran::of(&mut gate.serve()).failed(1);
    assert!(
        told.contains(&format!("{file}: error: cannot be read: No such file")),
        "{told}"
    );
}

#[test]
fn check_looks_at_the_files_that_are_named() {
    let gate = Gate::stopped(EMPTY);
    let good = Ran::of(gate.serve().arg("--check")).done();
    assert!(good.ends_with(": ok (0 errors, 0 warnings)\n"), "{good}");
    gate.configure(&format!(
        "{EMPTY}[tls]\ncert = \"no.crt\"\nkey = \"no.key\"\n"
    ));
    let bad = Ran::of(gate.serve().arg("--check"));
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(bad.out.contains(":4:1: error: cannot read"), "{bad:?}");
    assert!(
        bad.out.ends_with(": not usable (2 errors, 0 warnings)\n"),
        "{bad:?}"
    );
    assert!(!gate.state().exists(), "a check leaves nothing behind");
}

#[test]
fn check_says_everything_in_one_round() {
    let gate = Gate::stopped(&format!(
        "{EMPTY}[tls]\ncert = \"no.crt\"\nkey = \"no.key\"\n\
         [database.a]\nbackends = [\"a\"]\ntls = \"terminat\"\n\
         [database.b]\nbackends = [\"b:5432\"]\ntls = \"terminate\"\nclient_ca = \"no.ca\"\nclient_crl = \"no.crl\"\n\
         [database.c]\nbackends = [\"c:5432\"]\nhosts = [\"x.example\"]\n\
         [database.d]\nbackends = [\"d:5432\"]\nhosts = [\"x.example\"]\n\
         [listener.other]\nbind = [\"127.0.0.1:7001\"]\n[listener.same]\nbind = [\"127.0.0.1:7001\"]\n\
         [log]\naccess_to = \"/nowhere/a.log\"\n"
    ));
    let checked = Ran::of(gate.serve().arg("--check"));
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let all = [
        "no.crt",
        "no.key",
        "no TLS mode",
        "no.ca",
        "no.crl",
        "x.example",
        "127.0.0.1:7001",
        "/nowhere",
    ];
    let mut last = 0;
    for line in checked
        .out
        .lines()
        .filter(|line| line.contains(": error: "))
    {
        let number: usize = line.split(':').nth(1).unwrap().parse().unwrap();
        assert!(number >= last, "{}", checked.out);
        last = number;
    }
    for words in all {
        assert!(checked.out.contains(words), "{words}: {}", checked.out);
    }
}

#[test]
fn usage() {
    let gate = Gate::stopped(EMPTY);
    let told = Ran::of(gate.serve().args(["--threads", "0"])).failed(2);
    assert!(told.contains("--threads"), "{told}");
}

#[test]
fn two_gateways_do_not_share() {
    let first = Gate::new(EMPTY);
    let told = Ran::of(&mut first.serve()).failed(1);
    assert!(
        told.contains("another dbgate uses the state directory"),
        "{told}"
    );
    assert!(told.contains("--state-dir"), "{told}");

    let second = Gate::stopped(EMPTY);
    let mut same_socket = dbgate();
    same_socket.arg("serve").arg("-c").arg(second.config());
    same_socket.arg("--state-dir").arg(second.state());
    same_socket.arg("--socket").arg(first.socket());
    let told = Ran::of(&mut same_socket).failed(1);
    assert!(told.contains("another dbgate listens there"), "{told}");
    assert!(told.contains("--socket names another place"), "{told}");

    second.configure(&EMPTY.replace("127.0.0.1:0", &first.addr().to_string()));
    let told = Ran::of(&mut second.serve()).failed(1);
    assert!(
        told.contains(&format!("cannot listen on {}", first.addr())),
        "{told}"
    );
    assert_eq!(told.matches("in use").count(), 1, "{told}");
    assert!(!second.socket().exists(), "nothing is left behind");
    first.ctl(&["status"]).done();
}

#[test]
fn places_that_cannot_be_used_are_named_with_a_way_out() {
    let gate = Gate::stopped(EMPTY);
    fs::write(gate.state(), "").unwrap();
    let told = Ran::of(&mut gate.serve()).failed(1);
    let state = gate.state();
    assert!(told.contains(state.to_str().unwrap()), "{told}");
    assert!(told.contains("--state-dir names another place"), "{told}");
    fs::remove_file(gate.state()).unwrap();

    fs::write(gate.socket(), "not a socket").unwrap();
    let told = Ran::of(&mut gate.serve()).failed(1);
    assert!(told.contains(gate.socket().to_str().unwrap()), "{told}");
    assert!(told.contains("--socket names another place"), "{told}");
    assert_eq!(fs::read_to_string(gate.socket()).unwrap(), "not a socket");
}

#[test]
fn a_state_directory_without_permission() {
    let gate = Gate::stopped(EMPTY);
    fs::set_permissions(gate.dir(), Permissions::from_mode(0o755)).unwrap();
    let closed = gate.dir().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o500)).unwrap();
    let mut serve = dbgate();
    serve.arg("serve").arg("-c").arg(gate.config());
    serve.arg("--socket").arg(gate.socket());
    serve.arg("--state-dir").arg(closed.join("state"));
    let mut serve = gate.as_stranger(serve);
    let told = Ran::of(&mut serve).failed(1);
    assert!(told.contains("Permission denied"), "{told}");
    assert_eq!(told.matches("Permission denied").count(), 1, "{told}");
    assert!(told.contains("--state-dir names another place"), "{told}");
}
