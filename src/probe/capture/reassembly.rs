//! One direction of a TCP connection, put together from its segments (RFC 9293).
//!
//! The beginning of the stream, up to [`KEPT`] bytes, is collected in whatever order the segments
//! come, so that the outcome does not depend on it; only times, and notes about segments that came
//! again, do. Where two segments carry different bytes for the same place the first one wins and a
//! conflict is noted. Not here: which of the two ends is the client
//! ([`super::conversation`]), and what the bytes mean.

use std::collections::BTreeMap;
use std::time::Duration;

use super::link::Segment;
use crate::probe::exchange::{Flow, KEPT, Loss, StreamEnd};
use crate::wire::Reader;

/// What a held segment costs beyond its bytes, in bytes: its share of the tree.
const OUT_OF_ORDER_COST: usize = 64;

/// How far before the first byte seen another may be the true beginning, in bytes, as long as no
/// SYN tells: packets do not overtake each other by more than a large window.
const BEFORE: i64 = 1 << 20;

/// The most places remembered at which a snapshot length has cut bytes off.
const MAX_HOLES: usize = 64;

/// What a segment was to its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Position of its first byte, counted from the beginning of the stream if that is known.
    pub(super) position: i64,
    /// All its bytes were there before.
    pub(super) again: bool,
    /// Bytes before it are missing so far.
    pub(super) early: bool,
    /// It asks for a sign of life and carries nothing.
    pub(super) keepalive: bool,
}

/// One direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    count: Count,
    /// The sequence number of the SYN.
    syn: Option<u32>,
    /// Where the stream begins, if a SYN tells.
    begin: Option<i64>,
    /// Where `flow` begins.
    from: i64,
    /// The bytes without a gap from `from`.
    flow: Flow,
    /// Segments that do not touch `flow`, by position; they do not overlap.
    out_of_order: BTreeMap<i64, OutOfOrder>,
    out_of_order_bytes: usize,
    /// The lowest and the highest position that the other end has said to expect next.
    acked: Option<(i64, i64)>,
    fin: Option<(i64, Duration)>,
    /// The earliest reset.
    reset: Option<Reset>,
    /// The highest position that a segment of this side has shown.
    reach: Option<i64>,
    /// Where the stream begins, as the other end has confirmed the SYN.
    confirmed: Option<i64>,
    /// What the other end expected next when it closed.
    farewell: Option<i64>,
    /// The same of its earliest reset, which may come before anything else: when, and the number.
    reset_farewell: Option<(Duration, u32)>,
    /// Positions where captured bytes break off within a segment.
    holes: Vec<i64>,
    /// Whether the direction carried any byte.
    spoke: bool,
    /// Segments whose bytes were there before.
    again: u32,
    /// Where different bytes came for the same place.
    conflict: Option<i64>,
}

/// A reset; its numbers mean something only beside those of other segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reset {
    at: Duration,
    seq: u32,
    ack: Option<u32>,
}

#[derive(Clone, Debug)]
struct OutOfOrder {
    at: Duration,
    bytes: Box<[u8]>,
}

/// Positions from sequence numbers: these wrap around at 2^32, positions do not.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// A sequence number and its position, near to what came last.
    near: Option<(u32, i64)>,
}

impl Count {
    /// The position of a sequence number: the one nearest to where the stream is.
    fn position(&mut self, seq: u32) -> i64 {
        let Some((near, position)) = self.near else {
            self.near = Some((seq, 0));
            return 0;
        };
        let ahead = i64::from(seq.wrapping_sub(near).cast_signed());
        // Moves along with the stream, but not with every stray number.
        if (1..1 << 30).contains(&ahead) {
            self.near = Some((seq, position + ahead));
        }
        position + ahead
    }

    /// Whether a number is one that this stream can have reached.
    fn is_near(&self, seq: u32) -> bool {
        let ahead = |near| seq.wrapping_sub(near).cast_signed();
        self.near
            .is_none_or(|(near, _)| ahead(near).unsigned_abs() < 1 << 30)
    }
}

