//! Ending the client's TLS at the gateway, before any backend is dialled: a client that stalls in
//! its handshake costs no backend a connection.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::answer;
use super::end::SessionEnd;
use super::identity;
use crate::handshake::TlsOpening;
use crate::net::{Buffered, linger};
use crate::preface::postgres::{Responder, Step};
use crate::route::{Database, Protocol};
use crate::stats::CloseReason;
use crate::tls::{TlsMode, error};
use crate::wire;

/// Room made for each read of a StartupMessage, in bytes: more than nearly all of them.
const STARTUP_CHUNK: usize = 1024;

/// A client whose TLS ends here.
pub(super) struct Upgraded {
    pub(super) stream: Box<TlsStream<Buffered>>,
    /// Plaintext that was read already and is for the backend.
    pub(super) first: Bytes,
    /// That plaintext is a Postgres StartupMessage.
    pub(super) startup: bool,
}

/// Completes the client's handshake for its database and, for Postgres, reads its first message.
///
/// On failure the client is closed, after an alert where TLS itself failed.
///
/// # Errors
/// Why the handshake, or the wait for the first message, failed.
pub(super) async fn upgrade(
    client: Buffered,
    opening: &TlsOpening,
    database: &Database,
    config: Arc<ServerConfig>,
    deadline: Instant,
) -> Result<Upgraded, SessionEnd> {
    let protocol = database.spec.protocol;
    let config = match agree_to_alpn(config, protocol, &opening.hello.alpn) {
        Ok(config) => config,
        Err(refusal) => {
            answer::say(client, &refusal.alert().record()).await;
            return Err(refusal);
        }
    };
    let mut stream = accept(client, config, deadline).await?;
    let mut first = BytesMut::new();
    let mut startup = false;
    if protocol == Protocol::Postgres {
        // In reencrypt the backend would refuse a request for encryption inside TLS, so it is
        // answered here. In terminate it is the backend's own to answer: a client in a tunnel may
        // want TLS with the database itself. That TLS would hide who the client says it is.
        let answer =
            database.spec.tls == TlsMode::Reencrypt || database.spec.rare.client_user.is_some();
        let read = timeout_at(deadline, read_startup(&mut stream, &mut first, answer)).await;
        let refusal = match read {
            Ok(Ok(message)) => {
                startup = message == First::Startup;
                None
            }
            Ok(Err(refusal)) => Some(refusal),
            Err(_) => Some(SessionEnd::new(
                CloseReason::StartupTimeout,
                "TLS is up, but no StartupMessage came",
            )),
        };
        if let Some(refusal) = refusal {
            linger::close(stream).await;
            return Err(refusal);
        }
    }
    Ok(Upgraded {
        stream: Box::new(stream),
        first: first.freeze(),
        startup,
    })
}

/// A refusal in words for a Postgres client: ends its TLS, waits for its StartupMessage.
///
/// `None` if the client did not get that far, or only wanted to cancel something.
pub(super) async fn for_words(
    client: Buffered,
    config: Arc<ServerConfig>,
    deadline: Instant,
) -> Option<TlsStream<Buffered>> {
    let mut stream = accept(client, config, deadline).await.ok()?;
    let mut first = BytesMut::new();
    let read = timeout_at(deadline, read_startup(&mut stream, &mut first, true)).await;
    matches!(read, Ok(Ok(First::Startup))).then_some(stream)
}

async fn accept(
    client: Buffered,
    config: Arc<ServerConfig>,
    deadline: Instant,
) -> Result<TlsStream<Buffered>, SessionEnd> {
    let handshake = TlsAcceptor::from(config).accept(client).into_fallible();
    match timeout_at(deadline, Box::pin(handshake)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err((error, client))) => {
            // The alert, if there is one to send, is written already.
            linger::close(client).await;
            Err(failed(&error))
        }
        Err(_) => Err(SessionEnd::new(
            CloseReason::TlsTimeout,
            "the client did not finish the TLS handshake",
        )),
    }
}

/// The end of a handshake that failed: over the client's certificate, or over anything else.
fn failed(error: &std::io::Error) -> SessionEnd {
    let tls = error.get_ref().and_then(|e| e.downcast_ref());
    match (tls, tls.and_then(identity::refused)) {
        (_, Some(why)) => SessionEnd::new(CloseReason::ClientCertificate, why),
        (Some(error), None) => SessionEnd::new(CloseReason::ClientTls, error::tls_words(error)),
        (None, _) => SessionEnd::new(CloseReason::GoneInHandshake, error::words(error)),
    }
}

/// The configuration that answers what the client offers by ALPN.
///
/// For databases that are only known to speak TLS the gateway cannot know the application
/// protocol, and some clients insist on one (h2 for etcd, tds/8.0 for SQL Server): it agrees to
/// what the client likes best. Everywhere else a client that offers only other protocols was led
/// astray, perhaps on purpose (the ALPACA attack), and is refused (RFC 7301 section 3.2).
///
/// # Errors
/// The client offers protocols, and none is the database's.
fn agree_to_alpn(
    config: Arc<ServerConfig>,
    protocol: Protocol,
    offered: &[Vec<u8>],
) -> Result<Arc<ServerConfig>, SessionEnd> {
    let Some(favourite) = offered.first() else {
        return Ok(config);
    };
    if protocol == Protocol::Tls {
        let mut config = ServerConfig::clone(&config);
        config.alpn_protocols = vec![favourite.clone()];
        return Ok(Arc::new(config));
    }
    let known = protocol.alpn();
    if offered.iter().any(|theirs| known.contains(&&**theirs)) {
        return Ok(config);
    }
    let first = wire::escape(favourite);
    Err(SessionEnd::new(
        CloseReason::NoApplicationProtocol,
        format!(
            "the client offers by ALPN what no {protocol} client does (\"{first}\" first): it means another service"
        ),
    ))
}

/// Reads a Postgres client's first message inside TLS into `input`, answering its requests for
/// encryption with `N` if `answer_requests`.
///
/// # Errors
/// The reason why there is no such message.
async fn read_startup<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    input: &mut BytesMut,
    answer_requests: bool,
) -> Result<First, SessionEnd> {
    let mut responder = Responder::inside_tls();
    loop {
        let step = responder
            .advance(input)
            .map_err(|e| SessionEnd::new(CloseReason::BadPreface, format!("inside TLS: {e}")))?;
        match step {
            Step::NeedMore => {}
            Step::Reply { .. } if !answer_requests => return Ok(First::Request),
            Step::Reply { reply, .. } => {
                // A request is all of the input, or it is an error.
                input.clear();
                stream
                    .write_all(&[reply])
                    .await
                    .map_err(|e| gone(&error::words(&e)))?;
                stream.flush().await.map_err(|e| gone(&error::words(&e)))?;
            }
            Step::Cancel(_) => return Ok(First::Cancel),
            Step::Startup(_) => return Ok(First::Startup),
            Step::StartTls => return Err(gone("TLS inside TLS")),
        }
        // The responder bounds what it waits for; this bounds what one read may add.
        input.reserve(STARTUP_CHUNK);
        match stream.read_buf(input).await {
            Ok(0) => return Err(gone("the client hung up")),
            Ok(_) => {}
            Err(e) => return Err(gone(&error::words(&e))),
        }
    }
}

/// A Postgres client's first message inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// A StartupMessage.
    Startup,
    /// A CancelRequest.
    Cancel,
    /// A request for encryption inside TLS, left unanswered.
    Request,
}

fn gone(why: &str) -> SessionEnd {
    SessionEnd::new(
        CloseReason::GoneInHandshake,
        format!("after the TLS handshake: {why}"),
    )
}
