//! The half that faces a Postgres client: its first messages, in the clear or inside TLS.

use bytes::Bytes;

use super::{SSL_REQUEST, refuse};
use crate::preface::{Message, MessageKind, Refusal, Requests, ResponderStep};
use crate::protocol::Protocol;
use crate::wire::Reader;

/// The longest first message, its length word included: what the server takes
/// (`MAX_STARTUP_PACKET_LENGTH`, 10000, which leaves the length word out).
pub const MAX_STARTUP: usize = 10_004;

/// The shortest first message: its length word and a code.
pub(super) const MIN_STARTUP: usize = 8;

/// The lengths of a `CancelRequest`, with a key of 4 (protocol 3.0) to 256 bytes (3.2).
pub(super) const CANCEL_LENGTHS: std::ops::RangeInclusive<usize> = 12 + 4..=12 + 256;

// Requests carry a major version of 1234, which no protocol will ever have.
pub(super) const CANCEL_REQUEST_CODE: u32 = 0x04d2_162e;
pub(super) const SSL_REQUEST_CODE: u32 = 0x04d2_162f;
pub(super) const GSSENC_REQUEST_CODE: u32 = 0x04d2_1630;

/// The type of a TLS handshake record. As a length word it would announce hundreds of megabytes.
const TLS_HANDSHAKE: u8 = 0x16;

