//! Corners where two features meet: a hidden name and a listener's default, a hide after a hide, a
//! host that moves, files that are gone, a listener by port and a database with TLS of its own.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use serde_json::json;

use super::Ground;
use crate::certs::Ca;
use crate::gateway::Gateway;
use crate::streams::{Echo, Line, Trust};
use crate::testbed;

/// The listener's default takes clients without a known name in, but not those whose name was
/// switched off.
#[test]
fn a_hidden_name_does_not_fall_to_the_default() {
    let ground = Ground::with(
        "[listener.main]\nbind = [\"127.0.0.1:0\"]\ndefault = \"mine\"\n",
        &[("mine", &["mine"])],
    );
    let (line, id) = ground.open("unheard-of");
    ground.finish(line, id);
    let answer = ground.gateway.call("hide", &json!({"name": "mine"}));
    assert!(
        answer["notes"][0]
            .as_str()
            .is_some_and(|n| n.contains("default of listener main")),
        "{answer}"
    );
    ground.expect_unknown("mine");
    let walk = ground
        .gateway
        .call("explain", &json!({"host": "mine.example.test"}));
    assert_eq!(walk["database"], json!(null), "{walk}");
}

/// `hide --keep` and then `hide --kill`: the second ends what the first let run.
#[test]
fn a_second_hide_ends_what_the_first_let_run() {
    let ground = Ground::with("", &[("mine", &["mine"])]);
    let (line, id) = ground.open("mine");
    let hide = |running| {
        let params = json!({"name": "mine", "running": running});
        ground.gateway.call("hide", &params)
    };
    assert_eq!(hide("keep")["sessions"], 1);
    assert_eq!(ground.states(&[id]), ["open"]);
    let second = hide("kill");
    assert_eq!(
        (&second["changed"], &second["sessions"]),
        (&json!(false), &json!(1))
    );
    ground.expect_ended(&[id], "killed");
    line.expect_closed();
}

/// A script that hides again and again does not keep a drain from its end; another time does.
#[test]
fn the_same_hide_again_does_not_put_a_drain_off() {
    let ground = Ground::with("", &[("mine", &["mine"])]);
    let (line, id) = ground.open("mine");
    let hide = |params| ground.gateway.call("hide", &params);
    let hour = hide(json!({"name": "mine", "drain_ms": 3_600_000}));
    assert_eq!(hour["sessions"], 1);
    assert_eq!(hide(json!({"name": "mine"}))["sessions"], 0);
    assert_eq!(ground.states(&[id]), ["draining"]);
    let sooner = hide(json!({"name": "mine", "drain_ms": 100}));
    assert_eq!(sooner["sessions"], 1);
    ground.expect_ended(&[id], "drained");
    line.expect_closed();
}

/// `hide --keep` of a database that only `ctl` made, and then `hide` again or `delete`: both say how
/// many sessions they touch, and end them.
#[test]
fn what_a_hidden_database_left_running_can_be_ended() {
    let ground = Ground::with("", &[("other", &["other"])]);
    let expose = json!({"name": "made", "hosts": ["made.example.test"], "to": [ground.echo.addr().to_string()], "protocol": "tls"});
    for (cmd, second) in [
        ("hide", json!({"name": "made", "running": "kill"})),
        ("delete", json!({"name": "made", "kill": true})),
    ] {
        ground.gateway.call("expose", &expose);
        let (line, id) = ground.open("made");
        let keep = json!({"name": "made", "running": "keep"});
        assert_eq!(ground.gateway.call("hide", &keep)["sessions"], 1);
        let listed = ground.gateway.call("list", &json!({}));
        assert_eq!(
            listed["databases"][0]["hidden"],
            json!(["made.example.test"]),
            "{listed}"
        );
        assert_eq!(listed["databases"][0]["sessions"], 1, "{listed}");
        let ended = ground.gateway.call(cmd, &second);
        assert_eq!(ended["sessions"], 1, "{cmd}: {ended}");
        assert!(ended["ends"].is_string(), "{cmd}: {ended}");
        ground.expect_ended(&[id], "killed");
        line.expect_closed();
    }
}

/// A host that `expose --replace` gives to another database takes its sessions into a drain.
#[test]
fn a_host_that_moves_drains_the_sessions_it_leaves() {
    let ground = Ground::with("[timeouts]\ndrain = \"100ms\"\n", &[("other", &["other"])]);
    let expose = |name: &str, replace: bool| {
        let to = ground.echo.addr().to_string();
        let params = json!({"name": name, "hosts": ["moving.example.test"], "to": [to], "protocol": "tls", "replace": replace});
        ground.gateway.call("expose", &params)
    };
    expose("first", false);
    let (_line, id) = ground.open("moving");
    let (other, other_id) = ground.open("other");
    assert_eq!(expose("second", true)["sessions"], 1);
    ground.expect_ended(&[id], "drained");
    ground.finish(other, other_id);
}

