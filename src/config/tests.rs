//! Whole texts: what is read from them, and what is told of them, where.

use std::time::Duration;

use super::*;
use crate::protocol::{ListenerProtocol, Protocol};
use crate::tls::TlsMode;
use crate::tls::config::MinVersion;

const COMPLETE: &str = include_str!("../../config/dbgate.toml");
const QUICKSTART: &str = include_str!("../../config/quickstart.toml");

fn parsed(text: &str) -> Parsed {
    parse(text, Path::new("/etc/dbgate/dbgate.toml"))
}

/// The configuration of a text with which nothing is wrong.
fn config(text: &str) -> Config {
    let parsed = parsed(text);
    assert_eq!(parsed.problems, [], "{text}");
    parsed.config.unwrap()
}

/// Asserts that these problems, and no others, are told: line and column, and words of it.
fn tells(text: &str, expected: &[(&str, &str)]) {
    let parsed = parsed(text);
    let found: Vec<_> = parsed.problems.iter().map(ToString::to_string).collect();
    let all = found.join("\n");
    assert_eq!(found.len(), expected.len(), "of\n{text}\nwas told\n{all}");
    for (found, (place, words)) in found.iter().zip(expected) {
        let start = format!("/etc/dbgate/dbgate.toml:{place}: ");
        assert!(
            found.starts_with(&start) && found.contains(words),
            "of\n{text}\nwas told\n{all}\nnot {place} {words}"
        );
    }
    let errors = parsed
        .problems
        .iter()
        .any(|p| p.severity == Severity::Error);
    assert_eq!(parsed.config.is_none(), errors, "{all}");
}

#[test]
fn nothing_is_the_defaults() {
    assert_eq!(config(""), Config::default());
    assert_eq!(
        Config::default().listeners[0].bind[0].to_string(),
        "[::]:7432"
    );
}

#[test]
fn the_complete_example_shows_the_defaults() {
    let mut example = config(COMPLETE);
    assert_eq!(example.databases.len(), 1);
    example.databases.clear();
    assert_eq!(example, Config::default());
}

#[test]
fn every_key_behind_a_comment_sign_in_the_complete_example_exists() {
    let is_key = |line: &&str| {
        let name = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let text: Vec<_> = COMPLETE
        .lines()
        .map(|line| line.strip_prefix("# ").filter(is_key).unwrap_or(line))
        .collect();
    let text = text
        .join("\n")
        .replace("tls = \"passthrough\"", "tls = \"reencrypt\"")
        .replace("access_to = \"stdout\"", "access_to = \"journal\"");
    let parsed = parsed(&text);
    assert_eq!(parsed.problems.len(), 1, "{:?}", parsed.problems);
    let config = parsed.config.unwrap();
    assert_eq!(config.control.group.as_deref(), Some("dbgate"));
    assert_eq!(config.listeners[0].default.as_deref(), Some("pg1"));
    assert_eq!(
        config.tls.files,
        Some(("/etc/dbgate/gate.crt".into(), "/etc/dbgate/gate.key".into()))
    );
    let journal = "/run/systemd/journal/socket".into();
    assert_eq!(config.log.access_to, AccessTo::Journal(journal));
    assert_eq!(config.metrics, Some(([127, 0, 0, 1], 9432).into()));
    let spec = serde_json::to_value(&config.databases["pg1"].spec).unwrap();
    let fields = spec.as_object().unwrap();
    assert_eq!(fields.len(), 26, "{fields:?}");
    assert_eq!(fields["backend_key"], "/etc/dbgate/gate-client.key");
}

#[test]
fn the_quick_start_is_enough() {
    let config = config(QUICKSTART);
    let pg1 = &config.databases["pg1"];
    assert_eq!(pg1.spec.protocol, Protocol::Postgres);
    assert_eq!(pg1.spec.tls, TlsMode::Passthrough);
    assert_eq!(*pg1.hosts, ["my-postgres.example".parse().unwrap()]);
    assert_eq!(config.listeners[0].bind.len(), 2);
}

#[test]
fn values_are_read() {
    let config = config(
        r#"
        control = { socket = "gate.sock", mode = "0600" }
        [listener.b]
        bind = ["127.0.0.1:0", "127.0.0.1:0"]
        protocol = "tls"
        [listener.a]
        bind = ["[::1]:5432"]
        protocol = "tcp"
        default = "my"
        [tls]
        min_version = "1.3"
        [timeouts]
        handshake = "1m30s"
        idle = "2h"
        drain = "0s"
        [limits]
        max_sessions = 0x10
        [log]
        format = "json"
        access = false
        [database.my]
        backends = ["db.internal:3306"]
        allow = ["203.0.113.0/24", "2001:db8::/32"]
        "#,
    );
    assert_eq!(config.control.socket, Some("/etc/dbgate/gate.sock".into()));
    assert_eq!(config.control.mode, 0o600);
    let names: Vec<_> = config.listeners.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["b", "a"], "in the order of the file");
    assert_eq!(config.listeners[1].protocol, ListenerProtocol::Tcp);
    assert_eq!(config.tls.min_version, MinVersion::Tls13);
    assert_eq!(config.timeouts.handshake, Duration::from_secs(90));
    assert_eq!(config.timeouts.idle, Some(Duration::from_secs(7_200)));
    assert_eq!(config.timeouts.drain, Duration::ZERO);
    assert_eq!(config.limits.max_sessions, 16);
    assert_eq!(
        (config.log.format, config.log.access),
        (LogFormat::Json, false)
    );
    let my = &config.databases["my"].spec;
    assert_eq!((my.protocol, my.access.allow.len()), (Protocol::Mysql, 2));
}

