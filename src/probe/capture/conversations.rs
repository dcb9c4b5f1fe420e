//! All conversations of a capture: which packet belongs to which, and when one is decided.
//!
//! Memory stays bounded, whatever the capture holds: conversations, their bytes and what is
//! remembered of decided ones are limited, and the oldest are finished first. A conversation that
//! is decided frees its bytes; later packets of it cost one lookup in a table. Not here: one
//! conversation in itself (`conversation`), and how rows are shown.

mod slot;

use std::collections::{HashMap, VecDeque};

use super::conversation::{Conversation, Diagnosis, Which};
use super::hints::Hints;
use super::link::Segment;
use super::reassembly::Arrival;
use crate::probe::report::{Finding, Report, Verdict};
use crate::probe::rules;
use slot::{Decided, Key, Open, Slot, is_open};

/// The most open conversations; one takes some 700 bytes without what was said in it.
const MAX_OPEN: usize = 1 << 16;

/// The most decided conversations that are remembered, so that late packets of one do not look like
/// another; one takes some 150 bytes.
const MAX_DONE: usize = 1 << 16;

/// The most bytes of open conversations: room for all of them if each says no more than 2 KiB, and
/// for a thousand that hold all they may.
const MAX_BYTES: usize = 128 << 20;

/// Closed conversations that wait for late packets when rows are not needed at once.
const MAX_CLOSING: usize = 1 << 8;

/// Interval at which an undecided conversation is diagnosed in a live capture, in nanoseconds of
/// the capture's time: each time costs as much as there is to read in it.
const DIAGNOSE_INTERVAL: u64 = 250_000_000;

const EARLY: &str =
    "It was finished early to make room for newer ones; what came later is not in it.";

/// Reason for finishing a conversation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FinishReason {
    /// Nothing more can change it.
    Decided,
    /// There was no room for it any longer.
    Evicted,
    /// The capture has ended.
    Ended,
}

/// Pace of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As soon as a conversation is decided.
    Live,
    /// Any time; a conversation may get late packets for a while.
    Whole,
}

/// Counts of all conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Conversations with a report.
    pub told: u64,
    /// Those of them in which TLS was established.
    pub established: u64,
    /// Those of them in which it was seen not to come about.
    pub failed: u64,
    /// Those of which not enough was recorded.
    pub unknown: u64,
    /// Connections without a first packet or any data, which get no report.
    pub empty: u64,
    /// Conversations that were finished early for want of room, before they were decided.
    pub early: u64,
}

/// The table of conversations.
#[derive(Debug)]
pub struct Conversations {
    pace: Pace,
    hints: Hints,
    limits: Limits,
    table: HashMap<Key, Slot>,
    /// The open ones, the oldest first, and some that no longer are.
    order: VecDeque<(Key, u64)>,
    open: usize,
    /// The decided ones, the first to be forgotten first, and some that no longer are.
    done: VecDeque<(Key, u64)>,
    /// Closed ones in the order in which they closed.
    closing: VecDeque<(Key, u64)>,
    /// Undecided ones that have got packets since they were diagnosed (live only).
    waiting: VecDeque<(Key, u64, u64)>,
    bytes: usize,
    last_id: u64,
    ready: VecDeque<Report>,
    counts: Counts,
    fault: Option<Finding>,
    watched: Option<u64>,
    trace: Option<Box<Diagnosis>>,
}

/// Limits of what is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) open: usize,
    pub(super) done: usize,
    pub(super) bytes: usize,
}

impl Conversations {
    /// An empty table.
    #[must_use]
    pub fn new(hints: Hints, pace: Pace) -> Self {
        Self {
            pace,
            hints,
            limits: Limits {
                open: MAX_OPEN,
                done: MAX_DONE,
                bytes: MAX_BYTES,
            },
            table: HashMap::new(),
            order: VecDeque::new(),
            open: 0,
            done: VecDeque::new(),
            closing: VecDeque::new(),
            waiting: VecDeque::new(),
            bytes: 0,
            last_id: 0,
            ready: VecDeque::new(),
            counts: Counts::default(),
            fault: None,
            watched: None,
            trace: None,
        }
    }

