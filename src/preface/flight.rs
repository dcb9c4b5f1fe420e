//! The first flight of a client, classified by what a backend may have made of it.
//!
//! "Connected" is not "ready": a port that is forwarded accepts for a server that is down. But
//! bytes that a backend has taken may have had an effect before it failed, so they go to another
//! backend only where they cannot have had one:
//!
//! - nothing was sent;
//! - a `ClientHello` in passthrough, with nothing behind it (early data could be a command);
//! - a greeting of the protocol ([`Preface::classify`](super::Preface::classify)).
//!
//! These are also what every server answers at once, so here silence means that it fails. For
//! anything else a client may rightly wait for hours, and a command must not run twice.

use super::registry::of;
use crate::protocol::Protocol;
use crate::tls::hello::HelloParser;

/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// The way on which a client's bytes reach a backend, which decides how they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// TLS that goes through; the hello has this many bytes.
    Hello(usize),
    /// TLS that ends at the gateway.
    Inside(Protocol),
    /// A listener that relays by port, with or without TLS.
    Port(Protocol),
}

/// The effect that a backend may have given to the first flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlightKind {
    /// Nothing was sent.
    Empty,
    /// An introduction: answered at once, and without any effect until then.
    Greeting,
    /// A request that may have an effect, and is answered in its own time.
    Request,
    /// Bytes that need no answer.
    Unknown,
}

impl FlightKind {
    /// A greeting or else a request.
    #[must_use]
    pub fn greeting_if(greets: bool) -> Self {
        if greets {
            Self::Greeting
        } else {
            Self::Request
        }
    }

    /// True if another backend may get the same bytes.
    #[must_use]
    pub fn can_be_replayed(self) -> bool {
        matches!(self, Self::Empty | Self::Greeting)
    }
}

impl Channel {
    /// Classifies everything that was sent so far, of which `bytes` is all if `complete`.
    #[must_use]
    pub fn classify(self, bytes: &[u8], complete: bool) -> FlightKind {
        match (self, bytes.first()) {
            (Self::Inside(protocol), _) if !complete => of(protocol).classify(bytes, false),
            _ if !complete => FlightKind::Unknown,
            (_, None) => FlightKind::Empty,
            (Self::Hello(length), _) if bytes.len() == length => FlightKind::Greeting,
            (Self::Hello(_), _) => FlightKind::Unknown,
            (Self::Port(_), Some(&TLS_HANDSHAKE)) => match HelloParser::default().advance(bytes) {
                Ok(Some(hello)) if hello.wire_len == bytes.len() => FlightKind::Greeting,
                Ok(None) => FlightKind::Greeting,
                _ => FlightKind::Unknown,
            },
            (Self::Inside(protocol) | Self::Port(protocol), _) => {
                of(protocol).classify(bytes, true)
            }
        }
    }

    /// True if the client cannot go on without an answer to this flight, so that one which has
    /// ended its side is gone.
    #[must_use]
    pub fn awaits_answer(self, kind: FlightKind) -> bool {
        matches!(self, Self::Inside(protocol) if of(protocol).awaits_answer())
            && kind == FlightKind::Greeting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bytes_without_effect_are_replayed() {
        let startup: &[u8] = b"\0\0\0\x12\0\x03\0\0user\0app\0\0";
        let cancel: &[u8] = b"\0\0\0\x10\x04\xd2\x16\x2e12345678";
        let more = [startup, b"Q\0\0\0\x05\0"].concat();
        let inside = Channel::Inside;
        let table: [(Channel, &[u8], FlightKind); 15] = [
            (Channel::Hello(3), b"", FlightKind::Empty),
            (Channel::Hello(3), b"abc", FlightKind::Greeting),
            (Channel::Hello(3), b"abcd", FlightKind::Unknown),
            (inside(Protocol::Postgres), startup, FlightKind::Greeting),
            (inside(Protocol::Postgres), &more, FlightKind::Request),
            (inside(Protocol::Postgres), cancel, FlightKind::Unknown),
            (
                inside(Protocol::Postgres),
                b"\0\0\0\x08\x04\xd2\x16\x2f",
                FlightKind::Greeting,
            ),
            (inside(Protocol::Redis), b"PING\r\n", FlightKind::Greeting),
            (inside(Protocol::Redis), b"INCR n\r\n", FlightKind::Request),
            (
                inside(Protocol::Mongodb),
                b"\x20\0\0\0",
                FlightKind::Greeting,
            ),
            (inside(Protocol::Mongodb), b"\0\0\0\0", FlightKind::Request),
            (inside(Protocol::Tls), b"PING\r\n", FlightKind::Unknown),
            (
                Channel::Port(Protocol::Tls),
                b"\x16\x03\x01",
                FlightKind::Greeting,
            ),
            (Channel::Port(Protocol::Mysql), b"x", FlightKind::Unknown),
            (
                Channel::Port(Protocol::Postgres),
                startup,
                FlightKind::Greeting,
            ),
        ];
        for (channel, bytes, expected) in table {
            assert_eq!(
                channel.classify(bytes, true),
                expected,
                "{channel:?} {}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn more_than_is_kept_is_a_request_where_requests_are_known() {
        for (protocol, expected) in [
            (Protocol::Postgres, FlightKind::Request),
            (Protocol::Redis, FlightKind::Request),
            (Protocol::Mongodb, FlightKind::Request),
            (Protocol::Mysql, FlightKind::Unknown),
            (Protocol::Tls, FlightKind::Unknown),
        ] {
            let kind = Channel::Inside(protocol).classify(b"", false);
            assert_eq!(kind, expected, "{protocol}");
            let by_port = Channel::Port(protocol).classify(b"", false);
            assert_eq!(by_port, FlightKind::Unknown, "{protocol}");
        }
    }
}
