//! Routing by rules: backends in turn, wildcards, defaults, networks; and `ctl explain` says the
//! same.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::{Value, json};

use crate::certs::{Ca, Leaf};
use crate::clients::{Client, Target};
use crate::gateway::Gateway;
use crate::servers::{Redis, Server};
use crate::streams::Trust;
use crate::testbed;

/// The names that the servers' certificates are for.
const NAMES: [&str; 5] = [
    "*.example.test",
    "*.wild.example.test",
    "*.b.wild.example.test",
    "wild.example.test",
    "example.test",
];

/// A database with its server, which is called the same.
struct Database {
    name: &'static str,
    server: Server,
    rest: String,
}

/// One authority, one certificate for everybody.
struct Pki {
    ca: Ca,
    leaf: Leaf,
}

impl Pki {
    fn new() -> Self {
        let ca = Ca::new("Policy");
        let leaf = ca.leaf(&NAMES);
        Self { ca, leaf }
    }

    fn database(&self, name: &'static str, rest: &str) -> Database {
        Database {
            name,
            server: Redis::start(name, &self.leaf),
            rest: rest.to_owned(),
        }
    }

    fn target(&self, host: &str, port: u16) -> Target {
        Target::new(host, port, &self.ca)
    }

    /// The name of the Redis that answers by the name `sni`; in its place, what went wrong.
    fn ask(&self, to: SocketAddr, sni: Option<&str>) -> Result<String, String> {
        let trust = match sni {
            Some(_) => Trust::new(&self.ca),
            None => Trust::without_sni(&self.ca),
        };
        let text = |e: std::io::Error| e.to_string();
        let host = sni.unwrap_or("any.example.test");
        let mut stream = trust.connect(to, host).map_err(text)?;
        stream.write_all(b"GET whoami\r\n").map_err(text)?;
        let mut lines = BufReader::new(stream).lines();
        match (lines.next(), lines.next()) {
            (Some(Ok(_length)), Some(Ok(name))) => Ok(name),
            (Some(Err(e)), _) | (_, Some(Err(e))) => Err(text(e)),
            other => Err(format!("no answer: {other:?}")),
        }
    }
}

fn sections(databases: &[Database]) -> String {
    let section = |d: &Database| {
        format!(
            "[database.{}]\nprotocol = \"redis\"\nbackends = [\"{}\"]\n{}\n",
            d.name,
            d.server.addr(),
            d.rest
        )
    };
    databases.iter().map(section).collect()
}

fn count(gateway: &Gateway, words: &str) -> usize {
    gateway.log().matches(words).count()
}

/// Waits for a reject that fits.
#[track_caller]
fn rejected(gateway: &Gateway, fits: impl Fn(&Value) -> bool) -> Value {
    let (mut all, mut found) = (Value::Null, None);
    testbed::until(|| {
        all = gateway.call("rejects", &json!({}));
        let rejects = all["rejects"].as_array();
        found = rejects.and_then(|rejects| rejects.iter().find(|r| fits(r)).cloned());
        found.is_some()
    });
    found.unwrap_or_else(|| panic!("no such reject: {all:#}"))
}

#[test]
fn backends_take_turns_and_stand_in_for_each_other() {
    let pki = Pki::new();
    let mut servers = ["a", "b"].map(|name| Redis::start(name, &pki.leaf));
    let gateway = Gateway::start(&format!(
        "[database.both]\nprotocol = \"redis\"\nbackends = [\"{}\", \"{}\"]\n\
         balance = \"round-robin\"\nhealth = \"off\"\nhosts = [\"redis1.example.test\"]\n",
        servers[0].addr(),
        servers[1].addr()
    ));
    let target = pki.target("redis1.example.test", gateway.port());
    let ask = |times: usize| -> String {
        let answers = (0..times).map(|_| Client::RedisPy.whoami(&target));
        answers
            .map(|answer| answer.expect_who().to_owned())
            .collect()
    };
    assert_eq!(ask(4), "abab");
    assert_eq!(count(&gateway, "backend fails"), 0, "{}", gateway.log());

    servers[0].stop();
    assert_eq!(ask(4), "bbbb");
    gateway.wait_log("backend fails");
    let failing = gateway.call("show", &json!({"name": "both"}));
    let states = |shown: &Value| -> Vec<Value> {
        let backends = shown["database"]["backends"].as_array().cloned();
        let backends = backends.unwrap_or_default().into_iter();
        backends.map(|b| b["state"].clone()).collect()
    };
    assert_eq!(states(&failing), ["down", "unchecked"], "{failing}");

    servers[0].restart();
    testbed::until(|| ask(1) == "a");
    assert_eq!(ask(4), "baba");
    gateway.wait_log("backend answers again");
    let back = gateway.call("show", &json!({"name": "both"}));
    assert_eq!(states(&back), ["unchecked", "unchecked"], "{back}");
    let told = ["backend fails", "backend answers again"].map(|words| count(&gateway, words));
    assert_eq!(told, [1, 1], "once a change of state:\n{}", gateway.log());

    for server in &mut servers {
        server.stop();
    }
    let answer = Client::RedisPy.whoami(&target);
    assert!(!answer.ok, "{answer:#?}");
    gateway.wait_reject("backend_unreachable");
}

