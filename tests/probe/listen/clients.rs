//! Real clients: their first messages, and their reaction to a refusal and to a certificate that they cannot know.

use serde_json::{Value, json};

use super::{Listen, PG, findings, hear, mongo, mysql, pg, reaction, redis};
use crate::certs::Ca;
use crate::clients::{Client, Target};
use crate::servers::PgAdmin;

/// First messages, one row a client: its protocol, how it is made to connect, its messages,
/// the server name, ALPN, and the code of the leading finding.
const TABLE: &str = "
Psql         | postgres | -      | SSLRequest ClientHello | pg1.example.test    | -          | ok
Psql         | postgres | no sni | SSLRequest ClientHello | -                   | -          | sni-none
Psycopg      | postgres | -      | SSLRequest ClientHello | pg1.example.test    | postgresql | ok
Psycopg      | postgres | direct | ClientHello            | pg1.example.test    | postgresql | ok
Asyncpg      | postgres | -      | SSLRequest ClientHello | pg1.example.test    | postgresql | ok
Asyncpg      | postgres | direct | ClientHello            | pg1.example.test    | postgresql | ok
NodePostgres | postgres | -      | SSLRequest ClientHello | pg1.example.test    | -          | ok
NodePostgres | postgres | direct | ClientHello            | pg1.example.test    | postgresql | ok
RedisCli     | redis    | -      | ClientHello            | redis1.example.test | -          | ok
RedisCli     | redis    | no sni | ClientHello            | -                   | -          | sni-none
Ioredis      | redis    | -      | ClientHello            | redis1.example.test | -          | ok
Ioredis      | redis    | no sni | ClientHello            | -                   | -          | sni-none
Pymongo      | mongodb  | -      | ClientHello            | mongo1.example.test | -          | ok
MariaDb      | mariadb  | -      | SSLRequest ClientHello | -                   | -          | sni-none
PyMysql      | mysql    | -      | SSLRequest ClientHello | mysql1.example.test | -          | ok
NodeMysql2   | mysql    | -      | SSLRequest ClientHello | mysql1.example.test | -          | ok
";

/// Every client of [`TABLE`].
const CLIENTS: [Client; 10] = [
    Client::Psql,
    Client::Psycopg,
    Client::Asyncpg,
    Client::NodePostgres,
    Client::RedisCli,
    Client::Ioredis,
    Client::Pymongo,
    Client::MariaDb,
    Client::PyMysql,
    Client::NodeMysql2,
];

