//! Clients that nobody lets in say so in an answer, and send what they were told to send; pgAdmin;
//! captures.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    thread,
};

use crate::{
    capture::Capture,
    certs::Ca,
    clients::{Client, Target},
    servers::{PgAdmin, Postgres},
};

/// Lets one client after the other speak, and hangs up without a word; gives back what they said.
fn refused(client: Client, target: impl Fn(u16) -> Target, greeting: &[u8]) -> Vec<u8> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("its own address").port();
    let greeting = greeting.to_vec();
    // It ends with the tests: a client that comes back finds the same.
    let (sender, said) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.write_all(&greeting);
            let mut bytes = vec![0; 64 * 1024];
            let length = stream.read(&mut bytes).unwrap_or_default();
            bytes.truncate(length);
            let _ = sender.send(bytes);
        }
    });
    let target = Target {
        timeout: 2,
        ..target(port)
    };
    let answer = client.whoami(&target);
    assert!(
        !answer.ok && !answer.error.is_empty() && answer.json["client"].is_string(),
        "{client:?}: {answer:#?}"
    );
    println!("{client:?}: {}", answer.error);
    said.try_iter().flatten().collect()
}

#[track_caller]
fn assert_name(client: Client, said: &[u8], name: &str, wanted: bool) {
    let found = said
        .windows(name.len())
        .any(|bytes| bytes == name.as_bytes());
    assert_eq!(
        found,
        wanted,
        "{client:?} and {name}: {}",
        said.escape_ascii()
    );
}

#[test]
fn refused_clients_have_sent_their_first_bytes() {
    for client in Client::POSTGRES {
        let said = refused(
            client,
            |port| Target::unverified("pg1.example.test", port).app(),
            b"",
        );
        assert_eq!(
            said.get(..8),
            Some(&[0, 0, 0, 8, 4, 210, 22, 47][..]),
            "{client:?}: {said:?}"
        );
    }
    for client in [
        Client::Psycopg,
        Client::Asyncpg,
        Client::NodePostgres,
        Client::Pgx,
        Client::Pgjdbc,
    ] {
        let target = |port| Target::unverified("pg1.example.test", port).app().direct();
        assert_name(
            client,
            &refused(client, target, b""),
            "pg1.example.test",
            true,
        );
    }
    for client in Client::MONGODB {
        let target = |port| Target::unverified("mongo1.example.test", port);
        assert_name(
            client,
            &refused(client, target, b""),
            "mongo1.example.test",
            true,
        );
    }
    // Without a greeting they would wait: here is one that refuses them.
    let full = b"\x17\0\0\0\xff\x10\x04Too many connections";
    for client in Client::MYSQL {
        let target = |port| Target::unverified("mysql1.example.test", port).app();
        let said = refused(client, target, full);
        assert!(said.is_empty(), "{client:?}: {said:?}");
    }
}

#[test]
fn a_redis_client_leaves_out_the_server_name_when_told() {
    for client in [Client::RedisCli, Client::Ioredis] {
        let target = |port| Target::unverified("redis1.example.test", port);
        assert_name(
            client,
            &refused(client, target, b""),
            "redis1.example.test",
            true,
        );
        let silent = |port| target(port).without_sni();
        assert_name(
            client,
            &refused(client, silent, b""),
            "redis1.example.test",
            false,
        );
    }
    let target = |port| Target::unverified("redis1.example.test", port);
    assert_name(
        Client::RedisPy,
        &refused(Client::RedisPy, target, b""),
        "redis1.example.test",
        true,
    );
}

#[test]
fn pgadmin_connects_and_tells_why_it_does_not() {
    let (ca, stranger) = (Ca::new("Testbed"), Ca::new("Stranger"));
    let server = Postgres::debian("pg-admin", &ca.leaf(&["pg1.example.test"]));
    let pgadmin = PgAdmin::start();
    let target = Target::postgres("pg1.example.test", server.port(), &ca);
    let answer = pgadmin.connect(&target);
    assert_eq!(answer.expect_who(), "pg-admin", "{}", pgadmin.log());

    let wrong = Target {
        ca: Some(stranger.path().to_owned()),
        ..target
    };
    let answer = pgadmin.connect(&wrong);
    assert!(
        !answer.ok && answer.error.contains("certificate verify failed"),
        "{answer:#?}"
    );
    assert!(
        pgadmin.log().contains("certificate verify failed"),
        "{}",
        pgadmin.log()
    );

    let said = refused_by(&pgadmin);
    assert_eq!(
        said.get(..8),
        Some(&[0, 0, 0, 8, 4, 210, 22, 47][..]),
        "{said:?}"
    );
}

fn refused_by(pgadmin: &PgAdmin) -> Vec<u8> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("its own address").port();
    let first = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut bytes = vec![0; 1024];
        let length = stream.read(&mut bytes).expect("its first bytes");
        bytes.truncate(length);
        bytes
    });
    let answer = pgadmin.connect(&Target::unverified("pg2.example.test", port).app());
    assert!(!answer.ok && answer.error.contains("closed"), "{answer:#?}");
    first.join().expect("the listener")
}

#[test]
fn a_capture_holds_the_whole_conversation() {
    let ca = Ca::new("Testbed");
    let server = Postgres::named("pg-plain").plain().start();
    let mut capture = Capture::start(server.port());
    let target = Target::postgres("pg1.example.test", server.port(), &ca).sslmode("disable");
    assert_eq!(Client::Psql.whoami(&target).expect_who(), "pg-plain");
    let bytes = fs::read(capture.stop()).expect("the capture");
    for words in [&b"show cluster_name"[..], b"pg-plain", b"X\0\0\0\x04"] {
        assert!(
            bytes.windows(words.len()).any(|window| window == words),
            "{:?} is not in the capture of {} bytes",
            words.escape_ascii().to_string(),
            bytes.len()
        );
    }
    assert!(
        !bytes.windows(8).any(|window| window == b"captured"),
        "the marker is left"
    );
}