#[test]
fn sessions_go_to_the_first_that_serves_and_back_to_it() {
    let pki = Pki::new();
    let mut servers = ["a", "b"].map(|name| Redis::start(name, &pki.leaf));
    let [a, b] = [servers[0].addr(), servers[1].addr()];
    let hosts = "hosts = [\"redis1.example.test\"]";
    let gateway = Gateway::start(&format!(
        "[database.both]\nprotocol = \"redis\"\nbackends = [\"{a}\", \"{b}\"]\n{hosts}\n"
    ));
    let ask = |times: usize| -> String {
        let host = Some("redis1.example.test");
        let answers = (0..times).map(|_| pki.ask(gateway.addr("main"), host).expect("an answer"));
        answers.collect()
    };
    assert_eq!(ask(3), "aaa");
    servers[0].stop();
    assert_eq!(ask(3), "bbb");
    // What fails is known whatever the list is, and which of it comes first.
    let listed = format!("backends = [{{ address = \"{b}\", weight = 2 }}, \"{a}\"]");
    let config = format!(
        "[database.both]\nprotocol = \"redis\"\n{listed}\nbalance = \"source-ip\"\n{hosts}\n"
    );
    gateway.configure(&config);
    gateway.call("reload", &json!({}));
    assert_eq!(ask(3), "bbb");
    servers[0].restart();
    gateway.configure(&config.replace("source-ip", "round-robin"));
    gateway.call("reload", &json!({}));
    testbed::until(|| ask(1) == "a");
    assert_eq!(ask(6).matches('a').count(), 2, "by weight");
}

/// The outcome for a client by this name at this listener: a server, or a reject with its reason.
struct Case {
    listener: &'static str,
    sni: Option<&'static str>,
    gets: Result<&'static str, &'static str>,
}

const fn case(
    listener: &'static str,
    sni: Option<&'static str>,
    gets: Result<&'static str, &'static str>,
) -> Case {
    Case {
        listener,
        sni,
        gets,
    }
}

const CASES: [Case; 15] = [
    case("main", Some("a.wild.example.test"), Ok("exact")),
    case("main", Some("A.Wild.Example.Test"), Ok("exact")),
    case("main", Some("b.wild.example.test"), Ok("wild")),
    case(
        "main",
        Some("deep.b.wild.example.test"),
        Err("unknown_host"),
    ),
    case(
        "main",
        Some("x.deep.b.wild.example.test"),
        Err("unknown_host"),
    ),
    case("main", Some("wild.example.test"), Err("unknown_host")),
    case("main", Some("nobody.example.test"), Err("unknown_host")),
    case("main", None, Err("no_sni")),
    case("fallback", Some("a.wild.example.test"), Ok("exact")),
    case("fallback", Some("b.wild.example.test"), Ok("wild")),
    case("fallback", Some("deep.b.wild.example.test"), Ok("rest")),
    case("fallback", Some("nobody.example.test"), Ok("rest")),
    case("fallback", None, Ok("rest")),
    case("nowhere", Some("nobody.example.test"), Err("no_default")),
    case("nowhere", None, Err("no_default")),
];

#[test]
fn explain_says_what_happens_to_every_name() {
    let pki = Pki::new();
    let databases = [
        pki.database("exact", "hosts = [\"a.wild.example.test\"]"),
        pki.database("wild", "hosts = [\"*.wild.example.test\"]"),
        pki.database("rest", ""),
    ];
    let listener =
        |name: &str, more: &str| format!("[listener.{name}]\nbind = [\"127.0.0.1:0\"]\n{more}");
    let config = listener("main", "")
        + &listener("fallback", "default = \"rest\"\n")
        + &listener("nowhere", "default = \"not-made-yet\"\n")
        + &sections(&databases);
    let gateway = Gateway::start(&config);
    for Case {
        listener,
        sni,
        gets,
    } in CASES
    {
        let question = json!({"host": sni.unwrap_or_default(), "listener": listener});
        let explained = gateway.call("explain", &question);
        let answer = pki.ask(gateway.addr(listener), sni);
        let what = format!("{sni:?} at {listener}: {answer:?}, explained as {explained}");
        assert_eq!(answer.as_deref().ok(), gets.ok(), "{what}");
        assert_eq!(explained["database"].as_str(), gets.ok(), "{what}");
        assert_eq!(explained["admitted"], gets.is_ok(), "{what}");
        if let Err(reason) = gets {
            let reject = rejected(&gateway, |r| {
                r["listener"] == listener && r["sni"] == json!(sni)
            });
            assert_eq!(reject["reason"], reason, "{what}: {reject}");
        }
    }
}

