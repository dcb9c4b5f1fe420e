//! One direction of a TCP connection, put together from its segments (RFC 9293).
//!
//! The beginning of the stream, up to [`KEPT`] bytes, is collected in whatever order the segments
//! come, so that the outcome does not depend on it; only times, and notes about segments that came
//! again, do. Not here: which of the two ends is the client ([`super::conversation`]), and what the
//! bytes mean.

mod bytes;
mod sequence;

use std::time::Duration;

use super::link::Segment;
use crate::probe::exchange::{Flow, KEPT, Loss, StreamEnd};
use bytes::{BEFORE, Bytes, to_i64};
use sequence::Sequence;

/// The most places remembered at which a snapshot length has cut bytes off.
const MAX_HOLES: usize = 64;

/// Arrival of a segment in its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Position of its first byte, counted from the beginning of the stream if that is known.
    pub(super) position: i64,
    /// All its bytes were there before.
    pub(super) again: bool,
    /// Bytes before it are missing so far.
    pub(super) early: bool,
    /// A keepalive probe.
    pub(super) keepalive: bool,
}

/// One direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    sequence: Sequence,
    /// The sequence number of the SYN.
    syn: Option<u32>,
    bytes: Bytes,
    /// The lowest and the highest position that the other end has said to expect next.
    acked: Option<(i64, i64)>,
    fin: Option<(i64, Duration)>,
    /// The earliest reset.
    reset: Option<Reset>,
    /// The highest position that a segment of this side has shown.
    reach: Option<i64>,
    /// Start of the stream, as the other end has confirmed the SYN.
    confirmed: Option<i64>,
    /// Position that the other end expected next when it closed.
    farewell: Option<i64>,
    /// The same of its earliest reset, which may come before anything else: when, and the number.
    reset_farewell: Option<(Duration, u32)>,
    /// Positions where captured bytes break off within a segment.
    holes: Vec<i64>,
    /// True if the direction carried any byte.
    spoke: bool,
    /// Segments whose bytes were there before.
    again: u32,
}

/// A reset; its numbers mean something only beside those of other segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reset {
    at: Duration,
    seq: u32,
    ack: Option<u32>,
}

impl Stream {
    /// The sequence number of the SYN, if one was seen.
    pub(super) fn syn(&self) -> Option<u32> {
        self.syn
    }

    /// Returns whether it carried any byte.
    pub(super) fn spoke(&self) -> bool {
        self.spoke
    }

    /// The bytes from the beginning, as far as there is no gap and the beginning is known.
    pub(super) fn flow(&self) -> &Flow {
        &self.bytes.flow
    }

    /// Number of segments that carried only what was there before.
    pub(super) fn again(&self) -> u32 {
        self.again
    }

    /// Position of the first conflict, from the beginning.
    pub(super) fn conflict(&self) -> Option<u64> {
        self.bytes.conflict()
    }

    /// Time of this side's reset.
    pub(super) fn reset(&self) -> Option<Duration> {
        self.reset.map(|reset| reset.at)
    }

    /// Returns whether its reset answers the other end's SYN, and nothing else (RFC 9293 section
    /// 3.10.7.1).
    pub(super) fn refuses(&self, syn: Option<u32>) -> bool {
        let ack = self.reset.and_then(|reset| reset.ack);
        ack.is_some() && ack == syn.map(|syn| syn.wrapping_add(1))
    }

    /// Memory that the bytes take.
    pub(super) fn weight(&self) -> usize {
        self.bytes.weight()
    }

    /// Returns whether a SYN with this sequence number can belong to what was seen so far.
    pub(super) fn may_begin_at(&self, syn: u32) -> bool {
        if let Some(known) = self.syn {
            return known == syn;
        }
        if self.sequence.near.is_none() {
            return true;
        }
        let begin = self.sequence.clone().position(syn.wrapping_add(1));
        let lowest = [self.bytes.lowest(), self.acked.map(|(low, _)| low)];
        let lowest = lowest.into_iter().flatten().min();
        lowest.is_none_or(|lowest| (0..=BEFORE).contains(&(lowest - begin)))
    }

    /// Returns whether its end was seen, and all before it.
    pub(super) fn is_complete(&self) -> bool {
        self.fin.is_some_and(|(fin, _)| self.bytes.end() >= fin)
    }

    /// Notes the acknowledgment of the other end.
    pub(super) fn acknowledge(&mut self, ack: u32, segment: &Segment<'_>, at: Duration) {
        if segment.rst {
            let before = self.reset_farewell.unwrap_or((at, ack));
            self.reset_farewell = Some(before.min((at, ack)));
            return;
        }
        if !self.sequence.is_near(ack) {
            return;
        }
        let position = self.sequence.position(ack);
        if segment.fin {
            self.farewell = self.farewell.max(Some(position));
        }
        if segment.syn {
            self.confirmed = Some(position);
        }
        let (low, high) = self.acked.unwrap_or((position, position));
        self.acked = Some((low.min(position), high.max(position)));
    }

