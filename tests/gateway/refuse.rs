//! Every way to be turned away, as its user reads it: the words that a real client prints, the
//! reason in the access log and in `ctl rejects`, and what is noted of the server name.
//!
//! The rule for names that lead nowhere: a Postgres client reads an ErrorResponse inside TLS where
//! the gateway's certificate would be accepted for that name, everybody else the alert
//! `unrecognized_name`. Not here: clients and backends that fall silent (`stall`).

mod alpn;
mod backend;
mod certificate;
mod check;
mod identity;
mod revoked;

use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::clients::{Action, Answer, Client, Target};
use crate::gateway::Gateway;
use crate::raw::{
    Fake, Pki, gssenc_request, plain_startup, put, request_tls, rest, take, tls_client,
};
use crate::servers::Postgres;
use crate::testbed;

const MODES: [&str; 3] = ["passthrough", "terminate", "reencrypt"];

/// Names of a certificate that covers nothing which clients ask for.
const ELSEWHERE: &[&str] = &["gate.example.net"];
const EVERYWHERE: &[&str] = &["*.example.test"];

/// The words of psql for the alerts; the word before them varies with OpenSSL.
const UNRECOGNIZED_NAME: &str = "unrecognized name";
const ACCESS_DENIED: &str = "alert access denied";
const INTERNAL_ERROR: &str = "alert internal error";

/// As psql prints the alert for a database without TLS.
const HANDSHAKE_FAILURE: &str = "alert handshake failure";

/// As psql prints the alert for a database that is full: `user_canceled`.
const USER_CANCELED: &str = "alert user cancelled";
const NO_PROTOCOL: &str = "alert no application protocol";

const NEEDS_TLS: &str = "FATAL:  dbgate: this endpoint requires TLS; use sslmode=require or higher";

/// The client failed with these words, and the gateway tells the same story.
#[track_caller]
fn assert_refused(gateway: &Gateway, answer: &Answer, words: &[&str], reason: &str, sni: &Value) {
    assert!(!answer.ok, "not refused: {answer:#?}");
    for words in words {
        assert!(answer.error.contains(words), "\"{words}\": {answer:#?}");
    }
    assert_rejected(gateway, reason, sni);
}

/// The access log and the list of rejects have it, with this status of the server name.
#[track_caller]
fn assert_rejected(gateway: &Gateway, reason: &str, sni_status: &Value) {
    let line = gateway.wait_reason(reason);
    assert_eq!(line["close"], "reject", "{line}");
    assert_eq!(&line["sni_status"], sni_status, "{line}");
    let mut reject = Value::Null;
    let found = testbed::until(|| {
        let answer = gateway.call("rejects", &json!({}));
        let rejects = answer["rejects"].as_array().cloned().unwrap_or_default();
        reject = rejects.into_iter().find(|r| r["id"] == line["id"]).into();
        reject.is_object()
    });
    assert!(found, "not in the list of rejects: {line}");
    for key in ["reason", "listener", "protocol", "sni", "sni_status"] {
        assert_eq!(reject[key], line[key], "{key}: {line} {reject}");
    }
    // A client that tries again is in the same row, of which this was the first.
    assert_eq!(reject["first"], line["ts"], "{line} {reject}");
    let address = |row: &Value| {
        let client = row["client"].as_str().unwrap_or_default();
        client
            .rsplit_once(':')
            .map(|(address, _)| address.to_owned())
    };
    assert_eq!(address(&reject), address(&line), "{line} {reject}");
    let detail = reject["detail"].as_str().unwrap_or_default();
    assert!(!detail.is_empty(), "{reject}");
}

/// A database `pg1` in this mode, with more keys; nobody must dial it.
fn gateway_before(fake: &Fake, mode: &str, keys: &str) -> (Pki, Gateway) {
    let pki = Pki::new();
    let config = pki.tls() + &pki.database("pg1", "postgres", mode, &[fake.addr()]) + keys;
    let gateway = Gateway::start(&config);
    (pki, gateway)
}

