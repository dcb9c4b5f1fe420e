//! The places where `ctl` looks for a gateway, and its error when there is none: what is there instead, and
//! what to do.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::process::Command;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::gate::{EMPTY, Gate, LIMIT, Ran, dbgate};

/// The line that says what is wrong; the rest has to name the path and the ways out.
fn reason(gate: &Gate, command: &mut Command) -> String {
    let told = Ran::of(command).failed(3);
    let lines: Vec<&str> = told.lines().map(str::trim).collect();
    let socket = gate.socket();
    assert_eq!(
        lines[0],
        format!("dbgate: no gateway can be reached at {}", socket.display())
    );
    for way_out in ["--socket PATH", "DBGATE_SOCKET"] {
        assert!(told.contains(way_out), "{told}");
    }
    assert!(
        told.contains("`dbgate serve`") || told.contains("--socket /run/dbgate/control.sock"),
        "{told}"
    );
    lines[1].to_owned()
}

#[test]
fn nothing_there() {
    let gate = Gate::stopped(EMPTY);
    assert_eq!(
        reason(&gate, &mut gate.command(&["list"])),
        "It does not exist."
    );
    symlink("gone/s.sock", gate.socket()).unwrap();
    assert_eq!(
        reason(&gate, &mut gate.command(&["list"])),
        "It does not exist."
    );
}

#[test]
fn something_else_there() {
    let gate = Gate::stopped(EMPTY);
    fs::write(gate.socket(), "").unwrap();
    assert_eq!(
        reason(&gate, &mut gate.command(&["list"])),
        "It exists, but it is not a socket."
    );
    fs::remove_file(gate.socket()).unwrap();
    fs::create_dir(gate.socket()).unwrap();
    assert_eq!(
        reason(&gate, &mut gate.command(&["list"])),
        "That is a directory, not a socket."
    );
}

#[test]
fn a_socket_whose_gateway_was_killed() {
    let mut gate = Gate::new(EMPTY);
    gate.kill();
    assert_eq!(
        reason(&gate, &mut gate.command(&["list"])),
        "It exists, but nothing listens on it: the gateway that made it is gone."
    );
    // The next gateway takes its place.
    gate.start();
    gate.ctl(&["status"]).done();
}

#[test]
fn a_socket_that_may_not_be_opened() {
    let gate = Gate::new(EMPTY);
    fs::set_permissions(gate.dir(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(gate.socket(), Permissions::from_mode(0o000)).unwrap();
    let why = reason(&gate, &mut gate.as_stranger(gate.command(&["list"])));
    assert!(
        why.starts_with("It exists, but you may not open it: it belongs to uid "),
        "{why}"
    );
    assert!(why.contains(", mode 0000; you are uid "), "{why}");
}

#[test]
fn a_directory_that_may_not_be_entered() {
    let mut gate = Gate::stopped(EMPTY);
    fs::set_permissions(gate.dir(), Permissions::from_mode(0o755)).unwrap();
    let private = gate.dir().join("private");
    fs::create_dir(&private).unwrap();
    gate.place_socket("private/s.sock");
    gate.start();
    fs::set_permissions(&private, Permissions::from_mode(0o000)).unwrap();
    let why = reason(&gate, &mut gate.as_stranger(gate.command(&["list"])));
    fs::set_permissions(&private, Permissions::from_mode(0o700)).unwrap();
    let start = format!(
        "You may not look into {}: it belongs to uid ",
        private.display()
    );
    assert!(why.starts_with(&start), "{why}");
    assert!(why.contains(", mode 0000; you are uid "), "{why}");
}

#[test]
fn a_gateway_that_hangs_up() {
    let gate = Gate::stopped(EMPTY);
    let listener = std::os::unix::net::UnixListener::bind(gate.socket()).unwrap();
    let hang_up = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // The request is read, so that it is not the sending that fails.
        let mut request = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(&mut stream), &mut request)
            .unwrap();
        request
    });
    let told = gate.ctl(&["list"]).failed(3);
    assert!(hang_up.join().unwrap().contains("\"cmd\":\"list\""));
    assert!(
        told.contains("closed the connection without an answer"),
        "{told}"
    );
}

#[test]
fn the_socket_is_found_as_serve_finds_it() {
    let mut gate = Gate::stopped("");
    gate.configure(&format!("{EMPTY}[control]\nsocket = \"s.sock\"\n"));
    gate.start();
    let mut by_variable = dbgate();
    by_variable
        .args(["ctl", "status"])
        .env("DBGATE_SOCKET", gate.socket());
    Ran::of(&mut by_variable).done();

    fs::rename(gate.config(), gate.dir().join("dbgate.toml")).unwrap();
    let mut by_config = dbgate();
    by_config.args(["ctl", "status"]).current_dir(gate.dir());
    Ran::of(&mut by_config).done();
}

#[test]
fn a_gateway_that_takes_nobody_is_given_up() {
    let gate = Gate::stopped(EMPTY);
    // A socket whose queue is full, and nobody who accepts.
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket
        .bind(&SockAddr::unix(gate.socket()).unwrap())
        .unwrap();
    socket.listen(0).unwrap();
    let _waiting = UnixStream::connect(gate.socket()).unwrap();
    let mut top = dbgate();
    top.args(["top", "--once", "--socket"]).arg(gate.socket());
    for mut command in [gate.command(&["list"]), top] {
        let told = reason(&gate, &mut command);
        assert!(told.contains("not accepted within 5s"), "{told}");
    }
}
