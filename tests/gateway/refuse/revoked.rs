//! Revocation lists of client certificates (`client_crl`).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::assert_refused;
use super::certificate::with;
use crate::certs::{Ca, Leaf};
use crate::clients::{Client, Target};
use crate::gateway::{Gateway, binary};
use crate::raw::Pki;
use crate::servers::{Postgres, Redis, Server};
use crate::testbed;

const HOST: &str = "pg1.example.test";
const GOOD: i32 = 2090;
const PAST: i32 = 2021;

fn configuration(pki: &Pki, server: &Server, clients: &Ca, crl: &Path) -> String {
    pki.tls()
        + &pki.database("pg1", "postgres", "terminate", &[server.addr()])
        + &format!("client_ca = \"{}\"\n", clients.path().display())
        + &format!("client_crl = \"{}\"\n", crl.display())
}

fn comes(pki: &Pki, gateway: &Gateway, leaf: &Leaf) -> bool {
    let target = Target::postgres(HOST, gateway.port(), &pki.ca).channel_binding("disable");
    let answer = Client::Psql.whoami(&with(leaf, &target));
    assert!(
        answer.ok || answer.error.contains("alert certificate revoked"),
        "{answer:#?}"
    );
    answer.ok
}

/// The file is a link that is led elsewhere, as Kubernetes does, and is then written in its place.
#[test]
fn a_list_is_in_force_soon_after_its_file_changed() {
    let (pki, clients, folder) = (Pki::new(), Ca::new("Clients"), testbed::scratch());
    let server = Postgres::named("guarded").plain().start();
    let (app, bob) = (clients.client("app"), clients.client("bob"));
    let file = |name: &str| folder.path().join(name);
    let crl = file("clients.crl");
    fs::write(file("first"), clients.crl(&[], GOOD)).unwrap();
    fs::write(file("second"), clients.crl(&[&bob], GOOD)).unwrap();
    symlink(file("first"), &crl).unwrap();
    let gateway = Gateway::start(&configuration(&pki, &server, &clients, &crl));
    assert!(comes(&pki, &gateway, &app) && comes(&pki, &gateway, &bob));

    symlink(file("second"), file("link")).unwrap();
    fs::rename(file("link"), &crl).unwrap();
    gateway.wait_log("client_crl: changed, in force for new sessions");
    assert!(comes(&pki, &gateway, &app) && !comes(&pki, &gateway, &bob));

    // A broken file changes nothing, and is told once; a reload refuses it.
    fs::write(file("second"), "-----BEGIN X509 CRL-----\n").unwrap();
    gateway.wait_log("changed files cannot be used");
    assert!(comes(&pki, &gateway, &app) && !comes(&pki, &gateway, &bob));
    let reload = gateway.ctl(&["reload"]);
    assert_eq!(reload.status.code(), Some(1), "{reload:?}");
    assert!(comes(&pki, &gateway, &app) && !comes(&pki, &gateway, &bob));

    fs::write(file("second"), clients.crl(&[&app], GOOD)).unwrap();
    assert!(gateway.ctl_ok(&["reload"]).contains("revision"));
    assert!(!comes(&pki, &gateway, &app) && comes(&pki, &gateway, &bob));
    let told = gateway
        .log()
        .matches("changed files cannot be used")
        .count();
    assert_eq!(told, 1, "{}", gateway.log());
}

/// Certificates whose status is unknown are refused.
#[test]
fn a_list_that_says_nothing_of_a_certificate_keeps_it_out() {
    let (pki, clients, other) = (Pki::new(), Ca::new("Clients"), Ca::new("Other"));
    let server = Postgres::named("guarded").plain().start();
    let (app, folder) = (clients.client("app"), testbed::scratch());
    for (lists, detail) in [
        (vec![clients.crl(&[], PAST)], "past its next update"),
        (vec![other.crl(&[], GOOD)], "holds no list of an authority"),
    ] {
        let crl = folder.path().join("clients.crl");
        fs::write(&crl, lists.concat()).unwrap();
        let gateway = Gateway::start(&configuration(&pki, &server, &clients, &crl));
        let target = Target::postgres(HOST, gateway.port(), &pki.ca).channel_binding("disable");
        let answer = Client::Psql.whoami(&with(&app, &target));
        assert_refused(
            &gateway,
            &answer,
            &["alert"],
            "client_certificate",
            &json!("ok"),
        );
        let rejects = gateway.ctl_ok(&["rejects"]);
        assert!(rejects.contains(detail), "{rejects}");
        // Of several lists in one file each has its say.
        fs::write(&crl, lists.concat() + &clients.crl(&[], GOOD)).unwrap();
    }
}

#[test]
fn serve_check_tells_what_keeps_everybody_out() {
    let (pki, clients, folder) = (Pki::new(), Ca::new("Clients"), testbed::scratch());
    let server = Redis::plain("guarded");
    let crl = folder.path().join("clients.crl");
    let config = folder.path().join("dbgate.toml");
    fs::write(&config, configuration(&pki, &server, &clients, &crl)).unwrap();
    for (text, code, words) in [
        (clients.crl(&[], GOOD), 0, "0 warnings"),
        (
            clients.crl(&[], PAST),
            0,
            "the list of CN=Clients is past its next update",
        ),
        ("nothing".to_owned(), 1, "it is not PEM"),
    ] {
        fs::write(&crl, text).unwrap();
        let mut check = Command::new(binary());
        let check = check.args(["serve", "--check", "--config"]).arg(&config);
        let output = check.output().expect("dbgate serve --check");
        let printed =
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{printed}");
        assert!(printed.contains(words), "{printed}");
    }
}
