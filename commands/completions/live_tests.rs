//! The queries of command lines that are being typed.

use std::path::Path;

use dbgate::control::answer::DatabaseSummary;

use super::*;
use crate::completions::command_line::unquoted;

/// The question for the last word of a line, as a shell splits it.
fn query(line: &str) -> Option<Query> {
    let typed = Typed::of(&words(line))?;
    let mut cli = Cli::command();
    cli.build();
    let mut read = CommandLine::new(&cli);
    for word in typed.before.iter().skip(1) {
        read.take(word);
    }
    let argument = read.expects(&typed.current)?;
    Query::of(&read, argument)
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn kind(line: &str) -> Option<ValueKind> {
    query(line).map(|query| query.kind)
}

/// What is offered without a gateway.
fn offered(line: &str) -> Vec<String> {
    let lines = lines(&words(line));
    assert!(lines != FILES, "files: {line}");
    let values = lines.lines().filter_map(|line| line.split_once('\t'));
    let values = values.map(|(value, _)| value.to_owned());
    values.filter(|value| !value.is_empty()).collect()
}

#[test]
fn what_needs_no_gateway_is_offered() {
    for (line, wanted) in [
        ("dbgate probe explain ", "cert-expired"),
        ("dbgate probe ", "postgres://"),
        ("dbgate probe ", "explain"),
        ("dbgate top --sort ", "age"),
        ("dbgate top --sort age:", "age:desc"),
        ("dbgate top --sort age : ", ":desc"),
        ("dbgate top --tab rejects --sort ", "count"),
        ("dbgate top --filter ", "client:"),
        (
            "dbgate top --tab rejects --filter reason:",
            "reason:unknown_host",
        ),
        (
            "dbgate top --tab rejects --filter reason : un",
            ":unknown_host",
        ),
        ("dbgate ctl events --kind ", "backend"),
        ("dbgate ctl events --kind session ", "backend"),
        ("dbgate ctl events --kind=session,", "session,backend"),
        ("dbgate ctl expose pg1 --tls ", "terminate"),
        ("dbgate completions ", "zsh"),
    ] {
        let all = offered(line);
        let wanted = wanted.strip_prefix(':').unwrap_or(wanted);
        assert!(all.iter().any(|value| value == wanted), "{line}: {all:?}");
    }
    assert!(!offered("dbgate ctl events --kind session ").contains(&"session".to_owned()));
    assert!(!offered("dbgate top --filter reason:").contains(&"reason:unknown_host".to_owned()));
}

#[test]
fn files_are_offered_where_they_are_meant_and_nowhere_else() {
    for line in [
        "dbgate serve -c ",
        "dbgate serve --state-dir x",
        "dbgate ctl --socket ",
        "dbgate ctl expose pg1 --cert ",
        "dbgate ctl expose pg1 --client-ca=",
        "dbgate probe pcap ",
        "dbgate probe postgres://a --ca ",
        "dbgate cert show ",
        "dbgate cert check ",
        "dbgate cert new a --out ",
        "dbgate man ",
    ] {
        assert_eq!(lines(&words(line)), FILES, "{line}");
    }
    for line in [
        "dbgate serve --user ",
        "dbgate serve x",
        "dbgate ctl --socket /nonexistent hide ",
        "dbgate ctl expose pg1 --to ",
        "dbgate ctl expose pg1 --ttl ",
        "dbgate ctl hide pg1 --reason ",
        "dbgate ctl hide pg1 --drain=",
        "dbgate ctl status x",
        "dbgate probe listen --bind ",
        "dbgate probe postgres://a --sni ",
        "dbgate cert new ",
        "dbgate completions bash x",
    ] {
        assert_eq!(lines(&words(line)), NOTHING, "{line}");
    }
    for line in ["dbgate ", "dbgate ct", "dbgate ctl ", "dbgate ctl hide --k"] {
        assert_eq!(lines(&words(line)), "", "{line}");
    }
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
        ("dbgate ctl list ", Some(ValueKind::Databases)),
        ("dbgate ctl sessions ", Some(ValueKind::Databases)),
        ("dbgate ctl rejects --host ", Some(ValueKind::Hosts)),
        ("dbgate ctl drain pg1 --backend ", Some(ValueKind::Backends)),
        (
            "dbgate ctl resume pg1 --backend 10.0.0.5 : 54",
            Some(ValueKind::Backends),
        ),
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

#[test]
fn backends_are_those_of_the_named_database() {
    let answer = ListAnswer {
        databases: ["pg1", "pg2"]
            .map(|name| DatabaseSummary {
                name: name.to_owned(),
                backends: vec![format!("{name}.internal:5432"), "$(reboot)".to_owned()],
                ..DatabaseSummary::default()
            })
            .into(),
        ..ListAnswer::default()
    };
    let offered = query("dbgate ctl drain pg1 --backend ")
        .unwrap()
        .backends(&answer);
    assert_eq!(
        offered,
        [("pg1.internal:5432".to_owned(), "pg1".to_owned())]
    );
}
