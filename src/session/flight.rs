//! The first flight: what a client has sent to a backend that has not answered yet, kept so that
//! the next backend can get it where the first one fails.
//!
//! "Connected" is not "ready": a port that somebody forwards accepts for a server that is down.
//! But bytes that a backend has taken may have had an effect before it failed, so they are sent
//! again only where they cannot have had one:
//!
//! - nothing was sent;
//! - a `ClientHello` in passthrough, with nothing behind it (early data could be a command);
//! - a Postgres `StartupMessage` or a request for encryption: the server acts on nothing before it
//!   has answered;
//! - Redis commands that only introduce the client ([`redis::only_greets`]);
//! - MongoDB's `hello` ([`mongodb::only_greets`]).
//!
//! These are also what every server answers at once, so here silence means that it fails. For all
//! else a client may rightly wait for hours (`BLPOP`), and an `INCR` must not run twice: it is not
//! sent again, and a backend that closes without an answer to it is told to the client in words.
//! Two things want no answer at all: a Postgres `CancelRequest`, and what a protocol says that is
//! only known as TLS.

use bytes::Bytes;

use crate::net::pump::Tap;
use crate::preface::{Responder, Step, mongodb, redis};
use crate::route::Protocol;
use crate::tls::hello::HelloParser;

/// The most that is kept, in bytes: as much as the longest `ClientHello`, and more than any
/// greeting.
const MOST: usize = 16 * 1024;

/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// Where the bytes come from, which decides how they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// A client whose TLS goes through; its hello has this many bytes.
    Hello(usize),
    /// A client whose TLS ends here.
    Inside(Protocol),
    /// A client of a listener that relays by port, with or without TLS.
    Port(Protocol),
}

/// What a backend may have made of the first flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing was sent.
    Nothing,
    /// An introduction: answered at once, and without any effect until then.
    Greeting,
    /// Something that may have an effect, and is answered in its own time.
    Request,
    /// Something that need not be answered.
    Unknown,
}

/// The first flight of one client.
#[derive(Debug)]
pub(super) struct Flight {
    from: From,
    /// What was read before the backend was there.
    first: Bytes,
    later: Vec<u8>,
    /// More was sent than is kept.
    more: bool,
    /// How many bytes some backend has taken.
    sent: u64,
}

impl Flight {
    /// A flight that begins with `first`.
    pub(super) fn new(from: From, first: Bytes) -> Self {
        Self {
            from,
            more: first.len() > MOST,
            first,
            later: Vec::new(),
            sent: 0,
        }
    }

    /// Everything that was sent, as far as it is kept.
    pub(super) fn bytes(&self) -> Bytes {
        if self.later.is_empty() {
            return self.first.clone();
        }
        [&self.first, &self.later[..]].concat().into()
    }

    /// What a backend may have made of it.
    pub(super) fn meaning(&self) -> Meaning {
        if !self.more {
            return meaning(self.from, &self.bytes());
        }
        match self.from {
            From::Inside(Protocol::Redis | Protocol::Mongodb | Protocol::Postgres) => {
                Meaning::Request
            }
            _ => Meaning::Unknown,
        }
    }

    /// Notes that a backend has taken `sent` bytes; gives how many of them none had taken before.
    pub(super) fn newly_sent(&mut self, sent: u64) -> u64 {
        let new = sent.saturating_sub(self.sent);
        self.sent += new;
        new
    }

    /// Whether it is not known as the beginning of TLS between client and backend.
    pub(super) fn ends_here(&self) -> bool {
        !matches!(self.from, From::Hello(_))
    }

    /// Whether the client cannot go on without an answer to its greeting, so that one which has
    /// ended its side is gone.
    pub(super) fn needs_answer(&self) -> bool {
        self.from == From::Inside(Protocol::Postgres) && self.meaning() == Meaning::Greeting
    }

    /// Whether the client is one of a listener that relays by port.
    pub(super) fn is_by_port(&self) -> bool {
        matches!(self.from, From::Port(_))
    }
}

