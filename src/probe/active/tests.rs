//! Servers that are wrong in one way each, and the one rule that a probe of them must lead to.
//!
//! They are played here, byte by byte, because no real one can be made to do it at will; what real
//! databases do is tested in `tests/probe`.

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::preface::postgres::SSL_REQUEST;
use crate::tls::{Alert, offer};

/// The type of a record with a handshake message.
const HANDSHAKE: u8 = 0x16;

/// A server's TLS: a certificate signed by itself, for `db.example` and others.
fn tls(alpn: Option<&[u8]>) -> TlsAcceptor {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(["db.example".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|id| id.to_vec()).collect();
    Arc::new(config).into()
}

/// Serves every connection by `serve`; the port.
async fn serving<F, Serve>(serve: Serve) -> u16
where
    F: Future<Output = ()> + Send + 'static,
    Serve: Fn(TcpStream) -> F + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(tcp));
        }
    });
    port
}

/// Shakes hands and answers each command with `reply`, if there is one.
async fn secured(acceptor: TlsAcceptor, io: impl AsyncRead + AsyncWrite + Unpin, reply: &[u8]) {
    let Ok(mut tls) = acceptor.accept(io).await else {
        return;
    };
    while let Ok(1..) = tls.read(&mut [0; 1024]).await {
        if reply.is_empty() || tls.write_all(reply).await.is_err() {
            return;
        }
    }
}

/// Waits until the other end has gone, so that nothing but silence is seen.
async fn silence(mut tcp: TcpStream) {
    while let Ok(1..) = tcp.read(&mut [0; 1024]).await {}
}

/// The first byte of what comes, left where it is.
async fn first_byte(tcp: &TcpStream) -> u8 {
    let mut first = [0];
    let _ = tcp.peek(&mut first).await;
    first[0]
}

fn options() -> Options {
    Options {
        timeout: Duration::from_secs(2),
        connect: None,
        roots: Roots::Insecure,
        ..Options::default()
    }
}

async fn probed(scheme: &str, port: u16, options: Options) -> Report {
    let target = Target::parse(&format!("{scheme}://db.example:{port}")).unwrap();
    let options = Options {
        connect: Some(Endpoint::parse(&format!("127.0.0.1:{port}")).unwrap()),
        ..options
    };
    probe(&target, &Setup::load(options).unwrap()).await
}

#[track_caller]
fn assert_code(report: &Report, code: &str) {
    assert_eq!(
        report.code, code,
        "{:#?} {:#?}",
        report.findings, report.looks
    );
}

#[tokio::test]
async fn a_tls_server_behind_a_postgres_url() {
    let acceptor = tls(None);
    let port = serving(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            if first_byte(&tcp).await == HANDSHAKE {
                secured(acceptor, tcp, b"").await;
            }
        }
    })
    .await;
    let report = probed("postgres", port, options()).await;
    assert_code(&report, "pg-expects-tls-first");
    assert!(
        !report.established && report.looks.len() == 1,
        "{report:#?}"
    );
    let detail = &report.findings[0].detail;
    assert!(detail.contains("without ALPN"), "{detail}");
}

#[tokio::test]
async fn a_postgres_before_17_asked_for_direct_tls() {
    let acceptor = tls(None);
    let port = serving(move |mut tcp| {
        let acceptor = acceptor.clone();
        async move {
            let mut request = [0; 8];
            let _ = tcp.read_exact(&mut request).await;
            if request == SSL_REQUEST && tcp.write_all(b"S").await.is_ok() {
                secured(acceptor, tcp, b"").await;
            }
        }
    })
    .await;
    let direct = Options {
        starttls: Starttls::Direct,
        ..options()
    };
    assert_code(
        &probed("postgres", port, direct).await,
        "pg-direct-unsupported",
    );
    assert_code(&probed("postgres", port, options()).await, "ok");
    assert_code(&probed("tls", port, options()).await, "is-postgres");
}

#[tokio::test]
async fn direct_tls_without_alpn() {
    for (alpn, code) in [
        (None, "pg-direct-no-alpn"),
        (Some(ALPN_POSTGRES), "ok"),
        (Some(&b"http/1.1"[..]), "alert-no-application-protocol"),
    ] {
        let acceptor = tls(alpn);
        let port = serving(move |tcp| secured(acceptor.clone(), tcp, b"")).await;
        let direct = Options {
            starttls: Starttls::Direct,
            ..options()
        };
        assert_code(&probed("postgres", port, direct).await, code);
    }
}

