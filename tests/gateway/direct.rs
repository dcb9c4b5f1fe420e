//! The testbed itself: every client reaches every server that it fits, directly and with verification
//! on, and refuses what it should refuse. No gateway takes part.
//!
//! When a test fails here, the fault is not the gateway's.

use std::{path::Path, process::Command};

use crate::{
    certs::Ca,
    clients::{Action, Answer, Client, Target},
    servers::{Mongo, Postgres, Redis, Server, promote, query},
    testbed,
};

/// Clients' words for a certificate whose issuer is unknown to them.
const UNKNOWN_ISSUER: &[&str] = &[
    "verify failed",
    "unable to verify",
    "unknown authority",
    "unable to find valid certification path",
];
/// Their words for one that has expired; old libpq says no more than that verification failed.
const EXPIRED: &[&str] = &["expired", "verify failed", "validity check failed"];
/// Their words for one of another name.
const WRONG_NAME: &[&str] = &[
    "does not match",
    "not valid for",
    "is valid for",
    "could not be verified",
];

#[track_caller]
fn assert_refused(client: Client, answer: &Answer, reasons: &[&str]) {
    let said = reasons.iter().any(|words| answer.error.contains(words));
    assert!(
        !answer.ok && said && !answer.stderr.is_empty(),
        "{client:?}, {reasons:?}: {answer:#?}"
    );
}

fn every_action(clients: &[Client], server: &Server, serial: &str, target: &Target, stranger: &Ca) {
    for &client in clients {
        let answer = client.whoami(target);
        assert_eq!(answer.expect_who(), server.name(), "{client:?}");
        assert!(
            [serial, ""].contains(&answer.json["serial"].as_str().unwrap_or_default()),
            "{answer:#?}"
        );
        assert_eq!(answer.stdout.lines().count(), 1, "{answer:#?}");
        println!("{client:?} -> {}: {}", server.name(), answer.json);

        let pump = client.run(Action::Pump, target);
        assert_eq!(pump.expect_who(), server.name(), "{client:?}");
        assert_eq!(
            pump.json["bytes"],
            u64::from(target.mib) * 1024 * 1024,
            "{client:?}"
        );

        let idle = client
            .spawn(Action::Idle, target)
            .ready()
            .expect("a connection");
        assert_eq!(idle.go_on().expect_who(), server.name(), "{client:?}");

        let wrong = Target {
            ca: Some(stranger.path().to_owned()),
            timeout: 2,
            ..target.clone()
        };
        assert_refused(client, &client.whoami(&wrong), UNKNOWN_ISSUER);
    }
}

fn postgres(server: &Server, host: &str, serial: &str, ca: &Ca, stranger: &Ca) {
    let target = Target::postgres(host, server.port(), ca);
    every_action(&Client::POSTGRES, server, serial, &target, stranger);
    for client in Client::POSTGRES {
        let answer = client.run(Action::SleepCancel, &target);
        assert!(answer.ok && answer.cancelled(), "{client:?}: {answer:#?}");
        println!("{client:?} cancels: {}", answer.json);
    }
    assert!(
        server
            .log()
            .contains("connection authorized: user=app database=app"),
        "{}",
        server.log()
    );
}

#[test]
fn every_postgres_client_reaches_the_systems_postgres() {
    let (ca, stranger) = (Ca::new("Testbed"), Ca::new("Stranger"));
    let leaf = ca.leaf(&["pg1.example.test"]);
    let server = Postgres::debian("pg-a", &leaf);
    postgres(&server, "pg1.example.test", &leaf.serial, &ca, &stranger);
}

#[test]
fn every_postgres_client_reaches_postgres_18() {
    let (ca, stranger) = (Ca::new("Testbed"), Ca::new("Stranger"));
    let leaf = ca.leaf(&["pg2.example.test"]);
    let server = Postgres::v18("pg-c", &leaf);
    postgres(&server, "pg2.example.test", &leaf.serial, &ca, &stranger);

    let direct = Target::postgres("pg2.example.test", server.port(), &ca).direct();
    for client in [
        Client::Psycopg,
        Client::Asyncpg,
        Client::NodePostgres,
        Client::Pgx,
        Client::Pgjdbc,
    ] {
        assert_eq!(client.whoami(&direct).expect_who(), "pg-c", "{client:?}");
    }
    let bound = Target::postgres("pg2.example.test", server.port(), &ca).channel_binding("require");
    for client in [
        Client::Psql,
        Client::Psycopg,
        Client::NodePostgres,
        Client::Pgx,
        Client::Pgjdbc,
    ] {
        assert_eq!(client.whoami(&bound).expect_who(), "pg-c", "{client:?}");
    }
}

#[test]
fn postgres_takes_client_certificates_and_plain_connections_when_told() {
    let ca = Ca::new("Testbed");
    let (leaf, user) = (ca.leaf(&["pg3.example.test"]), ca.client("certuser"));
    let server = Postgres::named("pg-both")
        .tls(&leaf)
        .client_ca(&ca)
        .plain()
        .start();
    let target = Target::postgres("pg3.example.test", server.port(), &ca);
    for client in Client::POSTGRES {
        let certified = target.clone().certificate("certuser", &user);
        assert_eq!(
            client.whoami(&certified).expect_who(),
            "pg-both",
            "{client:?}"
        );
        let plain = target.clone().sslmode("disable");
        assert_eq!(client.whoami(&plain).expect_who(), "pg-both", "{client:?}");
    }
}