    /// Adds a segment.
    pub(super) fn add(&mut self, segment: &Segment<'_>, at: Duration) -> Arrival {
        if segment.rst {
            // What it carries is a diagnostic text at most (RFC 9293 section 3.10.7.4).
            let (seq, ack) = (segment.seq, segment.ack);
            let reset = Reset { at, seq, ack };
            self.reset = Some(self.reset.map_or(reset, |before| before.min(reset)));
            return Arrival::default();
        }
        let mut seq = segment.seq;
        let mut again = false;
        if segment.syn {
            again = self.open(seq);
            seq = seq.wrapping_add(1);
        }
        let position = self.sequence.position(seq);
        let length = segment.payload.len() + segment.missing;
        if length > 0 {
            self.spoke = true;
        }
        let past = position + to_i64(length);
        self.reach = self.reach.max(Some(past));
        if segment.fin {
            let (fin, when) = self.fin.unwrap_or((past, at));
            again |= length == 0 && self.fin.is_some();
            self.fin = Some((fin.min(past), when.min(at)));
        }
        let mut arrival = Arrival {
            position: position - self.bytes.begin.unwrap_or(0),
            again,
            early: self.bytes.begin.is_some() && length > 0 && position > self.bytes.end(),
            keepalive: false,
        };
        if length == 0 {
            arrival.keepalive = !segment.syn && !segment.fin && past + 1 == self.bytes.end();
            return arrival;
        }
        // A keepalive probe repeats the last byte, or has any byte in its place.
        if length == 1 && past == self.bytes.end() && self.bytes.has_any() {
            arrival.keepalive = true;
            return arrival;
        }
        let new = self.bytes.insert(position, segment.payload, at);
        if segment.missing > 0 && self.holes.len() < MAX_HOLES {
            let hole = position + to_i64(segment.payload.len());
            if !self.holes.contains(&hole) {
                self.holes.push(hole);
            }
        }
        if !new && !segment.payload.is_empty() {
            arrival.again = self.bytes.is_wanted(position);
        }
        self.again += u32::from(arrival.again);
        arrival
    }

    /// Notes where the stream begins; whether that was known.
    fn open(&mut self, syn: u32) -> bool {
        if self.syn.is_some() {
            return true;
        }
        self.syn = Some(syn);
        let begin = self.sequence.position(syn.wrapping_add(1));
        self.bytes.begin_at(begin);
        false
    }

    /// Ends the collecting: what was said, as far as it is known.
    ///
    /// `opened` is set if a SYN of either end was seen, so that the first byte which the other
    /// end has acknowledged, or which came, is the first of the stream. If not, the stream is
    /// taken to begin where the recording of it does.
    pub(super) fn finish(mut self, opened: bool) -> Flow {
        let mut proven = self.bytes.begin.is_some();
        if self.bytes.begin.is_none() {
            let acked = self.acked.filter(|_| opened).map(|(low, _)| low);
            if let Some(begin) = [self.bytes.lowest(), acked].into_iter().flatten().min() {
                self.bytes.begin_at(begin);
                proven = self.confirmed == Some(begin);
            }
        }
        let end = self.bytes.end();
        let acked = self.acked.map_or(i64::MIN, |(_, high)| high);
        // Behind the FIN one number is acknowledged that is not of a byte.
        let fin = self.fin.map_or(i64::MAX, |(fin, _)| fin);
        let full = self.bytes.flow.bytes().len() >= KEPT;
        if !full && self.holes.contains(&end) {
            self.bytes.flow.lose(Loss::Snaplen);
        } else if !full && acked.min(fin) > end {
            self.bytes.flow.lose(Loss::Gap);
        }
        if !proven {
            self.bytes.flow.miss_start();
        }
        if full || !self.is_seen_to(end) {
            self.bytes.flow.miss_end();
        }
        if let Some((fin, at)) = self.fin
            && (end >= fin || acked > fin)
        {
            self.bytes.flow.end(StreamEnd::Closed, at);
        }
        if let Some(reset) = self.reset {
            self.bytes.flow.end(StreamEnd::Reset, reset.at);
        }
        self.bytes.flow
    }

    /// Returns whether it is known that nothing was said beyond this position: this side ended
    /// there, or the other end gave up when it had got no more.
    fn is_seen_to(&self, end: i64) -> bool {
        let fin = self.fin.map(|(fin, _)| fin);
        // Behind the FIN one number is not of a byte.
        let within = |position: i64| fin.map_or(position, |fin| position.min(fin));
        let reached = self.reach.is_some_and(|reach| within(reach) > end);
        let of_reset = |seq| {
            self.sequence.near?;
            Some(self.sequence.clone().position(seq))
        };
        let reset = self.reset.and_then(|reset| of_reset(reset.seq));
        let own = fin.is_some_and(|fin| fin <= end) || reset.map(within) == Some(end);
        let farewell = self.reset_farewell.and_then(|(_, ack)| of_reset(ack));
        let farewell = farewell.max(self.farewell);
        (own && !reached) || farewell.map(within) == Some(end)
    }
}

/// Notes a time if it is earlier than the one known.
pub(super) fn earliest(known: &mut Option<Duration>, at: Duration) {
    *known = Some(known.map_or(at, |before| before.min(at)));
}
