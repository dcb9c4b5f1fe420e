//! The Postgres preface: `SSLRequest`, `GSSENCRequest`, direct TLS, and what comes in their place.
//!
//! [`Responder`] judges a client's first bytes, in the clear or inside TLS; [`read_ssl_reply`]
//! judges a backend's one byte. It ends where the session begins: a `StartupMessage` is passed
//! on byte for byte, whatever minor version and `_pq_.` options it has. Not here: any
//! authentication, except that [`AuthWatch`] recognises one way in which it fails, and that
//! [`without_channel_binding`] keeps clients in a tunnel from it.
//! Source: Postgres documentation, "Frontend/Backend Protocol": "Message Flow" (SSL Session
//! Encryption, GSSAPI Session Encryption, Canceling Requests in Progress), "Message Formats",
//! "Error and Notice Message Fields".

mod auth_watch;
mod message;
mod sasl;

pub use auth_watch::{AuthEvent, AuthWatch};
pub use message::{ErrorResponse, ServerError, Startup, StartupError};
pub use sasl::{MAX_ANSWER, without_channel_binding};

use crate::wire::Reader;

/// The whole `SSLRequest`: its length, 8, and the code 80877103.
pub const SSL_REQUEST: [u8; 8] = [0x00, 0x00, 0x00, 0x08, 0x04, 0xd2, 0x16, 0x2f];

/// The longest first message, its length word included: what the server takes
/// (`MAX_STARTUP_PACKET_LENGTH`, 10000, which leaves the length word out).
pub const MAX_STARTUP: usize = 10_004;

/// The shortest first message: its length word and a code.
const MIN_STARTUP: usize = 8;

/// The lengths of a `CancelRequest`, with a key of 4 (protocol 3.0) to 256 bytes (3.2).
const CANCEL_LENGTHS: std::ops::RangeInclusive<usize> = 12 + 4..=12 + 256;

// Requests carry a major version of 1234, which no protocol will ever have.
const CANCEL_REQUEST_CODE: u32 = 0x04d2_162e;
const SSL_REQUEST_CODE: u32 = 0x04d2_162f;
const GSSENC_REQUEST_CODE: u32 = 0x04d2_1630;

/// The type of a TLS handshake record. As a length word it would announce hundreds of megabytes.
const TLS_HANDSHAKE: u8 = 0x16;

/// What to do with a client's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read more, then ask again with all of the input.
    NeedMore,
    /// Write the byte `reply`, drop `consumed` bytes of the input, go on with what comes next.
    Reply {
        /// How long the request was, in bytes: all of the input.
        consumed: usize,
        /// `S` or `N`.
        reply: u8,
    },
    /// The input begins with a TLS record.
    StartTls,
    /// The input is a `CancelRequest` of this many bytes, and nothing else.
    Cancel(usize),
    /// The input begins with a complete `StartupMessage` of this many bytes.
    Startup(usize),
}

/// Why a client's first bytes are refused.
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
///
/// End of input is no error at any [`Step::NeedMore`] with an empty input: monitoring does that,
/// and so do clients that dislike an answer.
#[derive(Debug, Default)]
pub struct Responder {
    inside_tls: bool,
    ssl_requested: bool,
    gss_requested: bool,
}

impl Responder {
    /// The same for a client whose TLS is up: no second TLS, so both requests get an `N`.
    #[must_use]
    pub fn inside_tls() -> Self {
        Self {
            inside_tls: true,
            ..Self::default()
        }
    }

    /// Whether this client has sent an `SSLRequest`: tells Postgres from TLS from byte 0.
    #[must_use]
    pub fn ssl_requested(&self) -> bool {
        self.ssl_requested
    }

    /// Judges `input`: everything received and not yet consumed.
    ///
    /// Waits only while further bytes can make the message legal. A [`Step::Reply`] is remembered:
    /// call again only after the request has been dropped from the input.
    ///
    /// # Errors
    /// [`PrefaceError`] says which rule the client broke.
    pub fn advance(&mut self, input: &[u8]) -> Result<Step, PrefaceError> {
        let Some(&first) = input.first() else {
            return Ok(Step::NeedMore);
        };
        match (first, self.inside_tls) {
            (TLS_HANDSHAKE, false) => return Ok(Step::StartTls),
            (TLS_HANDSHAKE, true) => return Err(PrefaceError::TlsInsideTls),
            (_, false) if self.ssl_requested => return Err(PrefaceError::NotTls(first)),
            (0, _) => {}
            _ => return Err(PrefaceError::NotPostgres(first)),
        }
        let Some(length) = length_word(input)? else {
            return Ok(Step::NeedMore);
        };
        let mut reader = Reader::new(input);
        let Ok(code) = reader.skip(4).and_then(|()| reader.u32()) else {
            return Ok(Step::NeedMore);
        };
        match code {
            SSL_REQUEST_CODE => {
                whole_request("SSLRequest", length, input.len(), self.ssl_requested)?;
                self.ssl_requested = true;
                let reply = if self.inside_tls { b'N' } else { b'S' };
                Ok(Step::Reply {
                    consumed: length,
                    reply,
                })
            }
            GSSENC_REQUEST_CODE => {
                whole_request("GSSENCRequest", length, input.len(), self.gss_requested)?;
                self.gss_requested = true;
                Ok(Step::Reply {
                    consumed: length,
                    reply: b'N',
                })
            }
            CANCEL_REQUEST_CODE => {
                let request = "CancelRequest";
                if !CANCEL_LENGTHS.contains(&length) {
                    return Err(PrefaceError::Length { request, length });
                }
                match input.len() {
                    present if present < length => Ok(Step::NeedMore),
                    present if present > length => Err(PrefaceError::EarlyData(request)),
                    _ => Ok(Step::Cancel(length)),
                }
            }
            _ => match version(code) {
                (3, _) if input.len() < length => Ok(Step::NeedMore),
                (3, _) => Ok(Step::Startup(length)),
                (major @ (1 | 2), minor) => Err(PrefaceError::Version { major, minor }),
                _ => Err(PrefaceError::UnknownCode(code)),
            },
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

/// What a backend said to an `SSLRequest`.
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

/// Why TLS cannot start with a backend.
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

/// Judges the one byte that a backend answers to [`SSL_REQUEST`].
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

/// What an error says that a server answered to an `SSLRequest`, from its `E` on; `None` while it is
/// not all there. Not safe to print, and nobody vouches for it: it came without TLS.
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