/// A database made by `ctl` whose certificate is gone after a restart is left out and told; it
/// stands in the way of nothing else, and can still be taken away.
#[test]
fn a_database_whose_files_are_gone_blocks_nobody() {
    let ca = Ca::new("Corners");
    let leaf = ca.leaf(&["gone.example.test"]);
    let folder = testbed::scratch();
    let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    fs::write(&cert, &leaf.cert_pem).expect("a certificate");
    fs::write(&key, &leaf.key_pem).expect("a key");
    let mut gateway = Gateway::start("");
    gateway.call(
        "expose",
        &json!({"name": "gone", "hosts": ["gone.example.test"], "to": ["127.0.0.1:9"], "protocol": "tls",
            "tls": "terminate", "cert": cert, "key": key}),
    );
    gateway.crash();
    fs::remove_file(&cert).expect("the certificate");
    gateway.start_again();
    let notes = gateway.call("list", &json!({}))["notes"].to_string();
    assert!(notes.contains("gone") && notes.contains("c.pem"), "{notes}");
    let other = json!({"name": "other", "hosts": ["other.example.test"], "to": ["127.0.0.1:9"], "protocol": "tls"});
    gateway.call("expose", &other);
    gateway.call("hide", &json!({"name": "other"}));
    gateway.call("reload", &json!({}));
    let hidden = gateway.call("hide", &json!({"name": "gone"}));
    assert_eq!(hidden["changed"], true, "{hidden}");
    let gone = gateway.call("delete", &json!({"name": "gone"}));
    assert_eq!(gone["changed"], true, "{gone}");
    assert_eq!(gateway.call("list", &json!({}))["notes"], json!([]));
}

/// Relaying by port would go around the TLS that a database wants to be ended here, and around
/// the client certificates that it may ask for.
#[test]
fn a_listener_by_port_refuses_a_database_with_tls_of_its_own() {
    let gateway = Gateway::start(
        "[listener.main]\nbind = [\"127.0.0.1:0\"]\nprotocol = \"tcp\"\ndefault = \"made\"\n",
    );
    let echo = Echo::plain();
    gateway.call(
        "expose",
        &json!({"name": "made", "hosts": ["made.example.test"], "to": [echo.addr().to_string()], "protocol": "tls", "tls": "terminate"}),
    );
    let mut client = gateway.connect();
    client.write_all(b"anything").expect("a connection");
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    gateway.wait_reject("wrong_protocol");
    let explained = gateway.call("explain", &json!({"host": "made.example.test"}));
    assert_eq!(explained["database"], "made", "{explained}");
    assert_eq!(explained["admitted"], false, "{explained}");
    assert_eq!(explained["reason"], "wrong_protocol", "{explained}");
}

/// Callers that subscribe to events and leave take their descriptors with them, also when nothing
/// happens that they could be told.
#[test]
fn subscribers_that_leave_are_forgotten() {
    let gateway = Gateway::start("");
    for _ in 0..300 {
        let mut caller = UnixStream::connect(gateway.socket()).expect("the control socket");
        caller
            .write_all(b"{\"v\":1,\"id\":1,\"cmd\":\"events\",\"follow\":true}\n")
            .expect("a request");
        let mut first = [0];
        caller.read_exact(&mut first).expect("an answer");
    }
    assert!(
        testbed::until(|| gateway.callers().len() == 1),
        "besides the listening socket: {:#?}",
        gateway.callers()
    );
}

/// A gateway that is stopping listens nowhere again, whatever it is asked.
#[test]
fn a_reload_while_stopping_is_refused() {
    let ground = Ground::with("", &[("mine", &["mine"])]);
    let (line, _) = ground.open("mine");
    let addr = ground.gateway.addr("main");
    ground.gateway.signal(Signal::TERM);
    ground.gateway.wait_log("stopping");
    let error = ground.gateway.try_call("reload", &json!({})).err();
    let error = error.expect("a refusal").to_string();
    assert!(error.contains("stopping"), "{error}");
    assert!(
        testbed::until(|| std::net::TcpStream::connect(addr).is_err()),
        "clients are still accepted"
    );
    drop(line);
}

/// A name with an address that refuses and one that answers is served by the one that answers.
#[test]
fn a_backend_by_name_is_reached_at_the_address_that_answers() {
    let ca = Ca::new("Corners");
    let echo = Echo::tls(&ca.leaf(&["mine.example.test"]));
    // "localhost" is ::1 and 127.0.0.1 in the tests, and the server has only the latter.
    let gateway = Gateway::start(&format!(
        "[database.mine]\nprotocol = \"tls\"\nbackends = [\"localhost:{}\"]\nhosts = [\"mine.example.test\"]\n",
        echo.addr().port()
    ));
    let trust = Trust::new(&ca);
    let mut line =
        Line::open(gateway.addr("main"), "mine.example.test", &trust).expect("a session");
    line.echo().expect("an echo");
    line.finish().expect("a proper end");
}