#[test]
fn the_access_log_goes_where_it_is_told() {
    let access_to = |keys: &str| config(&format!("[log]\n{keys}\n")).log.access_to;
    for (keys, wanted) in [
        ("access_to = \"stdout\"", AccessTo::Stdout),
        (
            "access_to = \"./access.log\"",
            AccessTo::File("/etc/dbgate/./access.log".into()),
        ),
        (
            "access_to = \"/var/log/dbgate/access.log\"",
            AccessTo::File("/var/log/dbgate/access.log".into()),
        ),
        (
            "access_to = \"journal\"",
            AccessTo::Journal("/run/systemd/journal/socket".into()),
        ),
        (
            "access_to = \"journal\"\njournal_socket = \"/run/other\"",
            AccessTo::Journal("/run/other".into()),
        ),
    ] {
        assert_eq!(access_to(keys), wanted, "{keys}");
    }
    tells(
        "[log]\naccess_to = \"jurnal\"\njournal_socket = \"/run/other\"\nacces_to = \"stdout\"\n",
        &[
            ("2:13", "did you mean `journal`?"),
            ("3:1", "no effect without access_to = \"journal\""),
            ("4:1", "did you mean `access_to`?"),
        ],
    );
    tells(
        "[log]\naccess_to = \"access.log\"\n",
        &[("2:13", "as in \"./access.log\"")],
    );
    tells(
        "[log]\naccess_to = \"/var/log/\"\n",
        &[("2:13", "is a directory")],
    );
}

#[test]
fn metrics_have_an_address_of_their_own() {
    assert_eq!(config("[metrics]\n").metrics, None);
    let bind = config("[metrics]\nbind = \"[::1]:9432\"\n").metrics;
    assert_eq!(bind, Some("[::1]:9432".parse().unwrap()));
    tells(
        "[metrics]\nbind = \"9432\"\nbnd = 1\n",
        &[("2:8", "write IP:PORT"), ("3:1", "did you mean `bind`?")],
    );
    tells(
        "[listener.a]\nbind = [\"0.0.0.0:9432\"]\n[metrics]\nbind = \"127.0.0.1:9432\"\n",
        &[("4:1", "clashes with 0.0.0.0:9432 of listener a")],
    );
}