#[test]
fn names_that_lead_nowhere() {
    let published = "FATAL:  dbgate: no database is published under \"nobody.example.test\"\n\
                     HINT:  Check the host name";
    let no_name = "FATAL:  dbgate: the client sent no server name (SNI), so no database can be \
                   chosen\nHINT:  Connect by host name, not by IP address.";
    let nobody = |port| Target::unverified("nobody.example.test", port).app();
    let nameless = |port| Target {
        sni: false,
        ..nobody(port)
    };
    for (names, client, direct, words) in [
        (EVERYWHERE, Client::Psql, false, published),
        (ELSEWHERE, Client::Psql, false, UNRECOGNIZED_NAME),
        (EVERYWHERE, Client::Psycopg, true, published),
        (ELSEWHERE, Client::Psycopg, true, UNRECOGNIZED_NAME),
        (EVERYWHERE, Client::RedisCli, false, UNRECOGNIZED_NAME),
    ] {
        let pki = Pki::with_gateway_names(names);
        let gateway = Gateway::start(&pki.tls());
        let target = nobody(gateway.port());
        let answer = client.whoami(&if direct { target.direct() } else { target });
        assert_refused(&gateway, &answer, &[words], "unknown_host", &json!("ok"));
    }
    for (names, client, words) in [
        (EVERYWHERE, Client::Psql, no_name),
        (ELSEWHERE, Client::Psql, no_name),
        (EVERYWHERE, Client::RedisCli, UNRECOGNIZED_NAME),
    ] {
        let pki = Pki::with_gateway_names(names);
        let gateway = Gateway::start(&pki.tls());
        let answer = client.whoami(&nameless(gateway.port()));
        assert_refused(&gateway, &answer, &[words], "no_sni", &json!("none"));
    }
}

/// Java sends no server name for a host without a dot, and says the alert in words of its own.
#[test]
fn pgjdbc_is_told_in_words_too() {
    let published = "FATAL: dbgate: no database is published under \"nobody.example.test\"";
    let no_name = "FATAL: dbgate: the client sent no server name (SNI)";
    let alert = "Received fatal alert: unrecognized_name";
    for (names, host, words, reason, status) in [
        (
            EVERYWHERE,
            "nobody.example.test",
            published,
            "unknown_host",
            "ok",
        ),
        (
            ELSEWHERE,
            "nobody.example.test",
            alert,
            "unknown_host",
            "ok",
        ),
        (ELSEWHERE, "localhost", no_name, "no_sni", "none"),
    ] {
        let pki = Pki::with_gateway_names(names);
        let gateway = Gateway::start(&pki.tls());
        let target = Target::unverified(host, gateway.port()).app();
        let answer = Client::Pgjdbc.whoami(&target);
        assert_refused(&gateway, &answer, &[words], reason, &json!(status));
    }
}

#[test]
fn a_client_that_verifies_the_name_reads_the_words_too() {
    let pki = Pki::new();
    let gateway = Gateway::start(&pki.tls());
    let target = Target::postgres("nobody.example.test", gateway.port(), &pki.ca);
    let words = ["no database is published under \"nobody.example.test\""];
    let answer = Client::Psql.whoami(&target);
    assert_refused(&gateway, &answer, &words, "unknown_host", &json!("ok"));
}

/// The output of `openssl s_client` that asks for a name and offers these protocols by ALPN.
fn s_client(port: u16, name: &str, alpn: Option<&str>) -> String {
    let mut command = testbed::mortal("KILL", "timeout");
    command
        .args(["60", "openssl", "s_client", "-quiet", "-servername", name])
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .args(alpn.map(|offer| ["-alpn", offer]).into_iter().flatten())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = testbed::spawn(command);
    let mut stdin = child.stdin.take().expect("its input");
    // It may have ended by now, refused.
    let _ = stdin.write_all(&plain_startup());
    let output = child.wait_with_output().expect("its output");
    drop(stdin);
    let printed = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&printed).into_owned()
}

#[test]
fn server_names_that_are_no_dns_names() {
    let words = "that is no DNS name, so no database can be chosen";
    let alert = "alert number 112";
    for (name, postgres, words, reason, status) in [
        ("192.0.2.1", true, words, "ip_sni", "ip"),
        ("192.0.2.1", false, alert, "ip_sni", "ip"),
        ("2001:db8::1", true, words, "ip_sni", "ip"),
        ("not a name", true, alert, "invalid_sni", "invalid"),
        ("not a name", false, alert, "invalid_sni", "invalid"),
        ("a..example.test", true, alert, "invalid_sni", "invalid"),
    ] {
        let pki = Pki::new();
        let gateway = Gateway::start(&pki.tls());
        let alpn = postgres.then_some("postgresql");
        let printed = s_client(gateway.port(), name, alpn);
        assert!(printed.contains(words), "{name}, {postgres}: {printed}");
        assert_rejected(&gateway, reason, &json!(status));
    }
}

#[test]
fn without_tls() {
    let fake = Fake::start();
    for client in [
        Client::Psql,
        Client::Psycopg,
        Client::Asyncpg,
        Client::Pgx,
        Client::Pgjdbc,
    ] {
        let (pki, gateway) = gateway_before(&fake, "terminate", "");
        let target = Target::postgres("pg1.example.test", gateway.port(), &pki.ca);
        let answer = client.whoami(&target.sslmode("disable"));
        // psql also prints the severity.
        let words = NEEDS_TLS.trim_start_matches("FATAL:  ");
        assert_refused(&gateway, &answer, &[words], "plaintext", &Value::Null);
    }
    fake.assert_unasked();
}

