//! Real clients at work, some gone, some turned away: `ctl`, `top`, the metrics and the access log
//! tell one story, and where the test knows it from the wire or from a client, the true one.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use super::METRICS;
use super::add_up::{Counting, PREFACE};
use super::views::{Moved, Views, moved, plus};
use crate::clients::{Action, Answer, Client, Running, Target};
use crate::gateway::Gateway;
use crate::raw::{Pki, closed_port};
use crate::servers::{MariaDb, Mongo, Postgres, Redis, Server};
use crate::streams::{Echo, Line, Trust};

/// The databases: name, protocol, mode.
const DATABASES: [(&str, &str, &str); 8] = [
    ("pg1", "postgres", "passthrough"),
    ("pg2", "postgres", "terminate"),
    ("pg3", "postgres", "reencrypt"),
    ("redis1", "redis", "passthrough"),
    ("mongo1", "mongodb", "passthrough"),
    ("mysql1", "mariadb", "passthrough"),
    ("lines", "tls", "terminate"),
    ("single", "tls", "passthrough"),
];

/// A gateway with these databases, a listener by port for the one that cannot be had by name, and a
/// relay that counts before each of those where the wire carries what the gateway relays.
struct Scene {
    gateway: Gateway,
    pki: Pki,
    before: BTreeMap<&'static str, Counting>,
    _servers: [Server; 5],
}

impl Scene {
    fn new() -> Self {
        let pki = Pki::new();
        let leaf = pki.ca.leaf(&["*.example.test"]);
        let servers = [
            Postgres::debian("pg", &leaf),
            Postgres::named("plain").plain().start(),
            Redis::start("redis", &leaf),
            Mongo::start("mongo", &leaf),
            MariaDb::start("mariadb", &leaf),
        ];
        let [pg, plain, redis, mongo, mariadb] = servers.each_ref().map(Server::addr);
        let (lines, single) = (Echo::plain().addr(), Echo::tls(&leaf).addr());
        let (nobody, _socket) = closed_port();
        let backends = [pg, plain, pg, redis, mongo, mariadb, lines, single];
        let mut config = pki.tls() + METRICS;
        config += "[listener.main]\nbind = [\"127.0.0.1:0\"]\n\
                   [listener.mysql]\nbind = [\"127.0.0.1:0\"]\nprotocol = \"tcp\"\ndefault = \"mysql1\"\n";
        for ((name, protocol, mode), backend) in DATABASES.into_iter().zip(backends) {
            let section = pki.database(name, protocol, mode, &[backend]);
            // Its server speaks first, so no client comes by name.
            let by_port = section
                .lines()
                .filter(|line| name != "mysql1" || !line.starts_with("hosts"));
            config.extend(by_port.flat_map(|line| [line, "\n"]));
        }
        config += "max_sessions = 1\n";
        config += &pki.database("pg4", "postgres", "terminate", &[pg]);
        config += "deny = [\"127.0.0.0/8\"]\n";
        config += &pki.database("pg5", "postgres", "terminate", &[nobody]);
        let gateway = Gateway::start(&config);
        let relay = |name| {
            let listener = if name == "mysql1" { "mysql" } else { "main" };
            (name, Counting::before(gateway.addr(listener)))
        };
        Self {
            before: ["pg1", "redis1", "mongo1", "mysql1"].map(relay).into(),
            gateway,
            pki,
            _servers: servers,
        }
    }

    fn target(&self, name: &str) -> Target {
        let port = match self.before.get(name) {
            Some(relay) => relay.addr().port(),
            None => self.gateway.port(),
        };
        let target = Target::new(&format!("{name}.example.test"), port, &self.pki.ca);
        let target = Target { mib: 1, ..target };
        match name {
            "redis1" | "mongo1" => target,
            _ => target.app(),
        }
    }

    /// A client that stays.
    fn stay(&self, client: Client, name: &str) -> Running {
        let running = client.spawn(Action::Idle, &self.target(name)).ready();
        running.unwrap_or_else(|answer| panic!("{client:?} {name}: {answer:#?}"))
    }

    fn line(&self, name: &str) -> std::io::Result<Line> {
        let host = format!("{name}.example.test");
        let trust = Trust::new(&self.pki.ca);
        Line::open(self.gateway.addr("main"), &host, &trust)
    }

    /// Bytes over the wire to a database, without the prefaces of its sessions.
    fn wire(&self, views: &Views, name: &str) -> Option<Moved> {
        let (towards, back) = self.before.get(name)?.count();
        let open = views.open().into_values();
        let open = open.filter(|row| row["database"] == name).count();
        let sessions = (open + views.ended(name).len()) as u64;
        let preface = if name == "pg1" { PREFACE } else { (0, 0) };
        Some((towards - preface.0 * sessions, back - preface.1 * sessions))
    }

