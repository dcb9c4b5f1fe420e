//! The first flight: the bytes that a client has sent to a backend which has not answered yet, kept
//! so that the next backend can get them where the first one fails.
//!
//! Not here: their effect, which the protocol knows ([`crate::preface::flight`]).

use bytes::Bytes;

use crate::net::hangup::Gone;
use crate::net::pump::Tap;
use crate::preface::{Channel, FlightKind, of};

/// The most that is kept, in bytes: as much as the longest `ClientHello`, and more than any
/// greeting.
const MOST: usize = 16 * 1024;

/// The first flight of one client.
#[derive(Debug)]
pub(super) struct Flight {
    channel: Channel,
    /// Bytes that were read before the backend was connected.
    first: Bytes,
    later: Vec<u8>,
    /// More was sent than is kept.
    more: bool,
    /// Number of bytes that some backend has taken.
    sent: u64,
}

impl Flight {
    /// A flight that begins with `first`.
    pub(super) fn new(channel: Channel, first: Bytes) -> Self {
        Self {
            channel,
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

    /// The effect that a backend may have given to it.
    pub(super) fn kind(&self) -> FlightKind {
        if self.more {
            self.channel.classify(&[], false)
        } else {
            self.channel.classify(&self.bytes(), true)
        }
    }

    /// Notes that a backend has taken `sent` bytes; gives how many of them none had taken before.
    pub(super) fn newly_sent(&mut self, sent: u64) -> u64 {
        let new = sent.saturating_sub(self.sent);
        self.sent += new;
        new
    }

    /// True if it is not known as the beginning of TLS between client and backend.
    pub(super) fn ends_here(&self) -> bool {
        !matches!(self.channel, Channel::Hello(_))
    }

    /// True if the client cannot go on without an answer to its greeting, so that one which has
    /// ended its side is gone.
    pub(super) fn needs_answer(&self) -> bool {
        self.channel.awaits_answer(self.kind())
    }

    /// The way on which it reaches the backend.
    pub(super) fn channel(&self) -> Channel {
        self.channel
    }

    /// The sign that the client is gone while its backend is being reached.
    ///
    /// One that has sent a hello for the backend, or a message that is answered first, needs an
    /// answer before it can go on. Any other may have said all it has to say, and ended its side.
    pub(super) fn gone(&self) -> Gone {
        match self.channel {
            Channel::Hello(_) => Gone::Ended,
            Channel::Inside(protocol) if of(protocol).awaits_answer() => Gone::Ended,
            Channel::Inside(_) | Channel::Port(_) => Gone::Broken,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;

    #[test]
    fn what_is_not_kept_is_not_sent_again() {
        let channel = Channel::Inside(Protocol::Redis);
        let mut flight = Flight::new(channel, Bytes::from_static(b"PING\r\n"));
        assert!(flight.see(b"PING\r\n"));
        assert_eq!(&flight.bytes()[..], b"PING\r\nPING\r\n");
        assert_eq!(flight.kind(), FlightKind::Greeting);
        assert!(!flight.see(&[b'\n'; MOST]));
        assert_eq!(flight.kind(), FlightKind::Request);
        assert!(!flight.see(b"PING\r\n"));
        assert_eq!(flight.kind(), FlightKind::Request);
        assert!(flight.bytes().len() < MOST);
    }
}