#[test]
fn a_client_that_prefers_tls_prints_both_failures() {
    let pki = Pki::with_gateway_names(ELSEWHERE);
    let gateway = Gateway::start(&pki.tls());
    let target = Target::unverified("nobody.example.test", gateway.port()).app();
    let answer = Client::Psql.whoami(&target.sslmode("prefer"));
    let words = [
        UNRECOGNIZED_NAME,
        NEEDS_TLS,
        "HINT:  Without TLS the client names no server",
    ];
    assert_refused(&gateway, &answer, &words, "plaintext", &Value::Null);
    assert_rejected(&gateway, "unknown_host", &json!("ok"));
}

#[test]
fn a_client_that_would_do_without_tls_is_led_to_it() {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&["pg1.example.test"]);
    let server = Postgres::debian("led", &leaf);
    let gateway = Gateway::start(&pki.database("pg1", "postgres", "passthrough", &[server.addr()]));
    let target = Target::unverified("pg1.example.test", gateway.port()).app();
    for sslmode in ["allow", "prefer"] {
        let answer = Client::Psql.whoami(&target.clone().sslmode(sslmode));
        assert_eq!(answer.expect_who(), "led", "{sslmode}");
    }
    assert_rejected(&gateway, "plaintext", &Value::Null);
}

#[test]
fn addresses_that_are_not_allowed() {
    let fake = Fake::start();
    let words = "FATAL:  dbgate: your address may not connect to \"pg1.example.test\"";
    for keys in [
        "allow = [\"203.0.113.0/24\"]\n",
        "deny = [\"127.0.0.0/8\"]\n",
        "allow = [\"127.0.0.0/8\"]\ndeny = [\"127.0.0.1/32\"]\n",
    ] {
        for (mode, words) in MODES.into_iter().zip([ACCESS_DENIED, words, words]) {
            let (pki, gateway) = gateway_before(&fake, mode, keys);
            let target = Target::postgres("pg1.example.test", gateway.port(), &pki.ca);
            let answer = Client::Psql.whoami(&target);
            assert_refused(&gateway, &answer, &[words], "not_allowed", &json!("ok"));
        }
    }
    fake.assert_unasked();
}

/// With one session open the next is refused, and after that session has ended one gets in.
fn full(keys: &str, limits: &str, words: &str, reason: &str) {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&["pg1.example.test"]);
    let server = Postgres::named("full").tls(&leaf).plain().start();
    for (mode, words) in MODES.into_iter().zip([USER_CANCELED, words, words]) {
        let database = pki.database("pg1", "postgres", mode, &[server.addr()]);
        let gateway = Gateway::start(&format!("{limits}{}{database}{keys}", pki.tls()));
        let target = Target::postgres("pg1.example.test", gateway.port(), &pki.ca);
        let target = target.channel_binding("disable");
        let first = Client::Psql.spawn(Action::Idle, &target).ready();
        let first = first.unwrap_or_else(|answer| panic!("{mode}: {answer:#?}"));
        let answer = Client::Psql.whoami(&target);
        assert_refused(&gateway, &answer, &[words], reason, &json!("ok"));
        assert_eq!(first.go_on().expect_who(), "full", "{mode}");
        gateway.wait_sessions(0);
        assert_eq!(Client::Psql.whoami(&target).expect_who(), "full", "{mode}");
    }
}

#[test]
fn a_database_that_has_all_its_sessions() {
    let words = "FATAL:  dbgate: too many connections to \"pg1.example.test\"";
    full("max_sessions = 1\n", "", words, "database_full");
}

#[test]
fn a_gateway_that_has_all_its_sessions() {
    let words = "FATAL:  dbgate: too many connections";
    full("", "[limits]\nmax_sessions = 1\n", words, "gateway_full");
}

#[test]
fn more_new_sessions_than_a_rate_lets_in() {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&["pg1.example.test"]);
    let server = Postgres::named("rate").tls(&leaf).plain().start();
    for (key, reason, words) in [
        (
            "network",
            "rate_network",
            "FATAL:  dbgate: too many new connections to \"pg1.example.test\" from your network",
        ),
        (
            "database",
            "rate_database",
            "FATAL:  dbgate: too many new connections to \"pg1.example.test\"",
        ),
    ] {
        for (mode, words) in MODES.into_iter().zip([USER_CANCELED, words, words]) {
            let database = pki.database("pg1", "postgres", mode, &[server.addr()]);
            let rate = format!("rate = {{ {key} = \"1/h\" }}\n");
            let gateway = Gateway::start(&format!("{}{database}{rate}", pki.tls()));
            let target = Target::postgres("pg1.example.test", gateway.port(), &pki.ca);
            let target = target.channel_binding("disable");
            assert_eq!(Client::Psql.whoami(&target).expect_who(), "rate", "{mode}");
            let answer = Client::Psql.whoami(&target);
            assert_refused(&gateway, &answer, &[words], reason, &json!("ok"));
        }
    }
}

