//! Bytes exactly: what a client sends reaches the backend as it was sent, and what must not reach
//! it does not, with a backend that the test plays.
//!
//! Not here: what a refused client reads (`refuse`), and who is kept waiting (`stall`).

mod ended;
mod flow;
mod tunnel;

use std::fs;

use serde_json::json;

use crate::certs::Leaf;
use crate::clients::{Action, Client, Target};
use crate::gateway::Gateway;
use crate::raw::{
    End, Fake, Hello, Pki, TlsClient, cancel_request, gssenc_request, pattern, plain_startup, put,
    request_tls, rest, ssl_request, startup, take, tls_client, tls_server, wait_read,
};
use crate::servers::Postgres;
use crate::testbed;

const MODES: [&str; 3] = ["passthrough", "terminate", "reencrypt"];

/// A gateway with the one database `pg1` behind it, played by the test.
struct Played {
    pki: Pki,
    fake: Fake,
    leaf: Leaf,
    mode: &'static str,
    gateway: Gateway,
}

impl Played {
    fn start(protocol: &str, mode: &'static str) -> Self {
        let (pki, fake) = (Pki::new(), Fake::start());
        let leaf = pki.ca.leaf(&["pg1.example.test"]);
        // Some tests wait for the gateway after every single byte.
        let config = pki.tls()
            + "[timeouts]\nhandshake = \"60s\"\n"
            + &pki.database("pg1", protocol, mode, &[fake.addr()]);
        let gateway = Gateway::start(&config);
        Self {
            pki,
            fake,
            leaf,
            mode,
            gateway,
        }
    }

    /// A Postgres client whose TLS with the gateway is up.
    #[track_caller]
    fn client(&self) -> TlsClient {
        let mut tcp = self.gateway.connect();
        request_tls(&mut tcp);
        tls_client(tcp, "pg1.example.test", &self.pki.ca, &["postgresql"])
    }

    /// The gateway's connection to the backend, up to the Postgres client's first message.
    #[track_caller]
    fn backend(&self) -> Box<dyn End> {
        if self.mode == "terminate" {
            return Box::new(self.fake.accept());
        }
        let tcp = self.fake.accept_ssl_request();
        let tls = tls_server(tcp, &self.leaf, &["postgresql"]);
        assert_eq!(tls.conn.server_name(), Some("pg1.example.test"));
        assert_eq!(tls.conn.alpn_protocol(), Some(&b"postgresql"[..]));
        Box::new(tls)
    }
}

/// A `StartupMessage` of exactly this many bytes.
fn startup_of(len: usize) -> Vec<u8> {
    let without = startup(0, &[("user", "app"), ("options", "")]).len();
    let message = startup(
        0,
        &[("user", "app"), ("options", &"x".repeat(len - without))],
    );
    assert_eq!(message.len(), len);
    message
}

fn startup_messages_are_relayed(mode: &'static str) {
    let played = Played::start("postgres", mode);
    let grease = [("user", "app"), ("_pq_.test_protocol_negotiation", "")];
    for (what, message, part) in [
        ("3.2", startup(2, &[("user", "app")]), 10_000),
        ("3.2 in single bytes", startup(2, &[("user", "app")]), 1),
        (
            "3.9999 with an unknown option",
            startup(9999, &grease),
            10_000,
        ),
        ("10,000 bytes", startup_of(10_000), 10_000),
        ("10,000 bytes in parts", startup_of(10_000), 3_333),
    ] {
        println!("{what}");
        let mut client = played.client();
        for part in message.chunks(part) {
            put(&mut client, part);
            wait_read(client.tcp());
        }
        let mut backend = played.backend();
        assert_eq!(take(&mut backend, message.len()), message, "{what}");
        // A server that does not know the version says so itself.
        let answer = b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0";
        put(&mut backend, answer);
        assert_eq!(take(&mut client, answer.len()), answer, "{what}");
        put(&mut client, b"p\0\0\0\x08\0\xff\0\0");
        client.finish();
        assert_eq!(rest(&mut backend), b"p\0\0\0\x08\0\xff\0\0", "{what}");
        backend.finish();
        assert_eq!(rest(&mut client), b"", "{what}");
    }
}

#[test]
fn startup_messages_are_relayed_in_terminate() {
    startup_messages_are_relayed("terminate");
}

#[test]
fn startup_messages_are_relayed_in_reencrypt() {
    startup_messages_are_relayed("reencrypt");
}

