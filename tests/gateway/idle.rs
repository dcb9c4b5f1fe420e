//! Sessions without traffic: they outlive every deadline that is not about them, `timeouts.idle` ends
//! them where it is set, and TCP keepalive watches over them.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::certs::{Ca, Leaf};
use crate::clients::{Action, Client, Running, Target};
use crate::gateway::Gateway;
use crate::servers::{Postgres, Redis, Server};
use crate::streams::{Echo, Line, StopAtEnd, Trust};
use crate::testbed;

/// Real servers, and databases that let a client run into each deadline.
struct Scene {
    ca: Ca,
    leaf: Leaf,
    postgres: Server,
    redis: Server,
    echo: Echo,
    /// Its kernel accepts, it never answers.
    mute: TcpListener,
}

impl Scene {
    fn new() -> Self {
        let ca = Ca::new("Idle");
        let leaf = ca.leaf(&["*.example.test"]);
        Self {
            postgres: Postgres::debian("pg", &leaf),
            redis: Redis::plain("redis"),
            echo: Echo::tls(&leaf),
            mute: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"),
            ca,
            leaf,
        }
    }

    fn start(&self, timeouts: &str) -> Gateway {
        let database = |name: &str, protocol: &str, addr: SocketAddr, tls: &str| {
            format!(
                "[database.{name}]\nprotocol = \"{protocol}\"\nbackends = [\"{addr}\"]\ntls = \"{tls}\"\nhosts = [\"{name}.example.test\"]\n"
            )
        };
        let mute = self.mute.local_addr().expect("its own address");
        let mut config = format!(
            "[timeouts]\n{timeouts}[tls]\ncert = \"{}\"\nkey = \"{}\"\n",
            self.leaf.cert_path.display(),
            self.leaf.key_path.display()
        );
        for (name, protocol, addr, tls) in [
            ("pg1", "postgres", self.postgres.addr(), "passthrough"),
            ("redis1", "redis", self.redis.addr(), "terminate"),
            ("echo", "tls", self.echo.addr(), "passthrough"),
            ("mute", "postgres", mute, "passthrough"),
        ] {
            config += &database(name, protocol, addr, tls);
        }
        Gateway::start(&config)
    }

    /// A real client of each server that is connected and does nothing.
    fn idle(&self, gateway: &Gateway) -> [(Running, u64); 2] {
        let postgres = Target::postgres("pg1.example.test", gateway.port(), &self.ca);
        let redis = Target::new("redis1.example.test", gateway.port(), &self.ca);
        let clients = [
            (Client::Psycopg, postgres, "pg1"),
            (Client::RedisPy, redis, "redis1"),
        ];
        clients.map(|(client, target, database)| {
            let running = client.spawn(Action::Idle, &target).ready();
            let running = running.unwrap_or_else(|answer| panic!("{answer:#?}"));
            let filter = json!({"database": database});
            let sessions = gateway.call("sessions", &filter);
            let id = sessions["sessions"][0]["id"].as_u64();
            (
                running,
                id.unwrap_or_else(|| panic!("no session: {sessions}")),
            )
        })
    }
}

/// Runs into each deadline once, one after the other.
fn run_into_deadlines(gateway: &Gateway, trust: &Trust) {
    let times = |reason: &str| {
        let ended = |l: &&Value| l["reason"] == reason;
        gateway.access().iter().filter(ended).count()
    };
    let wait = |reason: &str, before: usize| {
        assert!(
            testbed::until(|| times(reason) > before),
            "no session ended with {reason}: {:#?}",
            gateway.access()
        );
    };

    let before = times("silent");
    let silent = gateway.connect();
    wait("silent", before);
    drop(silent);

    let before = times("hello_timeout");
    let mut half = gateway.connect();
    half.write_all(&[22, 3, 1]).expect("half a hello");
    wait("hello_timeout", before);
    drop(half);

    let before = times("backend_silent");
    let error = Line::open(gateway.addr("main"), "mute.example.test", trust).err();
    assert!(error.is_some(), "the mute database has answered");
    wait("backend_silent", before);

    let before = times("drained");
    let line = Line::open(gateway.addr("main"), "echo.example.test", trust).expect("echo");
    gateway.session(line.addr());
    gateway.call("hide", &json!({"name": "echo"}));
    wait("drained", before);
    gateway.call("expose", &json!({"name": "echo"}));
}

#[test]
fn an_idle_session_outlives_every_deadline() {
    let scene = Scene::new();
    let gateway = scene.start("handshake = \"2s\"\nconnect = \"2s\"\ndrain = \"2s\"\n");
    let sessions = scene.idle(&gateway);
    let trust = Trust::new(&scene.ca);
    // Twice: what began together with an idle session's last byte is over after the second time.
    run_into_deadlines(&gateway, &trust);
    run_into_deadlines(&gateway, &trust);
    for ((running, id), server) in sessions.into_iter().zip([&scene.postgres, &scene.redis]) {
        assert_eq!(running.go_on().expect_who(), server.name());
        let end = gateway.ended(id);
        assert!(end["duration_ms"].as_f64() > Some(4e3), "{end}");
    }
}

#[test]
fn timeouts_idle_ends_idle_sessions_and_no_others() {
    let scene = Scene::new();
    let gateway = scene.start("idle = \"2s\"\n");
    let trust = Trust::new(&scene.ca);
    let open = || Line::open(gateway.addr("main"), "echo.example.test", &trust).expect("echo");
    let id = |line: &Line| gateway.session(line.addr())["id"].as_u64().expect("an id");
    let mut active = open();
    let active_id = id(&active);

    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let pumping = StopAtEnd(&stop);
        let pump = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                active.echo().expect("an active session");
            }
            active
        });
        let real = scene.idle(&gateway);
        for (running, id) in real {
            assert_eq!(gateway.ended(id)["reason"], "idle");
            let answer = running.go_on();
            assert!(!answer.ok, "a closed session has answered: {answer:#?}");
        }
        let idle = open();
        let end = gateway.ended(id(&idle));
        assert_eq!(end["reason"], "idle");
        assert!(end["duration_ms"].as_f64() >= Some(2e3), "{end}");
        idle.expect_closed();
        drop(pumping);
        pump.join()
            .expect("the pump")
            .finish()
            .expect("an active session");
    });
    assert_eq!(gateway.ended(active_id)["reason"], "client_closed");
}

#[test]
fn idle_sockets_are_watched_by_keepalive() {
    let scene = Scene::new();
    let gateway = scene.start("");
    let _sessions = scene.idle(&gateway);
    // Both ends of a session have to be there: the client's and the backend's.
    let ends = [gateway.port(), scene.postgres.port(), scene.redis.port()];
    let mut sockets = Vec::new();
    let watched = testbed::until(|| {
        sockets = established(gateway.pid());
        ends.iter()
            .all(|port| sockets.iter().any(|s| s.contains(&format!(":{port} "))))
            && sockets.iter().all(|s| s.contains("timer:(keepalive,"))
    });
    assert!(watched, "not all watched by keepalive: {sockets:#?}");
    assert!(sockets.len() >= 4, "{sockets:#?}");
}

/// The established TCP connections of a process, a line of `ss` each.
fn established(pid: u32) -> Vec<String> {
    let output = Command::new("ss")
        .args(["-H", "-t", "-n", "-o", "-p", "state", "established"])
        .output()
        .expect("ss, of Debian's iproute2");
    let pid = format!("pid={pid},");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.contains(&pid))
        .map(str::to_owned)
        .collect()
}
