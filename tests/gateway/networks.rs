//! `networks`: the database of clients that ask for no name, or for one that leads nowhere, by where
//! they come from.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::gateway::Gateway;
use crate::raw::{Fake, Hello, Pki, put, rest, take};
use crate::testbed::{self, TIMEOUT};

const KNOWN: &str = "redis1.example.test";
const UNKNOWN: &str = "nobody.example.test";

/// The databases, each with a backend that the test plays; the last is the default.
const NAMES: [&str; 3] = ["redis1", "redis2", "redis3"];

struct Ground {
    fakes: [Fake; 3],
    gateway: Gateway,
    config: String,
}

impl Ground {
    fn new() -> Self {
        let (fakes, pki) = (NAMES.map(|_| Fake::start()), Pki::new());
        let section = |at: usize| {
            let name = NAMES[at];
            pki.database(name, "redis", "passthrough", &[fakes[at].addr()])
        };
        let config = section(0)
            + "networks = [\"127.0.0.0/8\"]\n"
            + &section(1)
            + "networks = [\"127.0.0.2/32\", \"127.0.3.0/24\"]\nenforce = \"now\"\n"
            + &section(2);
        let gateway = Gateway::start(&config);
        Self {
            fakes,
            gateway,
            config,
        }
    }

    /// A session from this address, with what the client asks for: which database it reached, and
    /// its two ends; nothing if it was refused.
    #[track_caller]
    fn open(&self, from: [u8; 4], sni: Option<&str>) -> Option<(usize, TcpStream, TcpStream)> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let from = SocketAddr::from((Ipv4Addr::from(from), 0));
        socket.bind(&from.into()).expect("an address of loopback");
        let to = self.gateway.addr("main");
        socket.connect(&to.into()).expect("a connection");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        let mut client = TcpStream::from(socket);
        let hello = sni.map_or_else(Hello::default, Hello::to).bytes();
        put(&mut client, &hello);
        client.set_nonblocking(true).expect("a socket option");
        let mut reached = None;
        let came = testbed::until(|| {
            let mut fakes = self.fakes.iter().enumerate();
            reached = fakes.find_map(|(at, fake)| Some((at, fake.try_accept()?)));
            reached.is_some() || client.peek(&mut [0]).is_ok()
        });
        client.set_nonblocking(false).expect("a socket option");
        assert!(came, "neither served nor refused: {}", self.gateway.log());
        let Some((at, mut backend)) = reached else {
            assert!(!rest(&mut client).is_empty(), "refused without an alert");
            return None;
        };
        assert_eq!(take(&mut backend, hello.len()), hello);
        put(&mut backend, b"answer");
        assert_eq!(take(&mut client, 6), b"answer");
        Some((at, client, backend))
    }

    /// The database that a client reaches, which `explain` says as well.
    #[track_caller]
    fn reaches(&self, from: [u8; 4], sni: Option<&str>) -> Option<&'static str> {
        let reached = self.open(from, sni).map(|(at, ..)| NAMES[at]);
        let client = Ipv4Addr::from(from).to_string();
        let asked = json!({"host": sni.unwrap_or_default(), "client": client});
        let explained = self.gateway.call("explain", &asked);
        assert_eq!(explained["admitted"], reached.is_some(), "{explained}");
        let database = explained["database"].as_str();
        assert_eq!(
            database.filter(|_| reached.is_some()),
            reached,
            "{explained}"
        );
        reached
    }
}

#[test]
fn who_has_no_known_name_comes_where_the_longest_prefix_leads() {
    let mut ground = Ground::new();
    for (from, sni, database) in [
        ([127, 0, 0, 1], None, "redis1"),
        ([127, 0, 0, 1], Some(UNKNOWN), "redis1"),
        ([127, 0, 0, 2], None, "redis2"),
        ([127, 0, 0, 2], Some(UNKNOWN), "redis2"),
        ([127, 0, 3, 7], None, "redis2"),
        // A known name wins.
        ([127, 0, 0, 2], Some(KNOWN), "redis1"),
        ([127, 0, 0, 1], Some("redis3.example.test"), "redis3"),
    ] {
        assert_eq!(
            ground.reaches(from, sni),
            Some(database),
            "{from:?} {sni:?}"
        );
    }
    // A hidden name is refused as itself, and a hidden database gets nobody by its networks.
    ground.gateway.ctl_ok(&["hide", "redis2"]);
    assert_eq!(
        ground.reaches([127, 0, 0, 1], Some("redis2.example.test")),
        None
    );
    assert_eq!(ground.reaches([127, 0, 0, 2], None), Some("redis1"));
    ground.gateway.ctl_ok(&["expose", "redis2", "--no-check"]);
    assert_eq!(ground.reaches([127, 0, 0, 2], None), Some("redis2"));
    // Behind the networks comes the default, where the listener has one.
    let networks = "networks = [\"127.0.0.0/8\"]\n";
    let config = ground.config.replacen(networks, "", 1);
    ground.gateway.configure(&config);
    ground.gateway.ctl_ok(&["reload"]);
    assert_eq!(ground.reaches([127, 0, 0, 1], None), None);
    assert_eq!(ground.reaches([127, 0, 0, 2], None), Some("redis2"));
    ground.gateway.ctl_ok(&[
        "expose",
        "redis3",
        "--host",
        "more.example.test",
        "--no-check",
    ]);
    assert_eq!(
        ground.reaches([127, 0, 3, 1], None),
        Some("redis2"),
        "beside a change"
    );
    ground.config = config;
}

#[test]
fn a_change_of_networks_ends_those_that_came_by_them() {
    let ground = Ground::new();
    let by_network = ground.open([127, 0, 3, 1], None).expect("a session");
    let by_name = ground
        .open([127, 0, 3, 1], Some("redis2.example.test"))
        .expect("a session");
    let stays = ground.open([127, 0, 0, 2], None).expect("a session");
    assert_eq!([by_network.0, by_name.0, stays.0], [1; 3]);
    let config = ground.config.replacen(", \"127.0.3.0/24\"", "", 1);
    ground.gateway.configure(&config);
    let told = ground.gateway.ctl_ok(&["reload"]);
    assert!(told.contains("1 session closed"), "{told}");
    let (_, mut client, _backend) = by_network;
    assert_eq!(rest(&mut client), b"");
    ground.gateway.wait_sessions(2);
    for (_, mut client, mut backend) in [by_name, stays] {
        put(&mut client, b"more");
        assert_eq!(take(&mut backend, 4), b"more");
    }
}
