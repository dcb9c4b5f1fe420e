//! Bytes of one direction, put in order by their positions.
//!
//! Where two segments carry different bytes for the same position the first one wins and a conflict
//! is noted.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::probe::exchange::{Flow, KEPT};
use crate::wire::Reader;

/// Memory of an out-of-order segment beyond its bytes: its share of the tree.
const OUT_OF_ORDER_COST: usize = 64;

/// Distance before the first byte seen at which the true beginning may be, in bytes, as long as no
/// SYN tells: packets do not overtake each other by more than a large window.
pub(super) const BEFORE: i64 = 1 << 20;

/// The beginning of a stream, up to [`KEPT`] bytes, and what came ahead of its turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Bytes {
    /// Start of the stream, if it is known.
    pub(super) begin: Option<i64>,
    /// Position at which `flow` begins.
    from: i64,
    /// The bytes without a gap from `from`.
    pub(super) flow: Flow,
    /// Segments that do not touch `flow`, by position; they do not overlap.
    out_of_order: BTreeMap<i64, OutOfOrder>,
    out_of_order_len: usize,
    /// First position for which different bytes came.
    conflict: Option<i64>,
}

#[derive(Clone, Debug)]
struct OutOfOrder {
    at: Duration,
    bytes: Box<[u8]>,
}

impl Bytes {
    /// Position of the first conflict, from the beginning.
    pub(super) fn conflict(&self) -> Option<u64> {
        self.conflict
            .and_then(|position| u64::try_from(position - self.from).ok())
    }

    /// Memory that the bytes take.
    pub(super) fn weight(&self) -> usize {
        self.flow.bytes().len()
            + self.out_of_order_len
            + self.out_of_order.len() * OUT_OF_ORDER_COST
    }

    /// Returns whether any byte is there in order.
    pub(super) fn has_any(&self) -> bool {
        !self.flow.bytes().is_empty()
    }

    /// Sets the beginning, and puts what is there in order from it on.
    pub(super) fn begin_at(&mut self, begin: i64) {
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
    pub(super) fn end(&self) -> i64 {
        self.from + to_i64(self.flow.bytes().len())
    }

    /// The lowest position of which a byte is there.
    pub(super) fn lowest(&self) -> Option<i64> {
        let held = self.out_of_order.keys().next().copied();
        let flow = (!self.flow.bytes().is_empty()).then_some(self.from);
        [held, flow].into_iter().flatten().min()
    }

    /// Returns whether bytes at this position are among those to keep.
    pub(super) fn is_wanted(&self, position: i64) -> bool {
        let from = self.begin.or_else(|| self.lowest()).unwrap_or(position);
        let lowest = if self.begin.is_some() {
            from
        } else {
            from - BEFORE
        };
        position >= lowest && position < from + to_i64(KEPT)
    }

    /// Adds bytes; whether there was any new one among them.
    pub(super) fn insert(&mut self, mut position: i64, mut bytes: &[u8], at: Duration) -> bool {
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
        self.out_of_order_len -= beyond.values().map(|held| held.bytes.len()).sum::<usize>();
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

    /// Returns whether the known bytes at `position` are these.
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
        self.out_of_order_len += bytes.len();
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
            self.out_of_order_len -= held.bytes.len();
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
}

/// A length as a distance between positions; lengths here are far below 2^63.
pub(super) fn to_i64(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
