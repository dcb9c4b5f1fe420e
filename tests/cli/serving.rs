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
fn a_log_is_not_greeted() {
    let mut gate = Gate::new(EMPTY);
    gate.running().signal(Signal::TERM);
    gate.running().end();
    gate.running().err.wait(0, "stopped");
    let log = gate.running().err.all();
    assert!(!log.contains("another terminal"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
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
