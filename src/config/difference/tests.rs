use super::*;
use crate::config::parse;

fn config(text: &str) -> Config {
    let parsed = parse(text, Path::new("/etc/gate.toml"));
    parsed
        .config
        .unwrap_or_else(|| panic!("{:?}", parsed.problems))
}

/// The differences outside of databases, a line each.
fn told(running: &str, file: &str) -> Vec<String> {
    let snapshot = Snapshot::default();
    let found = compare(&config(running), &snapshot, &config(file), usize::MAX);
    let line = |d: &Difference| {
        let Difference {
            section,
            key,
            running,
            file,
            effect,
            ..
        } = d;
        format!(
            "[{section}] {key}: {running} → {file} ({})",
            effect.as_str()
        )
    };
    found.keys.iter().map(line).collect()
}

/// The section, a key of it in the gateway, the same in the file, and what is told.
const KEYS: &[[&str; 4]] = &[
    [
        "control",
        "",
        "socket = 's'",
        "socket: null → \"/etc/s\" (needs a restart)",
    ],
    [
        "control",
        "",
        "mode = '0600'",
        "mode: \"0660\" → \"0600\" (needs a restart)",
    ],
    [
        "control",
        "group = 'a'",
        "",
        "group: \"a\" → null (needs a restart)",
    ],
    [
        "listener.main",
        "bind = ['[::]:1']",
        "bind = ['[::]:2']",
        "bind: [\"[::]:1\"] → [\"[::]:2\"] (at once)",
    ],
    [
        "listener.main",
        "bind = ['[::]:1']",
        "bind = ['[::]:1']\nprotocol = 'tls'",
        "protocol: \"auto\" → \"tls\" (new sessions)",
    ],
    [
        "listener.main",
        "bind = ['[::]:1']",
        "bind = ['[::]:1']\ndefault = 'pg'",
        "default: null → \"pg\" (new sessions)",
    ],
    [
        "tls",
        "",
        "min_version = '1.3'",
        "min_version: \"1.2\" → \"1.3\" (new sessions)",
    ],
    [
        "tls",
        "cert = 'c'\nkey = 'k'",
        "cert = 'd'\nkey = 'k'",
        "cert: \"/etc/c\" → \"/etc/d\" (new sessions)",
    ],
    [
        "tls",
        "cert = 'c'\nkey = 'k'",
        "cert = 'c'\nkey = 'l'",
        "key: \"/etc/k\" → \"/etc/l\" (new sessions)",
    ],
    [
        "timeouts",
        "",
        "handshake = '1s'",
        "handshake: \"10s\" → \"1s\" (new sessions)",
    ],
    [
        "timeouts",
        "",
        "connect = '90s'",
        "connect: \"5s\" → \"1m30s\" (new sessions)",
    ],
    [
        "timeouts",
        "",
        "idle = '1h'",
        "idle: \"off\" → \"1h\" (new sessions)",
    ],
    [
        "timeouts",
        "",
        "drain = '0s'",
        "drain: \"30s\" → \"0s\" (at once)",
    ],
    [
        "limits",
        "",
        "max_sessions = 10",
        "max_sessions: 20000 → 10 (new sessions)",
    ],
    [
        "limits",
        "",
        "max_sessions_per_ip = 10",
        "max_sessions_per_ip: null → 10 (new sessions)",
    ],
    [
        "limits",
        "",
        "max_handshakes = 10",
        "max_handshakes: 2000 → 10 (new sessions)",
    ],
    [
        "limits",
        "",
        "max_handshakes_per_ip = 1",
        "max_handshakes_per_ip: 64 → 1 (new sessions)",
    ],
    [
        "log",
        "",
        "format = 'json'",
        "format: \"text\" → \"json\" (needs a restart)",
    ],
    [
        "log",
        "",
        "access = false",
        "access: true → false (new sessions)",
    ],
    [
        "log",
        "",
        "access_to = '/var/a.log'",
        "access_to: \"stdout\" → \"/var/a.log\" (at once)",
    ],
    [
        "log",
        "access_to = 'journal'",
        "access_to = 'journal'\njournal_socket = 'j'",
        "journal_socket: null → \"/etc/j\" (at once)",
    ],
    [
        "metrics",
        "",
        "bind = '127.0.0.1:3'",
        "bind: null → \"127.0.0.1:3\" (at once)",
    ],
];

#[test]
fn every_key_of_every_section_is_compared() {
    for [section, running, file, said] in KEYS {
        let (running, file) = (
            format!("[{section}]\n{running}"),
            format!("[{section}]\n{file}"),
        );
        assert_eq!(told(&running, &file), [format!("[{section}] {said}")]);
        assert_eq!(told(&file, &file), [""; 0]);
    }
}

#[test]
fn a_value_that_is_the_default_does_not_differ() {
    assert_eq!(told("", "[timeouts]\nconnect = \"5s\"\n[log]\n"), [""; 0]);
}

#[test]
fn a_section_on_one_side_only_is_told_apart() {
    let main = "[listener.main]\nbind = [\"127.0.0.1:1\"]\n";
    let two = format!("{main}[listener.x]\nbind = [\"127.0.0.1:2\"]\n");
    let snapshot = Snapshot::default();
    for (running, file, presence) in [
        (main, &*two, Presence::File),
        (&*two, main, Presence::Running),
    ] {
        let found = compare(&config(running), &snapshot, &config(file), usize::MAX).keys;
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found
                .iter()
                .all(|d| d.section == "listener.x" && d.presence == presence),
            "{found:?}"
        );
    }
}

#[test]
fn databases_beyond_the_most_are_counted() {
    let database =
        |n: u32| format!("[database.d{n}]\nprotocol = \"postgres\"\nbackends = [\"1.2.3.4:1\"]\n");
    let many: String = (0..5).map(database).collect();
    let found = compare(&config(""), &Snapshot::default(), &config(&many), 2);
    assert_eq!(found.more, 3);
    let sections: Vec<_> = found.keys.iter().map(|d| &*d.section).collect();
    assert_eq!(sections.first(), Some(&"database.d0"), "{sections:?}");
    assert_eq!(sections.last(), Some(&"database.d1"), "{sections:?}");
}