impl Tap for Flight {
    fn see(&mut self, bytes: &[u8]) -> bool {
        if self.first.len() + self.later.len() + bytes.len() > MOST {
            self.more = true;
            self.later = Vec::new();
        }
        if !self.more {
            self.later.extend_from_slice(bytes);
        }
        !self.more
    }
}

fn meaning(from: From, bytes: &[u8]) -> Meaning {
    let greeting = |greets| {
        if greets {
            Meaning::Greeting
        } else {
            Meaning::Request
        }
    };
    match (from, bytes.first()) {
        (_, None) => Meaning::Nothing,
        (From::Hello(length), _) if bytes.len() == length => Meaning::Greeting,
        (From::Hello(_), _) => Meaning::Unknown,
        (From::Port(_), Some(&TLS_HANDSHAKE)) => match HelloParser::default().advance(bytes) {
            Ok(Some(hello)) if hello.wire_len == bytes.len() => Meaning::Greeting,
            Ok(None) => Meaning::Greeting,
            _ => Meaning::Unknown,
        },
        (From::Inside(protocol) | From::Port(protocol), _) => match protocol {
            Protocol::Postgres => match Responder::inside_tls().advance(bytes) {
                Ok(Step::NeedMore | Step::Reply { .. }) => Meaning::Greeting,
                Ok(Step::Startup(length)) => greeting(length == bytes.len()),
                Ok(Step::Cancel(_) | Step::StartTls) | Err(_) => Meaning::Unknown,
            },
            Protocol::Redis => greeting(redis::only_greets(bytes)),
            Protocol::Mongodb => greeting(mongodb::only_greets(bytes)),
            Protocol::Mysql | Protocol::Mariadb | Protocol::Tls => Meaning::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_sent_twice() {
        let startup: &[u8] = b"\0\0\0\x12\0\x03\0\0user\0app\0\0";
        let cancel: &[u8] = b"\0\0\0\x10\x04\xd2\x16\x2e12345678";
        let more = [startup, b"Q\0\0\0\x05\0"].concat();
        let inside = From::Inside;
        let table: [(From, &[u8], Meaning); 15] = [
            (From::Hello(3), b"", Meaning::Nothing),
            (From::Hello(3), b"abc", Meaning::Greeting),
            (From::Hello(3), b"abcd", Meaning::Unknown),
            (inside(Protocol::Postgres), startup, Meaning::Greeting),
            (inside(Protocol::Postgres), &more, Meaning::Request),
            (inside(Protocol::Postgres), cancel, Meaning::Unknown),
            (
                inside(Protocol::Postgres),
                b"\0\0\0\x08\x04\xd2\x16\x2f",
                Meaning::Greeting,
            ),
            (inside(Protocol::Redis), b"PING\r\n", Meaning::Greeting),
            (inside(Protocol::Redis), b"INCR n\r\n", Meaning::Request),
            (inside(Protocol::Mongodb), b"\x20\0\0\0", Meaning::Greeting),
            (inside(Protocol::Mongodb), b"\0\0\0\0", Meaning::Request),
            (inside(Protocol::Tls), b"PING\r\n", Meaning::Unknown),
            (
                From::Port(Protocol::Tls),
                b"\x16\x03\x01",
                Meaning::Greeting,
            ),
            (From::Port(Protocol::Mysql), b"x", Meaning::Unknown),
            (From::Port(Protocol::Postgres), startup, Meaning::Greeting),
        ];
        for (from, bytes, expected) in table {
            assert_eq!(
                meaning(from, bytes),
                expected,
                "{from:?} {}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn what_is_not_kept_is_not_sent_again() {
        let from = From::Inside(Protocol::Redis);
        let mut flight = Flight::new(from, Bytes::from_static(b"PING\r\n"));
        assert!(flight.see(b"PING\r\n"));
        assert_eq!(&flight.bytes()[..], b"PING\r\nPING\r\n");
        assert_eq!(flight.meaning(), Meaning::Greeting);
        assert!(!flight.see(&[b'\n'; MOST]));
        assert_eq!(flight.meaning(), Meaning::Request);
        assert!(!flight.see(b"PING\r\n"));
        assert_eq!(flight.meaning(), Meaning::Request);
        assert!(flight.bytes().len() < MOST);
    }
}
