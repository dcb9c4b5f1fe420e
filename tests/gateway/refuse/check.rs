//! `ctl expose` looks at the backends, and warns of what a session would meet there.

use std::thread;

use serde_json::{Value, json};

use crate::certs::Ca;
use crate::gateway::Gateway;
use crate::raw::{Fake, Pki, closed_port};
use crate::servers::{Postgres, Redis};

const HOST: &str = "new.example.test";

/// Exposes a new database at these backends; what `ctl` says on standard error.
#[track_caller]
fn expose(gateway: &Gateway, to: &[&str], more: &[&str]) -> String {
    let words = [
        &["expose", "new", "--host", HOST, "--replace", "--to"],
        to,
        more,
    ]
    .concat();
    let output = gateway.ctl(&words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn expose_warns_of_what_a_session_would_meet() {
    let pki = Pki::new();
    let other = Ca::new("Other");
    let leaf = other.leaf(&[HOST]);
    let plain = Postgres::named("plain").plain().start();
    let secure = Postgres::named("secure").tls(&leaf).start();
    let redis = Redis::plain("keys");
    let (closed, _kept) = closed_port();
    let gateway = Gateway::start(&pki.tls());
    let [plain, secure, redis, closed] =
        [plain.addr(), secure.addr(), redis.addr(), closed].map(|addr| addr.to_string());
    let nowhere = "nowhere.invalid:5432";
    let no_tls = "the backend refused TLS";
    let trusted = other.path().display().to_string();
    let untrusted = pki.ca.path().display().to_string();
    let pg = ["--protocol", "postgres"];
    let reencrypt = [&pg[..], &["--tls", "reencrypt", "--backend-ca"]].concat();
    let terminate = [&pg[..], &["--tls", "terminate"]].concat();

    for (to, more, warned) in [
        (
            &[&*plain][..],
            pg.to_vec(),
            &[(&*plain, no_tls, "; no TLS there: ")][..],
        ),
        (
            &[&*plain],
            [&reencrypt[..], &[&*trusted]].concat(),
            &[(&*plain, no_tls, "; no TLS there: ")],
        ),
        (
            &[&*secure],
            [&reencrypt[..], &[&*untrusted]].concat(),
            &[(&*secure, "certificate", "; compare `backend_ca`")],
        ),
        (
            &[&*redis],
            vec!["--protocol", "redis"],
            &[(&*redis, "", "--tls terminate")],
        ),
        (
            &[&*closed, &*secure, nowhere],
            pg.to_vec(),
            &[
                (&*closed, "refused", "; check that the server runs"),
                (nowhere, "resolve", "; check the backend's name"),
            ],
        ),
        (&[&*plain], terminate.clone(), &[]),
        (
            &[&*redis],
            vec!["--protocol", "redis", "--tls", "terminate"],
            &[],
        ),
        (&[&*secure], pg.to_vec(), &[]),
        (&[&*secure], [&reencrypt[..], &[&*trusted]].concat(), &[]),
        (&[&*closed], [&pg[..], &["--no-check"]].concat(), &[]),
    ] {
        let said = expose(&gateway, to, &more);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), warned.len(), "{to:?} {more:?}\n{said}");
        for (line, (addr, seen, remedy)) in lines.iter().zip(warned) {
            let begin = format!("warning: backend {addr}: ");
            assert!(line.starts_with(&begin), "{to:?} {more:?}\n{said}");
            assert!(
                line.contains(seen) && line.contains(remedy),
                "{more:?}\n{said}"
            );
        }
    }
}

#[test]
fn a_dry_run_warns_too_and_json_has_the_reasons() {
    let gateway = Gateway::start(&Pki::new().tls());
    let (closed, _kept) = closed_port();
    let closed = closed.to_string();
    let words = [
        "expose",
        "new",
        "--host",
        HOST,
        "--protocol",
        "postgres",
        "--to",
        &closed,
    ];
    let dry = gateway.ctl_ok(&[&words[..], &["--dry-run", "-o", "json"]].concat());
    let dry: Value = serde_json::from_str(&dry).expect("JSON");
    let warning = &dry["warnings"][0];
    assert_eq!(warning["backend"], *closed, "{dry:#}");
    assert_eq!(warning["reason"], "backend_unreachable", "{dry:#}");
    assert!(
        warning["remedy"].is_string() && warning["detail"].is_string(),
        "{dry:#}"
    );
    assert_eq!(gateway.call("list", &json!({}))["databases"], json!([]));

    let quiet = gateway.ctl_ok(&[&words[..], &["--no-check", "-o", "json"]].concat());
    let quiet: Value = serde_json::from_str(&quiet).expect("JSON");
    assert_eq!(quiet["warnings"], json!([]), "{quiet:#}");
}

#[test]
fn nobody_waits_for_a_look_but_who_asked() {
    let gateway = Gateway::start(&Pki::new().tls());
    let (silent, unasked) = (Fake::start(), Fake::start());
    let pg = ["--protocol", "postgres"];
    thread::scope(|scope| {
        let slow = scope.spawn(|| expose(&gateway, &[&silent.addr().to_string()], &pg));
        let asked = silent.accept_ssl_request();
        // The change is in force already, and others are made.
        let list = gateway.call("list", &json!({}));
        assert!(list.to_string().contains(HOST), "{list:#}");
        let other = json!({"name": "other", "hosts": ["other.example.test"],
            "to": [unasked.addr()], "protocol": "postgres"});
        gateway.call("expose", &other);
        drop(asked);
        let said = slow.join().expect("expose");
        // Not that it was silent for the whole time of the look.
        assert!(said.contains("at a ClientHello"), "{said}");
    });
    expose(
        &gateway,
        &[&unasked.addr().to_string()],
        &[&pg[..], &["--no-check"]].concat(),
    );
    unasked.assert_unasked();
}