impl Stream {
    /// The sequence number of the SYN, if one was seen.
    pub(super) fn syn(&self) -> Option<u32> {
        self.syn
    }

    /// Whether it carried any byte.
    pub(super) fn spoke(&self) -> bool {
        self.spoke
    }

    /// The bytes from the beginning, as far as there is no gap and the beginning is known.
    pub(super) fn flow(&self) -> &Flow {
        &self.flow
    }

    /// How many segments carried only what was there before.
    pub(super) fn again(&self) -> u32 {
        self.again
    }

    /// Where different bytes came for the same place, from the beginning.
    pub(super) fn conflict(&self) -> Option<u64> {
        self.conflict
            .and_then(|position| u64::try_from(position - self.from).ok())
    }

    /// When it was reset by this side.
    pub(super) fn reset(&self) -> Option<Duration> {
        self.reset.map(|reset| reset.at)
    }

    /// Whether its reset answers the other end's SYN, and nothing else (RFC 9293 section 3.10.7.1).
    pub(super) fn refuses(&self, syn: Option<u32>) -> bool {
        let ack = self.reset.and_then(|reset| reset.ack);
        ack.is_some() && ack == syn.map(|syn| syn.wrapping_add(1))
    }

    /// How much memory the bytes take.
    pub(super) fn weight(&self) -> usize {
        self.flow.bytes().len()
            + self.out_of_order_bytes
            + self.out_of_order.len() * OUT_OF_ORDER_COST
    }

    /// Whether a SYN with this sequence number can belong to what was seen so far.
    pub(super) fn may_begin_at(&self, syn: u32) -> bool {
        if let Some(known) = self.syn {
            return known == syn;
        }
        if self.count.near.is_none() {
            return true;
        }
        let begin = self.count.clone().position(syn.wrapping_add(1));
        let lowest = [self.lowest(), self.acked.map(|(low, _)| low)];
        let lowest = lowest.into_iter().flatten().min();
        lowest.is_none_or(|lowest| (0..=BEFORE).contains(&(lowest - begin)))
    }

    /// Whether its end was seen, and all before it.
    pub(super) fn is_complete(&self) -> bool {
        self.fin.is_some_and(|(fin, _)| self.end() >= fin)
    }

    /// Takes note of what a segment of the other end says to expect next.
    pub(super) fn acknowledge(&mut self, ack: u32, segment: &Segment<'_>, at: Duration) {
        if segment.rst {
            let before = self.reset_farewell.unwrap_or((at, ack));
            self.reset_farewell = Some(before.min((at, ack)));
            return;
        }
        if !self.count.is_near(ack) {
            return;
        }
        let position = self.count.position(ack);
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
        let position = self.count.position(seq);
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
            position: position - self.begin.unwrap_or(0),
            again,
            early: self.begin.is_some() && length > 0 && position > self.end(),
            keepalive: false,
        };
        if length == 0 {
            arrival.keepalive = !segment.syn && !segment.fin && past + 1 == self.end();
            return arrival;
        }
        // A sign of life is asked for by repeating the last byte, or by any byte in its place.
        if length == 1 && past == self.end() && self.end() > self.from {
            arrival.keepalive = true;
            return arrival;
        }
        let new = self.insert(position, segment.payload, at);
        if segment.missing > 0 && self.holes.len() < MAX_HOLES {
            let hole = position + to_i64(segment.payload.len());
            if !self.holes.contains(&hole) {
                self.holes.push(hole);
            }
        }
        if !new && !segment.payload.is_empty() {
            arrival.again = self.is_wanted(position);
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
        let begin = self.count.position(syn.wrapping_add(1));
        self.begin_at(begin);
        false
    }

    fn begin_at(&mut self, begin: i64) {
        self.begin = Some(begin);
        if begin == self.from {
            return;
        }
        let flow = std::mem::take(&mut self.flow);
        let mut reader = Reader::new(flow.bytes());
        let mut pieces = flow.pieces().iter().peekable();
        while let Some(piece) = pieces.next() {
            let until = pieces.peek().map_or(flow.bytes().len(), |next| next.offset);
            let bytes = reader.take_up_to(until.saturating_sub(piece.offset));
            self.queue(self.from + to_i64(piece.offset), bytes, piece.at);
        }
        self.from = begin;
        self.absorb();
    }