    /// Compares all views, and the wires with them.
    #[track_caller]
    fn compare(&self) -> Views {
        let views = Views::of(&self.gateway);
        views.assert_agree();
        for name in self.before.keys() {
            let wire = self.wire(&views, name).expect("a relay");
            views.same(
                &format!("bytes of {name}"),
                &[("metrics", views.counted(name)), ("the wire", wire)],
            );
        }
        views
    }

    /// Turned away for a reason each.
    fn turn_away(&self) {
        let port = self.gateway.port();
        let nobody = Target::unverified("nobody.example.test", port).app();
        let whoami = |target: &Target| Client::Psql.whoami(target);
        let failed = |answer: Answer| assert!(!answer.ok, "not turned away: {answer:#?}");
        failed(whoami(&nobody));
        failed(Client::Psycopg.whoami(&nobody.clone().direct()));
        failed(whoami(&nobody.clone().without_sni()));
        failed(whoami(&self.target("pg4").sslmode("disable")));
        failed(whoami(&self.target("pg4")));
        failed(whoami(&self.target("pg5")));
        let redis = Target::unverified("redis1.example.test", port).app();
        failed(whoami(&redis));
        let holder = self.line("single").expect("the only place");
        assert!(self.line("single").is_err(), "two have the only place");
        drop(holder);
        let gone = |to: SocketAddr| drop(TcpStream::connect(to).expect("a connection"));
        gone(self.gateway.addr("main"));
        gone(self.gateway.addr("main"));
    }
}

#[test]
fn all_views_tell_the_same_while_real_clients_come_and_go() {
    let scene = Scene::new();
    scene.compare();

    let stay = [
        (Client::Psql, "pg1", "pg"),
        (Client::Pgx, "pg1", "pg"),
        (Client::Psycopg, "pg2", "plain"),
        (Client::Asyncpg, "pg3", "pg"),
        (Client::RedisCli, "redis1", "redis"),
        (Client::Ioredis, "redis1", "redis"),
        (Client::MariaDb, "mysql1", "mariadb"),
    ];
    let staying: Vec<Running> = stay
        .iter()
        .map(|(client, name, _)| scene.stay(*client, name))
        .collect();
    let mut line = scene.line("lines").expect("a line");
    let pumps = [
        (Client::Psycopg, "pg1"),
        (Client::Psql, "pg2"),
        (Client::NodePostgres, "pg3"),
        (Client::RedisPy, "redis1"),
        (Client::Pymongo, "mongo1"),
    ];
    let pumping = pumps.map(|(client, name)| client.spawn(Action::Pump, &scene.target(name)));
    for running in pumping {
        let answer = running.finish();
        assert!(answer.ok, "{answer:#?}");
    }
    let answer = Client::PyMysql.whoami(&scene.target("mysql1"));
    assert_eq!(answer.expect_who(), "mariadb");
    scene.turn_away();
    line.echo().expect("an echo");
    let expose = json!({"name": "later", "hosts": ["later.example.test"], "to": ["127.0.0.1:1"], "protocol": "tls"});
    scene.gateway.call("expose", &expose);

    let views = scene.compare();
    views.assert_tables_agree(&scene.gateway);
    let open = views.open();
    let names = open
        .values()
        .map(|row| row["database"].as_str().expect("a name"));
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let mut expected: Vec<&str> = stay
        .iter()
        .map(|(_, name, _)| *name)
        .chain(["lines"])
        .collect();
    expected.sort_unstable();
    views.same("open sessions", &[("ctl", names), ("the test", expected)]);
    let rejects = [
        ("unknown_host", 2),
        ("no_sni", 1),
        ("plaintext", 1),
        ("not_allowed", 1),
        ("backend_unreachable", 1),
        ("wrong_protocol", 1),
        ("database_full", 1),
    ];
    let rejects = rejects.map(|(reason, count)| (("main".to_owned(), reason.to_owned()), count));
    views.same(
        "rejects",
        &[("the log", views.rejects()), ("the test", rejects.into())],
    );

    assert_eq!((views.empty(), views.told_empty()), (2, [2, 2]));

    let client = line.addr();
    let sent = line.finish().expect("the end of a line");
    for (running, (_, _, server)) in staying.into_iter().zip(stay) {
        assert_eq!(running.go_on().expect_who(), server);
    }
    let views = scene.compare();
    views.assert_tables_agree(&scene.gateway);
    views.same(
        "open sessions",
        &[("ctl", views.open().len()), ("the test", 0)],
    );
    let of_line = |row: &&serde_json::Value| row["client"] == client.to_string();
    let logged = views.ended("lines").into_iter().filter(of_line);
    // What was sent came back, and the sum behind it.
    let known = plus((sent, sent), (0, Line::SUM));
    views.same(
        "bytes of the line",
        &[("the log", moved(logged)), ("its client", known)],
    );
}
