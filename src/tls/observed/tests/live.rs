//! Connections of rustls with itself, recorded in memory: what the two ends say they have agreed
//! on must be what the observer says.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion, version,
};

use super::*;

const NAME: &str = "db1.example";

struct Made {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
}

fn made() -> Made {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    Made {
        certificate,
        key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        roots: Arc::new(roots),
    }
}

fn client(made: &Made, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut config = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(Arc::clone(&made.roots))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    config
}

fn server(made: &Made, asks_for_certificate: bool) -> ServerConfig {
    let builder = ServerConfig::builder();
    let builder = if asks_for_certificate {
        let verifier = WebPkiClientVerifier::builder(Arc::clone(&made.roots)).build();
        builder.with_client_cert_verifier(verifier.unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let chain = vec![made.certificate.clone()];
    let mut config = builder
        .with_single_cert(chain, made.key.clone_key())
        .unwrap();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    config
}

/// The bytes of both ends until neither had more to send, and whether both handshakes succeeded.
struct Played {
    said: (Vec<u8>, Vec<u8>),
    client: ClientConnection,
    content: bool,
}

/// Plays a connection: a request, an answer, and the end of both.
fn play(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Played {
    let name = NAME.try_into().unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let mut said = (Vec::new(), Vec::new());
    let (mut content, mut asked, mut answered) = (true, false, false);
    loop {
        let mut wire = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut wire.0).unwrap();
        }
        let mut rest = &wire.0[..];
        while !rest.is_empty() && server.read_tls(&mut rest).unwrap() > 0 {
            content &= server.process_new_packets().is_ok();
        }
        while server.wants_write() {
            server.write_tls(&mut wire.1).unwrap();
        }
        let mut rest = &wire.1[..];
        while !rest.is_empty() && client.read_tls(&mut rest).unwrap() > 0 {
            content &= client.process_new_packets().is_ok();
        }
        said.0.extend(&wire.0);
        said.1.extend(&wire.1);
        if content && !asked && !client.is_handshaking() {
            client.writer().write_all(b"a question").unwrap();
            asked = true;
        } else if content && asked && !answered {
            let mut question = [0; 10];
            server.reader().read_exact(&mut question).unwrap();
            server.writer().write_all(b"an answer").unwrap();
            server.send_close_notify();
            client.send_close_notify();
            answered = true;
        } else if wire.0.is_empty() && wire.1.is_empty() {
            break;
        }
    }
    let content = content && answered;
    Played {
        said,
        client,
        content,
    }
}

fn seen(played: &Played) -> (Observed, Observed) {
    let (client, server) = both((&played.said.0, &played.said.1));
    assert_eq!((client.fault, server.fault), (None, None));
    assert_eq!(client.wire_read, played.said.0.len());
    assert_eq!(server.wire_read, played.said.1.len());
    assert_eq!(established(&client, &server), played.content);
    (client, server)
}

#[test]
fn both_versions_in_full_and_resumed() {
    let made = made();
    let server_config = Arc::new(server(&made, false));
    for version in [&version::TLS12, &version::TLS13] {
        let tls13 = version == &version::TLS13;
        let client_config = Arc::new(client(&made, version));
        for resumed in [false, true] {
            let played = play(&client_config, &server_config);
            assert!(played.content);
            let (client, server) = seen(&played);
            let chosen = server.server_hello.as_ref().unwrap();
            let suite = played.client.negotiated_cipher_suite().unwrap().suite();
            assert_eq!(chosen.suite, u16::from(suite));
            assert_eq!(chosen.version, u16::from(version.version));
            assert_eq!(chosen.resumed, resumed, "{version:?}");
            let (_, offer) = client.hello.as_ref().unwrap();
            assert_eq!(offer.resumes, resumed);
            let group = played.client.negotiated_key_exchange_group();
            let group = group.map(|group| u16::from(group.name()));
            assert_eq!(chosen.group, group);
            let alpn = (!tls13).then(|| b"postgresql".to_vec());
            assert_eq!(chosen.alpn, alpn);
            if tls13 || resumed {
                assert_eq!(server.certificates.len(), 0);
            } else {
                assert_eq!(server.certificates, [made.certificate.to_vec()]);
            }
            assert!(client.encrypted.last.unwrap().likely_alert);
        }
    }
}

#[test]
fn a_retry() {
    let made = made();
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::SECP384R1];
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.certificate.clone()], made.key.clone_key())
        .unwrap();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let played = play(&Arc::new(client(&made, &version::TLS13)), &Arc::new(config));
    assert!(played.content);
    let (client, server) = seen(&played);
    assert_eq!(client.hellos, 2);
    assert!(server.hello_retry);
    assert_eq!(server.retry_group, Some(0x18));
    assert_eq!(server.server_hello.unwrap().group, Some(0x18));
}

#[test]
fn a_client_that_refuses_the_certificate() {
    let (ours, theirs) = (made(), made());
    let server_config = Arc::new(server(&theirs, false));
    for version in [&version::TLS12, &version::TLS13] {
        let played = play(&Arc::new(client(&ours, version)), &server_config);
        assert!(!played.content);
        let (client, server) = seen(&played);
        assert!(server.server_hello.is_some());
        // Encrypted in TLS 1.3, where only its length gives it away.
        match client.encrypted.last {
            Some(last) => assert!(last.likely_alert),
            None => assert!(client.alert.is_some()),
        }
    }
}

#[test]
fn a_server_that_wants_a_certificate() {
    let made = made();
    let server_config = Arc::new(server(&made, true));
    let played = play(&Arc::new(client(&made, &version::TLS12)), &server_config);
    assert!(!played.content);
    let (_, server) = seen(&played);
    assert!(server.certificate_request);
    assert!(server.alert.is_some());
}
