//! Clients of a built configuration may resume.

use rustls::{ClientConnection, Connection, HandshakeKind, RootCertStore, ServerConnection};

use super::*;
use crate::cert::{gateway_pair, scratch::Scratch};
use crate::tls::files::Files;

/// Moves bytes between two ends until neither has any left to send.
fn converse(client: &mut Connection, server: &mut Connection) {
    while client.wants_write() || server.wants_write() {
        for turn in [true, false] {
            let (from, to) = if turn {
                (&mut *client, &mut *server)
            } else {
                (&mut *server, &mut *client)
            };
            let mut wire = Vec::new();
            while from.wants_write() {
                from.write_tls(&mut wire).unwrap();
            }
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                to.read_tls(&mut wire).unwrap();
                to.process_new_packets().unwrap();
            }
        }
    }
}

fn connect(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> HandshakeKind {
    let name = PkiName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap().into();
    let mut server = ServerConnection::new(server.clone()).unwrap().into();
    converse(&mut client, &mut server);
    client.handshake_kind().unwrap()
}

#[test]
fn a_client_resumes_however_many_others_came_in_between() {
    let scratch = Scratch::new();
    let (cert, key) = gateway_pair(scratch.path()).unwrap();
    for version in [MinVersion::Tls12, MinVersion::Tls13] {
        let files = ServerSettings {
            cert: cert.clone().into(),
            key: key.clone().into(),
            client_ca: None,
            client_crl: None,
            min_version: version,
            alpn: &[],
        };
        let server = Loader::new(Arc::new(Files)).server(&files).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(server.leaf.clone()).unwrap();
        let client = || {
            let versions: &[_] = match version {
                MinVersion::Tls12 => &[&rustls::version::TLS12],
                MinVersion::Tls13 => &[&rustls::version::TLS13],
            };
            let config = ClientConfig::builder_with_provider(PROVIDER.clone())
                .with_protocol_versions(versions)
                .unwrap()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            Arc::new(config)
        };
        let first = client();
        let connect = |client: &Arc<ClientConfig>| connect(client, &server.config);
        assert_ne!(connect(&first), HandshakeKind::Resumed);
        for _ in 0..300 {
            assert_ne!(connect(&client()), HandshakeKind::Resumed);
        }
        assert_eq!(connect(&first), HandshakeKind::Resumed, "{version:?}");
    }
}
