//! The PROXY protocol: who is believed, who the client then is, and that nothing of its bytes is lost.
//! Behind real load balancers, and with headers that none would send.

use std::io::Write;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::certs::Ca;
use crate::clients::{Client, Target};
use crate::gateway::Gateway;
use crate::raw::{Fake, Hello, Pki, put, rest, ssl_request, take, wait_read};
use crate::servers::{HaProxy, Nginx, Postgres};
use crate::testbed;

const HOST: &str = "redis1.example.test";
const V1: &[u8] = b"PROXY TCP4 203.0.113.9 10.1.0.1 55000 5432\r\n";
/// The signature of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const TRUSTED: &str = "proxy_protocol = { trusted = [\"127.0.0.0/8\"] }";
const REQUIRED: &str = "proxy_protocol = { trusted = [\"127.0.0.0/8\"], required = true }";
const STRANGERS: &str = "proxy_protocol = { trusted = [\"192.0.2.0/24\"] }";
const NOBODY: &str = "proxy_protocol = { trusted = [\"192.0.2.0/24\"], required = true }";

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("a length").to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// A header of version 2 that brings 203.0.113.9:55000.
fn v2_client() -> Vec<u8> {
    v2(
        0x21,
        0x11,
        &[203, 0, 113, 9, 10, 1, 0, 1, 0xd6, 0xd8, 0x15, 0x38],
    )
}

/// One database behind a backend that the test plays, at a listener with this key.
fn gateway(fake: &Fake, key: &str, rest: &str) -> Gateway {
    let pki = Pki::new();
    let database = pki.database("redis1", "tls", "passthrough", &[fake.addr()]);
    Gateway::start(&format!(
        "[listener.main]\nbind = [\"127.0.0.1:0\"]\n{key}\n{database}{rest}"
    ))
}

/// A hello that goes through whole, with an answer; gives the line of the session's end.
#[track_caller]
fn serve(gateway: &Gateway, fake: &Fake, mut client: TcpStream, hello: &[u8]) -> Value {
    let mut backend = fake.accept();
    assert_eq!(take(&mut backend, hello.len()), hello);
    put(&mut backend, b"answer");
    assert_eq!(take(&mut client, 6), b"answer");
    put(&mut client, b"more");
    assert_eq!(take(&mut backend, 4), b"more");
    let sessions = gateway.sessions();
    let id = sessions.last().expect("a session")["id"].as_u64();
    drop((client, backend));
    gateway.ended(id.expect("an id"))
}

#[test]
fn a_trusted_header_names_the_client_however_it_is_cut() {
    let fake = Fake::start();
    let gateway = gateway(&fake, TRUSTED, "");
    let hello = Hello::to(HOST).bytes();
    for (header, client) in [
        (V1.to_vec(), "203.0.113.9:55000"),
        (v2_client(), "203.0.113.9:55000"),
        (
            b"PROXY TCP6 ::ffff:203.0.113.8 ::1 7 8\r\n".to_vec(),
            "203.0.113.8:7",
        ),
        (
            b"PROXY TCP6 2001:db8::7 2001:db8::1 7 8\r\n".to_vec(),
            "[2001:db8::7]:7",
        ),
    ] {
        let all = [&header[..], &hello].concat();
        for cut in [
            0,
            1,
            5,
            13,
            header.len() - 1,
            header.len(),
            header.len() + 9,
        ] {
            let mut stream = gateway.connect();
            let proxy = stream.local_addr().expect("an address").to_string();
            put(&mut stream, &all[..cut]);
            wait_read(&stream);
            put(&mut stream, &all[cut..]);
            let line = serve(&gateway, &fake, stream, &hello);
            assert_eq!(
                (&line["client"], &line["proxy"]),
                (&json!(client), &json!(proxy))
            );
            let moved = u64::try_from(hello.len() + 4).expect("a length");
            assert_eq!(
                line["bytes_in"], moved,
                "the header is not the client's: {line}"
            );
        }
    }
    // Who does not say whom it brings, or speaks for itself, is the client itself.
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        v2(0x20, 0, &[]),
        v2(0x21, 0x31, &[b'/'; 216]),
        Vec::new(),
    ] {
        let mut stream = gateway.connect();
        let client = stream.local_addr().expect("an address").to_string();
        put(&mut stream, &[&header[..], &hello].concat());
        let line = serve(&gateway, &fake, stream, &hello);
        assert_eq!((&line["client"], line.get("proxy")), (&json!(client), None));
    }
}