#[tokio::test]
async fn bytes_behind_the_s() {
    let port = serving(|mut tcp| async move {
        let _ = tcp.read_exact(&mut [0; 8]).await;
        let _ = tcp.write_all(b"SE\0\0\0\x08evil").await;
        silence(tcp).await;
    })
    .await;
    let report = probed("postgres", port, options()).await;
    assert_code(&report, "pg-early-bytes");
}

/// A middlebox that looks at the first segment only.
#[tokio::test]
async fn a_hello_of_two_packets_gets_no_answer() {
    let acceptor = tls(None);
    let port = serving(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            let mut header = [0; 5];
            let _ = tcp.peek(&mut header).await;
            if u16::from_be_bytes([header[3], header[4]]) > 1300 {
                silence(tcp).await;
            } else {
                secured(acceptor, tcp, b"+PONG\r\n").await;
            }
        }
    })
    .await;
    let report = probed("tls", port, options()).await;
    assert_code(&report, "tls-hello-too-big-for-path");
    let small = Options {
        only: Some(OnlyVersion::Tls12),
        ..options()
    };
    assert_code(&probed("redis", port, small).await, "redis-open");
}

/// A proxy that takes the first record for the whole hello.
#[tokio::test]
async fn a_hello_in_two_records_is_refused() {
    let acceptor = tls(None);
    let port = serving(move |mut tcp| {
        let acceptor = acceptor.clone();
        async move {
            let mut header = [0; 5];
            let _ = tcp.peek(&mut header).await;
            if u16::from_be_bytes([header[3], header[4]]) > 100 {
                secured(acceptor, tcp, b"").await;
            } else {
                let _ = tcp.write_all(&Alert::DecodeError.record()).await;
            }
        }
    })
    .await;
    let split = Options {
        split: Some(Split::Records(100)),
        ..options()
    };
    let report = probed("tls", port, split).await;
    assert_code(&report, "tls-split-hello-refused");
    assert_eq!(report.alert.as_deref(), Some("decode_error"));
    let hello = report.hello.unwrap();
    assert!(hello.records > 10, "{hello:?}");
}

#[tokio::test]
async fn plain_databases_asked_for_tls() {
    let redis = serving(|mut tcp| async move {
        // Commands end with a line; a hello may have none.
        let mut all = Vec::new();
        while let Ok(n @ 1..) = tcp.read_buf(&mut all).await {
            if all.ends_with(b"PING\r\n") && n > 0 {
                let _ = tcp.write_all(b"-NOAUTH Authentication required.\r\n").await;
            }
        }
    })
    .await;
    let report = probed("rediss", redis, options()).await;
    assert_code(&report, "redis-plain-port");
    assert!(report.looks[0].contains("-NOAUTH"), "{:?}", report.looks);
    assert_code(&probed("postgres", redis, options()).await, "is-redis");
    assert_code(&probed("mysql", redis, options()).await, "is-redis");
}

#[tokio::test]
async fn a_server_without_a_word() {
    let port = serving(silence).await;
    let quick = || Options {
        timeout: Duration::from_millis(200),
        ..options()
    };
    for (scheme, code) in [
        ("postgres", "pg-no-answer"),
        ("mysql", "mysql-no-greeting"),
        ("mongodb", "tls-no-answer"),
        ("tls", "tls-no-answer"),
    ] {
        let report = probed(scheme, port, quick()).await;
        assert_code(&report, code);
        assert!(!report.looks.is_empty(), "{report:#?}");
    }
}

#[tokio::test]
async fn redis_behind_tls() {
    for (reply, code) in [
        (&b"+PONG\r\n"[..], "redis-open"),
        (b"-NOAUTH Authentication required.\r\n", "ok"),
        (
            b"-DENIED Redis is running in protected mode\r\n",
            "redis-protected-mode",
        ),
        (b"-LOADING Redis is loading\x1b[2J\r\n", "redis-not-ready"),
        (b"\x1b[2J", "redis-unexpected-answer"),
        (b"", "protocol-closed"),
    ] {
        let acceptor = tls(None);
        let port = serving(move |tcp| secured(acceptor.clone(), tcp, reply)).await;
        let report = probed("rediss", port, options()).await;
        assert_code(&report, code);
        assert!(report.established, "{report:#?}");
        let texts = format!("{:?} {:?}", report.findings, report.told);
        assert!(!texts.contains('\u{1b}'), "{texts}");
    }
}

