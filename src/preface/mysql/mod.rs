//! The MySQL and MariaDB preface: the server's greeting, the client's `SSLRequest`, and what comes
//! in their place.
//!
//! The server speaks first. [`Responder`] faces a client that has been sent a [`Profile`]'s
//! greeting; [`read_opening`] judges what a server opens with, and [`ssl_request`] answers it. Not
//! here: authentication, beyond the user's name where a client sends it in the clear.
//! Source: MySQL documentation, "Connection Phase" (`Protocol::HandshakeV10`,
//! `Protocol::SSLRequest`, `Protocol::HandshakeResponse41` and `320`), "MySQL Packets" and
//! "`ERR_Packet`"; MariaDB documentation, "Connection" (connection protocol).

mod error;
mod greeting;
mod packet;

pub use error::ErrPacket;
pub use greeting::{Greeting, MAX_TEXT, Profile, SCRAMBLE};
pub use packet::{MAX_PACKET, Packet, encode};

use packet::header;

use bytes::Bytes;

use super::{AnyInitiator, Message, MessageKind, Preface, Refusal, ResponderStep, TlsOpening};
use crate::protocol::Protocol;
use crate::tls::TlsMode;
use crate::wire::{Reader, Short};

/// The bit of MySQL that MariaDB leaves out of its greeting when it has capabilities of its own.
pub const CLIENT_MYSQL: u32 = 0x1;

/// The protocol of version 4.1, which every server and client of today speaks.
pub const CLIENT_PROTOCOL_41: u32 = 0x200;

/// TLS: offered in a greeting, chosen in an `SSLRequest`.
pub const CLIENT_SSL: u32 = 0x800;

/// Authentication data of more than eight bytes.
pub const CLIENT_SECURE_CONNECTION: u32 = 0x8000;

/// Authentication plugins by name.
pub const CLIENT_PLUGIN_AUTH: u32 = 0x8_0000;

/// The error code of a server that takes no login without TLS (`ER_SECURE_TRANSPORT_REQUIRED`).
pub const SECURE_TRANSPORT_REQUIRED: u16 = 3159;

/// The payload of an `SSLRequest`, which is also how a response to the greeting starts.
const FIXED: usize = 32;

/// The same before 4.1: two bytes of capabilities, three for the longest packet.
const FIXED_OLD: usize = 5;

/// The type of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// A violation of this phase of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MysqlError {
    /// A length beyond [`MAX_PACKET`]: most often another protocol.
    #[error("a packet of {0} bytes, more than {MAX_PACKET}")]
    TooLong(usize),
    /// A packet without a payload.
    #[error("an empty packet")]
    Empty,
    /// A packet out of order.
    #[error("packet {got} where packet {expected} should be")]
    Sequence {
        /// The number it must have.
        expected: u8,
        /// The number it has.
        got: u8,
    },
    /// A first byte of a server's packet that starts neither a greeting nor an error.
    #[error("a packet that starts with 0x{0:02x} where the greeting should be")]
    NotGreeting(u8),
    /// Another packet than an error.
    #[error("a packet that starts with 0x{0:02x} where an error should be")]
    NotError(u8),
    /// Fields that reach beyond the packet.
    #[error("the {0} ends too early")]
    Truncated(&'static str),
    /// TLS was requested, and the client went on in the clear.
    #[error("unencrypted data after the SSLRequest (first byte 0x{0:02x})")]
    NotTls(u8),
    /// An `SSLRequest` inside TLS.
    #[error("an SSLRequest inside TLS")]
    TlsInsideTls,
}

/// The first packet of a client after the greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFirst {
    /// It wants TLS, whose `ClientHello` follows without an answer.
    SslRequest {
        /// The capabilities that it will use; the upper half is zero when the packet
        /// has no room for it.
        capabilities: u32,
    },
    /// It logs in, in the clear when that is what it says first.
    Response {
        /// The capabilities that it will use; may claim [`CLIENT_SSL`].
        capabilities: u32,
        /// The first [`MAX_TEXT`] bytes of the name to log in as; any bytes, not safe to print.
        user: Vec<u8>,
    },
}

