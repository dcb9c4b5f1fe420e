//! The PROXY header that backends get: what it says in each mode, to each backend anew, and that real
//! servers believe it.

use std::net::TcpStream;

use dbgate::proxy_protocol::{Behind, Found, Version, read};

use crate::certs::Ca;
use crate::clients::{Client, Target};
use crate::gateway::Gateway;
use crate::raw::{Fake, Hello, Pki, put, take, tls_client_with};
use crate::servers::{HaProxy, MariaDb, Nginx, Postgres};
use crate::testbed;

const HOST: &str = "redis1.example.test";

/// Reads a header, byte by byte, so that nothing behind it is taken.
#[track_caller]
fn header(backend: &mut TcpStream) -> (Version, Behind, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        bytes.extend(take(backend, 1));
        match read(&bytes) {
            Ok(Found::NeedMore) => {}
            Ok(Found::Header(header, _)) => return (header.version, header.behind, bytes),
            other => panic!("{other:?}: {}", bytes.escape_ascii()),
        }
    }
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A field of version 2.
fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a length").to_be_bytes();
    [&[kind], &length[..], value].concat()
}

#[test]
fn each_backend_that_is_tried_gets_the_header_before_the_hello() {
    let (first, second) = (Fake::start(), Fake::start());
    let pki = Pki::new();
    for version in ["v1", "v2"] {
        let database = pki.database(
            "redis1",
            "tls",
            "passthrough",
            &[first.addr(), second.addr()],
        );
        let gateway = Gateway::start(&format!("{database}send_proxy = \"{version}\"\n"));
        let hello = Hello::to(HOST).bytes();
        let mut client = gateway.connect();
        let ends = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        put(&mut client, &hello);
        let mut told = Vec::new();
        for fake in [&first, &second] {
            let mut backend = fake.accept();
            let (sent, behind, bytes) = header(&mut backend);
            assert_eq!(sent.as_str(), version);
            let Behind::Client(addresses) = behind else {
                panic!("{behind:?}");
            };
            assert_eq!((addresses.client, addresses.to), ends);
            let authority = field(2, HOST.as_bytes());
            assert_eq!(has(&bytes, &authority), version == "v2");
            assert_eq!(take(&mut backend, hello.len()), hello);
            told.push(bytes);
            if told.len() == 2 {
                put(&mut backend, b"answer");
                assert_eq!(take(&mut client, 6), b"answer");
                drop(client);
                let line = gateway.wait_access(|line| line["database"] == "redis1");
                let moved = u64::try_from(hello.len()).unwrap();
                assert_eq!(line["bytes_in"], moved, "the header is not the client's");
                break;
            }
        }
        assert_eq!(told[0], told[1]);
    }
}

#[test]
fn where_tls_ends_here_the_backend_learns_of_it() {
    let ca = Ca::new("Clients");
    let pki = Pki::new();
    let fake = Fake::start();
    let database = pki.database("redis1", "redis", "terminate", &[fake.addr()]);
    let gateway = Gateway::start(&format!(
        "{}{database}send_proxy = \"v2\"\nclient_ca = \"{}\"\n",
        pki.tls(),
        ca.path().display()
    ));
    let leaf = ca.client("app");
    let mut client = tls_client_with(gateway.connect(), HOST, &pki.ca, &leaf);
    put(&mut client, b"PING\r\n");
    let mut backend = fake.accept();
    let (_, _, bytes) = header(&mut backend);
    assert_eq!(take(&mut backend, 6), b"PING\r\n");
    // Over TLS, with a certificate on this connection, which was verified.
    let start = field(0x21, b"TLSv1.3");
    let start = [&[0x03, 0, 0, 0, 0], &start[..]].concat();
    for part in [
        &start[..],
        &field(0x22, b"app"),
        &field(2, HOST.as_bytes()),
        b"\x23\0\x16TLS_AES_",
    ] {
        assert!(
            has(&bytes, part),
            "{} is not in {}",
            part.escape_ascii(),
            bytes.escape_ascii()
        );
    }
}

