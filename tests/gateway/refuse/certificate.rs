//! Client certificates, where the gateway asks for them (`client_ca`).

use serde_json::json;

use super::assert_refused;
use crate::certs::{Ca, Leaf};
use crate::clients::{Client, Target};
use crate::gateway::Gateway;
use crate::raw::Pki;
use crate::servers::Postgres;

const HOST: &str = "pg1.example.test";

fn with(leaf: &Leaf, target: &Target) -> Target {
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