#[test]
fn an_expired_certificate_and_a_wrong_name_are_refused() {
    let ca = Ca::new("Testbed");
    let expired = Postgres::debian("pg-expired", &ca.expired(&["pg4.example.test"]));
    let other = Postgres::debian("pg-other", &ca.leaf(&["pg5.example.test"]));
    for client in Client::POSTGRES {
        let late = Target::postgres("pg4.example.test", expired.port(), &ca);
        assert_refused(client, &client.whoami(&late), EXPIRED);
        let misnamed = Target::postgres("pg4.example.test", other.port(), &ca);
        assert_refused(client, &client.whoami(&misnamed), WRONG_NAME);
    }
}

#[test]
fn a_stopped_server_is_gone_and_a_restarted_one_is_back() {
    let ca = Ca::new("Testbed");
    let mut server = Postgres::debian("pg-again", &ca.leaf(&["pg6.example.test"]));
    let target = Target::postgres("pg6.example.test", server.port(), &ca);
    let session = Client::Pgx
        .spawn(Action::Idle, &target)
        .ready()
        .expect("a connection");
    server.stop();
    let answer = session.go_on();
    assert!(!answer.ok, "{answer:#?}");
    assert!(!Client::Psql.whoami(&target).ok);
    server.restart();
    assert_eq!(Client::Psql.whoami(&target).expect_who(), "pg-again");
}

#[test]
fn every_redis_client_reaches_redis() {
    let (ca, stranger) = (Ca::new("Testbed"), Ca::new("Stranger"));
    let leaf = ca.leaf(&["redis1.example.test"]);
    let server = Redis::start("redis-a", &leaf);
    let target = Target::new("redis1.example.test", server.port(), &ca);
    every_action(&Client::REDIS, &server, &leaf.serial, &target, &stranger);

    let plain = Redis::plain("redis-plain");
    let target = Target::new("redis2.example.test", plain.port(), &ca).sslmode("disable");
    for client in Client::REDIS {
        assert_eq!(
            client.whoami(&target).expect_who(),
            "redis-plain",
            "{client:?}"
        );
    }
}

#[test]
fn every_mongodb_client_reaches_ferretdb() {
    let (ca, stranger) = (Ca::new("Testbed"), Ca::new("Stranger"));
    let leaf = ca.leaf(&["mongo1.example.test"]);
    let server = Mongo::start("mongo-a", &leaf);
    let target = Target::new("mongo1.example.test", server.port(), &ca);
    every_action(&Client::MONGODB, &server, &leaf.serial, &target, &stranger);
}

#[test]
fn a_killed_client_ends_its_session() {
    let ca = Ca::new("Testbed");
    let server = Postgres::debian("pg-killed", &ca.leaf(&["pg7.example.test"]));
    let target = Target::postgres("pg7.example.test", server.port(), &ca);
    let client = Client::Psycopg
        .spawn(Action::Idle, &target)
        .ready()
        .expect("a connection");
    let before = server.log().matches("disconnection:").count();
    client.kill();
    assert!(
        crate::testbed::until(|| server.log().matches("disconnection:").count() > before),
        "{}",
        server.log()
    );
}

#[test]
fn a_certificate_is_the_same_in_memory_and_in_its_files() {
    let ca = Ca::new("Testbed");
    let leaf = ca.leaf(&["pg8.example.test", "127.0.0.1"]);
    let openssl = |arguments: &[&str], path: &Path| {
        let output = Command::new("openssl")
            .args(arguments)
            .arg("-in")
            .arg(path)
            .output()
            .expect("openssl");
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    assert_eq!(
        openssl(&["x509", "-outform", "DER"], &leaf.cert_path),
        leaf.der
    );
    let of_certificate = openssl(&["x509", "-noout", "-pubkey"], &leaf.cert_path);
    assert_eq!(
        of_certificate,
        openssl(&["pkey", "-pubout"], &leaf.key_path)
    );
    let names = openssl(
        &["x509", "-noout", "-ext", "subjectAltName"],
        &leaf.cert_path,
    );
    assert!(
        String::from_utf8_lossy(&names).contains("DNS:pg8.example.test, IP Address:127.0.0.1"),
        "{names:?}"
    );
}

#[test]
fn a_standby_follows_its_primary_and_takes_its_place() {
    let ca = Ca::new("Testbed");
    let leaf = ca.leaf(&["pg1.example.test"]);
    let mut primary = Postgres::named("pg-a").tls(&leaf).replicates().start();
    let standby = Postgres::named("pg-b")
        .tls(&leaf)
        .standby_of(&primary)
        .start();
    query(&primary, "create table kept as select 7").expect("a primary writes");
    let follows = || query(&standby, "table kept").as_deref() == Ok("7");
    assert!(testbed::until(follows), "{}", standby.log());
    let refused = query(&standby, "insert into kept values (8)").expect_err("it only reads");
    assert!(refused.contains("read-only transaction"), "{refused}");
    primary.stop();
    promote(&standby);
    query(&standby, "insert into kept values (8)").expect("it is a primary now");
    let target = Target::postgres("pg1.example.test", standby.port(), &ca);
    assert_eq!(Client::Psql.whoami(&target).expect_who(), "pg-b");
}
