//! Signals: SIGTERM lets sessions finish for a while, a second one does not, SIGHUP reloads.

use std::net::TcpStream;

use rustix::process::Signal;

use super::Ground;
use crate::testbed;

fn ground(drain: &str) -> Ground {
    Ground::with(
        &format!("[timeouts]\ndrain = \"{drain}\"\n"),
        &[("mine", &["mine"])],
    )
}

impl Ground {
    /// Sends SIGTERM, and waits until no client is let in any more.
    #[track_caller]
    fn terminate(&self) {
        let addr = self.gateway.addr("main");
        self.gateway.signal(Signal::TERM);
        self.gateway.wait_log("stopping");
        assert!(
            testbed::until(|| TcpStream::connect(addr).is_err()),
            "a stopping gateway still lets clients in"
        );
    }
}

#[test]
fn terminated_it_waits_for_the_last_session() {
    let mut ground = ground("1h");
    let (mut line, id) = ground.open("mine");
    ground.terminate();
    line.echo().expect("a session of a stopping gateway");
    assert_eq!(ground.states(&[id]), ["open"]);
    ground.finish(line, id);
    assert_eq!(ground.gateway.wait_end(), Some(0));
    assert!(!ground.gateway.socket().exists(), "the socket stays behind");
}

#[test]
fn terminated_it_cuts_what_outlives_the_drain() {
    let mut ground = ground("1s");
    let (line, id) = ground.open("mine");
    let begun = std::time::Instant::now();
    ground.terminate();
    assert_eq!(ground.gateway.wait_end(), Some(0));
    assert!(begun.elapsed().as_secs() >= 1, "cut too early");
    ground.expect_ended(&[id], "shutdown");
    line.expect_closed();
}

#[test]
fn terminated_twice_it_cuts_at_once() {
    for second in [Signal::TERM, Signal::INT] {
        let mut ground = ground("1h");
        let (line, id) = ground.open("mine");
        ground.terminate();
        ground.gateway.signal(second);
        assert_eq!(ground.gateway.wait_end(), Some(0));
        ground.expect_ended(&[id], "shutdown");
        line.expect_closed();
    }
}

#[test]
fn interrupted_without_sessions_it_ends() {
    let mut ground = ground("1h");
    ground.gateway.signal(Signal::INT);
    assert_eq!(ground.gateway.wait_end(), Some(0));
}

#[test]
fn hung_up_it_reloads() {
    let ground = ground("1h");
    let (mut line, id) = ground.open("mine");
    ground.configure("", &[("mine", &["mine"]), ("new", &["new"])]);
    ground.gateway.signal(Signal::HUP);
    assert!(
        testbed::until(|| ground.gateway.routes().1.contains("database.new")),
        "{:?}",
        ground.gateway.routes()
    );
    ground.open("new");

    let before = ground.gateway.routes();
    ground.gateway.configure("[database.new]\nbackend = 1\n");
    ground.gateway.signal(Signal::HUP);
    ground.gateway.wait_log("reload refused");
    ground.gateway.wait_log("dbgate.toml:");
    assert_eq!(before, ground.gateway.routes());
    line.echo().expect("a session from before");
    assert_eq!(ground.states(&[id]), ["open"]);
}