#[test]
fn keys_sections_and_types_are_told_all_at_once() {
    tells(
        "grup = 1\n[control]\nmode = 432\nsocket = \"\"\ngrup = \"a\"\n[listner.main]\n",
        &[
            ("1:1", "unknown key `grup` outside of any section"),
            (
                "3:8",
                "mode must be a string, not an integer: write \"432\"",
            ),
            ("4:10", "socket: a path is not empty"),
            (
                "5:1",
                "unknown key `grup` in [control]; did you mean `group`?",
            ),
            ("6:2", "unknown section [listner]; did you mean `listener`?"),
        ],
    );
    tells(
        "[limits]\nmax_sessions = 0\nmax_handshakes = -1\nmax_handshakes_per_ip = \"64\"\n\
         [log]\nformat = \"xml\"\naccess = \"yes\"\n[tls]\nmin_version = 1.2\ncert = \"a\"\n",
        &[
            ("2:1", "max_sessions must be at least 1"),
            ("3:18", "max_handshakes must not be negative"),
            ("4:25", "must be a whole number, not a string: write 64"),
            ("6:10", "invalid log format \"xml\""),
            ("7:10", "access must be true or false, not a string"),
            (
                "9:15",
                "min_version must be a string, not a fraction: write \"1.2\"",
            ),
            ("10:1", "cert and key belong together"),
        ],
    );
    tells(
        "[timeouts]\nhandshake = 10\nconnect = \"off\"\nidle = \"0s\"\ndrain = \"10\"\n\
         [control]\nmode = \"0999\"\n[metric]\nbind = \"127.0.0.1:9432\"\n",
        &[
            (
                "2:13",
                "must be a duration in quotes, with its unit, not an integer: write \"10s\"",
            ),
            ("3:11", "connect: cannot be off"),
            ("4:8", "write \"off\""),
            ("5:9", "\"10\" has no unit: write \"10s\""),
            ("7:8", "invalid permissions \"0999\""),
            ("8:2", "unknown section [metric]; did you mean `metrics`?"),
        ],
    );
    tells(
        "database = 1\n[[listener.x]]\nbind = []\n",
        &[
            (
                "1:1",
                "database must be a section, not an integer: write [database]",
            ),
            (
                "2:12",
                "listener.x must be a section, not a list: write [listener.x]",
            ),
        ],
    );
    // Columns count characters, of which this one has two bytes.
    tells(
        "'ü' = 1\n'ö' = 1 2",
        &[("1:1", "unknown key `'ü'`"), ("2:7", "quoted")],
    );
}

#[test]
fn a_network_that_would_match_nobody_is_told() {
    tells(
        "[database.a]\nbackends = [\"a:5432\"]\nhosts = [\"a.example\"]\n\
         deny = [\"::ffff:10.0.0.0/24\"]\n",
        &[(
            "4:9",
            "shorter than /96, which is not an IPv4 network: write \"10.0.0.0/24\"",
        )],
    );
}

#[test]
fn a_mapped_address_to_listen_on_is_the_ipv4_one() {
    tells(
        "[listener.a]\nbind = [\"0.0.0.0:1\"]\n[listener.b]\nbind = [\"[::ffff:127.0.0.1]:1\"]\n\
         [metrics]\nbind = \"[::ffff:127.0.0.1]:1\"\n",
        &[
            (
                "4:9",
                "127.0.0.1:1 of listener b clashes with 0.0.0.0:1 of listener a",
            ),
            (
                "6:1",
                "127.0.0.1:1 of metrics clashes with 0.0.0.0:1 of listener a",
            ),
        ],
    );
}

