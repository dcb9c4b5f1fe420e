//! Two hundred sessions in all modes, and real clients beside them, while a thousand exposures and
//! fifty reloads of other databases go by: no byte is lost and no session closed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use dbgate::control::client::Client as Control;
use serde_json::{Value, json};

use crate::certs::{Ca, Leaf};
use crate::clients::{Action, Client, Target};
use crate::gateway::Gateway;
use crate::servers::{Postgres, Redis, Server};
use crate::streams::{Echo, Line, StopAtEnd, Trust};

/// Sessions that pump, evenly over the modes.
const SESSIONS: usize = 200;

/// Pairs of an expose and a hide.
const PAIRS: usize = 500;

/// One reload after this many pairs, a good one and a bad one in turn.
const PAIRS_A_RELOAD: usize = 10;

/// Each session has a message echoed after this many pairs, while the next ones go by.
const PAIRS_A_TURN: usize = 5;

const MODES: [&str; 3] = ["passthrough", "terminate", "reencrypt"];

/// Real clients that pump again and again until they are told to stop, each with the name it uses.
const PUMPING: [(Client, &str); 2] = [
    (Client::Psycopg, "pg1.example.test"),
    (Client::RedisPy, "redis1.example.test"),
];

/// Everything that stands before and behind the gateway.
struct Scene {
    ca: Ca,
    leaf: Leaf,
    with_tls: Echo,
    plain: Echo,
    postgres: Server,
    redis: Server,
}

impl Scene {
    fn new() -> Self {
        let ca = Ca::new("Pumps");
        let leaf = ca.leaf(&["*.example.test"]);
        Self {
            with_tls: Echo::tls(&leaf),
            plain: Echo::plain(),
            postgres: Postgres::debian("pg", &leaf),
            redis: Redis::plain("redis"),
            ca,
            leaf,
        }
    }

    /// The sections that stay, with others behind them.
    fn config(&self, others: &str) -> String {
        let mut text = format!(
            "[limits]\nmax_handshakes_per_ip = 1000\n[tls]\ncert = \"{}\"\nkey = \"{}\"\n",
            self.leaf.cert_path.display(),
            self.leaf.key_path.display()
        );
        for mode in MODES {
            let (addr, more) = match mode {
                "passthrough" => (self.with_tls.addr(), String::new()),
                "terminate" => (self.plain.addr(), String::new()),
                _ => (
                    self.with_tls.addr(),
                    format!("backend_ca = \"{}\"\n", self.ca.path().display()),
                ),
            };
            text += &section(
                mode,
                "tls",
                addr,
                mode,
                &format!("{mode}.example.test"),
                &more,
            );
        }
        let (postgres, redis) = (self.postgres.addr(), self.redis.addr());
        text += &section(
            "pg",
            "postgres",
            postgres,
            "passthrough",
            "pg1.example.test",
            "",
        );
        text += &section(
            "redis",
            "redis",
            redis,
            "terminate",
            "redis1.example.test",
            "",
        );
        text + others
    }

    fn target(&self, client: Client, host: &str, port: u16) -> Target {
        let target = if client == Client::Psycopg {
            Target::postgres(host, port, &self.ca)
        } else {
            Target::new(host, port, &self.ca)
        };
        Target { mib: 1, ..target }
    }
}

fn section(
    name: &str,
    protocol: &str,
    addr: SocketAddr,
    mode: &str,
    host: &str,
    rest: &str,
) -> String {
    format!(
        "[database.{name}]\nprotocol = \"{protocol}\"\nbackends = [\"{addr}\"]\ntls = \"{mode}\"\nhosts = [\"{host}\"]\n{rest}"
    )
}

/// The ids of the live sessions by their clients.
fn ids(gateway: &Gateway) -> BTreeMap<String, u64> {
    let row = |s: &Value| Some((s["client"].as_str()?.to_owned(), s["id"].as_u64()?));
    gateway.sessions().iter().filter_map(row).collect()
}

fn call(control: &mut Control, cmd: &str, params: &Value) -> Value {
    let answer = control.call(cmd, params);
    answer.unwrap_or_else(|e| panic!("{cmd} {params}: {e}"))
}

/// A thousand changes of other databases, with a reload and a turn of the sessions now and then.
fn change_others(scene: &Scene, gateway: &Gateway, turn: impl Fn()) {
    let mut control = Control::connect(&gateway.socket()).expect("the control socket");
    let mut revision = call(&mut control, "status", &json!({}))["revision"]
        .as_u64()
        .expect("a revision");
    for pair in 0..PAIRS {
        if pair % PAIRS_A_TURN == 0 {
            turn();
        }
        let (name, host) = (format!("other{pair}"), format!("other{pair}.example"));
        let made = json!({"name": name, "hosts": [host], "to": ["127.0.0.1:1"], "protocol": "tls"});
        for (cmd, params) in [
            ("expose", made),
            ("hide", json!({"name": name, "running": "kill"})),
        ] {
            let answer = call(&mut control, cmd, &params);
            revision += 1;
            assert_eq!(answer["changed"], true, "{cmd} {params}: {answer}");
            assert_eq!(answer["revision"], revision, "{cmd} {params}: {answer}");
        }
        if (pair + 1) % PAIRS_A_RELOAD == 0 {
            let good = (pair / PAIRS_A_RELOAD).is_multiple_of(2);
            revision = reload(scene, gateway, &mut control, pair, good, revision);
        }
    }
}