#[test]
fn rules_and_limits_are_about_the_client_and_not_the_proxy() {
    let fake = Fake::start();
    let gateway = gateway(
        &fake,
        REQUIRED,
        "allow = [\"203.0.113.0/24\"]\nmax_sessions_per_ip = 1\n[limits]\nmax_handshakes_per_ip = 1\n",
    );
    let hello = Hello::to(HOST).bytes();
    // Connections without a header yet count for no address.
    let _undecided = [(); 3].map(|()| gateway.connect());
    let begin = |client: &str| {
        let mut stream = gateway.connect();
        let header = format!("PROXY TCP4 {client} 10.1.0.1 55000 5432\r\n");
        put(&mut stream, header.as_bytes());
        stream
    };
    // Each of these is in its handshake at the same time.
    let mut one = begin("203.0.113.1");
    let mut other = begin("203.0.113.2");
    for stream in [&mut one, &mut other] {
        put(stream, &hello);
        let mut backend = fake.accept();
        assert_eq!(take(&mut backend, hello.len()), hello);
        put(&mut backend, b"answer");
        assert_eq!(take(stream, 6), b"answer");
        // A second one of the same address is one too many.
        let address = if gateway.sessions().len() == 1 {
            "203.0.113.1"
        } else {
            "203.0.113.2"
        };
        let mut again = begin(address);
        put(&mut again, &hello);
        assert!(!rest(&mut again).is_empty());
        let line = gateway.wait_access(|line| {
            line["reason"] == "sessions_per_ip" && line["client"] == format!("{address}:55000")
        });
        assert_eq!(line["database"], "redis1");
        std::mem::forget(backend);
    }
    let mut denied = begin("198.51.100.1");
    put(&mut denied, &hello);
    assert_eq!(rest(&mut denied), b"\x15\x03\x03\0\x02\x02\x31");
    let reject = gateway.wait_reject("not_allowed");
    assert_eq!(reject["client"], "198.51.100.1:55000");
    // Two workers accept, so either may have come first.
    let mut clients: Vec<String> = gateway
        .sessions()
        .iter()
        .map(|s| s["client"].as_str().expect("an address").to_owned())
        .collect();
    clients.sort_unstable();
    assert_eq!(clients, ["203.0.113.1:55000", "203.0.113.2:55000"]);
}

#[test]
fn who_has_to_send_a_header_and_who_may_not() {
    let fake = Fake::start();
    let hello = Hello::to(HOST).bytes();
    let header = [V1, &hello].concat();
    for (key, sent, expected) in [
        (REQUIRED, &hello[..], "proxy_missing"),
        (REQUIRED, &ssl_request(), "proxy_missing"),
        (NOBODY, &hello, "proxy_missing"),
        (NOBODY, &header, "proxy_untrusted"),
        (STRANGERS, &header, "proxy_untrusted"),
        ("", &header, "proxy_untrusted"),
        (TRUSTED, &[V1, V1].concat(), "proxy_invalid"),
        (TRUSTED, b"PROXY TCP4 nonsense\r\n", "proxy_invalid"),
        (
            TRUSTED,
            &v2(0x21, 0x00, &[3, 0, 4, 1, 2, 3, 4]),
            "proxy_invalid",
        ),
        (TRUSTED, &v2(0x21, 0x11, &[1]), "proxy_invalid"),
        (
            TRUSTED,
            &[SIGNATURE, b"\x21\x11\xff\xff"].concat(),
            "proxy_invalid",
        ),
        (
            TRUSTED,
            &[&b"PROXY UNKNOWN "[..], &[b'x'; 107]].concat(),
            "proxy_invalid",
        ),
        (TRUSTED, &V1[..20], "proxy_invalid"),
    ] {
        let gateway = gateway(&fake, key, "");
        let mut client = gateway.connect();
        put(&mut client, sent);
        if sent.len() == 20 {
            let _ = client.shutdown(std::net::Shutdown::Write);
        }
        let told = rest(&mut client);
        let reject = gateway.wait_reject(expected);
        assert!(reject["remedy"].is_string(), "{reject}");
        // Behind a first header it is the client that this one named.
        let known = if sent.starts_with(&[V1, V1].concat()) {
            "203.0.113.9:55000".to_owned()
        } else {
            client.local_addr().expect("an address").to_string()
        };
        assert_eq!(reject["client"], known, "{reject}");
        if expected == "proxy_missing" {
            let words = if sent == hello {
                &b"\x15\x03\x03\0\x02\x02\x31"[..]
            } else {
                b"only through a proxy"
            };
            let found = told.windows(words.len()).any(|part| part == words);
            assert!(found, "{}", told.escape_ascii());
        } else {
            assert_eq!(told, b"", "{expected}");
        }
        fake.assert_unasked();
    }
    // A stranger without a header is an ordinary client where none is required.
    let gateway = gateway(&fake, STRANGERS, "");
    let mut client = gateway.connect();
    put(&mut client, &hello);
    serve(&gateway, &fake, client, &hello);
}

