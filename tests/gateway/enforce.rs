//! `enforce`: sessions that a change of `allow` and `deny` no longer lets in go on, or are closed.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::clients::{Action, Client, Target};
use crate::gateway::Gateway;
use crate::raw::{Fake, Hello, Pki, put, take};
use crate::servers::Postgres;
use crate::testbed::TIMEOUT;

/// A session with a backend that the test plays, from an address of its own.
struct Session {
    client: TcpStream,
    backend: TcpStream,
}

impl Session {
    #[track_caller]
    fn open(gateway: &Gateway, fake: &Fake, last: u8) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
        socket.bind(&from.into()).expect("an address of loopback");
        let to = gateway.addr("main");
        socket.connect(&to.into()).expect("a connection");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        let mut client = TcpStream::from(socket);
        let hello = Hello::to("redis1.example.test").bytes();
        put(&mut client, &hello);
        let mut backend = fake.accept();
        assert_eq!(take(&mut backend, hello.len()), hello);
        let mut session = Self { client, backend };
        session.assert_open();
        session
    }

    /// A word in each direction.
    #[track_caller]
    fn assert_open(&mut self) {
        put(&mut self.backend, b"answer");
        assert_eq!(take(&mut self.client, 6), b"answer");
        put(&mut self.client, b"more");
        assert_eq!(take(&mut self.backend, 4), b"more");
    }

    #[track_caller]
    fn assert_closed(&mut self) {
        for stream in [&mut self.client, &mut self.backend] {
            let read = stream.read(&mut [0; 16]);
            let closed = match &read {
                Ok(read) => *read == 0,
                Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
            };
            assert!(closed, "{read:?}");
        }
    }
}

#[test]
fn a_reload_closes_whom_it_no_longer_lets_in_and_nobody_else() {
    let (fake, pki) = (Fake::start(), Pki::new());
    let database = pki.database("redis1", "tls", "passthrough", &[fake.addr()]);
    let gateway = Gateway::start(&format!("{database}allow = [\"127.0.0.0/8\"]\n"));
    let mut sessions = [1, 2].map(|last| Session::open(&gateway, &fake, last));
    // By default a change is for new sessions.
    let reload = |rules: &str| {
        gateway.configure(&format!("{database}{rules}\n"));
        gateway.ctl_ok(&["reload"])
    };
    let told = reload("deny = [\"127.0.0.2/32\"]");
    assert!(!told.contains("closed"), "{told}");
    for session in &mut sessions {
        session.assert_open();
    }
    let told = reload("deny = [\"127.0.0.2/32\"]\nenforce = \"now\"");
    assert!(
        told.contains("1 session closed: no longer let in"),
        "{told}"
    );
    let [stays, goes] = &mut sessions;
    goes.assert_closed();
    stays.assert_open();
    let end = gateway.wait_reason("no_longer_allowed");
    assert_eq!(
        (&end["close"], &end["database"]),
        (&json!("admin"), &json!("redis1"))
    );
    gateway.wait_sessions(1);
    let told = reload("allow = [\"10.0.0.0/8\"]\nenforce = \"new\"");
    assert!(!told.contains("closed"), "{told}");
    stays.assert_open();
}

#[test]
fn expose_closes_them_too_and_says_so_before() {
    let fake = Fake::start();
    let gateway = Gateway::start("");
    let backend = fake.addr().to_string();
    let expose = |more: &[&str]| {
        let args = [&["expose", "redis1", "--no-check"], more].concat();
        gateway.ctl_ok(&args)
    };
    expose(&[
        "--host",
        "redis1.example.test",
        "--to",
        &backend,
        "--protocol",
        "tls",
        "--enforce",
        "now",
    ]);
    let mut sessions = [1, 2, 3].map(|last| Session::open(&gateway, &fake, last));
    let deny = ["--deny", "127.0.0.2/32", "127.0.0.3/32"];
    let told = expose(&[&deny[..], &["--dry-run"]].concat());
    assert!(told.contains("2 sessions would be closed"), "{told}");
    for session in &mut sessions {
        session.assert_open();
    }
    let told = expose(&deny);
    assert!(
        told.contains("2 sessions closed: no longer let in"),
        "{told}"
    );
    let [stays, second, third] = &mut sessions;
    second.assert_closed();
    third.assert_closed();
    stays.assert_open();
    let again = expose(&deny);
    assert!(
        again.contains("unchanged") && !again.contains("closed"),
        "{again}"
    );
    stays.assert_open();
}

#[test]
fn a_postgres_client_reads_that_it_may_no_longer_connect() {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&["pg1.example.test"]);
    let server = Postgres::named("enforce").tls(&leaf).plain().start();
    for mode in ["terminate", "reencrypt"] {
        let database = pki.database("pg1", "postgres", mode, &[server.addr()]);
        let config = format!("{}{database}enforce = \"now\"\n", pki.tls());
        let gateway = Gateway::start(&config);
        let target = Target::postgres("pg1.example.test", gateway.port(), &pki.ca);
        let target = target.channel_binding("disable");
        let running = Client::Psql.spawn(Action::Idle, &target).ready();
        let running = running.unwrap_or_else(|answer| panic!("{mode}: {answer:#?}"));
        gateway.configure(&format!("{config}deny = [\"127.0.0.0/8\"]\n"));
        let told: Value = gateway.call("reload", &json!({}));
        assert_eq!(told["closed"], 1, "{told}");
        gateway.wait_reason("no_longer_allowed");
        let answer = running.go_on();
        let told = format!("{} {} {}", answer.error, answer.stdout, answer.stderr);
        let words = "because your address may no longer connect to database \"pg1\"";
        assert!(!answer.ok && told.contains(words), "{mode}: {answer:#?}");
    }
}
