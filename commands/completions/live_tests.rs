//! The queries of command lines that are being typed.

use std::path::Path;

use dbgate::control::answer::{DatabaseSummary, ListAnswer};

use super::{Query, ValueKind, databases, unquoted};

/// Words as a shell splits them; the last is the one under the cursor.
fn query(line: &str) -> Option<Query> {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    Query::of(&words)
}

fn kind(line: &str) -> Option<ValueKind> {
    query(line).map(|query| query.kind)
}

#[test]
fn each_argument_has_its_kind() {
    for (line, wanted) in [
        ("dbgate ctl hide ", Some(ValueKind::Databases)),
        ("dbgate ctl hide p", Some(ValueKind::Databases)),
        ("/usr/bin/dbgate ctl drain ", Some(ValueKind::Databases)),
        ("dbgate ctl show ", Some(ValueKind::Databases)),
        ("dbgate ctl expose ", Some(ValueKind::Databases)),
        ("dbgate ctl kill --database ", Some(ValueKind::Databases)),
        ("dbgate ctl kill --database=", Some(ValueKind::Databases)),
        ("dbgate ctl kill --database = p", Some(ValueKind::Databases)),
        (
            "dbgate ctl sessions --database ",
            Some(ValueKind::Databases),
        ),
        ("dbgate ctl kill ", Some(ValueKind::Sessions)),
        ("dbgate ctl kill 7 8 ", Some(ValueKind::Sessions)),
        ("dbgate ctl kill --database pg1 ", None),
        ("dbgate ctl explain ", Some(ValueKind::Hosts)),
        (
            "dbgate ctl explain a.example --listener ",
            Some(ValueKind::Listeners),
        ),
        ("dbgate ctl hide pg1 --host ", Some(ValueKind::Hosts)),
        (
            "dbgate ctl hide pg1 --host a.example ",
            Some(ValueKind::Hosts),
        ),
        ("dbgate ctl hide --drain 5s ", Some(ValueKind::Databases)),
        ("dbgate ctl hide --keep ", Some(ValueKind::Databases)),
        ("dbgate ctl -o json hide ", Some(ValueKind::Databases)),
        ("dbgate ctl -ojson hide ", Some(ValueKind::Databases)),
        ("dbgate ctl hide pg1 ", Some(ValueKind::Databases)),
        ("dbgate ctl hide pg1 --drain ", None),
        ("dbgate ctl hide -", None),
        ("dbgate ctl hide --ho", None),
        ("dbgate ctl expose pg1 --host ", None),
        ("dbgate ctl list ", None),
        ("dbgate ctl ", None),
        ("dbgate cert show ", None),
        ("dbgate hide ", None),
        ("dbgate", None),
        ("", None),
    ] {
        assert_eq!(kind(line), wanted, "{line:?}");
    }
}

#[test]
fn the_socket_that_was_typed_is_the_one_asked() {
    for line in [
        "dbgate ctl --socket /a/s hide ",
        "dbgate ctl --socket=/a/s hide ",
        "dbgate ctl --socket = /a/s hide ",
        "dbgate ctl hide --socket /a/s ",
        "dbgate ctl hide pg1 --socket /a/s --host ",
    ] {
        let socket = query(line).unwrap().socket;
        assert_eq!(socket.as_deref(), Some(Path::new("/a/s")), "{line:?}");
    }
    assert_eq!(query("dbgate ctl hide ").unwrap().socket, None);
}

#[test]
fn words_lose_their_quotes_and_nothing_is_expanded() {
    for (word, plain) in [
        ("/run/s", "/run/s"),
        ("\"/run/a b\"", "/run/a b"),
        ("'/run/a b'", "/run/a b"),
        ("/run/a\\ b", "/run/a b"),
        ("\"/run/open", "/run/open"),
        ("'a\\b'", "a\\b"),
        ("$(reboot)", "$(reboot)"),
        ("$HOME/s", "$HOME/s"),
        ("end\\", "end"),
    ] {
        assert_eq!(unquoted(word), plain, "{word:?}");
    }
}

#[test]
fn only_what_looks_like_a_name_is_offered() {
    let names = |candidates: Vec<(String, String)>| -> Vec<String> {
        candidates.into_iter().map(|(value, _)| value).collect()
    };
    let list = |name: &str, hosts: &[&str]| ListAnswer {
        databases: vec![DatabaseSummary {
            name: name.to_owned(),
            hosts: hosts.iter().map(ToString::to_string).collect(),
            ..DatabaseSummary::default()
        }],
        ..ListAnswer::default()
    };
    assert_eq!(names(databases(&list("pg-1.a_b", &[]))), ["pg-1.a_b"]);
    for hostile in [
        "",
        "$(reboot)",
        "a b",
        "a\nb",
        "`x`",
        "--kill",
        "\u{1b}[2J",
        "*",
    ] {
        assert!(databases(&list(hostile, &[])).is_empty(), "{hostile:?}");
    }
    let answer = list("pg1", &["a.example", "*.b.example", "$(x)", "7 8"]);
    let hosts = |line: &str| names(query(line).unwrap().hosts(&answer));
    assert_eq!(hosts("dbgate ctl explain "), ["a.example"]);
    assert_eq!(
        hosts("dbgate ctl hide pg1 --host "),
        ["a.example", "*.b.example"]
    );
    assert!(hosts("dbgate ctl hide pg2 --host ").is_empty());
}