#[test]
fn listeners_are_judged() {
    tells(
        "[listener.a]\nbind = \"0.0.0.0:5432\"\n[listener.b]\nbind = [5432, \"localhost:5432\"]\n\
         [listener.c]\nprotocol = \"tcp\"\n[listener.\"d e\"]\nbind = []\nprotocol = \"mysql\"\n",
        &[
            (
                "2:8",
                "bind must be a list of addresses, not a string: write [\"0.0.0.0:5432\"]",
            ),
            (
                "4:9",
                "bind must be a list of addresses in quotes, but here is an integer",
            ),
            ("4:15", "\"localhost:5432\" is not an address to listen on"),
            ("5:11", "a listener needs an address"),
            ("6:1", "looks for no name"),
            ("7:11", "invalid name \"d e\": use 1 to 63 letters"),
            ("8:1", "a listener needs an address"),
            ("9:12", "protocol = \"tcp\" and default"),
        ],
    );
    tells(
        "[listener.a]\nbind = [\"0.0.0.0:1\", \"[::]:2\", \"10.0.0.1:3\", \"10.0.0.1:3\", \"0.0.0.0:4\", \"10.0.0.1:4\"]\n\
         [listener.b]\nbind = [\"10.0.0.1:1\", \"10.0.0.1:2\", \"[::1]:2\", \"[::1]:3\", \"[::]:1\"]\n",
        &[
            ("2:46", "10.0.0.1:3 is listed twice in listener a"),
            (
                "2:73",
                "10.0.0.1:4 clashes with 0.0.0.0:4, both of listener a",
            ),
            (
                "4:9",
                "10.0.0.1:1 of listener b clashes with 0.0.0.0:1 of listener a",
            ),
            (
                "4:23",
                "10.0.0.1:2 of listener b clashes with [::]:2 of listener a",
            ),
            (
                "4:37",
                "[::1]:2 of listener b clashes with [::]:2 of listener a",
            ),
        ],
    );
    tells(
        "[listener.a]\nbind = [\"[::]:1\"]\ndefault = \"later\"\n\
         [listener.b]\nbind = [\"[::]:2\"]\ndefault = \"my\"\n\
         [listener.c]\nbind = [\"[::]:3\"]\nprotocol = \"tcp\"\ndefault = \"pg\"\n\
         [database.my]\nbackends = [\"a:3306\"]\n\
         [database.pg]\nbackends = [\"a:5432\"]\ntls = \"terminate\"\n",
        &[
            ("3:1", "warning: no database later in this file"),
            ("6:1", "a mysql server speaks first"),
            ("10:1", "database pg has tls = \"terminate\""),
        ],
    );
}

#[test]
fn databases_are_judged() {
    tells(
        "[database.a]\nbackends = [\"a:1\"]\n[database.b]\nprotocl = \"postgres\"\n\
         backends = \"10.0.0.5\"\nhosts = [\"10.0.0.1\", \"x.example\"]\n[database.c.d]\n\
         [database.e]\nprotocol = \"oracle\"\nbackends = [\"a:5432\"]\nkey = \"k\"\ntls = \"terminate\"\n",
        &[
            ("1:11", "port 1 does not tell the protocol of this database"),
            (
                "4:1",
                "unknown key `protocl` in [database.b]; did you mean `protocol`?",
            ),
            (
                "5:12",
                "backends must be a list of addresses, not a string: write [\"10.0.0.5\"]",
            ),
            ("6:10", "\"10.0.0.1\" is not a host"),
            ("7:11", "a database needs at least one backend"),
            (
                "7:13",
                "unknown section [database.c.d]; a name with a dot in it is written in quotes: [database.\"c.d\"]",
            ),
            ("9:12", "unknown protocol \"oracle\""),
        ],
    );
    tells(
        "[database.a]\nbackends = [\"a:5432\"]\nhosts = [\"x.example\", \"X.example.\"]\n\
         [database.b]\nbackends = [\"a:5432\"]\nhosts = [\"y.example\", \"x.example\"]\n\
         [database.c]\nbackends = [\"a:3306\"]\nhosts = [\"z.example\"]\ntls = \"terminate\"\n",
        &[
            ("3:23", "host x.example is listed twice in database a"),
            (
                "6:23",
                "host x.example is listed in database a and in database b",
            ),
            ("9:1", "a mysql server speaks first"),
            ("10:1", "use tls = \"passthrough\""),
        ],
    );
    tells(
        "[database.a]\nbackends = [\"a:5432\"]\ntls = \"terminate\"\nkey = \"k\"\nallow = []\n\
         deny = [\"10.0.0.1\", \"x\"]\nmax_sessions = 0\nbackend_name = \"-:-\"\n\
         [database.b]\nbackends = [\"a:5432\"]\ntls = \"terminated\"\ncert = \"c\"\n\
         [database.c]\nbackends = [\"a:5432\"]\ntls = \"reencrypt\"\n",
        &[
            ("4:1", "cert and key belong together"),
            ("5:1", "an empty list has no effect"),
            (
                "6:9",
                "\"10.0.0.1\" is an address, not a network: write \"10.0.0.1/32\"",
            ),
            ("6:21", "\"x\" is not a network"),
            ("7:1", "0 would let nobody in"),
            ("8:16", "invalid host name"),
            ("11:7", "\"terminated\" is no TLS mode"),
            ("15:1", "warning: clients that bind the channel"),
        ],
    );
}

