//! Bytes exchanged on a connection: the first of each end, when they came and how it
//! ended.
//!
//! It is filled by an observer (a capture, a recorded socket) and read by
//! [`super::dissection`]. It does not know what the bytes mean, and has no clock: times come from
//! outside, counted from the first moment of the connection.

use std::time::Duration;

/// Bytes kept of each side: enough for any handshake that succeeds.
pub const KEPT: usize = 64 * 1024;

/// The most pieces of a side whose arrival is remembered; further ones belong to the last.
pub const MAX_PIECES: usize = 1024;

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end that connected.
    Client,
    /// The end that was connected to.
    Server,
}

impl Side {
    /// The other end.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// The word used in texts and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// End of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// In good order (FIN).
    Closed,
    /// By a reset (RST).
    Reset,
}

/// Some bytes that arrived together: a segment of a capture, or what one read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Offset from the start of the stream, in bytes.
    pub offset: usize,
    /// Time of arrival.
    pub at: Duration,
}

/// Bytes of one direction.
///
/// Whoever sits at a socket sees all of it. A recording may lack any part, so it also says what was
/// seen of the stream's two ends: absence proves something only where it was seen.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    total: u64,
    end: Option<(StreamEnd, Duration)>,
    lost: Option<Loss>,
    /// True if something may have been said before the first byte.
    start_unseen: bool,
    /// True if something may have been said after the last byte.
    end_unseen: bool,
}

/// Reason why nothing is known of a stream from some point on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Segments were never captured.
    Gap,
    /// The capture kept only the first bytes of each packet.
    Snaplen,
    /// The capture began in the middle of the connection.
    Start,
}

impl Flow {
    /// Adds the next bytes of the stream; what lies beyond [`KEPT`] is counted, not kept.
    pub fn push(&mut self, bytes: &[u8], at: Duration) {
        if bytes.is_empty() {
            return;
        }
        self.total += bytes.len() as u64;
        if self.lost.is_some() {
            return;
        }
        let offset = self.bytes.len();
        let room = KEPT.saturating_sub(offset);
        let kept = bytes.get(..room).unwrap_or(bytes);
        if kept.is_empty() {
            return;
        }
        if self.pieces.len() < MAX_PIECES {
            self.pieces.push(Piece { offset, at });
        }
        self.bytes.extend_from_slice(kept);
    }

    /// Remembers how the side ended; of several ends the earliest counts.
    pub fn end(&mut self, end: StreamEnd, at: Duration) {
        if self.end.is_none_or(|(_, before)| at < before) {
            self.end = Some((end, at));
        }
    }

    /// Marks the rest of the stream as unknown.
    pub fn lose(&mut self, loss: Loss) {
        self.lost.get_or_insert(loss);
    }

    /// Marks the start of the stream as unseen.
    pub fn miss_start(&mut self) {
        self.start_unseen = true;
    }

    /// Marks the end of the stream as unseen.
    pub fn miss_end(&mut self) {
        self.end_unseen = true;
    }

    /// Returns whether the first byte is the first of the stream, beyond doubt.
    #[must_use]
    pub fn has_start(&self) -> bool {
        !self.start_unseen && self.lost != Some(Loss::Start)
    }

    /// Returns whether these bytes are all that the side said until one of the ends gave up.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.has_start() && self.lost.is_none() && !self.end_unseen
    }

    /// Counts all times from `origin` on instead of from where they were counted so far.
    pub fn count_from(&mut self, origin: Duration) {
        for piece in &mut self.pieces {
            piece.at = piece.at.saturating_sub(origin);
        }
        if let Some((_, at)) = &mut self.end {
            *at = at.saturating_sub(origin);
        }
    }

    /// The kept bytes, from the start of the stream.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All bytes of the stream, kept or not.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// In which pieces the kept bytes came; at most [`MAX_PIECES`].
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The end and its time, if it ended.
    #[must_use]
    pub fn ended(&self) -> Option<(StreamEnd, Duration)> {
        self.end
    }

    /// Reason why the rest of the stream is unknown, if it is.
    #[must_use]
    pub fn lost(&self) -> Option<Loss> {
        self.lost
    }

    /// Time at which the byte at `offset` came.
    #[must_use]
    pub fn time_of(&self, offset: usize) -> Option<Duration> {
        if offset >= self.bytes.len() {
            return None;
        }
        let after = self.pieces.partition_point(|piece| piece.offset <= offset);
        self.pieces.get(after.checked_sub(1)?).map(|piece| piece.at)
    }

    /// Number of pieces that carried the bytes from `from` up to, not including, `to`.
    #[must_use]
    pub fn pieces_between(&self, from: usize, to: usize) -> usize {
        let first = self.pieces.partition_point(|piece| piece.offset <= from);
        let last = self.pieces.partition_point(|piece| piece.offset < to);
        (last + 1).saturating_sub(first)
    }

    /// Time of the last kept piece.
    #[must_use]
    pub fn last_at(&self) -> Option<Duration> {
        self.pieces.last().map(|piece| piece.at)
    }
}