    /// The position behind the bytes without a gap.
    fn end(&self) -> i64 {
        self.from + to_i64(self.flow.bytes().len())
    }

    /// The lowest position of which a byte is there.
    fn lowest(&self) -> Option<i64> {
        let held = self.out_of_order.keys().next().copied();
        let flow = (!self.flow.bytes().is_empty()).then_some(self.from);
        [held, flow].into_iter().flatten().min()
    }

    /// Whether bytes at this position are among those to keep.
    fn is_wanted(&self, position: i64) -> bool {
        let from = self.begin.or_else(|| self.lowest()).unwrap_or(position);
        let lowest = if self.begin.is_some() {
            from
        } else {
            from - BEFORE
        };
        position >= lowest && position < from + to_i64(KEPT)
    }

    /// Adds bytes; whether there was any new one among them.
    fn insert(&mut self, mut position: i64, mut bytes: &[u8], at: Duration) -> bool {
        if let Some(begin) = self.begin {
            let before = usize::try_from(begin - position).unwrap_or(0);
            bytes = bytes.get(before..).unwrap_or_default();
            position = position.max(begin);
        } else if self.flow.bytes().is_empty() && self.out_of_order.is_empty() {
            self.from = position;
        }
        if bytes.is_empty() || !self.is_wanted(position) {
            return false;
        }
        let from = self.begin.or_else(|| self.lowest()).unwrap_or(position);
        let room = from + to_i64(KEPT) - position;
        bytes = bytes
            .get(..usize::try_from(room).unwrap_or(0))
            .unwrap_or(bytes);
        if position == self.end() && self.out_of_order.is_empty() {
            self.flow.push(bytes, at);
            return true;
        }
        let new = self.fill_in(position, bytes, at);
        if self.begin.is_none() {
            self.prune();
        }
        self.absorb();
        new
    }

    /// Drops what lies too far behind a beginning that has turned out to be earlier.
    fn prune(&mut self) {
        let Some(lowest) = self.lowest() else { return };
        let limit = lowest + to_i64(KEPT);
        if self.from >= limit {
            self.flow = Flow::default();
            self.from = lowest;
        }
        self.drop_out_of_order(limit);
    }

    fn drop_out_of_order(&mut self, limit: i64) {
        let beyond = self.out_of_order.split_off(&limit);
        self.out_of_order_bytes -= beyond.values().map(|held| held.bytes.len()).sum::<usize>();
    }

    /// Holds what is new of these bytes, and compares the rest with what is there.
    fn fill_in(&mut self, mut position: i64, bytes: &[u8], at: Duration) -> bool {
        let mut rest = Reader::new(bytes);
        let mut new = false;
        while !rest.is_empty() {
            let (known, until) = self.next_known(position);
            if known > position {
                let gap = usize::try_from(known.saturating_sub(position)).unwrap_or(usize::MAX);
                let fresh = rest.take_up_to(gap);
                self.queue(position, fresh, at);
                position += to_i64(fresh.len());
                new = true;
            } else {
                let overlap = usize::try_from(until - position).unwrap_or(usize::MAX);
                let copy = rest.take_up_to(overlap);
                if !self.agrees(position, copy) {
                    self.conflict.get_or_insert(position);
                }
                position += to_i64(copy.len());
            }
        }
        new
    }

    /// The first range of known bytes that ends behind `position`.
    fn next_known(&self, position: i64) -> (i64, i64) {
        let mut found = (i64::MAX, i64::MAX);
        if !self.flow.bytes().is_empty() && self.end() > position {
            found = (self.from, self.end());
        }
        let before = self.out_of_order.range(..=position).next_back();
        let after = self.out_of_order.range(position..).next();
        for (&start, held) in before.into_iter().chain(after) {
            let end = start + to_i64(held.bytes.len());
            if end > position && start < found.0 {
                found = (start, end);
            }
        }
        found
    }

