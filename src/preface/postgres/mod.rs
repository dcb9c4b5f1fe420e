//! The Postgres preface: `SSLRequest`, `GSSENCRequest`, direct TLS, and what comes in their place.
//!
//! [`Responder`] faces a client, in the clear or inside TLS; [`Initiator`] faces a backend. It ends
//! where the session begins: a `StartupMessage` is passed on byte for byte, whatever minor version
//! and `_pq_.` options it has. Not here: any authentication, except that [`AuthWatch`] recognises
//! one way in which it fails, and that [`without_channel_binding`] keeps clients in a tunnel from
//! it.
//! Source: Postgres documentation, "Frontend/Backend Protocol": "Message Flow" (SSL Session
//! Encryption, GSSAPI Session Encryption, Canceling Requests in Progress), "Message Formats",
//! "Error and Notice Message Fields".

mod auth_watch;
mod initiator;
mod message;
mod message_ends;
mod refuse;
mod responder;
mod sasl;

use bytes::Bytes;

pub use auth_watch::AuthWatch;
pub use initiator::Initiator;
pub use message::{ErrorResponse, ServerError, Startup, StartupError};
pub use message_ends::MessageEnds;
pub use responder::{MAX_STARTUP, PrefaceError, Responder};
pub use sasl::{MAX_ANSWER, without_channel_binding};

use super::{
    AnyInitiator, AnyMessageEnds, AnyResponder, FlightKind, LoginWatch, Message, MessageKind,
    Preface, Refusal, Requests, Responder as _, ResponderStep, TlsOpening, User,
};
use crate::protocol::Protocol;
use crate::tls::TlsMode;
use crate::wire::Reader;

/// The whole `SSLRequest`: its length, 8, and the code 80877103.
pub const SSL_REQUEST: [u8; 8] = [0x00, 0x00, 0x00, 0x08, 0x04, 0xd2, 0x16, 0x2f];

/// The longest user name that the server does not cut (`NAMEDATALEN` less one), in bytes.
const MAX_USER: usize = 63;

/// PostgreSQL and its relatives.
#[derive(Clone, Copy, Debug)]
pub struct Postgres;

impl Preface for Postgres {
    fn tls_first(&self) -> bool {
        false
    }

    fn responder_inside_tls(&self, requests: Requests) -> Option<AnyResponder> {
        Some(AnyResponder::Postgres(Responder::inside_tls_with(requests)))
    }

    fn user<'a>(&self, login: &'a [u8]) -> Option<User<'a>> {
        let length = u32::from_be_bytes(*login.first_chunk()?);
        let message = login.get(..usize::try_from(length).ok()?)?;
        let name = Startup::parse(message).ok()?.user?;
        let whole = name.len() <= MAX_USER;
        Some(User { name, whole })
    }

    fn without_tls(&self, kind: MessageKind) -> &'static str {
        match kind {
            MessageKind::Login | MessageKind::Request => {
                "a StartupMessage without TLS (sslmode=disable, or prefer and allow after TLS failed)"
            }
            MessageKind::Cancel => {
                "a CancelRequest without TLS carries no name, so it reaches no database"
            }
        }
    }

    fn initiator(&self, mode: TlsMode, client: Option<&TlsOpening>) -> AnyInitiator {
        match mode {
            TlsMode::Terminate => AnyInitiator::None,
            TlsMode::Reencrypt => AnyInitiator::Postgres(Initiator::SslRequest),
            // A hello that offers `postgresql` was made for direct TLS and goes on as it came; a
            // tunnel's was not, and any Postgres takes it behind an SSLRequest.
            TlsMode::Passthrough => {
                match client.map(|client| (client.requested_by, client.speaks())) {
                    Some((None, Some(Protocol::Postgres))) => AnyInitiator::TlsFirst,
                    _ => AnyInitiator::Postgres(Initiator::SslRequest),
                }
            }
        }
    }

    /// The login of a client in a tunnel, without TLS of its own: the backend sees TLS and offers
    /// login methods that the client could not use and would take for an attack.
    fn login(&self, mode: TlsMode, client: &TlsOpening, login: &Bytes) -> Option<AnyInitiator> {
        let in_tunnel = client.speaks() != Some(Protocol::Postgres);
        (in_tunnel && mode == TlsMode::Reencrypt)
            .then(|| AnyInitiator::Postgres(Initiator::Startup(login.clone())))
    }

    fn login_watch(&self) -> Option<LoginWatch> {
        Some(LoginWatch::Postgres(AuthWatch::default()))
    }

    fn message_ends(&self) -> Option<AnyMessageEnds> {
        Some(AnyMessageEnds::Postgres(MessageEnds::default()))
    }

    /// A `StartupMessage` or a request for encryption is a greeting: the server acts on nothing
    /// before it has answered. A `CancelRequest` needs no answer.
    fn classify(&self, bytes: &[u8], complete: bool) -> FlightKind {
        if !complete {
            return FlightKind::Request;
        }
        match Responder::inside_tls().advance(bytes) {
            Ok(ResponderStep::NeedMore | ResponderStep::Reply { .. }) => FlightKind::Greeting,
            Ok(ResponderStep::Message(Message {
                kind: MessageKind::Login,
                len,
                ..
            })) => FlightKind::greeting_if(len == bytes.len()),
            Ok(ResponderStep::Message(_) | ResponderStep::StartTls) | Err(_) => FlightKind::Unknown,
        }
    }

    fn awaits_answer(&self) -> bool {
        true
    }

    fn refuse(&self, refusal: &Refusal<'_>) -> Vec<u8> {
        refuse::error_response(refusal)
    }
}