    /// The same with less room.
    #[cfg(test)]
    pub(super) fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Bytes held by open conversations.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Numbers of entries: conversations, and places in the orders.
    #[cfg(test)]
    pub(super) fn entries(&self) -> [usize; 3] {
        [self.table.len(), self.order.len(), self.done.len()]
    }

    /// Keeps what the conversation with this number was made of.
    pub(super) fn watch(&mut self, id: u64) {
        self.watched = Some(id);
    }

    /// Diagnosis of the watched conversation, once it is finished.
    pub(super) fn watched(&mut self) -> Option<Box<Diagnosis>> {
        self.trace.take()
    }

    /// Counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The next decided conversation.
    pub fn row(&mut self) -> Option<Report> {
        self.ready.pop_front()
    }

    /// Adds a segment that was recorded at this time, in nanoseconds since 1970.
    pub fn add(&mut self, segment: &Segment<'_>, at: u64) {
        self.add_traced(segment, at, |_, _, _| {});
    }

    /// The same, passing on where the segment went, unless its conversation is decided.
    pub(super) fn add_traced(
        &mut self,
        segment: &Segment<'_>,
        at: u64,
        tell: impl FnOnce(&Conversation, Which, Arrival),
    ) {
        let (key, from) = Key::new(segment);
        if self.is_new(key, from, segment) {
            self.begin(key, from, segment, at);
        }
        let Some(Slot::Open(open)) = self.table.get_mut(&key) else {
            return;
        };
        let before = open.conversation.weight();
        let arrival = open.conversation.add(from, segment, at);
        self.bytes += open.conversation.weight();
        self.bytes -= before;
        tell(&open.conversation, from, arrival);
        let id = open.conversation.id;
        let closes = !open.closed && open.conversation.is_closed();
        open.closed |= closes;
        match self.pace {
            Pace::Live if closes => {
                self.finish(key, Some(id), FinishReason::Decided);
            }
            Pace::Live => {
                if !std::mem::replace(&mut open.waiting, true) {
                    let due = at.saturating_add(DIAGNOSE_INTERVAL);
                    self.waiting.push_back((key, id, due));
                }
                let crowded = self.waiting.len() > self.limits.open;
                self.diagnose_waiting(|due| due <= at || crowded);
            }
            Pace::Whole if closes => {
                self.closing.push_back((key, id));
                if self.closing.len() > MAX_CLOSING
                    && let Some((key, id)) = self.closing.pop_front()
                {
                    self.finish(key, Some(id), FinishReason::Decided);
                }
            }
            Pace::Whole => {}
        }
        while self.bytes > self.limits.bytes && self.finish_oldest() {}
    }

    /// Returns whether a segment begins a conversation.
    fn is_new(&mut self, key: Key, from: Which, segment: &Segment<'_>) -> bool {
        let opens = (segment.syn && segment.ack.is_none()).then_some(segment.seq);
        match self.table.get_mut(&key) {
            None => true,
            Some(Slot::Decided(done)) => {
                let [first, second] = done.syns;
                let known = if from == Which::First { first } else { second };
                let another = opens.is_some() && opens != known;
                done.alive |= !another;
                another
            }
            Some(Slot::Open(open)) => {
                opens.is_some_and(|syn| open.conversation.is_another(from, syn))
            }
        }
    }

    /// Starts a conversation in the place of what was there.
    fn begin(&mut self, key: Key, from: Which, segment: &Segment<'_>, at: u64) {
        self.finish(key, None, FinishReason::Decided);
        if self.open >= self.limits.open {
            self.finish_oldest();
        }
        if self.order.len() >= 2 * self.limits.open {
            let table = &self.table;
            self.order.retain(|(key, id)| is_open(table, *key, *id));
        }
        self.open += 1;
        self.last_id += 1;
        let (first, second) = match from {
            Which::First => (segment.from, segment.to),
            Which::Second => (segment.to, segment.from),
        };
        let open = Box::new(Open {
            conversation: Conversation::new(self.last_id, at, first, second),
            closed: false,
            waiting: false,
            established: false,
        });
        self.table.insert(key, Slot::Open(open));
        self.order.push_back((key, self.last_id));
    }

    /// Diagnoses what has got packets since the last time: nothing more comes for now.
    pub fn pause(&mut self) {
        self.diagnose_waiting(|_| true);
    }