    /// Whether the known bytes at `position` are these.
    fn agrees(&self, position: i64, copy: &[u8]) -> bool {
        let (start, known) = if (self.from..self.end()).contains(&position) {
            (self.from, self.flow.bytes())
        } else {
            match self.out_of_order.range(..=position).next_back() {
                Some((&start, held)) => (start, &*held.bytes),
                None => return true,
            }
        };
        let offset = usize::try_from(position - start).unwrap_or(usize::MAX);
        known
            .get(offset..)
            .is_some_and(|known| known.starts_with(copy))
    }

    fn queue(&mut self, position: i64, bytes: &[u8], at: Duration) {
        if bytes.is_empty() {
            return;
        }
        self.out_of_order_bytes += bytes.len();
        let bytes = bytes.into();
        self.out_of_order.insert(position, OutOfOrder { at, bytes });
    }

    /// Moves held bytes that have become the next ones.
    fn absorb(&mut self) {
        loop {
            let end = self.end();
            let Some(entry) = self.out_of_order.first_entry() else {
                break;
            };
            let start = *entry.key();
            if start > end || (start < end && self.begin.is_none()) {
                break;
            }
            let held = entry.remove();
            self.out_of_order_bytes -= held.bytes.len();
            // Before the beginning nothing was said, and behind what is kept nothing is wanted.
            let known = usize::try_from(end - start).unwrap_or(0);
            let room = KEPT.saturating_sub(self.flow.bytes().len());
            let fresh = held.bytes.get(known..).unwrap_or_default();
            let fresh = fresh.get(..room).unwrap_or(fresh);
            self.flow.push(fresh, held.at);
        }
        if self.begin.is_some() {
            self.drop_out_of_order(self.from + to_i64(KEPT));
        }
    }

    /// Ends the collecting: what was said, as far as it is known.
    ///
    /// `opened` tells that a SYN of either end was seen, so that the first byte which the other
    /// end has acknowledged, or which came, is the first of the stream. If not, the stream is
    /// taken to begin where the recording of it does.
    pub(super) fn finish(mut self, opened: bool) -> Flow {
        let mut proven = self.begin.is_some();
        if self.begin.is_none() {
            let acked = self.acked.filter(|_| opened).map(|(low, _)| low);
            if let Some(begin) = [self.lowest(), acked].into_iter().flatten().min() {
                self.begin_at(begin);
                proven = self.confirmed == Some(begin);
            }
        }
        let end = self.end();
        let acked = self.acked.map_or(i64::MIN, |(_, high)| high);
        // Behind the FIN one number is acknowledged that stands for no byte.
        let fin = self.fin.map_or(i64::MAX, |(fin, _)| fin);
        let full = self.flow.bytes().len() >= KEPT;
        if !full && self.holes.contains(&end) {
            self.flow.lose(Loss::Snaplen);
        } else if !full && acked.min(fin) > end {
            self.flow.lose(Loss::Gap);
        }
        if !proven {
            self.flow.miss_start();
        }
        if full || !self.is_seen_to(end) {
            self.flow.miss_end();
        }
        if let Some((fin, at)) = self.fin
            && (end >= fin || acked > fin)
        {
            self.flow.end(StreamEnd::Closed, at);
        }
        if let Some(reset) = self.reset {
            self.flow.end(StreamEnd::Reset, reset.at);
        }
        self.flow
    }

    /// Whether it is known that nothing was said beyond this position: this side ended there, or
    /// the other end gave up when it had got no more.
    fn is_seen_to(&self, end: i64) -> bool {
        let fin = self.fin.map(|(fin, _)| fin);
        // Behind the FIN one number stands for no byte.
        let within = |position: i64| fin.map_or(position, |fin| position.min(fin));
        let reached = self.reach.is_some_and(|reach| within(reach) > end);
        let of_reset = |seq| {
            self.count.near?;
            Some(self.count.clone().position(seq))
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

/// A length as a distance between positions; lengths here are far below 2^63.
fn to_i64(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