/// Result of the TCP connection attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connect {
    /// Not seen: a capture that began later, or a socket that was handed over.
    #[default]
    Unseen,
    /// Asked, and never answered.
    Unanswered,
    /// Answered by a reset.
    Refused(Duration),
    /// Answered after this time.
    Accepted(Duration),
}

/// One connection, as far as it matters.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// Result of the TCP connection attempt.
    pub connect: Connect,
    /// Bytes of the client.
    pub client: Flow,
    /// Bytes of the server.
    pub server: Flow,
    /// True if more may follow: the connection is open and still being watched.
    pub open: bool,
}

impl Exchange {
    /// Bytes of one side.
    #[must_use]
    pub fn side(&self, side: Side) -> &Flow {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// First end to close, and how; at the same moment it is the server.
    #[must_use]
    pub fn ended_first(&self) -> Option<(Side, StreamEnd)> {
        match (self.client.end, self.server.end) {
            (Some((end, at)), Some((_, other))) if at < other => Some((Side::Client, end)),
            (_, Some((end, _))) => Some((Side::Server, end)),
            (Some((end, _)), None) => Some((Side::Client, end)),
            (None, None) => None,
        }
    }

    /// The same, to add to it.
    pub fn side_mut(&mut self, side: Side) -> &mut Flow {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn pieces_tell_when_and_in_how_many_parts_bytes_came() {
        let mut flow = Flow::default();
        flow.push(b"abc", ms(1));
        flow.push(b"", ms(2));
        flow.push(b"de", ms(3));
        assert_eq!(flow.bytes(), b"abcde");
        let times: Vec<_> = (0..6).map(|offset| flow.time_of(offset)).collect();
        let (one, three) = (Some(ms(1)), Some(ms(3)));
        assert_eq!(times, [one, one, one, three, three, None]);
        for (from, to, pieces) in [(0, 3, 1), (0, 4, 2), (1, 2, 1), (3, 5, 1), (2, 5, 2)] {
            assert_eq!(flow.pieces_between(from, to), pieces, "{from}..{to}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut flow = Flow::default();
        for _ in 0..KEPT {
            flow.push(b"ab", ms(0));
        }
        assert_eq!(flow.bytes().len(), KEPT);
        assert_eq!(flow.total(), 2 * KEPT as u64);
        assert_eq!(flow.pieces().len(), MAX_PIECES);
        flow.lose(Loss::Gap);
        flow.push(b"c", ms(0));
        assert_eq!(
            (flow.total(), flow.bytes().len()),
            (2 * KEPT as u64 + 1, KEPT)
        );
    }

    #[test]
    fn of_several_ends_the_earliest_counts_in_whatever_order_they_are_told() {
        let mut flow = Flow::default();
        flow.end(StreamEnd::Closed, ms(2));
        flow.end(StreamEnd::Reset, ms(3));
        flow.end(StreamEnd::Closed, ms(1));
        assert_eq!(flow.ended(), Some((StreamEnd::Closed, ms(1))));
    }

    #[test]
    fn who_ended_first_is_known_by_time() {
        let mut exchange = Exchange::default();
        assert_eq!(exchange.ended_first(), None);
        exchange.server.end(StreamEnd::Reset, ms(5));
        assert_eq!(
            exchange.ended_first(),
            Some((Side::Server, StreamEnd::Reset))
        );
        exchange.client.end(StreamEnd::Closed, ms(4));
        assert_eq!(
            exchange.ended_first(),
            Some((Side::Client, StreamEnd::Closed))
        );
    }
}