impl ClientFirst {
    /// Reads the payload of the client's first packet.
    ///
    /// An `SSLRequest` is told by [`CLIENT_SSL`] and its length: 32 bytes; four, as some old
    /// clients send it; five in the protocol before 4.1.
    ///
    /// # Errors
    /// [`MysqlError::Truncated`] when the payload is too short for either.
    pub fn parse(payload: &[u8]) -> Result<Self, MysqlError> {
        const FIELD: &str = "response to the greeting";
        let truncated = |_: Short| MysqlError::Truncated(FIELD);
        let low = Reader::new(payload).u16_le().map_err(truncated)?;
        let (capabilities, fixed) = if u32::from(low) & CLIENT_PROTOCOL_41 == 0 {
            (u32::from(low), FIXED_OLD)
        } else {
            let all = Reader::new(payload).u32_le();
            (all.map_err(truncated)?, FIXED)
        };
        let wants_tls = capabilities & CLIENT_SSL != 0;
        if wants_tls && (payload.len() == fixed || payload.len() == 4) {
            return Ok(Self::SslRequest { capabilities });
        }
        let mut reader = Reader::new(payload);
        reader.skip(fixed).map_err(truncated)?;
        // Old clients leave the NUL out when nothing follows the name.
        let mut named = reader;
        let user = named.until_nul().unwrap_or_else(|_| reader.rest());
        if user.is_empty() && reader.is_empty() {
            return Err(MysqlError::Truncated(FIELD));
        }
        Ok(Self::Response {
            capabilities,
            user: Reader::new(user).take_up_to(MAX_TEXT).to_vec(),
        })
    }
}

/// MySQL and MariaDB. Their clients wait for a greeting, so that none is served by name yet.
#[derive(Clone, Copy, Debug)]
pub struct Mysql;

impl Preface for Mysql {
    fn tls_first(&self) -> bool {
        false
    }

    fn initiator(&self, _: TlsMode, _: Option<&TlsOpening>) -> AnyInitiator {
        AnyInitiator::None
    }
}

/// Faces one client from the greeting on, until TLS starts or a login is there; inside TLS, until
/// the login is there.
#[derive(Debug, Default)]
pub struct Responder {
    /// Still to be sent.
    greeting: Bytes,
    inside_tls: bool,
    tls_requested: bool,
}

impl Responder {
    /// Speaks first, as a server with this profile; the bytes of `scramble` must be random and none
    /// of them zero. The default is for a client that another server has greeted.
    #[must_use]
    pub fn greeting(profile: &Profile<'_>, connection_id: u32, scramble: &[u8; SCRAMBLE]) -> Self {
        Self {
            greeting: profile.greeting(connection_id, scramble).into(),
            ..Self::default()
        }
    }

    /// The same for a client whose TLS is up: its login is packet 2.
    #[must_use]
    pub fn inside_tls() -> Self {
        Self {
            inside_tls: true,
            tls_requested: true,
            ..Self::default()
        }
    }
}

impl super::Responder for Responder {
    type Error = MysqlError;

    /// An `SSLRequest` gets an empty reply: the `ClientHello` may be right behind it.
    fn advance(&mut self, input: &[u8]) -> Result<ResponderStep, MysqlError> {
        if !self.greeting.is_empty() {
            return Ok(ResponderStep::Reply {
                consumed: 0,
                reply: std::mem::take(&mut self.greeting),
            });
        }
        if self.tls_requested && !self.inside_tls {
            return match input.first() {
                None => Ok(ResponderStep::NeedMore),
                Some(&TLS_HANDSHAKE) => Ok(ResponderStep::StartTls),
                Some(&other) => Err(MysqlError::NotTls(other)),
            };
        }
        let expected = if self.inside_tls { 2 } else { 1 };
        if let Some((_, got)) = header(input)?
            && got != expected
        {
            return Err(MysqlError::Sequence { expected, got });
        }
        let Some(packet) = Packet::read(input)? else {
            return Ok(ResponderStep::NeedMore);
        };
        let consumed = packet.wire_len();
        match ClientFirst::parse(packet.payload)? {
            ClientFirst::SslRequest { .. } if self.inside_tls => Err(MysqlError::TlsInsideTls),
            ClientFirst::SslRequest { .. } => {
                self.tls_requested = true;
                Ok(ResponderStep::Reply {
                    consumed,
                    reply: Bytes::new(),
                })
            }
            ClientFirst::Response { .. } => Ok(ResponderStep::Message(Message {
                protocol: Protocol::Mysql,
                kind: MessageKind::Login,
                len: consumed,
            })),
        }
    }