#[test]
fn checks_of_a_load_balancer_are_no_rejects_and_silence_ends() {
    let fake = Fake::start();
    let gateway = gateway(&fake, REQUIRED, "[timeouts]\nhandshake = \"1s\"\n");
    drop(gateway.connect());
    let mut check = gateway.connect();
    put(&mut check, &v2(0x20, 0, &[]));
    drop(check);
    let mut silent = gateway.connect();
    assert_eq!(rest(&mut silent), b"");
    gateway.wait_reject("silent");
    let mut slow = gateway.connect();
    put(&mut slow, &v2_client()[..20]);
    assert_eq!(rest(&mut slow), b"");
    gateway.wait_reject("proxy_invalid");
    let counted = testbed::until(|| gateway.call("status", &json!({}))["empty_connects"] == 2);
    assert!(counted, "{}", gateway.call("status", &json!({})));
    let rejects = gateway.call("rejects", &json!({}));
    assert_eq!(
        rejects["rejects"].as_array().map(Vec::len),
        Some(2),
        "{rejects:#}"
    );
}

#[test]
fn connections_without_a_header_give_way_when_there_are_too_many() {
    let fake = Fake::start();
    let gateway = gateway(&fake, REQUIRED, "[limits]\nmax_handshakes = 2\n");
    let mut oldest = gateway.connect();
    wait_read(&oldest);
    oldest.write_all(b"P").expect("a byte");
    wait_read(&oldest);
    let _more = [(); 2].map(|()| {
        let mut stream = gateway.connect();
        put(&mut stream, b"P");
        wait_read(&stream);
        stream
    });
    assert_eq!(rest(&mut oldest), b"");
    gateway.wait_reject("handshake_gave_way");
    let hello = Hello::to(HOST).bytes();
    let mut client = gateway.connect();
    put(&mut client, &[V1, &hello].concat());
    serve(&gateway, &fake, client, &hello);
}

#[test]
fn a_listener_by_port_takes_the_header_off() {
    let fake = Fake::start();
    let gateway = Gateway::start(&format!(
        "[listener.main]\nbind = [\"127.0.0.1:0\"]\nprotocol = \"tcp\"\ndefault = \"my\"\n{REQUIRED}\n\
         [database.my]\nprotocol = \"mysql\"\nbackends = [\"{}\"]\n",
        fake.addr()
    ));
    // The server speaks first; what stood behind the header is there, too.
    for early in [&b""[..], b"early"] {
        let mut client = gateway.connect();
        put(&mut client, &[V1, early].concat());
        let mut backend = fake.accept();
        put(&mut backend, b"greeting");
        assert_eq!(take(&mut client, 8), b"greeting");
        put(&mut client, b"login");
        assert_eq!(
            take(&mut backend, early.len() + 5),
            [early, b"login"].concat()
        );
        assert_eq!(gateway.sessions()[0]["client"], "203.0.113.9:55000");
        drop((client, backend));
        gateway.wait_sessions(0);
    }
}

