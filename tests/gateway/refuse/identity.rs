//! Clients admitted by the names in their certificates (`client_names`, `client_user`), and how
//! the certificate is told.

use std::process::Command;

use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};

use super::assert_refused;
use super::certificate::with;
use crate::certs::{Ca, Leaf};
use crate::clients::{Action, Client, Target};
use crate::gateway::{Gateway, binary};
use crate::raw::Pki;
use crate::servers::{Postgres, Redis, Server};

const HOST: &str = "pg1.example.test";

struct Guarded {
    pki: Pki,
    clients: Ca,
    gateway: Gateway,
    _server: Server,
}

/// A Postgres whose clients have to show a certificate, with more rules.
fn guarded(mode: &str, rules: &str) -> Guarded {
    let (pki, clients) = (Pki::new(), Ca::new("Clients"));
    let server = Postgres::named("guarded")
        .tls(&pki.ca.leaf(&[HOST]))
        .plain()
        .start();
    let config = pki.tls()
        + &pki.database("pg1", "postgres", mode, &[server.addr()])
        + &format!("client_ca = \"{}\"\n{rules}\n", clients.path().display());
    Guarded {
        gateway: Gateway::start(&config),
        pki,
        clients,
        _server: server,
    }
}

impl Guarded {
    fn target(&self, leaf: &Leaf) -> Target {
        let target = Target::postgres(HOST, self.gateway.port(), &self.pki.ca);
        with(leaf, &target.channel_binding("disable"))
    }

    /// A client's certificate with a DNS name.
    fn named(&self, name: &str) -> Leaf {
        let client = self.clients.prepare(&[name]);
        client.usage(ExtendedKeyUsagePurpose::ClientAuth).sign()
    }
}

/// Subject and fingerprint as openssl tells them.
fn shown(leaf: &Leaf) -> String {
    let openssl = |what: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-in"]).arg(&leaf.cert_path);
        let output = command.args(what).output().expect("openssl");
        let line = String::from_utf8(output.stdout).expect("text");
        let (_, value) = line.trim().split_once('=').expect("a value");
        value.to_owned()
    };
    let subject = openssl(&["-subject", "-nameopt", "RFC2253"]);
    let fingerprint = openssl(&["-fingerprint", "-sha256"]).replace(':', "");
    format!("{subject} sha256:{}", fingerprint.to_lowercase())
}

fn names_let_in_and_keep_out(mode: &str) {
    let rules = "client_names = [\"app\", \"*.ops.example\"]";
    let before = guarded(mode, rules);
    for leaf in [before.clients.client("app"), before.named("a.ops.example")] {
        let answer = Client::Psql.whoami(&before.target(&leaf));
        assert_eq!(answer.expect_who(), "guarded", "{mode}");
    }
    let words = "FATAL:  dbgate: your certificate may not connect to \"pg1.example.test\"";
    for name in ["bob", "ops.example", "a.b.ops.example", "a.ops.example.org"] {
        let before = guarded(mode, rules);
        let leaf = before.named(name);
        let answer = Client::Psql.whoami(&before.target(&leaf));
        let gateway = &before.gateway;
        assert_refused(gateway, &answer, &[words], "client_name", &json!("ok"));
        let line = gateway.wait_reason("client_name");
        assert_eq!(line["user_cert"], shown(&leaf), "{line}");
    }
}

#[test]
fn names_let_in_and_keep_out_in_terminate() {
    names_let_in_and_keep_out("terminate");
}

#[test]
fn names_let_in_and_keep_out_in_reencrypt() {
    names_let_in_and_keep_out("reencrypt");
}

#[test]
fn redis_clients_read_it_too() {
    let (pki, clients) = (Pki::new(), Ca::new("Clients"));
    let server = Redis::plain("guarded");
    let config = pki.tls()
        + &pki.database("redis1", "redis", "terminate", &[server.addr()])
        + &format!("client_ca = \"{}\"\n", clients.path().display())
        + "client_names = [\"app\"]\n";
    let gateway = Gateway::start(&config);
    let target = Target::new("redis1.example.test", gateway.port(), &pki.ca);
    let answer = Client::RedisPy.whoami(&with(&clients.client("app"), &target));
    assert_eq!(answer.expect_who(), "guarded");
    let answer = Client::RedisPy.whoami(&with(&clients.client("bob"), &target));
    let words = ["this certificate may not connect here"];
    assert_refused(&gateway, &answer, &words, "client_name", &json!("ok"));
}

/// As with `clientcert=verify-full` in `pg_hba.conf`.
#[test]
fn the_user_has_to_be_the_one_of_the_certificate() {
    for mode in ["terminate", "reencrypt"] {
        let before = guarded(mode, "client_user = \"certificate\"");
        let answer = Client::Psql.whoami(&before.target(&before.clients.client("app")));
        assert_eq!(answer.expect_who(), "guarded", "{mode}");
        let words = [
            "FATAL:  dbgate: your certificate is not for this user of \"pg1.example.test\"",
            "HINT:  Connect as the user that is the name (CN) in your certificate.",
        ];
        let answer = Client::Psql.whoami(&before.target(&before.clients.client("App")));
        assert_refused(
            &before.gateway,
            &answer,
            &words,
            "client_user",
            &json!("ok"),
        );
    }
}

/// A request for TLS inside TLS would hide the user from the gateway: it is answered with no.
#[test]
fn nobody_hides_the_user_in_tls_of_his_own() {
    use crate::raw::{put, rest, ssl_request, startup, take};
    let before = guarded("terminate", "client_user = \"certificate\"");
    let leaf = before.clients.client("bob");
    let tcp = before.gateway.connect();
    let mut client = crate::raw::tls_client_with(tcp, HOST, &before.pki.ca, &leaf);
    put(&mut client, &ssl_request());
    assert_eq!(take(&mut client, 1), b"N");
    put(
        &mut client,
        &startup(0, &[("user", "app"), ("database", "app")]),
    );
    let words = String::from_utf8_lossy(&rest(&mut client)).into_owned();
    assert!(words.contains("28000"), "{words}");
    before.gateway.wait_reject("client_user");
}

#[test]
fn who_came_is_told_everywhere() {
    let before = guarded("terminate", "");
    let leaf = before.clients.client("app");
    let shown = shown(&leaf);
    let running = Client::Psycopg.spawn(Action::Idle, &before.target(&leaf));
    let running = running.ready().expect("a session");
    let gateway = &before.gateway;
    let sessions = gateway.sessions();
    assert_eq!(sessions[0]["user_cert"], shown, "{sessions:?}");
    let wide = gateway.ctl_ok(&["sessions", "-o", "wide"]);
    assert!(
        wide.contains("USER-CERT") && wide.contains(&shown),
        "{wide}"
    );
    let narrow = gateway.ctl_ok(&["sessions"]);
    assert!(!narrow.contains("sha256:"), "{narrow}");
    let output = Command::new(binary())
        .args(["top", "--once", "-o", "json", "--socket"])
        .arg(gateway.socket())
        .output()
        .expect("dbgate top");
    let top: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(top["sessions"][0]["user_cert"], shown, "{top}");
    running.go_on();
    let line = gateway.wait_access(|line| line["database"] == "pg1");
    assert_eq!(line["user_cert"], shown, "{line}");
}
