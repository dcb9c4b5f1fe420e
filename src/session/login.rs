//! The beginning of a login in which the gateway has a word: a client in a tunnel, without TLS of
//! its own, before a backend to which the gateway speaks TLS.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::end::SessionEnd;
use crate::net::Stream;
use crate::preface::postgres::{MAX_ANSWER, without_channel_binding};
use crate::stats::CloseReason;
use crate::tls::error;

/// Sends the client's StartupMessage and gives what the backend answers, without the login methods
/// that the client could not use and would take for an attack.
///
/// # Errors
/// The backend breaks off, or does not answer within `timeout`.
pub(super) async fn begin(
    backend: &mut Stream,
    startup: &[u8],
    timeout: Duration,
) -> Result<Bytes, SessionEnd> {
    let lost = |e: std::io::Error| SessionEnd::new(CloseReason::BackendBadReply, error::words(&e));
    let exchange = async {
        backend.write_all(startup).await.map_err(lost)?;
        backend.flush().await.map_err(lost)?;
        let mut answer = BytesMut::new();
        loop {
            let ended = backend.read_buf(&mut answer).await.map_err(lost)? == 0;
            if ended && answer.is_empty() {
                return Err(SessionEnd::new(
                    CloseReason::BackendClosedEarly,
                    "the backend closed instead of answering the StartupMessage",
                ));
            }
            match without_channel_binding(&answer) {
                Some(offer) => return Ok(offer.into()),
                // The client may make of it what it likes.
                None if ended || answer.len() > MAX_ANSWER => return Ok(answer.freeze()),
                None => {}
            }
        }
    };
    tokio::time::timeout(timeout, exchange)
        .await
        .unwrap_or_else(|_| {
            Err(SessionEnd::new(
                CloseReason::BackendSilent,
                "the backend did not answer the StartupMessage",
            ))
        })
}
