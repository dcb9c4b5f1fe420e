//! `serve --user`: what root does first, and what is left of root afterwards. Who is no root learns
//! that it takes root, which is all there is to see then.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::process::{Signal, geteuid};

use crate::gate::{EMPTY, Gate, Ran, Running};

/// The uid and gid of the user `nobody` and its group on Debian.
const NOBODY: u32 = 65534;

/// Returns whether this test can go on; where it cannot, that `--user` says so is checked.
fn is_root() -> bool {
    if geteuid().is_root() {
        return true;
    }
    let gate = Gate::stopped(EMPTY);
    let told = Ran::of(gate.serve().args(["--user", "nobody"])).failed(1);
    assert!(told.contains("--user nobody needs root"), "{told}");
    false
}

/// A directory that others can enter, with this configuration in it.
fn reachable(config: &str) -> Gate {
    let mut gate = Gate::stopped(config);
    fs::set_permissions(gate.dir(), Permissions::from_mode(0o755)).unwrap();
    gate.place_socket("run/control.sock");
    gate
}

fn start(gate: &Gate) -> Running {
    let running = Running::start(gate.serve_by("2").args(["--user", "nobody"]));
    running.err.wait(0, " ready ");
    running
}

/// An address with a port that only root may bind. The number tells tests of this process apart,
/// the rest of the loopback network processes.
fn privileged(number: u8) -> SocketAddr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, number, high, low);
    let addrs = (600..1024).map(|port| SocketAddr::from((ip, port)));
    let free = |addr: &SocketAddr| TcpListener::bind(addr).is_ok();
    addrs
        .into_iter()
        .find(free)
        .expect("a free port below 1024")
}

fn bind(addrs: &[SocketAddr]) -> String {
    let quoted: Vec<String> = addrs.iter().map(|addr| format!("\"{addr}\"")).collect();
    format!("[listener.main]\nbind = [{}]\n", quoted.join(", "))
}

fn status(path: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(path.join("status")).unwrap();
    let of = |line: &str| {
        let (key, value) = line.split_once(':')?;
        let words: Vec<&str> = value.split_whitespace().collect();
        Some((key.to_owned(), words.join(" ")))
    };
    text.lines().filter_map(of).collect()
}

#[test]
fn nothing_of_root_is_left_and_privileged_ports_are_bound() {
    if !is_root() {
        return;
    }
    let addr = privileged(101);
    let gate = reachable(&bind(&[addr]));
    let mut running = start(&gate);
    let id = running.child.id();
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{id}/task")).unwrap() {
        let all = status(&thread.unwrap().path());
        let has = |key: &str, wanted: &str| {
            assert!(
                all.contains(&(key.to_owned(), wanted.to_owned())),
                "{key} is not {wanted}: {all:?}"
            );
        };
        has("Uid", "65534 65534 65534 65534");
        has("Gid", "65534 65534 65534 65534");
        has("Groups", "65534");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            has(set, "0000000000000000");
        }
        has("NoNewPrivs", "1");
        threads += 1;
    }
    assert!(threads > 2, "{threads}");
    let owner = |path: &Path| {
        let meta = fs::metadata(path).unwrap();
        (meta.uid(), meta.mode() & 0o777)
    };
    assert_eq!(owner(&gate.state()), (NOBODY, 0o700));
    assert_eq!(owner(gate.socket().parent().unwrap()), (NOBODY, 0o755));
    assert_eq!(owner(gate.socket()), (NOBODY, 0o660));
    assert_eq!(gate.addr(), addr);
    TcpStream::connect(addr).unwrap();
    assert!(!running.err.all().contains("running as root"));

    running.signal(Signal::TERM);
    assert_eq!(running.end().code(), Some(0));
    // What it made the first time is there for the second.
    start(&gate);
}

#[test]
fn a_reload_may_drop_a_privileged_port_and_take_it_back_but_not_bind_another() {
    if !is_root() {
        return;
    }
    let addr = privileged(102);
    let gate = reachable(&bind(&[addr]));
    let _running = start(&gate);
    gate.configure(EMPTY);
    gate.ctl(&["reload"]).done();
    let refused = TcpStream::connect(addr).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    gate.configure(&bind(&[addr]));
    gate.ctl(&["reload"]).done();
    TcpStream::connect(addr).unwrap();

    let another = privileged(103);
    gate.configure(&bind(&[addr, another]));
    let told = gate.ctl(&["reload"]).failed(1);
    for part in [
        &another.to_string(),
        "restart dbgate",
        "runs as user nobody",
    ] {
        assert!(told.contains(part), "{told}");
    }
    TcpStream::connect(addr).unwrap();
}

#[test]
fn files_are_read_as_the_user_and_the_error_says_so() {
    if !is_root() {
        return;
    }
    let secret = |path: &Path| {
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    };
    let gate = reachable(EMPTY);
    secret(&gate.config());
    let mut serve = gate.serve();
    let told = Ran::of(serve.args(["--user", "nobody"])).failed(1);
    let denied = "Permission denied (os error 13); dbgate runs as user nobody (uid 65534)";
    assert!(
        told.contains("gate.toml") && told.contains(denied),
        "{told}"
    );
    let mut check = gate.serve();
    let told = Ran::of(check.args(["--check", "--user", "nobody"]));
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.out.contains(denied), "{told:?}");

    let pair = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let gate = reachable(&format!(
        "{EMPTY}[tls]\ncert = \"c.crt\"\nkey = \"c.key\"\n"
    ));
    fs::write(gate.dir().join("c.crt"), pair.cert.pem()).unwrap();
    fs::write(gate.dir().join("c.key"), pair.signing_key.serialize_pem()).unwrap();
    let mut running = start(&gate);
    secret(&gate.dir().join("c.key"));
    let told = gate.ctl(&["reload"]).failed(1);
    assert!(told.contains("c.key") && told.contains(denied), "{told}");
    running.signal(Signal::TERM);
    running.end();
    let told = Ran::of(gate.serve().args(["--user", "nobody"])).failed(1);
    assert!(told.contains("c.key") && told.contains(denied), "{told}");
}

#[test]
fn who_stays_root_is_told_and_nobody_turns_into_root() {
    if !is_root() {
        return;
    }
    let gate = Gate::new(EMPTY);
    let mut serve = gate.serve();
    let told = Ran::of(serve.args(["--user", "root"])).failed(1);
    assert!(told.contains("root is root"), "{told}");
    let mut serve = gate.serve();
    let told = Ran::of(serve.args(["--user", "no-such-user"])).failed(1);
    assert!(told.contains("there is no user no-such-user"), "{told}");
    let mut gate = gate;
    gate.running().err.wait(0, "running as root");
}
