//! Bytes in the access log, in `ctl`, in the metrics and on the wire are the same number.
//!
//! Bytes that are counted are those that the gateway relays: from the client's first byte behind the preface in
//! passthrough (TLS and all), and the plaintext where the gateway ends TLS. Relays that count stand
//! before the gateway and behind it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::views::{Moved, moved, plus};
use super::{METRICS, Scrape};
use crate::clients::{Action, Client, Target};
use crate::gateway::Gateway;
use crate::raw::Pki;
use crate::servers::{HaProxy, Postgres, Redis, Stunnel};
use crate::testbed;

/// Bytes of an `SSLRequest`, and of its answer.
pub(super) const PREFACE: (u64, u64) = (8, 1);

/// A relay that counts what goes through it, to the last byte: it refuses nothing as long as either
/// end still sends.
pub(super) struct Counting {
    addr: SocketAddr,
    towards: Arc<AtomicU64>,
    back: Arc<AtomicU64>,
    open: Arc<AtomicU64>,
}

impl Counting {
    /// Starts one before this address.
    pub(super) fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let relay = Self {
            addr: listener.local_addr().expect("its own address"),
            towards: Arc::default(),
            back: Arc::default(),
            open: Arc::default(),
        };
        let (towards, back, open) = (
            relay.towards.clone(),
            relay.back.clone(),
            relay.open.clone(),
        );
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(target) else {
                    continue;
                };
                for (from, to, count) in [(&near, &far, &towards), (&far, &near, &back)] {
                    let ends = (from.try_clone(), to.try_clone());
                    let (count, open) = (count.clone(), open.clone());
                    open.fetch_add(1, Ordering::Relaxed);
                    thread::spawn(move || {
                        if let (Ok(from), Ok(to)) = ends {
                            relay_counting(from, to, &count);
                        }
                        open.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            }
        });
        relay
    }

    /// Its address.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Bytes that went through it in both directions so far.
    pub(super) fn count(&self) -> (u64, u64) {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (read(&self.towards), read(&self.back))
    }

    /// Waits until no connection goes through it.
    #[track_caller]
    fn wait_quiet(&self) {
        assert!(testbed::until(|| self.open.load(Ordering::Relaxed) == 0));
    }
}

