//! A Postgres session whose TLS ends at the gateway reads why the gateway ends it: 57P01, in words of
//! the gateway's own, as of a server that is stopped. What the backend sends is never cut into.

use std::fmt::Write as _;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::certs::Ca;
use crate::clients::{Action, Client, Target};
use crate::gateway::Gateway;
use crate::servers::{Postgres, Server};
use crate::testbed;

/// Two databases on one server, in terminate and in reencrypt.
struct Ground {
    ca: Ca,
    _server: Server,
    gateway: Gateway,
}

const MODES: [&str; 2] = ["terminate", "reencrypt"];

impl Ground {
    fn new() -> Self {
        let ca = Ca::new("Last words");
        let leaf = ca.leaf(&["*.example.test"]);
        let server = Postgres::named("pg").tls(&leaf).plain().start();
        let (cert, key) = (leaf.cert_path.display(), leaf.key_path.display());
        let mut config =
            format!("[timeouts]\ndrain = \"100ms\"\n[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n");
        for mode in MODES {
            let _ = write!(
                config,
                "[database.{mode}]\nprotocol = \"postgres\"\nbackends = [\"{}\"]\ntls = \"{mode}\"\nhosts = [\"{}\"]\n",
                server.addr(),
                host(mode)
            );
            if mode == "reencrypt" {
                let _ = writeln!(config, "backend_ca = \"{}\"", ca.path().display());
            }
        }
        Self {
            gateway: Gateway::start(&config),
            ca,
            _server: server,
        }
    }

    fn target(&self, mode: &str) -> Target {
        let target = Target::postgres(&host(mode), self.gateway.port(), &self.ca);
        if mode == "reencrypt" {
            target.channel_binding("disable")
        } else {
            target
        }
    }
}

fn host(mode: &str) -> String {
    let name = if mode == "terminate" { "pg1" } else { "pg2" };
    format!("{name}.example.test")
}

/// The end of sessions that wait for their next query.
#[test]
fn an_idle_session_reads_why_it_ended() {
    let mut ground = Ground::new();
    for (command, more, reason, words) in [
        (
            "kill",
            json!({}),
            "killed",
            "was ended by whoever runs the gateway",
        ),
        (
            "drain",
            json!({"within_ms": 0}),
            "drained",
            "is taken out of service",
        ),
        (
            "hide",
            json!({"running": "kill"}),
            "killed",
            "was ended by whoever runs the gateway",
        ),
        ("", json!({}), "shutdown", "because the gateway stops"),
    ] {
        for client in [Client::Psql, Client::Psycopg, Client::Pgx] {
            for mode in MODES {
                let what = format!("{command} {client:?} {mode}");
                let running = client.spawn(Action::Idle, &ground.target(mode)).ready();
                let running = running.unwrap_or_else(|e| panic!("{what}: {e:#?}"));
                let ended = |gateway: &Gateway| -> Vec<Value> {
                    let lines = gateway.access().into_iter();
                    let fits = |line: &Value| line["database"] == mode && line["reason"] == reason;
                    lines.filter(fits).collect()
                };
                let before = ended(&ground.gateway).len();
                if command.is_empty() {
                    ground.gateway.signal(Signal::TERM);
                    assert_eq!(ground.gateway.wait_end(), Some(0), "{what}");
                } else {
                    let key = if command == "kill" {
                        "database"
                    } else {
                        "name"
                    };
                    let mut params = more.clone();
                    params[key] = json!(mode);
                    let answer = ground.gateway.call(command, &params);
                    let touched = answer.get("sessions").or(answer.get("killed"));
                    assert_eq!(touched, Some(&json!(1)), "{what}: {answer}");
                }
                let mut ends = Vec::new();
                let one_more = testbed::until(|| {
                    ends = ended(&ground.gateway);
                    ends.len() > before
                });
                assert!(one_more, "{what}: {ends:#?}");
                assert_eq!(
                    ends.last().expect("one more")["close"],
                    if reason == "shutdown" {
                        "shutdown"
                    } else {
                        "admin"
                    },
                    "{what}"
                );
                let answer = running.go_on();
                let told = format!("{} {} {}", answer.error, answer.stdout, answer.stderr);
                assert!(!answer.ok && told.contains(words), "{what}: {answer:#?}");
                match command {
                    "drain" => drop(ground.gateway.call("resume", &json!({"name": mode}))),
                    "hide" => drop(ground.gateway.call("expose", &json!({"name": mode}))),
                    "" => ground.gateway.start_again(),
                    _ => {}
                }
            }
        }
    }
}