#[test]
fn haproxy_and_nginx_behind_know_the_client() {
    let ca = Ca::new("Behind");
    let leaf = ca.leaf(&["pg1.example.test"]);
    let server = Postgres::named("pg-behind").tls(&leaf).plain().start();
    let haproxy = HaProxy::start(
        &leaf,
        &format!(
            "listen pg\n  mode tcp\n  bind 127.0.0.1:PORT accept-proxy\n  \
             log-format \"told=%ci:%cp host=%[fc_pp_authority] end\"\n  server pg {}\n",
            server.addr()
        ),
    );
    let nginx = Nginx::start(
        &leaf,
        &format!(
            "log_format told 'told=$proxy_protocol_addr:$proxy_protocol_port end';\n\
             server {{ listen 127.0.0.1:PORT proxy_protocol; access_log /dev/stderr told; proxy_pass {}; }}",
            server.addr()
        ),
        "",
    );
    for (proxy, version) in [
        (&haproxy, "v1"),
        (&haproxy, "v2"),
        (&nginx, "v1"),
        (&nginx, "v2"),
    ] {
        for mode in ["passthrough", "terminate"] {
            let gateway = Gateway::start(&format!(
                "[tls]\ncert = \"{}\"\nkey = \"{}\"\n[database.pg1]\nprotocol = \"postgres\"\ntls = \"{mode}\"\n\
                 backends = [\"{}\"]\nhosts = [\"pg1.example.test\"]\nsend_proxy = \"{version}\"\n",
                leaf.cert_path.display(),
                leaf.key_path.display(),
                proxy.addr()
            ));
            let target = Target::postgres("pg1.example.test", gateway.port(), &ca);
            let answer = Client::Psql.whoami(&target);
            assert_eq!(answer.expect_who(), "pg-behind", "{}", proxy.log());
            let line = gateway.wait_access(|line| line["database"] == "pg1");
            let mut told = format!("told={} ", line["client"].as_str().expect("an address"));
            if proxy.name() == "haproxy" && version == "v2" {
                told += "host=pg1.example.test ";
            }
            let logged = testbed::until(|| proxy.log().contains(&told));
            assert!(logged, "{mode} {version}: no {told:?} in\n{}", proxy.log());
        }
    }
}

/// A client by a load balancer, the gateway, to a server: the address goes all the way.
#[test]
fn mariadb_knows_the_client_of_a_proxy_in_front() {
    let server = MariaDb::named("my-behind")
        .arguments(&[
            "--proxy-protocol-networks=127.0.0.0/8",
            "--general-log=ON",
            "--general-log-file=general.log",
        ])
        .run();
    let general = server.log_path().with_file_name("data/general.log");
    let general = || std::fs::read_to_string(&general).unwrap_or_default();
    let leaf = Ca::new("Unused").leaf(&["unused.example.test"]);
    for version in ["v1", "v2"] {
        let gateway = Gateway::start(&format!(
            "[listener.main]\nbind = [\"127.0.0.1:0\"]\nprotocol = \"tcp\"\ndefault = \"my\"\n\
             proxy_protocol = {{ trusted = [\"127.0.0.0/8\"], required = true }}\n\
             [database.my]\nprotocol = \"mariadb\"\nbackends = [\"{}\"]\nsend_proxy = \"{version}\"\n",
            server.addr()
        ));
        let address = if version == "v1" {
            "203.0.113.1"
        } else {
            "203.0.113.2"
        };
        let haproxy = HaProxy::start(
            &leaf,
            &format!(
                "listen my\n  mode tcp\n  bind 127.0.0.1:PORT\n  \
                 tcp-request connection set-src str({address})\n  server gate {} send-proxy-v2\n",
                gateway.addr("main")
            ),
        );
        let target = Target::unverified("127.0.0.1", haproxy.port())
            .app()
            .sslmode("disable");
        let answer = Client::PyMysql.whoami(&target);
        assert_eq!(answer.expect_who(), "my-behind", "{}", haproxy.log());
        let told = format!("app@{address} on app");
        let logged = testbed::until(|| general().contains(&told));
        assert!(logged, "no {told:?} in\n{}", general());
        gateway.wait_access(|line| {
            line["client"]
                .as_str()
                .is_some_and(|c| c.starts_with(address))
        });
    }
}