#[tokio::test]
async fn names_that_are_refused_and_names_that_do_not_matter() {
    let acceptor = tls(None);
    let refusing = serving(move |mut tcp| {
        let acceptor = acceptor.clone();
        async move {
            let mut hello = [0; 4096];
            let n = tcp.peek(&mut hello).await.unwrap_or_default();
            // The name stands in the hello as it is.
            if hello[..n].windows(10).any(|part| part == b"db.example") {
                let _ = tcp.write_all(&Alert::UnrecognizedName.record()).await;
            } else {
                secured(acceptor, tcp, b"").await;
            }
        }
    })
    .await;
    let report = probed("tls", refusing, options()).await;
    assert_code(&report, "alert-unrecognized-name");
    assert_eq!(
        report.looks,
        ["no server name: TLS 1.3, certificate for db.example"]
    );

    let acceptor = tls(None);
    let indifferent = serving(move |tcp| secured(acceptor.clone(), tcp, b"")).await;
    let compare = Options {
        compare_no_sni: true,
        ..options()
    };
    let report = probed("tls", indifferent, compare).await;
    assert_code(&report, "ok");
    let codes: Vec<_> = report.findings.iter().map(|f| f.rule.code).collect();
    assert!(codes.contains(&"sni-ignored"), "{codes:?}");
}

#[tokio::test]
async fn what_begins_like_tls_and_is_none() {
    for answer in [
        // A Certificate without a ServerHello, a record that is too long, a hello without a body.
        &b"\x16\x03\x03\x00\x04\x0b\x00\x00\x00"[..],
        b"\x16\x03\x03\xff\xff\x02\x00\x00",
        b"\x16\x03\x03\x00\x04\x02\x00\x00\x00",
    ] {
        let port = serving(move |mut tcp| async move {
            let _ = tcp.read_exact(&mut [0; 8]).await;
            let _ = tcp.write_all(b"S").await;
            let _ = tcp.read(&mut [0; 4096]).await;
            let _ = tcp.write_all(answer).await;
            silence(tcp).await;
        })
        .await;
        let report = probed("postgres", port, options()).await;
        assert_code(&report, "tls-incompatible");
        assert!(report.looks.is_empty(), "{:?}", report.looks);
    }
}

#[tokio::test]
async fn a_refused_offer_is_followed_by_one_of_everything() {
    // ServerHello and ServerHelloDone of TLS 1.2, a suite of RSA key exchange.
    let old = [
        &[0x16, 3, 3, 0, 46, 2, 0, 0, 38, 3, 3][..],
        &[1; 32],
        &[0, 0, 0x2f, 0, 14, 0, 0, 0],
    ];
    let (old, refused) = (old.concat(), Alert::HandshakeFailure.record().to_vec());
    for (wide, code, attempt) in [
        (old, "tls-old-ciphers-only", "TLS_RSA_WITH_AES_128_CBC_SHA"),
        (refused.clone(), "tls-no-suite-for-key", "sent alert 40"),
    ] {
        let usual = refused.clone();
        let port = serving(move |mut tcp| {
            let (wide, usual) = (wide.clone(), usual.clone());
            async move {
                let mut request = [0; SSL_REQUEST.len()];
                if tcp.read_exact(&mut request).await.is_err() || request != SSL_REQUEST {
                    return;
                }
                let _ = tcp.write_all(b"S").await;
                let mut input = Vec::new();
                let offer = loop {
                    if let Ok(Some((_, offer))) = offer::read(&input) {
                        break offer;
                    }
                    if !matches!(tcp.read_buf(&mut input).await, Ok(1..)) {
                        return;
                    }
                };
                let is_wide = offer.suites.contains(&0x002f);
                let _ = tcp.write_all(if is_wide { &wide } else { &usual }).await;
                silence(tcp).await;
            }
        })
        .await;
        let report = probed("postgres", port, options()).await;
        assert_code(&report, code);
        let told = report
            .looks
            .iter()
            .find(|told| told.starts_with("all versions"));
        assert!(
            told.is_some_and(|told| told.contains(attempt)),
            "{report:#?}"
        );
        assert!(!report.established && report.alert_by == Some("server"));
    }
}
