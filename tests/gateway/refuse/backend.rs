//! Backends that cannot be used, and logins that cannot work through the gateway.

use std::process::Stdio;

use serde_json::json;

use super::{HANDSHAKE_FAILURE, INTERNAL_ERROR, MODES, assert_refused};
use crate::certs::Ca;
use crate::clients::{Client, Target};
use crate::gateway::Gateway;
use crate::raw::{Pki, closed_port};
use crate::servers::Postgres;
use crate::testbed;

const HOST: &str = "pg1.example.test";

const CANNOT_BE_REACHED: &str =
    "FATAL:  dbgate: the database behind \"pg1.example.test\" cannot be reached now";

/// A gateway with the database `pg1` behind it, with more keys.
fn gateway(pki: &Pki, mode: &str, port: u16, keys: &str) -> Gateway {
    let addr = ([127, 0, 0, 1], port).into();
    Gateway::start(&(pki.tls() + &pki.database("pg1", "postgres", mode, &[addr]) + keys))
}

/// A client of libpq that does not bind the channel.
fn target(gateway: &Gateway, pki: &Pki) -> Target {
    Target::postgres(HOST, gateway.port(), &pki.ca).channel_binding("disable")
}

#[test]
fn a_backend_that_is_down_and_comes_back() {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&[HOST]);
    let mut server = Postgres::named("back").tls(&leaf).plain().start();
    let words = [INTERNAL_ERROR, CANNOT_BE_REACHED, CANNOT_BE_REACHED];
    let gateways = MODES.map(|mode| gateway(&pki, mode, server.port(), ""));
    server.stop();
    for (gateway, words) in gateways.iter().zip(words) {
        for _ in 0..2 {
            let answer = Client::Psql.whoami(&target(gateway, &pki));
            assert_refused(
                gateway,
                &answer,
                &[words],
                "backend_unreachable",
                &json!("ok"),
            );
        }
        let line = gateway.wait_reason("backend_unreachable");
        assert_eq!(line["database"], "pg1", "{line}");
    }
    server.restart();
    for gateway in &gateways {
        assert_eq!(
            Client::Psql.whoami(&target(gateway, &pki)).expect_who(),
            "back"
        );
        gateway.wait_log("backend answers again");
        // Trouble is told once, not once for each client.
        assert_eq!(
            gateway.log().matches("backend fails").count(),
            1,
            "{}",
            gateway.log()
        );
    }
}

#[test]
fn libpq_goes_on_to_the_next_host_when_a_database_is_down() {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&[HOST]);
    let server = Postgres::debian("next", &leaf);
    let (down, _held) = closed_port();
    for mode in ["terminate", "reencrypt"] {
        let config = pki.tls()
            + &pki.database("pg1", "postgres", "passthrough", &[server.addr()])
            + &pki.database("pg2", "postgres", mode, &[down]);
        let gateway = Gateway::start(&config);
        let target = Target {
            host: "pg2.example.test,pg1.example.test".to_owned(),
            hostaddr: Some("127.0.0.1,127.0.0.1".to_owned()),
            ..Target::postgres(HOST, gateway.port(), &pki.ca)
        };
        for client in [Client::Psql, Client::Psycopg] {
            assert_eq!(client.whoami(&target).expect_who(), "next", "{mode}");
        }
        gateway.wait_reject("backend_unreachable");
    }
}