#[test]
fn what_each_client_sends() {
    let mut wrong = Vec::new();
    for row in TABLE.trim().lines() {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [client, protocol, how, said, sni, alpn, code] = cells[..] else {
            panic!("{row}");
        };
        let named = |known: &&Client| format!("{known:?}") == client;
        let client = *CLIENTS.iter().find(named).expect(row);
        let sni = (sni != "-").then_some(sni);
        let target = |port| {
            let target = match protocol {
                "postgres" => pg(port),
                "redis" => redis(port),
                "mongodb" => mongo(port),
                _ => mysql(port),
            };
            match how {
                "no sni" => target.without_sni(),
                "direct" => target.direct(),
                _ => target,
            }
        };
        let (heard, _) = hear(&["--protocol", protocol], client, target);
        let first = heard.first();
        let list = |cell: &str| json!(cell.split(' ').collect::<Vec<_>>());
        let expected = json!({
            "protocol": protocol,
            "starttls": said.starts_with("SSLRequest"),
            "said": list(said),
            "sni": sni,
            "sni_normalised": sni,
            "alpn": if alpn == "-" { json!([]) } else { list(alpn) },
            "code": code,
            "alert": "unrecognized_name",
            "alert_by": "server",
        });
        for (field, value) in expected.as_object().expect("fields") {
            if first[field] != *value {
                wrong.push(format!("{row}: {field} is {}", first[field]));
            }
        }
        if !matches!(reaction(&first), "closed" | "reset" | "alert") {
            wrong.push(format!("{row}: then {}", first["reaction"]));
        }
        println!("{row} {} {}", first["hello"], first["reaction"]);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_name_is_shown_as_sent_and_as_a_gateway_reads_it() {
    let target = |port| Target::unverified("PG1.Example.TEST.", port).app();
    let (heard, _) = hear(&[], Client::Psql, target);
    let [report] = heard.reports();
    assert_eq!(report["sni"], "PG1.Example.TEST.", "{report}");
    assert_eq!(report["sni_normalised"], PG, "{report}");
    assert_eq!(report["sni_status"], "ok", "{report}");
    assert_eq!(
        report["first_bytes"].as_str().map(|hex| &hex[..23]),
        Some("00 00 00 08 04 d2 16 2f")
    );
    assert_eq!(heard.code, Some(0), "{heard:#?}");
    assert!(
        heard.stderr.contains("psql 'host=NAME hostaddr=127.0.0.1"),
        "{heard:#?}"
    );
}

#[test]
fn each_sslmode_shows_in_the_order_of_the_connections() {
    // (sslmode, code of each connection, exit code)
    let cases: [(&str, &[&str], i32); 4] = [
        ("disable", &["client-plaintext"], 1),
        ("allow", &["client-plaintext", "client-plaintext-first"], 1),
        ("prefer", &["ok", "client-fell-back-to-plaintext"], 1),
        ("require", &["ok"], 0),
    ];
    for client in [Client::Psql, Client::Psycopg] {
        for (mode, codes, exit) in cases {
            let (heard, answer) = hear(&[], client, |port| pg(port).sslmode(mode));
            let found: Vec<Value> = heard
                .stdout
                .lines()
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect();
            let told: Vec<&str> = found.iter().filter_map(|r| r["code"].as_str()).collect();
            assert_eq!(told, codes, "{client:?} {mode}: {heard:#?}");
            assert_eq!(heard.code, Some(exit), "{client:?} {mode}: {heard:#?}");
            if mode != "require" {
                let says = "dbgate probe listen: your client came without TLS";
                assert!(
                    answer.error.contains(says),
                    "{client:?} {mode}: {answer:#?}"
                );
                assert!(
                    found.iter().any(|r| r["readable"]
                        == json!(["user", "database", "application_name"])
                        || r["readable"] == json!(["user", "database"])),
                    "{client:?} {mode}: {heard:#?}"
                );
            }
            // The names of what could be read, never the values.
            assert!(!heard.stdout.contains("secret"), "{heard:#?}");
        }
    }
}

#[test]
fn pgadmin_is_heard_like_any_other() {
    let pgadmin = PgAdmin::start();
    let listen = Listen::once(&[]);
    let answer = pgadmin.connect(&pg(listen.port));
    assert!(!answer.ok, "{answer:#?}");
    let first = listen.end().first();
    assert_eq!(
        first["said"],
        json!(["SSLRequest", "ClientHello"]),
        "{first}"
    );
    assert_eq!(first["sni"], PG, "{first}");
    assert_eq!(first["code"], "ok", "{first}");
}

/// A client, its protocol, where it goes, and its first message inside TLS.
type Case = (Client, &'static str, fn(u16) -> Target, &'static str);

#[test]
fn a_throwaway_certificate_tells_who_verifies() {
    let ca = Ca::new("Testbed");
    // (client, protocol, target, the first message of those that do not verify)
    let cases: [Case; 8] = [
        (Client::Psql, "postgres", pg, "StartupMessage"),
        (
            Client::Psycopg,
            "postgres",
            |port| pg(port).direct(),
            "StartupMessage",
        ),
        (Client::Asyncpg, "postgres", pg, "StartupMessage"),
        (Client::NodePostgres, "postgres", pg, "StartupMessage"),
        (Client::RedisCli, "redis", redis, "Redis command"),
        (Client::Ioredis, "redis", redis, "Redis command HELLO"),
        (Client::Pymongo, "mongodb", mongo, "MongoDB command"),
        (Client::NodeMysql2, "mysql", mysql, "HandshakeResponse"),
    ];
    let mut wrong = Vec::new();
    for (client, protocol, target, inside) in cases {
        let arguments = ["--protocol", protocol, "--then-cert"];
        let (heard, answer) = hear(&arguments, client, target);
        let first = heard.first();
        let message = first["inside"].as_str().unwrap_or("nothing");
        if first["certificate"] != "accepted"
            || !message.starts_with(inside)
            || !findings(&first).contains(&"client-accepts-any-certificate")
            || first["established"] != true
            || heard.code != Some(1)
        {
            wrong.push(format!("{client:?}, {inside}: {heard:#?} {answer:#?}"));
        }
        // The others say only that the connection was closed.
        let reads = matches!(protocol, "postgres" | "mysql");
        if reads && !answer.error.contains("dbgate probe listen: ") {
            wrong.push(format!("{client:?} reads {}", answer.error));
        }
        let verifying = |port| Target {
            verify: true,
            ca: Some(ca.path().to_owned()),
            ..target(port)
        };
        let (heard, _) = hear(&arguments, client, verifying);
        let first = heard.first();
        let trust = first["certificate"].as_str().unwrap_or("none");
        if !trust.starts_with("refused")
            || !findings(&first).contains(&"client-verifies")
            || first["code"] != "ok"
            || heard.code != Some(0)
        {
            wrong.push(format!("{client:?}, verifying: {heard:#?}"));
        }
        println!(
            "{client:?} {inside} {} {}",
            first["certificate"], first["alert"]
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
