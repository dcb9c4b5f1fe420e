//! The hello as others read it, and answers to it.

use std::sync::Arc;

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::Acceptor;
use rustls::{ServerConfig, ServerConnection};

use super::*;
use crate::tls::observed::{End, observe};
use crate::tls::offer;

const RANDOM: [u8; 32] = [7; 32];

fn name() -> ServerName {
    ServerName::parse("db.example").unwrap()
}

#[test]
fn it_says_what_is_meant() {
    let bytes = hello(&RANDOM, Some(&name()), Some(b"postgresql"), VERSIONS);
    let (hello, offer) = offer::read(&bytes).unwrap().expect("a whole hello");
    assert_eq!(hello.wire_len, bytes.len());
    assert_eq!(hello.sni.name(), Some(&name()));
    assert_eq!(hello.alpn, [b"postgresql"]);
    assert_eq!(hello.versions, VERSIONS);
    assert_eq!(offer.suites, SUITES);
    assert_eq!(offer.groups, GROUPS);
    assert_eq!(offer.key_shares, [X25519]);
    assert_eq!(offer.signature_algorithms, SIGNATURE_ALGORITHMS);
    assert!(!offer.resumes && !offer.grease, "{offer:?}");

    let bytes = super::hello(&RANDOM, None, None, UP_TO_12);
    let (hello, _) = offer::read(&bytes).unwrap().expect("a whole hello");
    assert_eq!((hello.sni.name(), hello.alpn.len()), (None, 0));
    assert_eq!(hello.versions, UP_TO_12);
}

#[test]
fn its_length_is_one_that_every_server_answers() {
    for length in [0, 1, 100, 220, 253] {
        let labels = vec!["a".repeat(49); 5].join(".") + ".abc";
        let text = labels.get(..length).unwrap();
        let name = ServerName::parse(text.trim_end_matches('.')).ok();
        let bytes = hello(&RANDOM, name.as_ref(), None, VERSIONS);
        let message = bytes.len() - 5;
        assert!((512..1024).contains(&message), "{length}: {message}");
        assert!(offer::read(&bytes).unwrap().is_some(), "{length}");
    }
}

#[test]
fn it_has_all_that_is_offered_today_and_names_for_everything() {
    for suite in &PROVIDER.cipher_suites {
        assert!(SUITES.contains(&suite.suite().into()), "{suite:?}");
    }
    for group in &PROVIDER.kx_groups {
        assert!(GROUPS.contains(&group.name().into()), "{group:?}");
    }
    let algorithms = &PROVIDER.signature_verification_algorithms;
    for scheme in algorithms.supported_schemes() {
        let number = u16::from(scheme);
        assert!(SIGNATURE_ALGORITHMS.contains(&number), "{scheme:?}");
    }
    let named = SUITES.iter().map(|suite| names::cipher_suite(*suite));
    let named = named.chain(GROUPS.iter().map(|group| names::group(*group)));
    let schemes = SIGNATURE_ALGORITHMS.iter();
    let named = named.chain(schemes.map(|scheme| names::signature_scheme(*scheme)));
    let mut all: Vec<_> = named.collect();
    assert!(!all.iter().any(|name| name.starts_with("0x")), "{all:?}");
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "one is there twice");
}

#[test]
fn another_implementation_reads_and_answers_it() {
    let mut acceptor = Acceptor::default();
    let bytes = hello(&RANDOM, Some(&name()), Some(b"postgresql"), VERSIONS);
    acceptor.read_tls(&mut &bytes[..]).unwrap();
    let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap();
    let accepted = accepted.expect("a whole hello");
    let read = accepted.client_hello();
    assert_eq!(read.server_name(), Some("db.example"));

    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(["db.example".to_owned()]).unwrap();
    let cert = cert.self_signed(&key).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    server.read_tls(&mut &bytes[..]).unwrap();
    server.process_new_packets().unwrap();
    let mut flight = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut flight).unwrap();
    }
    let seen = observe(&flight, End::Server);
    assert!(is_answered(&seen), "{seen:?}");
    let (rule, said) = meaning(&seen);
    assert!(rule.is_none(), "{said}");
    assert!(said.starts_with("the server chose TLS 1.3, TLS_"), "{said}");
}

/// A handshake message in a record of its own.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = body.len().to_be_bytes();
    let message = [&[kind, a, b, c], body].concat();
    [&[0x16, 3, 3], &*after_u16(&message)].concat()
}

fn server_hello(version: u16, suite: u16, more: &[u8]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([1; 32]);
    body.push(0);
    body.extend(suite.to_be_bytes());
    body.push(0);
    [record(2, &body), more.to_vec()].concat()
}

#[test]
fn what_an_answer_means() {
    let done = record(14, &[]);
    let group = |group: u8| record(12, &[3, 0, group, 1, 4]);
    let rows = [
        (
            server_hello(0x0301, 0xc013, &group(0x17)),
            Some("tls-too-old"),
            "the server chose TLS 1.0",
        ),
        (
            server_hello(0x0302, 0x002f, &done),
            Some("tls-too-old"),
            "the server chose TLS 1.1",
        ),
        (
            server_hello(0x0303, 0x002f, &done),
            Some("tls-old-ciphers-only"),
            "the server chose TLS 1.2, TLS_RSA_WITH_AES_128_CBC_SHA",
        ),
        (
            server_hello(0x0303, 0xc027, &group(0x19)),
            Some("tls-old-ciphers-only"),
            "the server chose TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
        ),
        (
            server_hello(0x0303, 0xc02f, &group(0x19)),
            Some("tls-old-groups-only"),
            "the server chose TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, secp521r1",
        ),
        (
            server_hello(0x0303, 0xc02f, &group(0x17)),
            None,
            "the server chose TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, secp256r1",
        ),
        (
            vec![0x15, 3, 3, 0, 2, 2, 40],
            None,
            "the server sent alert 40 handshake_failure",
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
            None,
            "no answer that is TLS",
        ),
    ];
    for (bytes, code, words) in rows {
        let seen = observe(&bytes, End::Server);
        assert!(is_answered(&seen), "{words}: {seen:?}");
        let (rule, said) = meaning(&seen);
        assert_eq!(
            (rule.map(|rule| rule.code), &*said),
            (code, words),
            "{seen:?}"
        );
    }
    let nothing = observe(b"", End::Server);
    assert!(!is_answered(&nothing));
    assert_eq!(meaning(&nothing).1, "no answer");
}

#[test]
fn a_retry_tells_the_group() {
    for (group, code) in [(0x0019, Some("tls-old-groups-only")), (0x0017, None)] {
        let seen = Observed {
            hello_retry: true,
            retry_group: Some(group),
            ..Observed::default()
        };
        assert!(is_answered(&seen));
        let (rule, said) = meaning(&seen);
        assert_eq!(rule.map(|rule| rule.code), code, "{said}");
        assert!(said.ends_with(&*names::group(group)), "{said}");
    }
}