/// A reload that changes another database, or one with a mistake, which has to change nothing.
fn reload(
    scene: &Scene,
    gateway: &Gateway,
    control: &mut Control,
    pair: usize,
    good: bool,
    revision: u64,
) -> u64 {
    let addr = ([127, 0, 0, 1], 2).into();
    let host = format!("file{pair}.example");
    let other = section("file", "tls", addr, "passthrough", &host, "");
    if good {
        gateway.configure(&scene.config(&other));
        let answer = call(control, "reload", &json!({}));
        assert_eq!(
            answer["exposed"],
            json!([{"database": "file", "host": host}])
        );
        assert_eq!(answer["sessions"], 0, "{answer}");
        return answer["revision"].as_u64().expect("a revision");
    }
    let before = gateway.routes();
    let mistake = other.replace("hosts", "hsots");
    gateway.configure(&scene.config(&mistake));
    let file = gateway.path("dbgate.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let line = 1 + text
        .lines()
        .position(|l| l.contains("hsots"))
        .expect("the mistake");
    let error = control.send("reload", &json!({})).unwrap_err().to_string();
    let place = format!("{}:{line}:", file.display());
    assert!(
        error.contains(&place) && error.contains("did you mean `hosts`"),
        "{place} is not in: {error}"
    );
    assert_eq!(before, gateway.routes());
    assert_eq!(before.0, revision);
    revision
}

#[test]
fn two_hundred_sessions_outlive_a_thousand_changes() {
    let scene = Scene::new();
    let gateway = Gateway::start(&scene.config(""));
    let addr = gateway.addr("main");
    let trust = Trust::new(&scene.ca);
    let lines: Vec<(&str, Line)> = (0..SESSIONS)
        .map(|n| {
            let mode = MODES[n % MODES.len()];
            let line = Line::open(addr, &format!("{mode}.example.test"), &trust);
            (mode, line.unwrap_or_else(|e| panic!("{mode}: {e}")))
        })
        .collect();
    let idle = PUMPING.map(|(client, host)| {
        let target = scene.target(client, host, addr.port());
        let running = client.spawn(Action::Idle, &target).ready();
        running.unwrap_or_else(|answer| panic!("{answer:#?}"))
    });
    gateway.wait_sessions(SESSIONS + idle.len());
    let before = ids(&gateway);

    let stop = AtomicBool::new(false);
    let stopped = || stop.load(Ordering::Relaxed);
    let pumped = thread::scope(|scope| {
        let pumping = StopAtEnd(&stop);
        let (turns, pumps): (Vec<_>, Vec<_>) = lines
            .into_iter()
            .map(|(mode, mut line)| {
                let (turn, turns) = mpsc::channel();
                let pump = scope.spawn(move || {
                    while turns.recv().is_ok() {
                        line.echo().unwrap_or_else(|e| panic!("{mode}: {e}"));
                    }
                    (mode, line)
                });
                (turn, pump)
            })
            .unzip();
        let real = PUMPING.map(|(client, host)| {
            let target = scene.target(client, host, addr.port());
            scope.spawn(move || {
                let mut times = 0;
                while !stopped() {
                    client.run(Action::Pump, &target).expect_who();
                    times += 1;
                }
                times
            })
        });
        change_others(&scene, &gateway, || {
            for turn in &turns {
                turn.send(()).expect("a session that goes on");
            }
        });
        drop((pumping, turns));
        let pumped: Vec<(&str, Line)> = pumps
            .into_iter()
            .map(|pump| pump.join().expect("a pump"))
            .collect();
        for times in real.map(|pump| pump.join().expect("a real client")) {
            assert!(times > 0, "a real client had no time to pump");
        }
        pumped
    });
    gateway.wait_sessions(before.len());
    let after = ids(&gateway);

    assert_eq!(before, after, "sessions are not the same as before");
    for (running, server) in idle.into_iter().zip([&scene.postgres, &scene.redis]) {
        assert_eq!(running.go_on().expect_who(), server.name());
    }
    for (mode, line) in pumped {
        let id = after[&line.addr().to_string()];
        let sent = line.finish().unwrap_or_else(|e| panic!("{mode}: {e}"));
        let end = gateway.ended(id);
        if mode == "passthrough" {
            // TLS that the gateway does not see into tells the backend of the end, too.
            assert_ne!(end["close"], "admin", "{end}");
            assert_ne!(end["close"], "error", "{end}");
        } else {
            assert_eq!(end["reason"], "client_closed", "{end}");
            assert_eq!(end["bytes_in"], sent, "{end}");
        }
    }
}