fn relay_counting(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    let mut takes = true;
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        count.fetch_add(n as u64, Ordering::Relaxed);
        // An end that takes no more is not passed on: the bytes went over the wire all the same.
        takes = takes && to.write_all(&buffer[..n]).is_ok();
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A database with a relay on each side of the gateway.
struct Scene {
    name: &'static str,
    gateway: Arc<Gateway>,
    before: Counting,
    behind: Counting,
}

impl Scene {
    fn target(&self, pki: &Pki) -> Target {
        let host = format!("{}.example.test", self.name);
        if self.name.starts_with("pg") {
            Target::postgres(&host, self.before.addr.port(), &pki.ca)
        } else {
            Target::new(&host, self.before.addr.port(), &pki.ca)
        }
    }

    fn lines(&self) -> Vec<Value> {
        let all = self.gateway.access().into_iter();
        all.filter(|line| line["database"] == self.name).collect()
    }

    fn logged(&self) -> Moved {
        moved(&self.lines())
    }

    fn live(&self) -> Moved {
        let filter = json!({"database": self.name});
        let sessions = self.gateway.call("sessions", &filter);
        moved(sessions["sessions"].as_array().expect("sessions"))
    }

    fn listed(&self) -> Moved {
        let list = self.gateway.call("list", &json!({}));
        let rows = list["databases"].as_array().expect("databases");
        moved(rows.iter().filter(|row| row["name"] == self.name))
    }

    fn scraped(&self) -> Moved {
        let scrape = Scrape::of(&self.gateway);
        let of = |direction: &str| {
            let labels = format!("database=\"{}\",direction=\"{direction}\"", self.name);
            scrape.value(&format!("dbgate_bytes_total{{{labels}}}"))
        };
        (of("in"), of("out"))
    }
}

/// Bytes that the relays must have seen, for `sessions` that moved so much.
type Wire = fn(sessions: u64, moved: Moved) -> Moved;

/// Runs clients, and compares all numbers: while one is connected, and when all are gone. Each of
/// the wires of which it is known how many bytes go over it beside what is relayed is compared.
fn adds_up(
    pki: &Pki,
    scene: &Scene,
    clients: &[Client],
    idle: Client,
    before: Option<Wire>,
    behind: Option<Wire>,
) {
    let target = scene.target(pki);
    let compare_wires = |sessions: u64, moved: Moved| {
        for (wire, relay) in [(before, &scene.before), (behind, &scene.behind)] {
            let more = relay.count();
            match wire {
                Some(wire) => assert_eq!(more, wire(sessions, moved), "{}", scene.name),
                // TLS of the gateway's own makes more of it.
                None => assert!(more.0 > moved.0 && more.1 > moved.1, "{more:?} {moved:?}"),
            }
        }
    };
    for client in clients {
        let answer = client.run(Action::Pump, &target);
        assert!(answer.ok, "{answer:#?}");
    }
    let running = idle.spawn(Action::Idle, &target).ready();
    let running = running.unwrap_or_else(|answer| panic!("{answer:#?}"));
    // The others' last bytes, and the login of this one, may still be on their way.
    let filter = json!({"database": scene.name});
    let settled = || {
        let open = scene.gateway.call("sessions", &filter);
        open["sessions"].as_array().map(Vec::len) == Some(1)
            && plus(scene.logged(), scene.live()) == scene.scraped()
    };
    assert!(testbed::until(settled), "{:#?}", scene.lines());
    assert!(scene.live().0 > 0, "the open session counts");
    let moved = plus(scene.logged(), scene.live());
    assert_eq!(scene.listed(), moved);
    assert_eq!(scene.scraped(), moved);

    let answer = running.go_on();
    assert!(answer.ok, "{answer:#?}");
    let gone = || Scrape::of(&scene.gateway).sum("dbgate_sessions_active", scene.name) == 0;
    assert!(testbed::until(gone));
    scene.before.wait_quiet();
    scene.behind.wait_quiet();
    let labels = format!("database=\"{}\"", scene.name);
    let ended = || Scrape::of(&scene.gateway).sum("dbgate_sessions_total", &labels);
    assert!(testbed::until(|| ended() == scene.lines().len() as u64));
    let moved = scene.logged();
    assert_eq!(scene.listed(), moved);
    assert_eq!(scene.scraped(), moved);
    compare_wires(ended(), moved);

    let scrape = Scrape::of(&scene.gateway);
    let connects = format!("dbgate_connect_duration_seconds_count{{{labels}}}");
    assert_eq!(scrape.value(&connects), ended());
}

/// A gateway with one database, whose backend is `server`.
fn scene(pki: &Pki, name: &'static str, protocol: &str, mode: &str, server: SocketAddr) -> Scene {
    let behind = Counting::before(server);
    let config = pki.tls() + METRICS + &pki.database(name, protocol, mode, &[behind.addr]);
    let gateway = Arc::new(Gateway::start(&config));
    Scene {
        name,
        before: Counting::before(gateway.addr("main")),
        behind,
        gateway,
    }
}

/// The same bytes on the wire.
fn same(_: u64, moved: Moved) -> Moved {
    moved
}

/// The same, and a preface for each session.
fn with_preface(sessions: u64, moved: Moved) -> Moved {
    plus(moved, (PREFACE.0 * sessions, PREFACE.1 * sessions))
}

#[test]
fn postgres_in_passthrough_adds_up() {
    let pki = Pki::new();
    let server = Postgres::debian("pg", &pki.ca.leaf(&["pg1.example.test"]));
    let scene = scene(&pki, "pg1", "postgres", "passthrough", server.addr());
    let clients = [Client::Psql, Client::Psycopg, Client::Pgx];
    let (before, behind) = (Some(with_preface as Wire), Some(with_preface as Wire));
    adds_up(&pki, &scene, &clients, Client::Psycopg, before, behind);
}

#[test]
fn postgres_in_terminate_adds_up() {
    let pki = Pki::new();
    let server = Postgres::named("pg").plain().start();
    let scene = scene(&pki, "pg1", "postgres", "terminate", server.addr());
    let clients = [Client::Psql, Client::Psycopg];
    adds_up(&pki, &scene, &clients, Client::Psycopg, None, Some(same));
}

#[test]
fn postgres_in_reencrypt_adds_up() {
    let pki = Pki::new();
    let server = Postgres::named("pg").plain().start();
    // Where the gateway's second TLS ends, what it relayed comes out.
    let plain = Counting::before(server.addr());
    let proxy = Stunnel::before_postgres(&pki.ca.leaf(&["pg1.example.test"]), plain.addr);
    let scene = scene(&pki, "pg1", "postgres", "reencrypt", proxy.addr());
    let ready = plain.count();
    let clients = [Client::Psql, Client::Psycopg, Client::Pgx];
    adds_up(&pki, &scene, &clients, Client::Asyncpg, None, None);
    plain.wait_quiet();
    assert_eq!(plain.count(), plus(ready, scene.logged()));
}

#[test]
fn redis_in_passthrough_adds_up() {
    let pki = Pki::new();
    let server = Redis::start("redis", &pki.ca.leaf(&["redis1.example.test"]));
    let scene = scene(&pki, "redis1", "redis", "passthrough", server.addr());
    let clients = [Client::RedisCli, Client::RedisPy];
    let (before, behind) = (Some(same as Wire), Some(same as Wire));
    adds_up(&pki, &scene, &clients, Client::RedisPy, before, behind);
}

#[test]
fn redis_in_reencrypt_adds_up() {
    let pki = Pki::new();
    let server = Redis::plain("redis");
    // Where the gateway's second TLS ends, what it relayed comes out.
    let plain = Counting::before(server.addr());
    let sections = format!(
        "frontend tls\n  mode tcp\n  bind 127.0.0.1:PORT ssl crt server.pem\n  default_backend redis\n\
         backend redis\n  mode tcp\n  server redis {}\n",
        plain.addr
    );
    let proxy = HaProxy::start(&pki.ca.leaf(&["redis1.example.test"]), &sections);
    let scene = scene(&pki, "redis1", "redis", "reencrypt", proxy.addr());
    let ready = plain.count();
    let clients = [Client::RedisCli, Client::RedisPy];
    adds_up(&pki, &scene, &clients, Client::RedisPy, None, None);
    plain.wait_quiet();
    assert_eq!(plain.count(), plus(ready, scene.logged()));
}
