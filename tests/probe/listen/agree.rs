//! A capture of a connection tells what the listener tells, and so does one of a connection that is
//! passed on to a real server.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Listen, PG, hear, mysql, pg};
use crate::capture::Capture;
use crate::certs::Ca;
use crate::clients::{Client, Target};
use crate::servers::{MariaDb, Postgres, Redis};
use crate::testbed;

/// Fields that a capture of a connection and the listener itself both know.
const SHARED: &[&str] = &[
    "protocol",
    "starttls",
    "sni",
    "sni_status",
    "alpn",
    "alert",
    "alert_by",
    "established",
    "tls_version",
    "cipher",
];

const SHARED_OF_HELLO: &[&str] = &[
    "bytes",
    "records",
    "ja4",
    "versions",
    "groups",
    "post_quantum",
];

/// The row of `probe pcap` for the one conversation of a capture.
#[track_caller]
fn captured(file: &Path, port: u16, protocol: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_dbgate"))
        .args([
            "probe",
            "pcap",
            "-o",
            "json",
            "--port",
            &format!("{port}={protocol}"),
        ])
        .arg(file)
        .output()
        .expect("dbgate");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let rows: Vec<&str> = stdout.lines().collect();
    let [row] = rows.as_slice() else {
        panic!("not one conversation: {output:#?}");
    };
    serde_json::from_str(row).expect("JSON")
}

#[track_caller]
fn assert_agreement(client: Client, listened: &Value, captured: &Value, further: &[&str]) {
    let both = format!("{client:?}\nlisten {listened}\npcap {captured}");
    for field in SHARED.iter().chain(further) {
        assert_eq!(listened[field], captured[field], "{field} of {both}");
    }
    for field in SHARED_OF_HELLO {
        let (listened, captured) = (&listened["hello"][field], &captured["hello"][field]);
        assert_eq!(listened, captured, "hello.{field} of {both}");
    }
}

/// A client, its protocol, and where it goes.
type Case = (Client, &'static str, fn(u16) -> Target);

#[test]
fn a_capture_and_the_listener_agree() {
    let cases: [Case; 8] = [
        (Client::Psql, "postgres", pg),
        (Client::Psql, "postgres", |port| pg(port).without_sni()),
        (Client::Psycopg, "postgres", |port| pg(port).direct()),
        (Client::Asyncpg, "postgres", pg),
        (Client::NodePostgres, "postgres", pg),
        (Client::Psql, "postgres", |port| pg(port).sslmode("disable")),
        (Client::PyMysql, "mysql", mysql),
        (Client::MariaDb, "mariadb", mysql),
    ];
    for (client, protocol, target) in cases {
        let listen = Listen::once(&["--protocol", protocol]);
        let port = listen.port;
        let mut capture = Capture::start(port);
        let answer = client.whoami(&target(port));
        assert!(!answer.ok, "{answer:#?}");
        let [report] = listen.end().reports();
        let row = captured(&capture.stop(), port, protocol);
        assert_agreement(client, &report, &row, &[]);
    }
}

#[test]
fn what_is_passed_on_reaches_the_server_and_a_capture_agrees() {
    let ca = Ca::new("Testbed");
    let leaf = ca.leaf(&[PG, "redis1.example.test", "mysql1.example.test"]);
    let postgres = Postgres::debian("pg-behind", &leaf);
    let redis = Redis::start("redis-behind", &leaf);
    let mariadb = MariaDb::start("mariadb-behind", &leaf);
    let cases = [
        (
            Client::Psql,
            "postgres",
            &postgres,
            Target::postgres(PG, 0, &ca),
        ),
        (
            Client::Psycopg,
            "postgres",
            &postgres,
            Target::postgres(PG, 0, &ca),
        ),
        (
            Client::RedisCli,
            "redis",
            &redis,
            Target::new("redis1.example.test", 0, &ca),
        ),
        (
            Client::PyMysql,
            "mysql",
            &mariadb,
            Target::new("mysql1.example.test", 0, &ca).app(),
        ),
    ];
    for (client, protocol, server, target) in cases {
        let to = server.addr().to_string();
        let mut listen = Listen::once(&["--protocol", protocol, "--forward", &to]);
        let port = listen.port;
        let mut capture = Capture::start(port);
        let answer = client.whoami(&Target { port, ..target });
        assert_eq!(answer.expect_who(), server.name());
        let open = listen.next();
        assert_eq!(open["open"], true, "{open}");
        assert_eq!(open["forwarded_to"], to, "{open}");
        let [ended] = listen.end().reports();
        assert_eq!(ended["open"], false, "{ended}");
        assert_eq!(open["id"], ended["id"]);
        assert_eq!(open["sni"], ended["sni"]);
        for side in ["bytes_in", "bytes_out"] {
            assert!(
                ended[side].as_u64() > open[side].as_u64(),
                "{side}: {open} {ended}"
            );
        }
        let row = captured(&capture.stop(), port, protocol);
        assert_agreement(client, &ended, &row, &["code"]);
    }
}

#[test]
fn a_server_that_refuses_what_is_passed_on_is_told_as_a_capture_tells_it() {
    let (ca, other) = (Ca::new("Testbed"), Ca::new("Stranger"));
    let server = Postgres::debian("pg-behind", &ca.leaf(&[PG]));
    let to = server.addr().to_string();
    // (target, code)
    let cases = [
        (
            Target::postgres(PG, 0, &ca).sslmode("disable"),
            "server-refused-plaintext",
        ),
        (Target::postgres(PG, 0, &other), "client-unknown-ca"),
    ];
    for (target, code) in cases {
        let listen = Listen::once(&["--forward", &to]);
        let port = listen.port;
        let mut capture = Capture::start(port);
        let answer = Client::Psql.whoami(&Target { port, ..target });
        assert!(!answer.ok, "{answer:#?}");
        let heard = listen.end();
        let ended = heard.stdout.lines().last();
        let ended = ended.unwrap_or_else(|| panic!("{heard:#?}"));
        let ended: Value = serde_json::from_str(ended).expect("JSON");
        assert_eq!(ended["code"], code, "{ended}");
        let row = captured(&capture.stop(), port, "postgres");
        assert_agreement(Client::Psql, &ended, &row, &["code"]);
        assert_eq!(
            (&ended["verdict"], &row["verdict"]),
            (&"fail".into(), &"failed".into()),
        );
        assert_eq!(heard.code, Some(4), "{heard:#?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let closed = format!("127.0.0.1:{}", testbed::free_port());
    let (heard, _) = hear(&["--forward", &closed], Client::Psql, pg);
    let first = heard.first();
    assert_eq!(first["code"], "tcp-refused", "{first}");
    assert_eq!(heard.code, Some(3), "{heard:#?}");
}
