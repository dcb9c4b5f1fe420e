//! Notifications to a service manager; the manager is a socket of the test.
//!
//! Not here: a real systemd (`tests/systemd`).

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::process::Signal;

use crate::gate::{EMPTY, Gate, LIMIT, Running, echo};

/// A service manager's end of `NOTIFY_SOCKET`, and a gateway that talks to it.
struct Managed {
    gate: Gate,
    socket: UnixDatagram,
    running: Running,
}

impl Managed {
    fn start(config: &str) -> Self {
        let gate = Gate::stopped(config);
        let path = gate.dir().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self::told(gate, socket, path.as_ref())
    }

    /// A manager whose socket is in the abstract namespace, where systemd has it in containers.
    fn abstractly(config: &str) -> Self {
        let gate = Gate::stopped(config);
        let name = format!("dbgate-test{}", gate.dir().display());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Self::told(gate, socket, format!("@{name}").as_ref())
    }

    fn told(gate: Gate, socket: UnixDatagram, place: &OsStr) -> Self {
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let running = Running::start(gate.serve().env("NOTIFY_SOCKET", place));
        Self {
            gate,
            socket,
            running,
        }
    }

    fn message(&self) -> String {
        let mut buffer = [0; 4096];
        let len = self.socket.recv(&mut buffer).unwrap_or_else(|e| {
            panic!(
                "no message: {e}; the gateway said\n{}",
                self.running.err.all()
            )
        });
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    /// The next message that is more than a status.
    fn change(&self) -> String {
        loop {
            let message = self.message();
            if !message.starts_with("STATUS=") {
                return message;
            }
        }
    }

    /// The first status from here on that begins with this.
    fn status(&self, begin: &str) -> String {
        loop {
            let message = self.message();
            if let Some(status) = message.strip_prefix("STATUS=")
                && status.starts_with(begin)
            {
                return status.to_owned();
            }
        }
    }

    /// The begin of a reload; its time in microseconds.
    fn reloading(&self) -> u128 {
        let message = self.change();
        let time = message
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .unwrap_or_else(|| panic!("{message:?}"));
        time.trim_end().parse().unwrap()
    }

    /// That the process is ready, with this in its status.
    fn ready(&self, status: &str) {
        let message = self.change();
        let told = message.strip_prefix("READY=1\nSTATUS=");
        assert!(
            told.is_some_and(|told| told.contains(status)),
            "{message:?} without {status:?}"
        );
    }
}

const ONE: &str = "[database.pg1]
protocol = \"postgres\"
backends = [\"10.0.0.1:5432\"]
hosts = [\"a.example\"]
";

#[test]
fn ready_is_told_when_clients_and_ctl_are_served() {
    let managed = Managed::start(EMPTY);
    managed.ready("0 databases on 127.0.0.1:");
    let addr = managed.gate.addr();
    std::net::TcpStream::connect(addr).unwrap();
}

#[test]
fn every_reload_is_told_from_its_begin_to_its_end() {
    let managed = Managed::start(EMPTY);
    managed.ready("0 databases on ");

    managed.gate.configure(&format!("{EMPTY}{ONE}"));
    managed.running.signal(Signal::HUP);
    let first = managed.reloading();
    managed.ready("1 database on 127.0.0.1:");

    managed
        .gate
        .configure(&format!("{EMPTY}[limits]\nmax_sesions = 1\n"));
    managed.running.signal(Signal::HUP);
    let second = managed.reloading();
    assert!(first < second, "{first} {second}");
    let failed = "; last reload failed, nothing changed: ";
    managed.ready(failed);

    // What ctl does shows as well, and does not hide the failure.
    managed
        .gate
        .ctl(&[
            "expose",
            "pg2",
            "--host",
            "b.example",
            "--to",
            "10.0.0.2:5432",
        ])
        .done();
    let status = managed.status("2 databases on ");
    assert!(status.contains(failed), "{status}");

    // A reload by ctl is a reload, good or bad.
    managed.gate.ctl(&["reload"]).failed(1);
    managed.reloading();
    managed.ready("max_sesions");
    managed.gate.configure(EMPTY);
    managed.gate.ctl(&["reload"]);
    managed.reloading();
    let message = managed.change();
    assert!(
        message.starts_with("READY=1\nSTATUS=1 database on ") && !message.contains("failed"),
        "{message}"
    );
}

#[test]
fn a_long_drain_keeps_the_service_manager_waiting() {
    let mut managed = Managed::start(&format!("[timeouts]\ndrain = \"5m\"\n{EMPTY}"));
    managed.ready("");
    let to = echo().to_string();
    managed
        .gate
        .ctl(&[
            "expose",
            "db",
            "--host",
            "a.example",
            "--protocol",
            "tls",
            "--to",
            &to,
        ])
        .done();
    let client = managed.gate.session("a.example");
    managed.running.signal(Signal::TERM);
    let message = managed.change();
    let waiting = "STATUS=stopping: waiting for 1 session to end\nEXTEND_TIMEOUT_USEC=15000000\n";
    assert_eq!(message, format!("STOPPING=1\n{waiting}"));
    assert_eq!(managed.message(), waiting);
    drop(client);
    assert_eq!(managed.running.end().code(), Some(0));
}

#[test]
fn a_service_manager_that_is_gone_is_no_reason_to_stop() {
    let gate = Gate::stopped(EMPTY);
    let mut serve = gate.serve();
    let running = Running::start(serve.env("NOTIFY_SOCKET", gate.dir().join("none")));
    running.err.wait(0, "cannot notify the service manager");
    gate.ctl(&["status"]).done();
}

#[test]
fn a_socket_in_the_abstract_namespace_is_told_everything() {
    let managed = Managed::abstractly(EMPTY);
    managed.ready("");
    managed.running.signal(Signal::HUP);
    managed.reloading();
    managed.ready("");
    managed.running.signal(Signal::TERM);
    let message = managed.change();
    assert!(message.starts_with("STOPPING=1\n"), "{message:?}");
}
