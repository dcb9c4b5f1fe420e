//! Listeners added, changed and removed by a reload, and addresses that cannot be had.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use serde_json::{Value, json};

use super::Ground;
use crate::streams::{Line, Trust};
use crate::testbed;

const MAIN: &str = "[listener.main]\nbind = [\"127.0.0.1:0\"]\n";

fn ground() -> Ground {
    Ground::with(MAIN, &[("mine", &["mine"])])
}

fn reload(ground: &Ground, head: &str) {
    ground.configure(head, &[("mine", &["mine"])]);
    ground.gateway.call("reload", &json!({}));
}

/// Waits until nobody accepts at this address any more.
#[track_caller]
fn expect_deaf(addr: SocketAddr) {
    let deaf = || TcpStream::connect(addr).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
    assert!(testbed::until(deaf), "{addr} still accepts");
}

#[test]
fn a_listener_comes_and_goes_without_its_sessions() {
    let ground = ground();
    let (mut first, first_id) = ground.open("mine");
    let main = ground.gateway.addr("main");
    reload(
        &ground,
        &format!("{MAIN}[listener.extra]\nbind = [\"127.0.0.1:0\"]\n"),
    );
    assert_eq!(ground.gateway.addr("main"), main, "main was bound anew");

    let extra = ground.gateway.addr("extra");
    let mut second = Line::open(extra, "mine.example.test", &ground.trust).expect("extra");
    let session = ground.gateway.session(second.addr());
    assert_eq!(session["listener"], "extra", "{session}");

    reload(&ground, MAIN);
    expect_deaf(extra);
    second.echo().expect("a session whose listener is gone");
    first.echo().expect("a session of the listener that stays");
    let second_id = session["id"].as_u64().expect("an id");
    assert_eq!(ground.states(&[first_id, second_id]), ["open", "open"]);
    ground.finish(second, second_id);
    ground.open("mine");
}

#[test]
fn a_listener_moves_to_another_address() {
    let ground = ground();
    let (mut line, id) = ground.open("mine");
    let old = ground.gateway.addr("main");
    reload(&ground, &MAIN.replace("127.0.0.1", "127.0.0.2"));
    expect_deaf(old);
    let new = ground.gateway.addr("main");
    assert_eq!(new.ip().to_string(), "127.0.0.2");
    ground.open("mine");
    line.echo().expect("a session of the address before");
    assert_eq!(ground.states(&[id]), ["open"]);
}

#[test]
fn the_default_of_a_listener_changes_live() {
    let ground = ground();
    let (mut line, id) = ground.open("mine");
    let bare = Trust::without_sni(&ground.ca);
    let nameless = || Line::open(ground.gateway.addr("main"), "mine.example.test", &bare);
    assert!(nameless().is_err(), "no default, and no name");
    ground.gateway.wait_reject("no_sni");

    reload(&ground, &format!("{MAIN}default = \"mine\"\n"));
    let served = nameless().expect("the default");
    let session = ground.gateway.session(served.addr());
    assert_eq!(session["database"], "mine", "{session}");

    reload(&ground, MAIN);
    assert!(nameless().is_err(), "the default is gone");
    line.echo().expect("a session from before");
    assert_eq!(ground.states(&[id]), ["open"]);
}

#[test]
fn the_protocol_of_a_listener_changes_live() {
    let ground = ground();
    let (mut line, id) = ground.open("mine");
    // An SSLRequest: granted where Postgres is spoken.
    let request = [0, 0, 0, 8, 4, 210, 22, 47];
    let granted = || {
        let mut tcp = ground.gateway.connect();
        tcp.write_all(&request).expect("an SSLRequest");
        let mut answer = [0];
        matches!(tcp.read(&mut answer), Ok(1)) && answer == *b"S"
    };
    assert!(granted(), "protocol = auto");
    reload(&ground, &format!("{MAIN}protocol = \"tls\"\n"));
    assert!(!granted(), "protocol = tls");
    ground.open("mine");
    reload(
        &ground,
        &format!("{MAIN}protocol = \"tcp\"\ndefault = \"mine\"\n"),
    );
    // Every name is fine where names play no part.
    ground.open("nobody");
    reload(&ground, MAIN);
    assert!(granted(), "protocol = auto again");
    ground.expect_unknown("nobody");
    line.echo().expect("a session from before");
    assert_eq!(ground.states(&[id]), ["open"]);
}

#[test]
fn an_address_in_use_refuses_the_whole_reload() {
    let ground = ground();
    let (mut line, _) = ground.open("mine");
    let before = ground.gateway.routes();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().map(|addr| (addr, taken));
    let (addr, _taken) = taken.expect("its own address");
    let head = format!(
        "{MAIN}[listener.free]\nbind = [\"127.0.0.1:0\"]\n[listener.taken]\nbind = [\"{addr}\"]\n"
    );
    ground.configure(&head, &[("mine", &["mine"]), ("new", &["new"])]);
    let error = ground.gateway.try_call("reload", &json!({})).unwrap_err();
    let error = error.to_string();
    let told = ["taken", &addr.to_string(), "in use"];
    assert!(
        told.iter().all(|t| error.contains(t)),
        "not all of {told:?} in: {error}"
    );
    assert_eq!(before, ground.gateway.routes());
    let status = ground.gateway.call("status", &json!({}));
    assert_eq!(status["listeners"].as_array().map(Vec::len), Some(1));
    ground.expect_unknown("new");
    line.echo().expect("a session from before");
}

#[test]
fn an_address_goes_over_to_another_listener() {
    let ground = ground();
    let (mut line, id) = ground.open("mine");
    // Known to be free but for the gateway itself.
    let port = ground.gateway.port();
    let local = (Ipv4Addr::LOCALHOST, port).into();
    let [one, v4, v6] = ["127.0.0.1", "0.0.0.0", "[::]"].map(|ip| format!("\"{ip}:{port}\""));
    for (name, bind) in [
        ("renamed", one.clone()),
        ("renamed", v4.clone()),
        ("renamed", v6.clone()),
        ("renamed", format!("{v4}, {v6}")),
        ("again", v6),
        ("again", one),
    ] {
        reload(&ground, &format!("[listener.{name}]\nbind = [{bind}]\n"));
        // The sockets of before are closed by threads of their own.
        let served = || -> std::io::Result<Value> {
            let client = Line::open(local, "mine.example.test", &ground.trust)?;
            Ok(ground.gateway.session(client.addr()))
        };
        assert!(
            testbed::until(|| served().is_ok_and(|session| session["listener"] == name)),
            "{name} at {bind}: {:?}",
            served()
        );
    }
    line.echo().expect("a session of the first listener");
    assert_eq!(ground.states(&[id]), ["open"]);
}