/// Sends the parts, each read by the gateway before the next one, and compares what arrives; then
/// a word in each direction.
#[track_caller]
fn assert_unchanged(played: &Played, sslrequest: bool, parts: &[&[u8]], what: &str) {
    let mut client = played.gateway.connect();
    client.set_nodelay(true).expect("no delay");
    if sslrequest {
        request_tls(&mut client);
    }
    let (last, first) = parts.split_last().expect("parts");
    for part in first {
        put(&mut client, part);
        wait_read(&client);
    }
    let sent = parts.concat();
    // The last part may be more than the gateway takes before the backend does.
    let mut writer = client.try_clone().expect("the socket");
    std::thread::scope(|scope| {
        scope.spawn(|| put(&mut writer, last));
        let mut backend = if sslrequest {
            played.fake.accept_ssl_request()
        } else {
            played.fake.accept()
        };
        let received = take(&mut backend, sent.len());
        assert!(received == sent, "{what}: {}", received.escape_ascii());
        put(&mut backend, b"answer");
        assert_eq!(take(&mut client, 6), b"answer", "{what}");
        put(&mut client, b"more");
        client.finish();
        assert_eq!(rest(&mut backend), b"more", "{what}");
    });
}

#[test]
fn a_hello_cut_anywhere_arrives_unchanged() {
    let played = Played::start("postgres", "passthrough");
    let by_psql = fs::read(testbed::source("data/hello/psql15-after-sslrequest.bin"))
        .expect("a hello of psql");
    played.gateway.ctl_ok(&[
        "expose",
        "pg1",
        "--no-check",
        "--host",
        "my-postgres.example",
    ]);
    let by_hand = Hello::to("pg1.example.test").alpn("postgresql").bytes();
    for (hello, sslrequest) in [(by_psql, true), (by_hand, false)] {
        for cut in 1..hello.len() {
            let (first, second) = hello.split_at(cut);
            let what = format!("cut at {cut} of {}", hello.len());
            assert_unchanged(&played, sslrequest, &[first, second], &what);
        }
    }
}

#[test]
fn any_hello_and_what_follows_arrive_unchanged() {
    let played = Played::start("postgres", "passthrough");
    played.gateway.ctl_ok(&[
        "expose",
        "pg1",
        "--no-check",
        "--host",
        "my-postgres.example",
    ]);
    let post_quantum = fs::read(testbed::source(
        "data/hello/libpq18-direct-post-quantum.bin",
    ))
    .expect("a hello of libpq");
    let hello = || Hello::to("pg1.example.test").alpn("postgresql");
    // change_cipher_spec, then records of data that the server may take before its own answer
    let dummy = b"\x14\x03\x03\0\x01\x01";
    let early: Vec<u8> = pattern(300_000)
        .chunks(15_000)
        .flat_map(|part| {
            let length = u16::try_from(part.len()).expect("a length");
            [b"\x17\x03\x03", &length.to_be_bytes()[..], part].concat()
        })
        .collect();
    let in_bytes = hello().in_records(1);
    for (what, sent) in [
        ("post-quantum", post_quantum),
        ("records of one byte", in_bytes.clone()),
        ("60 KiB of padding", hello().padding(60 * 1024).bytes()),
        (
            "60 KiB of padding in records of 1,000",
            hello().padding(60 * 1024).in_records(1_000),
        ),
        (
            "early data in the same write",
            [&hello().bytes(), &dummy[..], &early].concat(),
        ),
        (
            "early data behind a hello in records of one byte",
            [&in_bytes, &dummy[..], &early].concat(),
        ),
    ] {
        for sslrequest in [true, false] {
            assert_unchanged(&played, sslrequest, &[&sent], what);
        }
    }
    let single: Vec<&[u8]> = in_bytes.chunks(1).collect();
    assert_unchanged(
        &played,
        true,
        &single,
        "records of one byte in writes of one byte",
    );
}

#[test]
fn case_and_a_trailing_dot_make_no_other_name() {
    let played = Played::start("postgres", "passthrough");
    for name in ["PG1.Example.TEST", "pg1.example.test.", "PG1.EXAMPLE.TEST."] {
        let hello = Hello::to(name).alpn("postgresql").bytes();
        assert_unchanged(&played, true, &[&hello], name);
        let line = played.gateway.wait_reason("client_closed");
        assert_eq!(line["sni"], "pg1.example.test", "{line}");
    }
}

#[test]
fn psql_may_write_a_name_in_upper_case_or_with_a_dot() {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&["pg1.example.test"]);
    let server = Postgres::named("written").tls(&leaf).plain().start();
    let mut config = pki.tls();
    for (name, mode) in ["pg1", "pg2", "pg3"].into_iter().zip(MODES) {
        config += &pki.database(name, "postgres", mode, &[server.addr()]);
    }
    config += "backend_name = \"pg1.example.test\"\n";
    let gateway = Gateway::start(&config);
    for name in ["PG1", "PG2", "PG3"] {
        let ask = |host: &str| {
            let target = Target::postgres(host, gateway.port(), &pki.ca).sslmode("require");
            Client::Psql.whoami(&target.channel_binding("disable"))
        };
        for host in [
            format!("{name}.Example.TEST"),
            format!("{name}.example.test."),
        ] {
            assert_eq!(ask(&host).expect_who(), "written", "{host}");
        }
    }
}

