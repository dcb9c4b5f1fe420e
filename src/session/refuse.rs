//! Telling a client why it is turned away, in words that its user gets to read.
//!
//! - Before TLS, a Postgres client reads an ErrorResponse to its StartupMessage.
//! - A TLS client reads an alert; libpq and others print its name.
//! - A Postgres client whose TLS the gateway can end reads an ErrorResponse inside it.
//!
//! All texts are fixed but for names that were checked; the SQLSTATEs are chosen for what drivers
//! do with them: 57P03 makes libpq try the next host, 28000 makes pgjdbc retry with or without
//! TLS, so it stands only where that helps.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::net::linger;
use crate::preface::postgres::{ErrorResponse, MAX_STARTUP, Responder, Step};
use crate::route::Protocol;
use crate::stats::CloseReason;
use crate::tls::Alert;

/// Why a client is turned away.
#[derive(Debug)]
pub struct Refusal {
    /// For logs and counters.
    pub reason: CloseReason,
    /// A sentence for the operator.
    pub detail: String,
    /// The alert where the reason alone does not decide it.
    alert: Option<Alert>,
}

impl Refusal {
    /// A refusal with a sentence for the operator.
    pub fn new(reason: CloseReason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            alert: None,
        }
    }

    /// The same, with the alert that a damaged hello calls for.
    #[must_use]
    pub fn with_alert(self, alert: Alert) -> Self {
        Self {
            alert: Some(alert),
            ..self
        }
    }

    /// The alert that says it best to a client that has sent its hello.
    #[must_use]
    pub fn alert(&self) -> Alert {
        if let Some(alert) = self.alert {
            return alert;
        }
        match self.reason {
            CloseReason::NoSni
            | CloseReason::IpSni
            | CloseReason::InvalidSni
            | CloseReason::UnknownHost => Alert::UnrecognizedName,
            CloseReason::NotAllowed => Alert::AccessDenied,
            CloseReason::WrongProtocol => Alert::NoApplicationProtocol,
            _ => Alert::InternalError,
        }
    }

    /// What a Postgres client is told; `name` is the name it asked for.
    #[must_use]
    pub fn error_response(&self, name: Option<&str>) -> Vec<u8> {
        let name = name.unwrap_or("this name");
        let (code, message, hint) = match self.reason {
            CloseReason::Plaintext => (
                "28000",
                "dbgate: this endpoint requires TLS; use sslmode=require or higher".to_owned(),
                Some("Without TLS the client names no server, and the gateway cannot tell which database it wants."),
            ),
            CloseReason::NoSni => (
                "08004",
                "dbgate: the client sent no server name (SNI), so no database can be chosen".to_owned(),
                Some("Connect by host name, not by IP address. libpq sends the name since version 14, unless sslsni=0."),
            ),
            CloseReason::IpSni | CloseReason::InvalidSni => (
                "08004",
                "dbgate: the client sent a server name (SNI) that is no DNS name, so no database can be chosen".to_owned(),
                Some("Connect by the host name under which the database is published."),
            ),
            CloseReason::UnknownHost => (
                "08004",
                format!("dbgate: no database is published under \"{name}\""),
                Some("Check the host name for typing errors, or ask whoever runs the gateway to expose it."),
            ),
            CloseReason::WrongProtocol => (
                "08004",
                format!("dbgate: the database published under \"{name}\" does not speak Postgres"),
                None,
            ),
            CloseReason::NotAllowed => (
                "28000",
                format!("dbgate: your address may not connect to \"{name}\""),
                None,
            ),
            CloseReason::DatabaseFull => (
                "53300",
                format!("dbgate: too many connections to \"{name}\""),
                None,
            ),
            CloseReason::GatewayFull => ("53300", "dbgate: too many connections".to_owned(), None),
            _ => (
                "57P03",
                format!("dbgate: the database behind \"{name}\" cannot be reached now"),
                None,
            ),
        };
        ErrorResponse {
            severity: "FATAL",
            code,
            message: &message,
            detail: None,
            hint,
        }
        .encode()
    }

    /// What a client of a protocol other than Postgres is told once its TLS is up; some have no
    /// words for it and are only hung up on.
    #[must_use]
    pub fn plain_words(&self, protocol: Protocol) -> &'static [u8] {
        match protocol {
            // As Redis itself does with a client too many: an error before any command.
            Protocol::Redis => b"-ERR dbgate: the database cannot be reached now\r\n",
            _ => b"",
        }
    }
}

/// Writes the last words and closes so that they arrive.
pub(super) async fn say<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, words: &[u8]) {
    if !words.is_empty() && stream.write_all(words).await.is_err() {
        return;
    }
    linger::close(stream).await;
}

/// Reads a Postgres client's first message inside TLS, answering its requests for encryption
/// with `N`, and returns the whole message.
///
/// An error text may be sent only to a client that has sent its StartupMessage.
///
/// # Errors
/// The reason why there is no such message.
pub(super) async fn read_startup<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    input: &mut bytes::BytesMut,
    answer_requests: bool,
) -> Result<First, Refusal> {
    let mut responder = Responder::inside_tls();
    loop {
        let step = responder
            .advance(input)
            .map_err(|e| Refusal::new(CloseReason::BadPreface, format!("inside TLS: {e}")))?;
        match step {
            Step::NeedMore => {}
            Step::Reply { .. } if !answer_requests => return Ok(First::Request),
            Step::Reply { consumed, reply } => {
                input.clear();
                debug_assert!(consumed > 0, "a request has a length");
                stream
                    .write_all(&[reply])
                    .await
                    .map_err(|e| gone(&e.to_string()))?;
                stream.flush().await.map_err(|e| gone(&e.to_string()))?;
            }
            Step::Cancel(_) => return Ok(First::Cancel),
            Step::Startup(_) => return Ok(First::Startup),
            Step::StartTls => return Err(gone("TLS inside TLS")),
        }
        // The responder bounds what it waits for; this bounds what one read may add.
        input.reserve(1024.min(MAX_STARTUP));
        match stream.read_buf(input).await {
            Ok(0) => return Err(gone("the client hung up")),
            Ok(_) => {}
            Err(e) => return Err(gone(&e.to_string())),
        }
    }
}

/// A Postgres client's first message inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// A StartupMessage.
    Startup,
    /// A CancelRequest.
    Cancel,
    /// A request for encryption inside TLS, left unanswered.
    Request,
}

fn gone(why: &str) -> Refusal {
    Refusal::new(
        CloseReason::GoneInHandshake,
        format!("after the TLS handshake: {why}"),
    )
}