#[test]
fn real_clients_get_exact_wildcard_and_default() {
    let pki = Pki::new();
    let databases = [
        pki.database("exact", "hosts = [\"a.wild.example.test\"]"),
        pki.database("wild", "hosts = [\"*.wild.example.test\"]"),
        pki.database("rest", ""),
    ];
    let listener = "[listener.main]\nbind = [\"127.0.0.1:0\"]\ndefault = \"rest\"\n";
    let gateway = Gateway::start(&(listener.to_owned() + &sections(&databases)));
    let port = gateway.port();
    for (host, sni, who) in [
        ("a.wild.example.test", true, "exact"),
        ("b.wild.example.test", true, "wild"),
        ("nobody.example.test", true, "rest"),
        ("a.wild.example.test", false, "rest"),
    ] {
        let target = Target {
            sni,
            ..pki.target(host, port)
        };
        for client in [Client::RedisCli, Client::Ioredis] {
            let answer = client.whoami(&target);
            assert_eq!(answer.expect_who(), who, "{client:?} {host} {sni}");
        }
    }
}

#[test]
fn a_default_made_later_is_the_default_from_then_on() {
    let pki = Pki::new();
    let server = Redis::start("later", &pki.leaf);
    let gateway =
        Gateway::start("[listener.main]\nbind = [\"127.0.0.1:0\"]\ndefault = \"later\"\n");
    let target = Target {
        sni: false,
        ..pki.target("redis1.example.test", gateway.port())
    };
    assert!(!Client::RedisCli.whoami(&target).ok);
    gateway.wait_reject("no_default");
    let made = json!({"name": "later", "hosts": ["redis9.example.test"], "to": [server.addr()], "protocol": "redis"});
    gateway.call("expose", &made);
    assert_eq!(Client::RedisCli.whoami(&target).expect_who(), "later");
}

#[test]
fn allow_and_deny_see_the_true_address() {
    let pki = Pki::new();
    let databases = [
        pki.database("v4", "hosts = [\"v4.example.test\"]\nallow = [\"127.0.0.0/8\"]"),
        pki.database("v6", "hosts = [\"v6.example.test\"]\nallow = [\"::1/128\"]"),
        pki.database("not4", "hosts = [\"not4.example.test\"]\ndeny = [\"127.0.0.1/32\"]"),
        pki.database("mapped", "hosts = [\"mapped.example.test\"]\nallow = [\"::ffff:127.0.0.0/104\"]"),
        pki.database("notmapped", "hosts = [\"notmapped.example.test\"]\ndeny = [\"::ffff:127.0.0.0/104\"]"),
        pki.database("no6", "hosts = [\"no6.example.test\"]\ndeny = [\"::/0\"]"),
        pki.database("deny", "hosts = [\"deny.example.test\"]\nallow = [\"127.0.0.0/8\", \"::/0\"]\ndeny = [\"127.0.0.1/32\"]"),
    ];
    let listeners = "[listener.four]\nbind = [\"127.0.0.1:0\"]\n[listener.six]\nbind = [\"[::1]:0\"]\n[listener.both]\nbind = [\"[::]:0\"]\n[listener.mapped]\nbind = [\"[::ffff:127.0.0.1]:0\"]\n";
    let gateway = Gateway::start(&(listeners.to_owned() + &sections(&databases)));
    let to = |listener: &str, v6: bool| -> SocketAddr {
        let port = gateway.addr(listener).port();
        if v6 {
            (Ipv6Addr::LOCALHOST, port).into()
        } else {
            (Ipv4Addr::LOCALHOST, port).into()
        }
    };
    let ways = [
        ("four", to("four", false)),
        ("six", to("six", true)),
        ("both", to("both", false)),
        ("both", to("both", true)),
        ("mapped", to("mapped", false)),
    ];
    for (name, in_by_v4, in_by_v6) in [
        ("v4", true, false),
        ("v6", false, true),
        ("not4", false, true),
        ("mapped", true, false),
        ("notmapped", false, true),
        ("no6", true, false),
        ("deny", false, true),
    ] {
        for (listener, addr) in ways {
            let enters = if addr.is_ipv4() { in_by_v4 } else { in_by_v6 };
            let host = format!("{name}.example.test");
            let answer = pki.ask(addr, Some(&host));
            let question = json!({"host": host, "listener": listener, "client": addr.ip()});
            let explained = gateway.call("explain", &question);
            let what = format!("{name} by {addr}: {answer:?}, explained as {explained}");
            assert_eq!(answer.as_deref().ok(), enters.then_some(name), "{what}");
            assert_eq!(explained["admitted"], enters, "{what}");
            if !enters {
                let reject = rejected(&gateway, |r| {
                    let client: Option<SocketAddr> =
                        r["client"].as_str().and_then(|c| c.parse().ok());
                    r["listener"] == listener
                        && r["sni"] == host
                        && client.is_some_and(|client| client.ip() == addr.ip())
                });
                assert_eq!(reject["reason"], "not_allowed", "{what}: {reject}");
            }
        }
    }
}