/// A backend's answer to an `SSLRequest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `S`: it waits for the TLS handshake.
    Tls,
    /// `N`: it has no TLS.
    Refused,
    /// `E`: an `ErrorResponse` begins.
    Error,
}

impl Reply {
    /// Reads the one byte; `None` for anything that is no answer to an `SSLRequest`.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'S' => Some(Self::Tls),
            b'N' => Some(Self::Refused),
            b'E' => Some(Self::Error),
            _ => None,
        }
    }
}

/// A reason why TLS cannot start with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SslReplyError {
    /// The backend answered `N`.
    #[error("the backend refused TLS")]
    RefusedTls,
    /// The backend answered `E`: it is too old for TLS or cannot serve at all.
    #[error("the backend answered the SSLRequest with an error")]
    ErrorResponse,
    /// The backend speaks something else.
    #[error("the backend answered the SSLRequest with the byte 0x{0:02x}, which is not Postgres")]
    Unexpected(u8),
}

/// Verifies the one byte that a backend answers to [`SSL_REQUEST`].
///
/// Read exactly one byte for it: what comes with it was never encrypted (CVE-2021-23222).
///
/// # Errors
/// [`SslReplyError`] for everything but `S`; there is no fallback to plaintext.
pub fn read_ssl_reply(byte: u8) -> Result<(), SslReplyError> {
    match Reply::from_byte(byte) {
        Some(Reply::Tls) => Ok(()),
        Some(Reply::Refused) => Err(SslReplyError::RefusedTls),
        Some(Reply::Error) => Err(SslReplyError::ErrorResponse),
        None => Err(SslReplyError::Unexpected(byte)),
    }
}

/// The longest message of an error that is passed on, in bytes.
const MAX_SAID: usize = 200;

/// The text of an error that a server answered to an `SSLRequest`, from its `E` on; `None` while it
/// is not all there. Not safe to print, and not authenticated: it came without TLS.
///
/// A server that cannot start a process answers as in protocol 2: the text and a NUL, without a
/// length (`report_fork_failure_to_client`).
#[must_use]
pub fn error_before_tls(input: &[u8]) -> Option<String> {
    let message = if let Some(error) = ServerError::parse(input) {
        error.message
    } else {
        let text = input.strip_prefix(b"E")?;
        // A length of less than 16 MiB begins with a NUL, no text does.
        let text = text.first().filter(|byte| **byte != 0).map(|_| text)?;
        Reader::new(text).until_nul().ok()?
    };
    let message = message.trim_ascii();
    let kept = message.get(..MAX_SAID).unwrap_or(message);
    (!kept.is_empty()).then(|| String::from_utf8_lossy(kept).into_owned())
}

#[cfg(test)]
mod tests;
