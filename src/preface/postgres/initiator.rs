//! The half that faces a Postgres backend: the request for TLS, and inside TLS a login that the
//! gateway begins for a client in a tunnel.

use bytes::Bytes;

use super::sasl::{MAX_ANSWER, without_channel_binding};
use super::{SSL_REQUEST, SslReplyError, error_before_tls, read_ssl_reply};
use crate::preface::{InitiatorError, InitiatorErrorKind, InitiatorStep};

/// The most that is read of an error that answers the `SSLRequest`, in bytes.
const MAX_ERROR: usize = 2048;

/// Faces one backend until TLS starts, or until it has answered a login.
#[derive(Clone, Debug)]
pub enum Initiator {
    /// The `SSLRequest` is to be sent.
    SslRequest,
    /// The one byte that answers it is to come.
    SslReply,
    /// This `StartupMessage` is to be sent.
    Startup(Bytes),
    /// Its answer is to come.
    StartupReply,
}

impl crate::preface::Initiator for Initiator {
    fn advance(&mut self, input: &[u8]) -> Result<InitiatorStep, InitiatorError> {
        let (next, bytes) = match self {
            Self::SslRequest => (Self::SslReply, Bytes::from_static(&SSL_REQUEST)),
            Self::Startup(message) => (Self::StartupReply, std::mem::take(message)),
            Self::SslReply => return ssl_reply(input),
            Self::StartupReply => {
                return Ok(match without_channel_binding(input) {
                    Some(offer) => InitiatorStep::Ready(offer.into()),
                    // The client may make of it what it likes.
                    None if input.len() > MAX_ANSWER => ready(input),
                    None => InitiatorStep::NeedMore,
                });
            }
        };
        *self = next;
        Ok(InitiatorStep::Send { consumed: 0, bytes })
    }

    fn end(&mut self, input: &[u8]) -> Result<InitiatorStep, InitiatorError> {
        match (self, input) {
            (Self::StartupReply | Self::Startup(_), []) => Err(error(
                InitiatorErrorKind::Closed,
                "the backend closed instead of answering the StartupMessage",
            )),
            (Self::StartupReply | Self::Startup(_), _) => Ok(ready(input)),
            (Self::SslReply | Self::SslRequest, []) => Err(error(
                InitiatorErrorKind::BadReply,
                "the backend closed the connection instead of answering the SSLRequest",
            )),
            (Self::SslReply | Self::SslRequest, _) => ssl_reply(input),
        }
    }
}

fn ready(input: &[u8]) -> InitiatorStep {
    InitiatorStep::Ready(Bytes::copy_from_slice(input))
}

/// Verifies everything that answers an `SSLRequest`. Bytes that came with the `S` were never
/// encrypted, and would be taken for the beginning of TLS (CVE-2021-23222).
fn ssl_reply(input: &[u8]) -> Result<InitiatorStep, InitiatorError> {
    match input {
        [] => Ok(InitiatorStep::NeedMore),
        [b'E', ..] => {
            let said = error_before_tls(input);
            let refused = SslReplyError::ErrorResponse;
            let message = match &said {
                Some(said) => format!("{refused}: {said}"),
                None => refused.to_string(),
            };
            Err(InitiatorError {
                partial: said.is_none() && input.len() < MAX_ERROR,
                said,
                ..error(InitiatorErrorKind::BadReply, message)
            })
        }
        [byte] => match read_ssl_reply(*byte) {
            Ok(()) => Ok(InitiatorStep::StartTls),
            Err(refused @ SslReplyError::RefusedTls) => {
                Err(error(InitiatorErrorKind::NoTls, refused.to_string()))
            }
            Err(other) => Err(error(InitiatorErrorKind::BadReply, other.to_string())),
        },
        _ => Err(error(
            InitiatorErrorKind::BadReply,
            "the backend sent unencrypted bytes behind its answer to the SSLRequest",
        )),
    }
}

fn error(kind: InitiatorErrorKind, message: impl Into<String>) -> InitiatorError {
    InitiatorError {
        kind,
        message: message.into(),
        said: None,
        partial: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preface::Initiator as _;

    fn answered(reply: &[u8]) -> Result<InitiatorStep, InitiatorError> {
        let mut initiator = Initiator::SslRequest;
        let sent = InitiatorStep::Send {
            consumed: 0,
            bytes: Bytes::from_static(&SSL_REQUEST),
        };
        assert_eq!(initiator.advance(b""), Ok(sent));
        assert_eq!(initiator.advance(b""), Ok(InitiatorStep::NeedMore));
        initiator.advance(reply)
    }

    #[test]
    fn tls_starts_at_one_byte_and_nothing_behind_it() {
        assert_eq!(answered(b"S"), Ok(InitiatorStep::StartTls));
        for (reply, kind) in [
            (&b"N"[..], InitiatorErrorKind::NoTls),
            (b"Sx", InitiatorErrorKind::BadReply),
            (b"Nx", InitiatorErrorKind::BadReply),
            (b"H", InitiatorErrorKind::BadReply),
        ] {
            let error = answered(reply).unwrap_err();
            assert_eq!((error.kind, error.partial), (kind, false), "{error}");
        }
        let closed = Initiator::SslReply.end(b"").unwrap_err();
        assert_eq!(closed.kind, InitiatorErrorKind::BadReply);
    }

    #[test]
    fn the_words_of_an_error_are_waited_for() {
        let text = b"Esorry, too many clients already\n\0";
        for end in 1..text.len() {
            let error = answered(&text[..end]).unwrap_err();
            assert!(error.partial && error.said.is_none(), "{end} {error:?}");
        }
        let error = answered(text).unwrap_err();
        assert_eq!(
            error.said.as_deref(),
            Some("sorry, too many clients already")
        );
        assert!(!error.partial);
        assert!(!answered(&[b'E'; MAX_ERROR]).unwrap_err().partial);
    }

    #[test]
    fn a_login_gets_the_answer_without_channel_binding() {
        let mut initiator = Initiator::Startup(Bytes::from_static(b"startup"));
        let Ok(InitiatorStep::Send { bytes, .. }) = initiator.advance(b"") else {
            panic!("nothing is sent");
        };
        assert_eq!(bytes, "startup");
        assert_eq!(initiator.advance(b"R"), Ok(InitiatorStep::NeedMore));
        let ok = b"R\0\0\0\x08\0\0\0\0";
        let all = InitiatorStep::Ready(Bytes::from_static(ok));
        assert_eq!(initiator.advance(ok), Ok(all));
        let begun = InitiatorStep::Ready(Bytes::from_static(b"R\0"));
        assert_eq!(initiator.end(b"R\0"), Ok(begun));
        let closed = initiator.end(b"").unwrap_err();
        assert_eq!(closed.kind, InitiatorErrorKind::Closed);
    }
}