#[test]
fn a_redis_that_is_down() {
    let pki = Pki::new();
    let (down, _held) = closed_port();
    let host = "redis1.example.test";
    let words = "ERR dbgate: the database cannot be reached now";
    for (mode, words) in MODES.into_iter().zip([INTERNAL_ERROR, words, words]) {
        let config = pki.tls() + &pki.database("redis1", "redis", mode, &[down]);
        let gateway = Gateway::start(&config);
        let mut command = testbed::mortal("KILL", "redis-cli");
        command
            .args(["-h", host, "-p", &gateway.port().to_string(), "--sni", host])
            .args(["--tls", "--cacert"])
            .arg(pki.ca.path())
            .args(["get", "whoami"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = testbed::spawn(command).wait_with_output();
        let output = output.expect("its output");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        assert!(printed.contains(words), "{mode}: {printed}");
        super::assert_rejected(&gateway, "backend_unreachable", &json!("ok"));
    }
}

#[test]
fn a_backend_without_tls() {
    let pki = Pki::new();
    let server = Postgres::named("plain").plain().start();
    for (mode, words) in [
        ("passthrough", HANDSHAKE_FAILURE),
        ("reencrypt", CANNOT_BE_REACHED),
    ] {
        let gateway = gateway(&pki, mode, server.port(), "");
        let answer = Client::Psql.whoami(&target(&gateway, &pki));
        assert_refused(
            &gateway,
            &answer,
            &[words],
            "backend_refused_tls",
            &json!("ok"),
        );
        let reject = gateway.wait_reject("backend_refused_tls");
        let detail = reject["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("the backend refused TLS"), "{reject}");
        let remedy = reject["remedy"].as_str().unwrap_or_default();
        assert!(remedy.contains("--tls terminate"), "{reject}");
        let shown = gateway.ctl_ok(&["show", "pg1"]);
        assert!(
            shown.contains("backend_refused_tls; no TLS there"),
            "{shown}"
        );
    }
    let gateway = gateway(&pki, "terminate", server.port(), "");
    assert_eq!(
        Client::Psql.whoami(&target(&gateway, &pki)).expect_who(),
        "plain"
    );
}

#[test]
fn a_backend_whose_certificate_is_not_the_right_one() {
    let (pki, stranger) = (Pki::new(), Ca::new("Stranger"));
    let leaf = pki.ca.leaf(&[HOST]);
    let server = Postgres::debian("right", &leaf);
    let foreign = Postgres::debian("foreign", &stranger.leaf(&[HOST]));
    let expired = Postgres::debian("expired", &pki.ca.expired(&[HOST]));
    for (port, keys, cause) in [
        (foreign.port(), "", "unknown issuer"),
        (
            server.port(),
            "backend_name = \"other.example.test\"\n",
            "other.example.test",
        ),
        (expired.port(), "", "expired"),
    ] {
        let gateway = gateway(&pki, "reencrypt", port, keys);
        let answer = Client::Psql.whoami(&target(&gateway, &pki));
        let words = [CANNOT_BE_REACHED];
        assert_refused(
            &gateway,
            &answer,
            &words,
            "backend_tls_failed",
            &json!("ok"),
        );
        let reject = gateway.wait_reject("backend_tls_failed");
        let detail = reject["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(cause), "{cause}: {reject}");
        gateway.wait_log(cause);
    }
    let gateway = gateway(&pki, "reencrypt", server.port(), "");
    assert_eq!(
        Client::Psql.whoami(&target(&gateway, &pki)).expect_who(),
        "right"
    );
}

/// The line that names the cause of a login that the channel binding breaks.
const NAMES_THE_CAUSE: &str = "bound it to the gateway's certificate (SCRAM channel binding)";

#[test]
fn a_login_bound_to_the_gateways_certificate() {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&[HOST]);
    let server = Postgres::debian("bound", &leaf);
    for client in [Client::Psql, Client::Psycopg] {
        let gateway = gateway(&pki, "reencrypt", server.port(), "");
        let bound = Target::postgres(HOST, gateway.port(), &pki.ca);
        let answer = client.whoami(&bound);
        let words = "SCRAM channel binding check failed";
        assert!(!answer.ok && answer.error.contains(words), "{answer:#?}");
        let line = gateway.wait_reason("scram_channel_binding");
        assert_eq!(
            (&line["close"], &line["database"]),
            (&json!("backend"), &json!("pg1"))
        );
        gateway.wait_log(NAMES_THE_CAUSE);

        let unbound = bound.channel_binding("disable");
        assert_eq!(client.whoami(&unbound).expect_who(), "bound");
    }
}

#[test]
fn a_login_bound_to_a_certificate_that_both_have() {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&[HOST]);
    let server = Postgres::debian("same", &leaf);
    let keys = format!(
        "cert = \"{}\"\nkey = \"{}\"\n",
        leaf.cert_path.display(),
        leaf.key_path.display()
    );
    let gateway = gateway(&pki, "reencrypt", server.port(), &keys);
    let target = Target::postgres(HOST, gateway.port(), &pki.ca);
    for client in [Client::Psql, Client::Psycopg] {
        assert_eq!(client.whoami(&target).expect_who(), "same");
        let target = target.clone().channel_binding("require");
        assert_eq!(client.whoami(&target).expect_who(), "same");
    }
    assert!(
        !gateway.log().contains(NAMES_THE_CAUSE),
        "{}",
        gateway.log()
    );
}

#[test]
fn a_client_that_insists_on_channel_binding() {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&[HOST]);
    let server = Postgres::named("insists").tls(&leaf).plain().start();
    let through = |mode| {
        let gateway = gateway(&pki, mode, server.port(), "");
        let target = Target::postgres(HOST, gateway.port(), &pki.ca).channel_binding("require");
        Client::Psql.whoami(&target)
    };
    assert_eq!(through("passthrough").expect_who(), "insists");
    let answer = through("terminate");
    let words = "channel binding is required, but server did not offer an authentication method \
                 that supports channel binding";
    assert!(!answer.ok && answer.error.contains(words), "{answer:#?}");
}
