//! First bytes of no database's client, too many clients, and the end.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::Command;

use super::Listen;
use crate::testbed;

/// A client that says these bytes, and reads what comes back until the end.
fn say(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    stream.write_all(bytes).expect("its words");
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    // It may be a reset.
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn whatever_comes_is_named_and_no_password_is_shown() {
    // (bytes, said, code)
    let cases: [(&[u8], &str, &str); 6] = [
        (
            b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n",
            "Redis command AUTH",
            "client-plaintext",
        ),
        (b"AUTH secret\r\n", "Redis command AUTH", "client-plaintext"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP",
            "client-other-protocol",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH", "client-other-protocol"),
        (
            b"\x00\x00\x00\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02",
            "CancelRequest",
            "client-cancel-plaintext",
        ),
        (
            b"\xff\xff\xff\xff\xff\xff",
            "something unknown",
            "client-other-protocol",
        ),
    ];
    for (bytes, said, code) in cases {
        for output in ["json", "text"] {
            let listen = Listen::start(&["--once", "-o", output]);
            say(listen.port, bytes);
            let heard = listen.end();
            assert!(!heard.stdout.contains("secret"), "{heard:#?}");
            assert!(heard.stdout.contains(said), "{said}: {heard:#?}");
            assert!(heard.stdout.contains(code), "{code}: {heard:#?}");
            let hexadecimal: Vec<String> = b"secret".map(|b| format!("{b:02x}")).to_vec();
            assert!(
                !heard.stdout.contains(&hexadecimal[..3].join(" ")),
                "{heard:#?}"
            );
        }
    }
}

/// Neither of these clients sends a name, and both come from one address.
#[test]
fn only_the_same_program_tries_again() {
    let hello = |name: &str| {
        let file = testbed::source(&format!("data/hello/{name}.bin"));
        std::fs::read(file).expect("a hello of a real client")
    };
    let (redis, maria) = (hello("redis-cli7-no-sni"), hello("mariadb10-no-sni"));
    let mut listen = Listen::start(&["-o", "json"]);
    for (bytes, retry) in [
        (&redis, false),
        (&redis, true),
        (&maria, false),
        (&maria, true),
        (&redis, false),
    ] {
        say(listen.port, bytes);
        let report = listen.next();
        assert_eq!(report["sni_status"], "none", "{report:#}");
        assert_eq!(report["retry"], retry, "{report:#}");
    }
}

#[test]
fn it_serves_many_until_it_is_interrupted() {
    let mut listen = Listen::start(&["-o", "json"]);
    let mut ids = Vec::new();
    for _ in 0..20 {
        say(listen.port, b"*1\r\n$4\r\nPING\r\n");
        ids.push(listen.next()["id"].as_u64());
    }
    assert_eq!(ids, (1..=20).map(Some).collect::<Vec<_>>());
    testbed::signal(&listen.child, rustix::process::Signal::INT);
    let heard = listen.end();
    assert_eq!(heard.code, Some(0), "{heard:#?}");
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    let mut listen = Listen::start(&["-o", "json"]);
    say(listen.port, b"*1\r\n$4\r\nPING\r\n");
    listen.next();
    listen.stdout = None;
    say(listen.port, b"*1\r\n$4\r\nPING\r\n");
    let ended = testbed::until(|| matches!(listen.child.try_wait(), Ok(Some(_))));
    assert!(ended, "it listens on for nobody");
}

#[test]
fn silent_clients_neither_stay_nor_keep_others_out() {
    let mut listen = Listen::start(&["-o", "json", "--timeout", "1s"]);
    let port = listen.port;
    // More than are served at a time.
    let silent: Vec<TcpStream> = (0..70)
        .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection"))
        .collect();
    let last = std::thread::spawn(move || say(port, b"*1\r\n$4\r\nPING\r\n"));
    let mut codes = Vec::new();
    for _ in 0..=silent.len() {
        codes.push(listen.next()["code"].as_str().map(str::to_owned));
    }
    let answer = last.join().expect("the last client");
    assert!(
        answer.starts_with(b"-ERR dbgate probe listen"),
        "{}",
        answer.escape_ascii()
    );
    assert!(
        codes.contains(&Some("client-plaintext".to_owned())),
        "{codes:?}"
    );
}

#[test]
fn an_address_that_is_taken_is_told() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = taken.local_addr().expect("its own address").to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_dbgate"))
        .args(["probe", "listen", "--bind", &address])
        .output()
        .expect("dbgate");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(&address), "{stderr}");
}

#[test]
fn a_client_that_waits_for_a_greeting_is_told_from_one_that_left() {
    let connect = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    let listen = Listen::once(&["--timeout", "1s"]);
    let waiting = connect(listen.port);
    let heard = listen.end();
    assert_eq!(heard.first()["code"], "client-waits", "{heard:#?}");
    drop(waiting);
    let listen = Listen::once(&[]);
    drop(connect(listen.port));
    let heard = listen.end();
    let first = heard.first();
    assert_eq!(first["code"], "ok", "{first}");
    assert_eq!(super::findings(&first), ["client-said-nothing"], "{first}");
    let listen = Listen::once(&["--timeout", "1s"]);
    let mut waiting = connect(listen.port);
    let request = [0, 0, 0, 8, 4, 210, 22, 47];
    waiting.write_all(&request).expect("a request");
    let heard = listen.end();
    let first = heard.first();
    assert_eq!(first["code"], "client-unfinished-handshake", "{first}");
}
