//! Refusing a client so that its user gets to read why: by an alert, or in words of its protocol,
//! inside TLS where the gateway can end it.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::context::SessionContext;
use super::end::SessionEnd;
use super::upgrade::for_words;
use crate::gateway::Gateway;
use crate::net::relay::Relay;
use crate::net::{Buffered, Stream, linger};
use crate::preface::{AnyResponder, Channel, Requests, Responder, TlsOpening, of};
use crate::sessions::LiveSession;
use crate::stats::CloseReason;
use crate::tls::Sni;

/// Refuses a client that has not begun TLS, as far as its protocol has words.
pub(super) async fn before_tls(
    mut client: Buffered,
    responder: &AnyResponder,
    end: SessionEnd,
) -> SessionEnd {
    client.lift_allowance();
    match end.reason {
        CloseReason::Plaintext => {
            let bytes = responder.refuse(client.ahead(), &end.refusal(None));
            reply(client, &bytes).await;
        }
        CloseReason::BadHello => reply(client, &end.alert().record()).await,
        _ => linger::close(client).await,
    }
    end
}

/// Time for a client's first bytes when they only serve to refuse it.
const FIRST_BYTES: Duration = Duration::from_millis(500);

/// Refuses a client whose first bytes were not read to their end, by what it has sent so far.
///
/// With `wait` it gets time to send bytes that have not come yet, and to read the reply.
pub(super) async fn to_first_bytes(
    mut client: Buffered,
    responder: &AnyResponder,
    end: SessionEnd,
    wait: bool,
) -> SessionEnd {
    if client.ahead().is_empty() && !responder.has_replied() {
        let limit = if wait { FIRST_BYTES } else { Duration::ZERO };
        let _ = timeout(limit, client.fill()).await;
    }
    let bytes = responder.refuse(client.ahead(), &end.refusal(None));
    if wait {
        reply(client, &bytes).await;
    } else {
        let _ = timeout(Duration::ZERO, client.send(&bytes)).await;
    }
    end
}

/// Refuses a client that waits for the answer to its hello.
pub(super) async fn to_hello(
    mut client: Buffered,
    opening: &TlsOpening,
    end: SessionEnd,
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
    let preface = opening.speaks().map(of);
    let inside = preface.and_then(|preface| preface.responder_inside_tls(Requests::Decline));
    if let (Some(tls), Some(preface), Some(responder)) = (tls, preface, inside) {
        let stream = for_words(client, tls.config.clone(), responder, deadline);
        if let Some(stream) = Box::pin(stream).await {
            reply(stream, &preface.refuse(&end.refusal(context.name()))).await;
        }
    } else {
        client.lift_allowance();
        reply(client, &end.alert().record()).await;
    }
    end
}

/// Refuses a client for which no backend is ready.
pub(super) async fn instead_of_backend(
    client: Stream,
    channel: Channel,
    end: SessionEnd,
    context: &SessionContext,
) -> SessionEnd {
    match channel {
        Channel::Port(_) => linger::close(client).await,
        Channel::Hello(_) => reply(client, &end.alert().record()).await,
        Channel::Inside(protocol) => {
            let bytes = of(protocol).refuse(&end.refusal(context.name()));
            reply(client, &bytes).await;
        }
    }
    end
}

/// Ends a passthrough session whose TLS handshake does not go on; a client that has seen nothing
/// of the backend yet can still be refused.
pub(super) async fn stalled_handshake(relay: Relay, entry: &LiveSession) -> SessionEnd {
    if entry.moved().1 > 0 {
        return SessionEnd::new(
            CloseReason::TlsTimeout,
            "the backend answered the ClientHello, the client did not go on",
        );
    }
    let end = SessionEnd::new(
        CloseReason::BackendSilent,
        "the backend did not answer the ClientHello",
    );
    reply(relay.into_client(), &end.alert().record()).await;
    end
}

/// Writes the last bytes and closes so that they arrive.
pub(super) async fn reply<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, bytes: &[u8]) {
    if stream.write_all(bytes).await.is_ok() {
        linger::close(stream).await;
    }
}
