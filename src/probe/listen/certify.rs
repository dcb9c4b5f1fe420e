//! Presents a throwaway certificate to a client, and finds out whether the client verifies it.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::first_message::{self, FirstMessage};
use crate::cert;
use crate::net::{Buffered, linger};
use crate::probe::tap::Tap;
use crate::protocol::Protocol;
use crate::tls::error::tls_words;
use crate::tls::{Alert, ClientHello};

/// The name in the certificate for a client that asked for none.
const NAMELESS: &str = "localhost";

/// The most that is read of a client's first message inside TLS, in bytes.
const MAX_FIRST: usize = 16 * 1024;

/// Room made for each read, in bytes.
const CHUNK: usize = 2048;

/// Refusal for clients that accept any certificate.
const REFUSAL: &str = "your client took a certificate made up on the spot: it does not verify";

/// Outcome of a handshake with a throwaway certificate.
#[derive(Debug)]
pub(super) enum HandshakeOutcome {
    /// It went on inside TLS, with this if it is known.
    Accepted(Option<FirstMessage>),
    /// It ended the handshake, by this alert or without one.
    Refused(Option<Alert>),
    /// It completed the handshake and closed.
    LeftAfterwards,
    /// It completed the handshake and said nothing.
    Quiet,
    /// No version, group or suite in common.
    NothingInCommon(String),
    /// It broke the rules of TLS.
    Damaged(String),
    /// It did not finish the handshake.
    Unfinished,
}

/// Completes TLS with a certificate for the name asked for, and listens for the first message.
///
/// The connection is closed at the end, after a refusal as text if it got that far.
///
/// # Errors
/// No certificate could be made.
pub(super) async fn certify(
    client: Buffered<Tap<TcpStream>>,
    hello: &ClientHello,
    hint: Option<Protocol>,
    deadline: Instant,
) -> io::Result<(String, HandshakeOutcome)> {
    let name = hello.sni.name();
    let name = name.map_or(NAMELESS, |name| name.as_str()).to_owned();
    let config = server_config(&name, hello)?;
    let handshake = TlsAcceptor::from(config).accept(client).into_fallible();
    let outcome = match timeout_at(deadline, Box::pin(handshake)).await {
        Err(_) => HandshakeOutcome::Unfinished,
        Ok(Err((error, client))) => {
            linger::close(client).await;
            refused(&error)
        }
        Ok(Ok(mut stream)) => {
            let mut first = BytesMut::new();
            let outcome = match timeout_at(deadline, listen(&mut stream, &mut first, hint)).await {
                Ok(Ok(words)) => HandshakeOutcome::Accepted(words),
                Ok(Err(error)) if first.is_empty() => match refused(&error) {
                    HandshakeOutcome::Refused(None) => HandshakeOutcome::LeftAfterwards,
                    outcome => outcome,
                },
                Err(_) if first.is_empty() => HandshakeOutcome::Quiet,
                Ok(Err(_)) | Err(_) => HandshakeOutcome::Accepted(None),
            };
            let refusal = first_message::refusal(&first, hint, REFUSAL);
            // A client that is gone already has no use for it.
            if stream.write_all(&refusal).await.is_ok() && stream.flush().await.is_ok() {
                linger::close(stream).await;
            }
            outcome
        }
    };
    Ok((name, outcome))
}

/// Reads until the first message is recognised, or there is too much of it.
async fn listen(
    stream: &mut TlsStream<Buffered<Tap<TcpStream>>>,
    first: &mut BytesMut,
    hint: Option<Protocol>,
) -> io::Result<Option<FirstMessage>> {
    while first.len() < MAX_FIRST {
        first.reserve(CHUNK);
        if stream.read_buf(first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(words) = first_message::read(first, hint) {
            return Ok(Some(words));
        }
    }
    Ok(None)
}

fn server_config(name: &str, hello: &ClientHello) -> io::Result<Arc<ServerConfig>> {
    let (cert, key) = cert::throwaway(name, SystemTime::now()).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .map_err(io::Error::other)?;
    // What the client likes best: some insist on one.
    config.alpn_protocols = hello.alpn.first().cloned().into_iter().collect();
    Ok(Arc::new(config))
}

/// Classifies an error of the handshake.
fn refused(error: &io::Error) -> HandshakeOutcome {
    let tls = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    match tls {
        None => HandshakeOutcome::Refused(None),
        Some(rustls::Error::AlertReceived(alert)) => {
            HandshakeOutcome::Refused(Alert::from_code(u8::from(*alert)))
        }
        Some(error @ rustls::Error::PeerIncompatible(_)) => {
            HandshakeOutcome::NothingInCommon(tls_words(error))
        }
        Some(error) => HandshakeOutcome::Damaged(tls_words(error)),
    }
}