#[test]
fn a_configuration_says_what_a_header_needs() {
    for (keys, words) in [
        ("proxy_protocol = {}", "needs the networks of the proxies"),
        (
            "proxy_protocol = { trusted = [] }",
            "needs the networks of the proxies",
        ),
        (
            "proxy_protocol = { trusted = [\"10.0.0.1\"] }",
            "10.0.0.1/32",
        ),
        (
            "proxy_protocol = { trusted = [\"10.0.0.0/8\"], require = true }",
            "did you mean `required`",
        ),
        (
            "protocol = \"tcp\"\ndefault = \"a\"\nproxy_protocol = { trusted = [\"10.0.0.0/8\"] }",
            "add required = true",
        ),
    ] {
        let fake = Fake::start();
        let mut gateway = gateway(&fake, "", "");
        gateway.crash();
        gateway.configure(&format!(
            "[listener.main]\nbind = [\"127.0.0.1:0\"]\n{keys}\n"
        ));
        let said = gateway.refuses_to_start();
        assert!(said.contains(words), "{keys}: {said}");
    }
}

/// psql by a load balancer, in each mode: the gateway knows the client's own address.
#[test]
fn psql_comes_through_haproxy_and_nginx() {
    let ca = Ca::new("Proxied");
    let leaf = ca.leaf(&["pg1.example.test"]);
    let server = Postgres::named("pg-behind").tls(&leaf).plain().start();
    let database = |mode: &str| {
        format!(
            "[database.pg1]\nprotocol = \"postgres\"\ntls = \"{mode}\"\nbackends = [\"{}\"]\n\
             hosts = [\"pg1.example.test\"]\nallow = [\"127.0.0.0/8\"]\n",
            server.addr()
        )
    };
    for mode in ["passthrough", "terminate"] {
        let gateway = Gateway::start(&format!(
            "[tls]\ncert = \"{}\"\nkey = \"{}\"\n[listener.main]\nbind = [\"127.0.0.1:0\"]\n{REQUIRED}\n{}",
            leaf.cert_path.display(),
            leaf.key_path.display(),
            database(mode)
        ));
        let to = gateway.addr("main");
        let haproxy = |options: &str| {
            HaProxy::start(
                &leaf,
                &format!(
                    "listen pg\n  mode tcp\n  bind 127.0.0.1:PORT\n  server gate {to} {options}\n"
                ),
            )
        };
        let proxies = [
            haproxy("send-proxy"),
            haproxy("send-proxy-v2 proxy-v2-options crc32c check inter 200"),
            Nginx::start(
                &leaf,
                &format!("server {{ listen 127.0.0.1:PORT; proxy_pass {to}; proxy_protocol on; }}"),
                "",
            ),
        ];
        for proxy in &proxies {
            let before = gateway.access().len();
            let target = Target::postgres("pg1.example.test", proxy.port(), &ca);
            let answer = Client::Psql.whoami(&target);
            assert_eq!(answer.expect_who(), "pg-behind", "{}", proxy.log());
            let known = testbed::until(|| {
                let lines = gateway.access();
                let mut new = lines.iter().skip(before);
                new.any(|line| {
                    line["database"] == "pg1"
                        && line["proxy"].is_string()
                        && line["client"] != line["proxy"]
                })
            });
            assert!(known, "{mode}: {:#?}", gateway.access());
        }
        // HAProxy's own checks, told apart by LOCAL, reject nobody.
        let checked = testbed::until(|| {
            gateway.call("status", &json!({}))["empty_connects"].as_u64() > Some(3)
        });
        assert!(checked, "{}", gateway.call("status", &json!({})));
        let rejects = gateway.call("rejects", &json!({}));
        let mut rows = rejects["rejects"].as_array().into_iter().flatten();
        // The looks whether HAProxy and nginx are up ask for a name of their own.
        let ours = rows.all(|row| row["reason"] == "unknown_host");
        assert!(ours, "{rejects:#}");
    }
}