    fn requested_tls(&self) -> Option<Protocol> {
        self.tls_requested.then_some(Protocol::Mysql)
    }

    /// A client that has to begin TLS reads an alert; any other an error with the number behind that
    /// of its own packet, or behind the greeting's.
    fn refuse(&self, input: &[u8], refusal: &Refusal<'_>) -> Vec<u8> {
        if self.tls_requested && !self.inside_tls {
            return refusal.alert.record().to_vec();
        }
        let packet = Packet::read(input).ok().flatten();
        let seq = match packet {
            Some(packet) => packet.seq.wrapping_add(1),
            None => u8::from(self.greeting.is_empty()),
        };
        error::refusal(refusal).encode(seq)
    }
}

/// The first packet of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerOpening {
    /// Read more, then ask again with all of the input.
    NeedMore,
    /// It waits for the client's first packet.
    Greeting {
        /// The greeting.
        greeting: Greeting,
        /// Length of the packet in bytes; nothing may follow it.
        consumed: usize,
    },
    /// It refuses the client before it knows anything of it but the address.
    Err {
        /// The error.
        error: ErrPacket,
        /// Length of the packet in bytes.
        consumed: usize,
    },
}

/// Judges `input`: everything that a server has said since the connection stands.
///
/// Waits only while further bytes can make a greeting or an error of it.
///
/// # Errors
/// [`MysqlError`] for everything else.
pub fn read_opening(input: &[u8]) -> Result<ServerOpening, MysqlError> {
    let Some((_, got)) = header(input)? else {
        return Ok(ServerOpening::NeedMore);
    };
    let mut payload = Reader::new(input);
    let first = payload.skip(packet::HEADER).and_then(|()| payload.u8());
    match first {
        Err(Short) => return Ok(ServerOpening::NeedMore),
        Ok(greeting::PROTOCOL) if got != 0 => {
            return Err(MysqlError::Sequence { expected: 0, got });
        }
        // Errors come with the number 0 or 1, depending on where the server noticed.
        Ok(greeting::PROTOCOL | error::MARK) => {}
        Ok(other) => return Err(MysqlError::NotGreeting(other)),
    }
    let Some(packet) = Packet::read(input)? else {
        return Ok(ServerOpening::NeedMore);
    };
    let consumed = packet.wire_len();
    if first == Ok(error::MARK) {
        let error = ErrPacket::parse(packet.payload)?;
        return Ok(ServerOpening::Err { error, consumed });
    }
    let greeting = Greeting::parse(packet.payload)?;
    Ok(ServerOpening::Greeting { greeting, consumed })
}

/// The whole `SSLRequest` packet that answers a greeting; the `ClientHello` follows at once.
///
/// [`CLIENT_SSL`] and [`CLIENT_PROTOCOL_41`] are added to `capabilities`.
#[must_use]
pub fn ssl_request(capabilities: u32, charset: u8) -> Vec<u8> {
    let capabilities = capabilities | CLIENT_SSL | CLIENT_PROTOCOL_41;
    let mut payload = capabilities.to_le_bytes().to_vec();
    payload.extend((1_u32 << 24).to_le_bytes()); // the longest packet that the client takes
    payload.push(charset);
    payload.resize(FIXED, 0);
    packet::encode(1, &payload)
}

#[cfg(test)]
mod tests;
