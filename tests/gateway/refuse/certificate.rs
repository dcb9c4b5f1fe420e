//! Client certificates, where the gateway asks for them (`client_ca`).

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use super::assert_refused;
use crate::certs::{Ca, Leaf};
use crate::clients::{Client, Target};
use crate::gateway::Gateway;
use crate::raw::Pki;
use crate::servers::{Postgres, Redis};
use crate::testbed;

const HOST: &str = "pg1.example.test";

pub(super) fn with(leaf: &Leaf, target: &Target) -> Target {
    Target {
        client_cert: Some(leaf.cert_path.clone()),
        client_key: Some(leaf.key_path.clone()),
        ..target.clone()
    }
}

fn client_certificates(mode: &str) {
    let (pki, clients, stranger) = (Pki::new(), Ca::new("Clients"), Ca::new("Stranger"));
    let leaf = pki.ca.leaf(&[HOST]);
    let server = Postgres::named("guarded").tls(&leaf).plain().start();
    let config = pki.tls()
        + &pki.database("pg1", "postgres", mode, &[server.addr()])
        + &format!("client_ca = \"{}\"\n", clients.path().display());
    for client in [Client::Psql, Client::Psycopg] {
        for (certificate, words) in [
            (None, "alert certificate required"),
            (Some(stranger.client("app")), "alert unknown ca"),
            // A certificate of the authority, but for a server.
            (
                Some(clients.leaf(&["app"])),
                "alert unsupported certificate",
            ),
        ] {
            let gateway = Gateway::start(&config);
            let target = Target::postgres(HOST, gateway.port(), &pki.ca);
            let target = target.channel_binding("disable");
            let answer = client.whoami(&match &certificate {
                Some(certificate) => with(certificate, &target),
                None => target,
            });
            assert_refused(
                &gateway,
                &answer,
                &[words],
                "client_certificate",
                &json!("ok"),
            );
        }
        let gateway = Gateway::start(&config);
        let target = Target::postgres(HOST, gateway.port(), &pki.ca).channel_binding("disable");
        let target = with(&clients.client("app"), &target);
        assert_eq!(client.whoami(&target).expect_who(), "guarded");
    }
}

#[test]
fn client_certificates_in_terminate() {
    client_certificates("terminate");
}

#[test]
fn client_certificates_in_reencrypt() {
    client_certificates("reencrypt");
}

/// The output of `openssl s_client` that asks a Redis something, with these arguments.
fn ask(port: u16, arguments: &[&str], files: &[(&str, &Path)]) -> String {
    let mut command = testbed::mortal("KILL", "timeout");
    command
        .args([
            "60",
            "openssl",
            "s_client",
            "-servername",
            "redis1.example.test",
        ])
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (option, file) in files {
        command.arg(option).arg(file);
    }
    let mut child = testbed::spawn(command);
    let mut stdin = child.stdin.take().expect("its input");
    // The server hangs up after its answer; who was refused may be gone by now.
    let _ = stdin.write_all(b"GET whoami\r\nQUIT\r\n");
    let output = child.wait_with_output().expect("its output");
    drop(stdin);
    let printed = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&printed).into_owned()
}

/// A ticket would let in a client whose certificate has expired since, and bring the next one.
#[test]
fn nobody_comes_back_by_a_ticket_where_a_certificate_is_asked_for() {
    let (pki, clients, folder) = (Pki::new(), Ca::new("Clients"), testbed::scratch());
    let server = Redis::plain("guarded");
    let client = clients.client("app");
    let config = pki.tls() + &pki.database("redis1", "redis", "terminate", &[server.addr()]);
    let open = Gateway::start(&config);
    let guarded = format!("client_ca = \"{}\"\n", clients.path().display());
    let guarded = Gateway::start(&(config + &guarded));
    for version in ["-tls1_2", "-tls1_3"] {
        let session = folder.path().join(version);
        let shown = [("-cert", &*client.cert_path), ("-key", &*client.key_path)];
        let leave = [("-sess_out", &*session), shown[0], shown[1]];
        let back = ("-sess_in", &*session);

        // The test can tell: without client_ca the session is resumed.
        let first = ask(open.port(), &[version], &leave[..1]);
        assert!(first.contains("guarded"), "{version}: {first}");
        let again = ask(open.port(), &[version], &[back]);
        assert!(again.contains("Reused, TLS"), "{version}: {again}");

        let first = ask(guarded.port(), &[version], &leave);
        assert!(first.contains("guarded"), "{version}: {first}");
        let again = ask(guarded.port(), &[version], &[back]);
        assert!(!again.contains("guarded"), "{version}: {again}");
        assert!(
            again.contains("certificate required") || again.contains("alert number 4"),
            "{again}"
        );
        let again = ask(guarded.port(), &[version], &[back, shown[0], shown[1]]);
        assert!(again.contains("New, TLS"), "{version}: {again}");
        assert!(again.contains("guarded"), "{version}: {again}");
    }
}