/// A rule that a client's first bytes broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefaceError {
    /// Neither TLS nor a length word that Postgres could send: an HTTP client, a scanner.
    #[error("not Postgres: the first byte is 0x{byte:02x} ({text})", byte = .0, text = .0.escape_ascii())]
    NotPostgres(u8),
    /// A length word below 8.
    #[error("a first message of {0} bytes, less than the 8 of the shortest")]
    TooShort(usize),
    /// A length word beyond [`MAX_STARTUP`].
    #[error("a first message of more than {MAX_STARTUP} bytes")]
    TooLong,
    /// A request whose length is not the one it must have.
    #[error("{request} of {length} bytes")]
    Length {
        /// The name of the request.
        request: &'static str,
        /// Its length word.
        length: usize,
    },
    /// Bytes behind a request that a client must not send before it has the answer.
    ///
    /// Whoever sits on the path could have put them there, to be taken for the content of the
    /// TLS connection (the flaw known as CVE-2021-23214).
    #[error("unencrypted data behind the {0}")]
    EarlyData(&'static str),
    /// `SSLRequest` or `GSSENCRequest` for the second time.
    #[error("a second {0}")]
    Repeated(&'static str),
    /// TLS was promised, and the client went on in the clear.
    #[error("unencrypted data after the SSLRequest was granted (first byte 0x{0:02x})")]
    NotTls(u8),
    /// A TLS record inside TLS.
    #[error("a TLS handshake inside TLS")]
    TlsInsideTls,
    /// A protocol other than 3.
    #[error("protocol version {major}.{minor}, but only 3 is supported")]
    Version {
        /// The major version, 1 or 2.
        major: u16,
        /// The minor version.
        minor: u16,
    },
    /// A code that is neither a request nor a version.
    #[error("a first message with the unknown code {0} (0x{0:08x})")]
    UnknownCode(u32),
}

/// Faces one client until TLS starts, or, inside TLS, until its `StartupMessage` is there.
#[derive(Debug, Default)]
pub struct Responder {
    /// Set where TLS is up.
    inside_tls: Option<Requests>,
    ssl_requested: bool,
    gss_requested: bool,
}

impl Responder {
    /// The same for a client whose TLS is up: no second TLS, so both requests get an `N`.
    #[must_use]
    pub fn inside_tls() -> Self {
        Self::inside_tls_with(Requests::Decline)
    }

    /// The same, with requests declined or passed on.
    pub(super) fn inside_tls_with(requests: Requests) -> Self {
        Self {
            inside_tls: Some(requests),
            ..Self::default()
        }
    }

    /// The step of a request for encryption: a reply, or where it is passed on, a message.
    fn request(&self, consumed: usize, reply: &'static [u8]) -> ResponderStep {
        if self.inside_tls == Some(Requests::Pass) {
            return message(MessageKind::Request, consumed);
        }
        ResponderStep::Reply {
            consumed,
            reply: Bytes::from_static(reply),
        }
    }
}

pub(super) fn message(kind: MessageKind, len: usize) -> ResponderStep {
    ResponderStep::Message(Message {
        protocol: Protocol::Postgres,
        kind,
        len,
    })
}

impl crate::preface::Responder for Responder {
    type Error = PrefaceError;

    fn advance(&mut self, input: &[u8]) -> Result<ResponderStep, PrefaceError> {
        let Some(&first) = input.first() else {
            return Ok(ResponderStep::NeedMore);
        };
        match (first, self.inside_tls.is_some()) {
            (TLS_HANDSHAKE, false) => return Ok(ResponderStep::StartTls),
            (TLS_HANDSHAKE, true) => return Err(PrefaceError::TlsInsideTls),
            (_, false) if self.ssl_requested => return Err(PrefaceError::NotTls(first)),
            (0, _) => {}
            _ => return Err(PrefaceError::NotPostgres(first)),
        }
        let Some(length) = length_word(input)? else {
            return Ok(ResponderStep::NeedMore);
        };
        let mut reader = Reader::new(input);
        let Ok(code) = reader.skip(4).and_then(|()| reader.u32()) else {
            return Ok(ResponderStep::NeedMore);
        };
        match code {
            SSL_REQUEST_CODE => {
                whole_request("SSLRequest", length, input.len(), self.ssl_requested)?;
                self.ssl_requested = true;
                Ok(self.request(
                    length,
                    if self.inside_tls.is_some() {
                        b"N"
                    } else {
                        b"S"
                    },
                ))
            }
            GSSENC_REQUEST_CODE => {
                whole_request("GSSENCRequest", length, input.len(), self.gss_requested)?;
                self.gss_requested = true;
                Ok(self.request(length, b"N"))
            }
            CANCEL_REQUEST_CODE => {
                let request = "CancelRequest";
                if !CANCEL_LENGTHS.contains(&length) {
                    return Err(PrefaceError::Length { request, length });
                }
                match input.len() {
                    present if present < length => Ok(ResponderStep::NeedMore),
                    present if present > length => Err(PrefaceError::EarlyData(request)),
                    _ => Ok(message(MessageKind::Cancel, length)),
                }
            }
            _ => match version(code) {
                (3, _) if input.len() < length => Ok(ResponderStep::NeedMore),
                (3, _) => Ok(message(MessageKind::Login, length)),
                (major @ (1 | 2), minor) => Err(PrefaceError::Version { major, minor }),
                _ => Err(PrefaceError::UnknownCode(code)),
            },
        }
    }

    fn requested_tls(&self) -> Option<Protocol> {
        self.ssl_requested.then_some(Protocol::Postgres)
    }

    fn has_replied(&self) -> bool {
        self.ssl_requested || self.gss_requested
    }

    /// A client that has begun TLS, or has to, reads an alert, and any other an `ErrorResponse`:
    /// also in place of the answer to a request.
    fn refuse(&self, input: &[u8], refusal: &Refusal<'_>) -> Vec<u8> {
        match Self::default().advance(input) {
            _ if self.has_replied() => refusal.alert.record().to_vec(),
            Ok(ResponderStep::StartTls) => refusal.alert.record().to_vec(),
            Ok(
                ResponderStep::NeedMore
                | ResponderStep::Message(Message {
                    kind: MessageKind::Cancel,
                    ..
                }),
            )
            | Err(_) => Vec::new(),
            Ok(ResponderStep::Reply { .. } | ResponderStep::Message(_)) => {
                refuse::error_response(refusal)
            }
        }
    }
}

/// Splits the code of a first message into the two halves of a version.
fn version(code: u32) -> (u16, u16) {
    let [a, b, c, d] = code.to_be_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// The length word, once it is complete; its first bytes may already say that it is too large.
fn length_word(input: &[u8]) -> Result<Option<usize>, PrefaceError> {
    let mut word = [0; 4];
    let mut present = 0;
    for (to, from) in word.iter_mut().zip(input) {
        *to = *from;
        present += 1;
    }
    // Bytes that are still to come count as zero here, so this is the least it can be.
    let length = usize::try_from(u32::from_be_bytes(word)).unwrap_or(usize::MAX);
    match length {
        MAX_STARTUP.. if length > MAX_STARTUP => Err(PrefaceError::TooLong),
        _ if present < word.len() => Ok(None),
        ..MIN_STARTUP => Err(PrefaceError::TooShort(length)),
        _ => Ok(Some(length)),
    }
}

/// Checks a request of 8 bytes that must be answered before the client may go on.
fn whole_request(
    request: &'static str,
    length: usize,
    present: usize,
    repeated: bool,
) -> Result<(), PrefaceError> {
    if length != SSL_REQUEST.len() {
        return Err(PrefaceError::Length { request, length });
    }
    if repeated {
        return Err(PrefaceError::Repeated(request));
    }
    if present > length {
        return Err(PrefaceError::EarlyData(request));
    }
    Ok(())
}
