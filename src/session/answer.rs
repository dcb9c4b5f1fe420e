//! Turning a client away so that its user gets to read why.
//!
//! - Before TLS, a Postgres client reads an ErrorResponse to its StartupMessage.
//! - A TLS client reads an alert; libpq and others print its name.
//! - A Postgres client whose TLS the gateway can end reads an ErrorResponse inside it.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::context::SessionContext;
use super::end::SessionEnd;
use super::upgrade::for_words;
use crate::gateway::Gateway;
use crate::handshake::{OpeningStage, TlsOpening};
use crate::net::{Buffered, Stream, linger};
use crate::preface::postgres::{Responder, Step};
use crate::route::{Database, Protocol};
use crate::stats::CloseReason;
use crate::tls::Sni;

/// Answers a client that has not begun TLS, as far as its protocol has words.
pub(super) async fn before_tls(mut client: Buffered, refusal: SessionEnd) -> SessionEnd {
    client.lift_allowance();
    match refusal.reason {
        CloseReason::Plaintext => say(client, &refusal.error_response(None)).await,
        CloseReason::BadHello => say(client, &refusal.alert().record()).await,
        _ => linger::close(client).await,
    }
    refusal
}

/// How long a client gets to say its first words when they only serve to tell it that it came in
/// vain.
const FIRST_WORDS: Duration = Duration::from_millis(500);

/// Answers a client whose first words were not read to their end, by what it has said so far; one
/// whose SSLRequest was granted (`stage`) waits for TLS.
///
/// With `patient` it is waited for words that have not come yet, and for the client to read the
/// answer.
pub(super) async fn to_first_words(
    mut client: Buffered,
    stage: Option<OpeningStage>,
    refusal: SessionEnd,
    patient: bool,
) -> SessionEnd {
    let granted = stage == Some(OpeningStage::SslRequested);
    if client.ahead().is_empty() && !granted {
        let wait = if patient { FIRST_WORDS } else { Duration::ZERO };
        let _ = timeout(wait, client.fill()).await;
    }
    let words = match Responder::default().advance(client.ahead()) {
        _ if granted => refusal.alert().record().to_vec(),
        Ok(Step::StartTls) => refusal.alert().record().to_vec(),
        Ok(Step::Reply { .. } | Step::Startup(_)) => refusal.error_response(None),
        Ok(Step::NeedMore | Step::Cancel(_)) | Err(_) => Vec::new(),
    };
    if patient {
        say(client, &words).await;
    } else {
        let _ = timeout(Duration::ZERO, client.send(&words)).await;
    }
    refusal
}

/// Answers a client that waits for the answer to its hello.
pub(super) async fn to_hello(
    mut client: Buffered,
    opening: &TlsOpening,
    refusal: SessionEnd,
    context: &SessionContext,
    gateway: &Gateway,
    deadline: Instant,
) -> SessionEnd {
    let name = opening.hello.sni.name();
    let tls = match &context.database {
        // rustls takes no hello with such a name, and would say so by an alert of its own.
        _ if matches!(opening.hello.sni, Sni::Invalid(_)) => None,
        Some(database) => database.server_tls.clone(),
        // Only a certificate that the client would accept lets it see the text; one that it
        // would not accept hides the true reason behind a certificate error.
        None => gateway
            .store
            .snapshot()
            .gateway_tls
            .clone()
            .filter(|tls| name.is_none_or(|name| tls.covers(name))),
    };
    match tls {
        Some(tls) if opening.speaks_postgres() => {
            let words = for_words(client, tls.config.clone(), deadline);
            if let Some(stream) = Box::pin(words).await {
                say(stream, &refusal.error_response(context.name())).await;
            }
        }
        _ => {
            client.lift_allowance();
            say(client, &refusal.alert().record()).await;
        }
    }
    refusal
}

/// Answers a client for which no backend is ready.
pub(super) async fn instead_of_backend(
    client: Stream,
    database: &Database,
    refusal: SessionEnd,
    context: &SessionContext,
) -> SessionEnd {
    match (&client, database.spec.protocol) {
        (Stream::Tcp(_), _) => say(client, &refusal.alert().record()).await,
        (_, Protocol::Postgres) => say(client, &refusal.error_response(context.name())).await,
        (_, protocol) => say(client, refusal.plain_words(protocol)).await,
    }
    refusal
}

/// Writes the last words and closes so that they arrive.
pub(super) async fn say<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, words: &[u8]) {
    if stream.write_all(words).await.is_ok() {
        linger::close(stream).await;
    }
}