    fn diagnose_waiting(&mut self, is_due: impl Fn(u64) -> bool) {
        for _ in 0..self.waiting.len() {
            let Some(&(key, id, due)) = self.waiting.front() else {
                break;
            };
            if !is_due(due) {
                break;
            }
            self.waiting.pop_front();
            let Some(Slot::Open(open)) = self.table.get_mut(&key) else {
                continue;
            };
            if open.conversation.id != id {
                continue;
            }
            open.waiting = false;
            if open.established || open.conversation.is_full() {
                self.finish(key, Some(id), FinishReason::Decided);
            } else if open.conversation.diagnose(&self.hints).report.established {
                // Once more a little later: a server that refuses the client's certificate does so
                // when the handshake looks complete.
                open.established = true;
                open.waiting = true;
                self.waiting
                    .push_back((key, id, due.saturating_add(DIAGNOSE_INTERVAL)));
            }
        }
    }

    /// Ends the capture: every conversation is finished, in the order of their first packets.
    ///
    /// `fault` is the reason why the recording broke off, and is added to what was open then.
    pub fn end(&mut self, fault: Option<Finding>) {
        self.fault = fault;
        let order = std::mem::take(&mut self.order);
        for (key, id) in order {
            self.finish(key, Some(id), FinishReason::Ended);
        }
        self.table.clear();
        self.done.clear();
        self.closing.clear();
        self.waiting.clear();
    }

    /// Takes the row of an open conversation and frees its bytes; `id` when it must be this one.
    /// Returns false if there was none.
    fn finish(&mut self, key: Key, id: Option<u64>, why: FinishReason) -> bool {
        let Some(slot) = self.table.get_mut(&key) else {
            return false;
        };
        let Slot::Open(open) = slot else {
            return false;
        };
        if id.is_some_and(|id| id != open.conversation.id) {
            return false;
        }
        let done = Slot::Decided(Decided {
            id: open.conversation.id,
            syns: open.conversation.syns(),
            alive: false,
        });
        let Slot::Open(open) = std::mem::replace(slot, done) else {
            return false;
        };
        self.bytes -= open.conversation.weight();
        self.open -= 1;
        self.forget_some(key, open.conversation.id);
        if !open.conversation.has_content() {
            self.counts.empty += 1;
            return true;
        }
        let watched = self.watched == Some(open.conversation.id);
        let diagnosis = open.conversation.conclude(&self.hints);
        if watched {
            self.trace = Some(Box::new(diagnosis.clone()));
        }
        let mut report = diagnosis.report;
        self.counts.told += 1;
        self.counts.established += u64::from(report.established);
        self.counts.failed += u64::from(report.has_failed());
        self.counts.unknown += u64::from(report.verdict == Verdict::Unknown);
        let fault = match why {
            FinishReason::Evicted if !open.closed && !report.established => {
                self.counts.early += 1;
                Some(Finding::new(&rules::CAPTURE_DROPPED, EARLY))
            }
            FinishReason::Ended if !open.closed => self.fault.clone(),
            _ => None,
        };
        if let Some(fault) = fault {
            report.find(fault);
            report.conclude_recorded();
        }
        self.ready.push_back(report);
        true
    }

    /// Remembers that a conversation is decided, and forgets one of which nothing is heard.
    fn forget_some(&mut self, key: Key, id: u64) {
        self.done.push_back((key, id));
        while self.done.len() > self.limits.done {
            let Some((key, id)) = self.done.pop_front() else {
                return;
            };
            let Some(Slot::Decided(done)) = self.table.get_mut(&key) else {
                continue;
            };
            if done.id != id {
                continue;
            }
            // As long as packets come, forgetting it would make another conversation of them.
            if std::mem::take(&mut done.alive) {
                self.done.push_back((key, id));
            } else {
                self.table.remove(&key);
            }
        }
    }

    /// Finishes the oldest open conversation; false when there is none.
    fn finish_oldest(&mut self) -> bool {
        while let Some((key, id)) = self.order.pop_front() {
            if self.finish(key, Some(id), FinishReason::Evicted) {
                return true;
            }
        }
        false
    }
}
