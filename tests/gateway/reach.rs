//! Each client reaches its own database by name: two databases of one kind behind one port, in
//! each mode, with the certificate verified. The table in the README is made here.

use std::fmt::Write as _;

use crate::certs::{Ca, Leaf};
use crate::clients::{Action, Client, Target};
use crate::gateway::Gateway;
use crate::servers::{Mongo, Postgres, Redis, Server};

/// The three modes, as the README's columns.
const MODES: [&str; 3] = ["passthrough", "terminate", "reencrypt"];

/// One authority for everybody, and the gateway's own certificate.
struct Pki {
    ca: Ca,
    gateway: Leaf,
}

impl Pki {
    fn new() -> Self {
        let ca = Ca::new("Gateway tests");
        let gateway = ca.leaf(&["*.example.test"]);
        Self { ca, gateway }
    }

    /// The `[tls]` section.
    fn tls(&self) -> String {
        format!(
            "[tls]\ncert = \"{}\"\nkey = \"{}\"\n",
            self.gateway.cert_path.display(),
            self.gateway.key_path.display()
        )
    }

    /// A database section.
    fn database(
        &self,
        name: &str,
        protocol: &str,
        server: &Server,
        mode: &str,
        host: &str,
    ) -> String {
        let ca = if mode == "reencrypt" {
            format!("backend_ca = \"{}\"\n", self.ca.path().display())
        } else {
            String::new()
        };
        format!(
            "[database.{name}]\nprotocol = \"{protocol}\"\nbackends = [\"{}\"]\ntls = \"{mode}\"\nhosts = [\"{host}\"]\n{ca}",
            server.addr()
        )
    }
}

/// Whom a client's certificate check has to see: the database in passthrough, else the gateway.
fn expected_serial<'a>(mode: &str, server: &'a Leaf, gateway: &'a Leaf) -> &'a str {
    if mode == "passthrough" {
        &server.serial
    } else {
        &gateway.serial
    }
}

fn assert_reached(client: Client, target: &Target, name: &str, serial: &str) {
    let answer = client.whoami(target);
    assert_eq!(answer.expect_who(), name, "{client:?} {target:?}");
    let seen = answer.json["serial"].as_str().unwrap_or_default();
    assert!(
        [serial, ""].contains(&seen),
        "{client:?} saw the certificate {seen}, not {serial}: {answer:#?}"
    );
}

/// Two servers of one kind behind one gateway: every client, every mode, both names, then data.
fn two_behind_one_port(
    protocol: &str,
    clients: &[Client],
    mode: &str,
    start: impl Fn(&str, &Leaf) -> Server,
    hosts: [&str; 2],
    target: impl Fn(&str, u16, &Ca) -> Target,
) {
    let pki = Pki::new();
    let leaves = hosts.map(|host| pki.ca.leaf(&[host]));
    let servers = [start("first", &leaves[0]), start("second", &leaves[1])];
    let mut config = pki.tls();
    for (i, host) in hosts.into_iter().enumerate() {
        config += &pki.database(&format!("db{i}"), protocol, &servers[i], mode, host);
    }
    let gateway = Gateway::start(&config);
    for &client in clients {
        for (i, host) in hosts.into_iter().enumerate() {
            let target = target(host, gateway.port(), &pki.ca);
            let serial = expected_serial(mode, &leaves[i], &pki.gateway);
            assert_reached(client, &target, servers[i].name(), serial);
        }
        let target = target(hosts[0], gateway.port(), &pki.ca);
        let pump = client.run(Action::Pump, &target);
        assert_eq!(pump.expect_who(), servers[0].name(), "{client:?}");
    }
}

/// A Postgres that also takes connections without TLS where the gateway ends it.
fn start_postgres(mode: &str, name: &str, leaf: &Leaf) -> Server {
    let server = Postgres::named(name).tls(leaf);
    if mode == "terminate" {
        server.plain().start()
    } else {
        server.start()
    }
}

/// In reencrypt a login cannot be bound to the channel: the client's ends at the gateway.
fn postgres_target(mode: &str, host: &str, port: u16, ca: &Ca) -> Target {
    let target = Target::postgres(host, port, ca);
    if mode == "reencrypt" {
        target.channel_binding("disable")
    } else {
        target
    }
}

fn postgres(mode: &str) {
    two_behind_one_port(
        "postgres",
        &Client::POSTGRES,
        mode,
        |name, leaf| start_postgres(mode, name, leaf),
        ["pg1.example.test", "pg2.example.test"],
        |host, port, ca| postgres_target(mode, host, port, ca),
    );
}