#[test]
fn a_postgres_client_at_another_database() {
    let fake = Fake::start();
    let words = "FATAL:  dbgate: the database published under \"redis1.example.test\" does not speak Postgres";
    for (mode, words) in MODES.into_iter().zip([NO_PROTOCOL, words, words]) {
        let pki = Pki::new();
        let config = pki.tls() + &pki.database("redis1", "redis", mode, &[fake.addr()]);
        let gateway = Gateway::start(&config);
        let target = Target::postgres("redis1.example.test", gateway.port(), &pki.ca);
        let answer = Client::Psql.whoami(&target);
        assert_refused(&gateway, &answer, &[words], "wrong_protocol", &json!("ok"));
    }
    fake.assert_unasked();
}

#[test]
fn another_client_at_a_postgres_database() {
    let fake = Fake::start();
    for mode in ["terminate", "reencrypt"] {
        let (pki, gateway) = gateway_before(&fake, mode, "");
        let target = Target::new("pg1.example.test", gateway.port(), &pki.ca);
        let answer = Client::RedisCli.whoami(&target);
        let words = ["Server closed the connection"];
        assert_refused(&gateway, &answer, &words, "bad_preface", &json!("ok"));
    }
    fake.assert_unasked();
}

#[test]
fn a_request_for_gss_encryption_is_declined_and_the_client_goes_on() {
    let fake = Fake::start();
    let (pki, gateway) = gateway_before(&fake, "terminate", "");
    let mut tcp = gateway.connect();
    put(&mut tcp, &gssenc_request());
    assert_eq!(take(&mut tcp, 1), b"N");
    request_tls(&mut tcp);
    let mut client = tls_client(tcp, "pg1.example.test", &pki.ca, &["postgresql"]);
    put(&mut client, &plain_startup());
    let mut backend = fake.accept();
    assert_eq!(take(&mut backend, plain_startup().len()), plain_startup());
}

#[test]
fn a_request_for_gss_encryption_is_declined_once() {
    let fake = Fake::start();
    let (_, gateway) = gateway_before(&fake, "terminate", "");
    let mut tcp = gateway.connect();
    put(&mut tcp, &gssenc_request());
    assert_eq!(take(&mut tcp, 1), b"N");
    put(&mut tcp, &gssenc_request());
    assert_eq!(rest(&mut tcp), b"");
    drop(tcp);
    assert_rejected(&gateway, "bad_preface", &Value::Null);
    fake.assert_unasked();
}

/// The output of `pg_isready` and its exit code.
fn is_ready(host: &str, addr: SocketAddr, sslmode: &str) -> (Option<i32>, String) {
    let mut command = testbed::mortal("KILL", "pg_isready");
    let place = format!(
        "host={host} hostaddr={} port={} sslmode={sslmode}",
        addr.ip(),
        addr.port()
    );
    command
        .args(["--timeout", "20", "--dbname", &place])
        .env("HOME", "/nonexistent")
        .stdout(Stdio::piped());
    let output = testbed::spawn(command).wait_with_output();
    let output = output.expect("its output");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), printed)
}

#[test]
fn pg_isready_knows_a_database_that_is_down_from_one_that_is_up() {
    let pki = Pki::new();
    let hosts = ["pg1.example.test", "pg2.example.test", "pg3.example.test"];
    let leaf = pki.ca.leaf(&hosts);
    let mut server = Postgres::named("ready").tls(&leaf).plain().start();
    let mut config = pki.tls();
    for (name, mode) in ["pg1", "pg2", "pg3"].into_iter().zip(MODES) {
        config += &pki.database(name, "postgres", mode, &[server.addr()]);
    }
    let gateway = Gateway::start(&config);
    let addr = gateway.addr("main");
    for host in hosts {
        for sslmode in ["prefer", "require"] {
            let (code, printed) = is_ready(host, addr, sslmode);
            assert_eq!(code, Some(0), "{host}: {printed}");
        }
    }
    server.stop();
    // An alert is no answer to pg_isready; with `prefer` it would come again without TLS, and take
    // the refusal of that for a sign of life.
    let (code, printed) = is_ready(hosts[0], addr, "require");
    assert_eq!(code, Some(2), "{printed}");
    for host in [hosts[1], hosts[2]] {
        for sslmode in ["prefer", "require"] {
            let (code, printed) = is_ready(host, addr, sslmode);
            assert_eq!(code, Some(1), "{host}, {sslmode}: {printed}");
            assert!(printed.contains("rejecting connections"), "{printed}");
        }
    }
}
