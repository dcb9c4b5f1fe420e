//! Hostile text that a server writes into its certificate, and where it has to be escaped: the log in both
//! forms, the access log, `ctl`, `top` and those who follow events.

use std::process::Command;

use dbgate::control::client::Client as Control;
use serde_json::{Value, json};

use crate::gateway::{self, Gateway};
use crate::raw::Pki;
use crate::streams::{Echo, Line, Trust};
use crate::testbed;

const HOST: &str = "a.example.test";

/// A name that turns a terminal red, forges a line of the log and hides the rest of its own.
const NAME: &str =
    "b\u{1b}[31mred\n2026-01-01T00:00:00Z  INFO audit: who=root cmd=hide\r\u{7f}.forged.example";

/// Nothing but text that can be seen, and line ends where `lines` are.
#[track_caller]
fn harmless(what: &str, text: &str, lines: bool) {
    let obeyed = |c: char| c.is_control() && !(lines && c == '\n');
    assert!(!text.contains(obeyed), "{what}: {text:?}");
    let forged = text.lines().find(|line| line.starts_with("2026-01-01"));
    assert_eq!(forged, None, "{what}: {text:?}");
}

#[test]
fn a_name_in_a_certificate_forges_nothing() {
    let pki = Pki::new();
    let backend = Echo::tls(&pki.ca.leaf(&[NAME]));
    let database = pki.tls() + &pki.database("a", "tls", "reencrypt", &[backend.addr()]);
    for format in ["text", "json"] {
        let config = format!("[log]\nformat = \"{format}\"\n{database}");
        let gateway = Gateway::start(&config);
        let mut follower = Control::connect(&gateway.socket()).expect("the control socket");
        follower
            .follow("events", &json!({"follow": true}))
            .expect("a subscription");

        Line::open(gateway.addr("main"), HOST, &Trust::new(&pki.ca))
            .and_then(Line::finish)
            .expect_err("a backend with another name");

        let reject = gateway.wait_reject("backend_tls_failed");
        let detail = reject["detail"].as_str().expect("a sentence");
        harmless("rejects", detail, false);
        assert!(detail.contains(r"b\u{1b}[31mred\u{a}2026"), "{detail}");
        gateway.wait_log("backend fails");
        assert!(
            gateway.log().contains(".forged.example"),
            "{}",
            gateway.log()
        );
        harmless("the log", &gateway.log(), true);
        let access = || std::fs::read_to_string(gateway.path("access.log")).unwrap_or_default();
        assert!(testbed::until(|| access().contains("backend_tls_failed")));
        harmless("the access log", &access(), true);

        for name in ["backend_down", "rejected"] {
            let event: Value = follower.event().expect("an event");
            assert_eq!(event["event"], name, "{event}");
            let told = event["detail"].as_str().expect("a sentence");
            harmless("an event", told, false);
            assert!(detail.contains(told) || told.contains(detail), "{event}");
        }
        for words in [
            &["rejects"][..],
            &["rejects", "-o", "json"],
            &["show", "a"],
            &["show", "a", "-o", "json"],
        ] {
            harmless("ctl", &gateway.ctl_ok(words), true);
        }
        for words in [&["--tab", "rejects"][..], &["-o", "json"]] {
            let output = Command::new(gateway::binary())
                .args(["top", "--once", "--interval", "100ms", "--socket"])
                .arg(gateway.socket())
                .args(words)
                .output()
                .expect("dbgate top");
            let text = String::from_utf8(output.stdout).expect("text");
            assert!(text.contains("backend_tls_failed"), "{text}");
            harmless("top", &text, true);
            if let Ok(all) = serde_json::from_str::<Value>(&text) {
                assert_eq!(all["rejects"][0]["detail"], reject["detail"], "{all:#}");
            }
        }
        gateway.call("reload", &json!({}));
        harmless("the log", &gateway.log(), true);
    }
}