/// TLS from the first byte, with ALPN `postgresql`; only Postgres 17 and newer take it themselves.
fn postgres_direct(mode: &str) {
    two_behind_one_port(
        "postgres",
        &DIRECT,
        mode,
        |name, leaf| {
            if mode == "passthrough" {
                Postgres::v18(name, leaf)
            } else {
                start_postgres(mode, name, leaf)
            }
        },
        ["pg1.example.test", "pg2.example.test"],
        |host, port, ca| postgres_target(mode, host, port, ca).direct(),
    );
}

fn redis(mode: &str) {
    two_behind_one_port(
        "redis",
        &Client::REDIS,
        mode,
        |name, leaf| {
            if mode == "terminate" {
                Redis::plain(name)
            } else {
                Redis::start(name, leaf)
            }
        },
        ["redis1.example.test", "redis2.example.test"],
        Target::new,
    );
}

fn mongodb(mode: &str) {
    two_behind_one_port(
        "mongodb",
        &Client::MONGODB,
        mode,
        |name, leaf| {
            if mode == "terminate" {
                Mongo::plain(name)
            } else {
                Mongo::start(name, leaf)
            }
        },
        ["mongo1.example.test", "mongo2.example.test"],
        Target::new,
    );
}

/// One test for each cell of the table, named by its row and column; the table in the README is
/// made of the same rows.
macro_rules! table {
    ($($row:ident: $kind:ident, $clients:expr, $words:literal;)*) => {
        $(mod $row {
            #[test]
            fn passthrough() {
                super::$kind("passthrough");
            }

            #[test]
            fn terminate() {
                super::$kind("terminate");
            }

            #[test]
            fn reencrypt() {
                super::$kind("reencrypt");
            }
        })*

        /// The rows of the README's table: clients, and what they do.
        const ROWS: &[(&[Client], &str)] = &[$(($clients, $words),)*];
    };
}

table! {
    after_ssl_request: postgres, &Client::POSTGRES, "SSLRequest";
    direct_tls: postgres_direct, &DIRECT, "`sslnegotiation=direct`";
    redis_clients: redis, &Client::REDIS, "TLS from byte 0";
    mongodb_clients: mongodb, &Client::MONGODB, "TLS from byte 0";
}

/// Clients that can begin with TLS; psql of Debian 12 is too old for it.
const DIRECT: [Client; 5] = [
    Client::Psycopg,
    Client::Asyncpg,
    Client::NodePostgres,
    Client::Pgx,
    Client::Pgjdbc,
];

/// The README claims exactly what the tests above show.
#[test]
fn the_readme_has_the_table_of_these_tests() {
    let mut table = format!(
        "| client | how | {} |\n|---|---|---|---|---|\n",
        MODES.join(" | ")
    );
    for (clients, how) in ROWS {
        for client in *clients {
            let _ = writeln!(
                table,
                "| {} | {how} | yes | yes | {} |",
                label(*client),
                reencrypt(*client)
            );
        }
    }
    let readme = include_str!("../../README.md");
    assert!(
        readme.contains(&table),
        "README.md does not have this table:\n{table}"
    );
}

/// The name that users know.
fn label(client: Client) -> &'static str {
    match client {
        Client::Psql => "psql",
        Client::Psycopg => "psycopg 3 (libpq 18)",
        Client::Asyncpg => "asyncpg",
        Client::NodePostgres => "node-postgres",
        Client::Pgx => "pgx 5",
        Client::Pgjdbc => "pgjdbc 42.7",
        Client::RedisCli => "redis-cli `--sni`",
        Client::RedisPy => "redis-py",
        Client::Ioredis => "ioredis, `tls.servername` set",
        Client::Pymongo => "pymongo",
        Client::NodeMongodb => "node mongodb driver",
        Client::MariaDb => "MariaDB client",
        Client::PyMysql => "PyMySQL",
        Client::NodeMysql2 => "node mysql2",
        Client::PgAdmin => "pgAdmin 4",
    }
}

/// The settings of a client for reencrypt: those that bind the login to the channel must not.
fn reencrypt(client: Client) -> &'static str {
    match client {
        Client::Psql | Client::Psycopg | Client::Pgx => "`channel_binding=disable`",
        Client::Pgjdbc => "`channelBinding=disable`",
        _ => "yes",
    }
}
