//! Errors under `-o json`: one document on standard output and nothing beside it, with the exit
//! code that the text has.

use serde_json::Value;

use crate::gate::{EMPTY, Gate, Ran, dbgate};

fn gate() -> Gate {
    Gate::new(&format!(
        "{EMPTY}[database.pg1]\nprotocol = \"tls\"\nbackends = [\"127.0.0.1:1\"]\nhosts = [\"a.example\"]\n"
    ))
}

/// The error of a command that says it as JSON and as text.
fn error(gate: &Gate, words: &[&str], exit: i32) -> Value {
    let ran = gate.ctl(&[words, &["-o", "json"]].concat());
    assert_eq!((ran.code, ran.err.as_str()), (Some(exit), ""), "{ran:?}");
    let document: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&document), ["error"], "{document:#}");
    let error = document["error"].clone();
    assert_eq!(keys(&error), ["code", "message", "hint"], "{document:#}");
    let text = gate.ctl(words).failed(exit);
    for part in ["message", "hint"] {
        let part = error[part].as_str().unwrap_or_default();
        // Of several lines the text has each on its own.
        let first = part.split(['.', ':', '\n']).next().unwrap();
        assert!(text.contains(first), "{part:?} in {text}");
    }
    error
}

#[test]
fn every_exit_code_has_its_word() {
    let gate = gate();
    for (words, exit, code, message, hint) in [
        (
            &["show", "pg2"][..],
            5,
            "not_found",
            "no database pg2",
            "did you mean pg1?",
        ),
        (
            &[
                "expose",
                "pg2",
                "--host",
                "a.example",
                "--to",
                "127.0.0.1:1",
                "--protocol",
                "tls",
            ],
            4,
            "conflict",
            "host a.example leads to database pg1",
            "dbgate ctl hide pg1 --host a.example",
        ),
        (
            &["delete", "pg1"],
            1,
            "refused",
            "database pg1 is declared in the configuration",
            "delete it there",
        ),
        (
            &["hide", "pg1", "pg2", "--host", "b.example"],
            2,
            "usage",
            "a host leads to one database",
            "name one with --host",
        ),
        (
            &["kill", "--frce"],
            2,
            "usage",
            "unexpected argument",
            "Usage: dbgate ctl kill",
        ),
    ] {
        let error = error(&gate, words, exit);
        assert_eq!(error["code"], code, "{error:#}");
        let said = error["message"].as_str().unwrap();
        assert!(said.contains(message) && !said.contains(hint), "{error:#}");
        assert!(error["hint"].as_str().unwrap().contains(hint), "{error:#}");
    }
    gate.configure("[listener.main]\nbnd = 7\n");
    let failed = error(&gate, &["reload"], 1);
    assert!(
        failed["message"].as_str().unwrap().contains("bnd"),
        "{failed:#}"
    );
    let failed = error(&gate, &["diff"], 2);
    assert_eq!(failed["code"], "refused", "{failed:#}");
}

#[test]
fn a_gateway_that_is_not_there_is_an_error_like_others() {
    let gate = Gate::stopped(EMPTY);
    let error = error(&gate, &["list"], 3);
    assert_eq!(error["code"], "not_reachable");
    let said = format!(
        "no gateway can be reached at {}: It does not exist.",
        gate.socket().display()
    );
    assert_eq!(error["message"], said.as_str());
    assert!(
        error["hint"].as_str().unwrap().contains("--socket PATH"),
        "{error:#}"
    );
    let mut top = dbgate();
    top.args(["top", "--once", "-o", "json", "--socket"])
        .arg(gate.socket());
    let ran = Ran::of(&mut top);
    assert_eq!((ran.code, ran.err.as_str()), (Some(3), ""), "{ran:?}");
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(document["error"], error);
    let mut top = dbgate();
    top.args(["top", "--once", "-o", "json", "--sort", "x"]);
    let ran = Ran::of(&mut top);
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (ran.code, &document["error"]["code"]),
        (Some(2), &"usage".into())
    );
}

#[test]
fn a_verb_of_another_program_is_answered_with_ours() {
    for (words, exit, tip) in [
        (&["ctl", "unhide", "pg1"][..], 2, "dbgate ctl expose"),
        (&["ctl", "uncordon", "pg1"], 2, "dbgate ctl resume"),
        (
            &["ctl", "shutdown", "sessions", "server", "pg1"],
            2,
            "dbgate ctl kill",
        ),
        (&["ctl", "logs"], 2, "dbgate ctl events --follow"),
        (&["status"], 2, "dbgate ctl status"),
    ] {
        let told = Ran::of(dbgate().args(words)).failed(exit);
        assert!(told.contains(&format!("`{tip}")), "{words:?}: {told}");
    }
    let ran = Ran::of(dbgate().args(["ctl", "unhide", "pg1", "-o", "json"]));
    let document: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let hint = document["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("dbgate ctl expose"), "{document:#}");
}