#[test]
fn bytes_behind_a_request_are_refused() {
    let hello = Hello::to("pg1.example.test").alpn("postgresql").bytes();
    for (what, sent) in [
        ("one byte", [ssl_request(), b"x".to_vec()].concat()),
        ("a hello", [ssl_request(), hello].concat()),
        ("a startup", [ssl_request(), plain_startup()].concat()),
        ("two requests", [gssenc_request(), ssl_request()].concat()),
        ("a cancel", [cancel_request(4), b"x".to_vec()].concat()),
    ] {
        let played = Played::start("postgres", "passthrough");
        let mut client = played.gateway.connect();
        put(&mut client, &sent);
        assert_eq!(rest(&mut client), b"", "{what}");
        drop(client);
        let line = played.gateway.wait_reason("early_data");
        assert_eq!(line["close"], "reject", "{what}: {line}");
        played.gateway.wait_reject("early_data");
        played.fake.assert_unasked();
    }
}

#[test]
fn a_cancel_in_the_clear_is_counted_and_closed_at_once() {
    for key in [4, 256] {
        let played = Played::start("postgres", "terminate");
        let mut client = played.gateway.connect();
        let request = cancel_request(key);
        assert_eq!(request.len(), 12 + key);
        put(&mut client, &request);
        assert_eq!(rest(&mut client), b"");
        drop(client);
        let line = played.gateway.wait_reason("plaintext_cancel");
        assert_eq!(
            (&line["protocol"], &line["database"]),
            (&json!("postgres"), &json!(null))
        );
        let reject = played.gateway.wait_reject("plaintext_cancel");
        assert!(
            reject["detail"]
                .as_str()
                .is_some_and(|d| d.contains("CancelRequest")),
            "{reject}"
        );
        assert_eq!(played.gateway.call("status", &json!({}))["rejects"], 1);
        played.fake.assert_unasked();
    }
}

fn a_cancel_inside_tls_reaches_its_database(mode: &'static str) {
    let played = Played::start("postgres", mode);
    for key in [4, 256] {
        let mut client = played.client();
        put(&mut client, &cancel_request(key));
        let mut backend = played.backend();
        assert_eq!(take(&mut backend, 12 + key), cancel_request(key));
        // The client waits for the end, by which it knows that the server has done it.
        assert_eq!(played.gateway.sessions().len(), 1);
        drop(backend);
        assert_eq!(rest(&mut client), b"");
        client.finish();
        played.gateway.wait_sessions(0);
    }
}

#[test]
fn a_cancel_inside_tls_reaches_its_database_in_terminate() {
    a_cancel_inside_tls_reaches_its_database("terminate");
}

#[test]
fn a_cancel_inside_tls_reaches_its_database_in_reencrypt() {
    a_cancel_inside_tls_reaches_its_database("reencrypt");
}

#[test]
fn psycopg_cancels_in_every_mode() {
    let pki = Pki::new();
    let leaf = pki
        .ca
        .leaf(&["pg1.example.test", "pg2.example.test", "pg3.example.test"]);
    let server = Postgres::named("sleeper").tls(&leaf).plain().start();
    let mut config = pki.tls();
    for (name, mode) in ["pg1", "pg2", "pg3"].into_iter().zip(MODES) {
        config += &pki.database(name, "postgres", mode, &[server.addr()]);
    }
    let gateway = Gateway::start(&config);
    for (name, mode) in ["pg1", "pg2", "pg3"].into_iter().zip(MODES) {
        let host = format!("{name}.example.test");
        let target = Target::postgres(&host, gateway.port(), &pki.ca).channel_binding("disable");
        let answer = Client::Psycopg.run(Action::SleepCancel, &target);
        assert!(answer.ok && answer.cancelled(), "{mode}: {answer:#?}");
    }
}

#[test]
fn tls_first_is_led_by_an_sslrequest_unless_it_was_made_for_it() {
    let played = Played::start("postgres", "passthrough");
    for (hello, led) in [
        (Hello::to("pg1.example.test"), true),
        (Hello::to("pg1.example.test").alpn("h2"), true),
        (Hello::to("pg1.example.test").alpn("postgresql"), false),
    ] {
        let hello = hello.bytes();
        let mut client = played.gateway.connect();
        put(&mut client, &hello);
        let mut backend = if led {
            played.fake.accept_ssl_request()
        } else {
            played.fake.accept()
        };
        assert_eq!(take(&mut backend, hello.len()), hello);
        put(&mut backend, b"first");
        assert_eq!(
            take(&mut client, 5),
            b"first",
            "the S must not reach the client"
        );
    }
}

#[test]
fn direct_tls_reaches_postgres_18_as_it_came() {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&["pg1.example.test"]);
    let server = Postgres::v18("direct", &leaf);
    let gateway = Gateway::start(&pki.database("pg1", "postgres", "passthrough", &[server.addr()]));
    let target = Target::postgres("pg1.example.test", gateway.port(), &pki.ca).direct();
    assert_eq!(Client::Psycopg.whoami(&target).expect_who(), "direct");
    // Who is seen to end first depends on whose goodbye is faster.
    let line = gateway.wait_access(|line| line["database"] == "pg1");
    assert_eq!(
        (&line["alpn"], &line["sni_status"]),
        (&json!("postgresql"), &json!("ok"))
    );
}