#[test]
fn one_syntax_error_is_told_once_and_the_rest_is_still_read() {
    tells(
        "[limits]\nmax_sessions =\nmax_handshakes = 0\n[control]\nmode = 0660\ngrup = \"a\"\n",
        &[
            ("2:15", ""),
            ("3:1", "max_handshakes must be at least 1"),
            ("5:8", "leading zero"),
            ("6:1", "did you mean `group`?"),
        ],
    );
    // A list without its end swallows the sections that follow, so nothing is said of them.
    tells(
        "[listener.a]\nbind = [\"[::]:1\"\nprotocol = \"tcp\"\ndefault = \"a\"\n[database.a]\nx = 1\n",
        &[("3:1", "missing comma")],
    );
    tells(
        "[listener.a\nbind = [\"[::]:1\"]\nx = 1\n",
        &[("1:12", "unclosed")],
    );
    tells("[log]\n[log]\n", &[("2:2", "duplicate")]);
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_without_a_place() {
    let Parsed {
        config, problems, ..
    } = load(Path::new("/nowhere/dbgate.toml"));
    assert!(config.is_none());
    let text = problems[0].to_string();
    assert!(
        text.starts_with("/nowhere/dbgate.toml: error: cannot be read: "),
        "{text}"
    );
}

#[test]
fn one_network_leads_to_one_database() {
    let database = |name: &str, keys: &str| {
        format!("[database.{name}]\nprotocol = \"redis\"\nbackends = [\"10.0.0.5:1\"]\n{keys}\n")
    };
    let first = database("a", "networks = [\"10.1.0.0/16\"]");
    tells(
        &(first.clone() + &database("b", "networks = [\"10.1.7.0/16\"]")),
        &[(
            "8:1",
            "network 10.1.7.0/16 is listed in database a and in database b",
        )],
    );
    config(&(first.clone() + &database("b", "networks = [\"10.1.7.0/24\"]")));
    tells(
        "[database.m]\nbackends = [\"10.0.0.5:3306\"]\nnetworks = [\"10.1.0.0/16\"]\n",
        &[("3:1", "the server speaks first")],
    );
    let rate = |rate: &str| database("a", &format!("rate = {{ {rate} }}"));
    for (keys, words) in [
        (
            "",
            "a rate is that of one network, of the whole database, or both",
        ),
        (
            "prefix = \"32/64\", database = \"9/s\"",
            "prefix has no meaning without network",
        ),
    ] {
        tells(&rate(keys), &[("4:1", words)]);
    }
    tells(
        &rate("network = \"10\""),
        &[("4:20", "write sessions and a unit of time")],
    );
    tells(
        &rate("netwrok = \"9/s\""),
        &[
            ("4:1", "a rate is that of"),
            ("4:10", "did you mean `network`?"),
        ],
    );
}
