//! Ending the client's TLS at the gateway, before any backend is dialled: a client that stalls in
//! its handshake costs no backend a connection.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Session;
use super::admit::gave_way;
use super::choose::Choice;
use super::end::SessionEnd;
use super::identity;
use super::refuse;
use crate::admission::Slot;
use crate::net::{Buffered, Stream, linger};
use crate::preface::{
    AnyResponder, Channel, MessageKind, Requests, Responder, ResponderStep, TlsOpening, of,
};
use crate::protocol::Protocol;
use crate::route::Database;
use crate::stats::CloseReason;
use crate::tls::{TlsMode, error};
use crate::wire;

/// Room made for each read of a client's first message, in bytes: more than nearly all of them.
const MESSAGE_CHUNK: usize = 1024;

/// A client whose TLS ends here.
pub(super) struct Upgraded {
    pub(super) client: Stream,
    /// Plaintext that was read already and is for the backend.
    pub(super) first: Bytes,
    /// True if that plaintext begins with a login.
    pub(super) has_login: bool,
}

impl Session {
    /// Completes the client's handshake for its database, reads its first message where the
    /// protocol has one, and verifies that it may come in.
    ///
    /// # Errors
    /// The handshake or the wait for the first message failed, or a rule of the database keeps the
    /// client out. It is closed, after an alert where TLS itself failed.
    pub(super) async fn upgrade(
        &mut self,
        client: Buffered,
        opening: &TlsOpening,
        choice: &Choice,
        config: Arc<ServerConfig>,
        slot: &mut Slot,
        deadline: Instant,
    ) -> Result<Upgraded, SessionEnd> {
        let database = &choice.entry.database;
        let handshake = handshake(client, opening, database, config, deadline);
        let (stream, first, has_login) =
            Box::pin(slot.during(handshake)).await.map_err(gave_way)??;
        self.context.note_tls(&stream);
        let allowed = identity::check(&stream, &choice.entry, has_login.then_some(&first))
            .and_then(|()| self.count(choice));
        let client = Stream::server(stream);
        if let Err(refusal) = allowed {
            let channel = Channel::Inside(database.spec.protocol);
            let reply = refuse::instead_of_backend(client, channel, refusal, &self.context);
            return Err(Box::pin(reply).await);
        }
        Ok(Upgraded {
            client,
            first,
            has_login,
        })
    }
}

/// Completes the client's handshake and reads its first message; gives the plaintext that was read
/// and whether it begins with a login.
async fn handshake(
    client: Buffered,
    opening: &TlsOpening,
    database: &Database,
    config: Arc<ServerConfig>,
    deadline: Instant,
) -> Result<(Box<TlsStream<Buffered>>, Bytes, bool), SessionEnd> {
    let protocol = database.spec.protocol;
    let config = match agree_to_alpn(config, protocol, &opening.hello.alpn) {
        Ok(config) => config,
        Err(refusal) => {
            refuse::reply(client, &refusal.alert().record()).await;
            return Err(refusal);
        }
    };
    let mut stream = accept(client, config, deadline).await?;
    let mut first = BytesMut::new();
    let mut has_login = false;
    // In reencrypt the backend would refuse a request for encryption inside TLS, so the gateway
    // declines it. In terminate the backend answers: a client in a tunnel may want TLS with the
    // database itself. That TLS would hide which user the client logs in as.
    let tls = &database.spec.tls;
    let binds_user = tls
        .client()
        .is_some_and(|client| client.client_user.is_some());
    let requests = if *tls == TlsMode::Reencrypt || binds_user {
        Requests::Decline
    } else {
        Requests::Pass
    };
    if let Some(responder) = of(protocol).responder_inside_tls(requests) {
        let read = read_message(&mut stream, &mut first, responder);
        let refusal = match timeout_at(deadline, read).await {
            Ok(Ok(kind)) => {
                has_login = kind == MessageKind::Login;
                None
            }
            Ok(Err(refusal)) => Some(refusal),
            Err(_) => Some(SessionEnd::new(
                CloseReason::StartupTimeout,
                "TLS is up, but no login came",
            )),
        };
        if let Some(refusal) = refusal {
            linger::close(stream).await;
            return Err(refusal);
        }
    }
    Ok((Box::new(stream), first.freeze(), has_login))
}

/// Ends the TLS of a client and waits for its login, to which a refusal in words can be the answer.
///
/// `None` if the client did not get that far, or only wanted to cancel something.
pub(super) async fn for_words(
    client: Buffered,
    config: Arc<ServerConfig>,
    responder: AnyResponder,
    deadline: Instant,
) -> Option<TlsStream<Buffered>> {
    let mut stream = accept(client, config, deadline).await.ok()?;
    let mut first = BytesMut::new();
    let read = timeout_at(deadline, read_message(&mut stream, &mut first, responder)).await;
    matches!(read, Ok(Ok(MessageKind::Login))).then_some(stream)
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
fn failed(error: &io::Error) -> SessionEnd {
    let tls = error.get_ref().and_then(|e| e.downcast_ref());
    match (tls, tls.and_then(identity::refused)) {
        (_, Some(why)) => SessionEnd::new(CloseReason::ClientCertificate, why),
        (Some(error), None) => SessionEnd::new(CloseReason::ClientTls, error::tls_words(error)),
        (None, _) => SessionEnd::new(CloseReason::GoneInHandshake, error::words(error)),
    }
}

/// The configuration that answers what the client offers by ALPN.
///
/// For a database of an unknown application protocol the gateway agrees to the client's first
/// choice. Everywhere else a client that offers only other protocols was led
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
    if of(protocol).agrees_to_any_alpn() {
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

/// Reads a client's first message inside TLS into `input`, and replies on the way.
///
/// # Errors
/// The client sent no such message.
async fn read_message<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    input: &mut BytesMut,
    mut responder: AnyResponder,
) -> Result<MessageKind, SessionEnd> {
    let lost = |e: io::Error| gone(&error::words(&e));
    loop {
        let step = responder
            .advance(input)
            .map_err(|e| SessionEnd::new(CloseReason::BadPreface, format!("inside TLS: {e}")))?;
        match step {
            ResponderStep::NeedMore => {}
            ResponderStep::Reply { consumed, reply } => {
                input.advance(consumed);
                stream.write_all(&reply).await.map_err(lost)?;
                stream.flush().await.map_err(lost)?;
                continue;
            }
            ResponderStep::Message(message) => return Ok(message.kind),
            ResponderStep::StartTls => return Err(gone("TLS inside TLS")),
        }
        // The responder bounds what it waits for; this bounds what one read may add.
        input.reserve(MESSAGE_CHUNK);
        if stream.read_buf(input).await.map_err(lost)? == 0 {
            return Err(gone("the client hung up"));
        }
    }
}

fn gone(why: &str) -> SessionEnd {
    SessionEnd::new(
        CloseReason::GoneInHandshake,
        format!("after the TLS handshake: {why}"),
    )
}
