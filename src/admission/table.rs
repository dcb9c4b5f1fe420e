//! The table of unfinished handshakes: which are open, which wait for their turn, which give way.
//!
//! It is pure: no lock, no clock, no tasks. Every operation takes O(log n).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// Bounds of the number of handshakes and of the bytes that they hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// All together, those that wait included; at least 1.
    pub(super) all: usize,
    /// Under way from one source.
    pub(super) per_ip: usize,
    /// Bytes of the budget that all share.
    pub(super) bytes: usize,
}

/// Handshakes that an operation has decided about.
#[derive(Debug)]
pub(super) struct Decisions<P> {
    /// They waited, and it is their turn.
    pub(super) turns: Vec<P>,
    /// They have lost their slot.
    pub(super) evicted: Vec<P>,
    /// They may hold so many bytes of the shared budget.
    pub(super) granted: Vec<(P, usize)>,
}

impl<P> Default for Decisions<P> {
    fn default() -> Self {
        Self {
            turns: Vec::new(),
            evicted: Vec::new(),
            granted: Vec::new(),
        }
    }
}

/// The state of a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// Its handshake may begin.
    Open(u64),
    /// It has to wait for its turn.
    Waiting(u64),
    /// Refused: the table is full, mostly of its source, whose clients wait already.
    Full,
}

/// Unfinished handshakes by source; `P` is the handle by which each is notified.
#[derive(Debug)]
pub(super) struct Table<P> {
    next: u64,
    all: usize,
    bounds: Bounds,
    /// Bytes of the shared budget that were requested by those in the table.
    requested: usize,
    /// Bytes that were granted and not given back yet, also by those that were evicted.
    granted: usize,
    /// Handshakes whose request does not fit yet, in the order in which it was made.
    queue: BTreeMap<u64, (IpAddr, u64)>,
    /// Bytes of those that were evicted and have not left yet.
    evicted: HashMap<u64, usize>,
    sources: HashMap<IpAddr, Source<P>>,
    /// Sources by the number of their clients, then the one with the oldest last.
    by_number: BTreeSet<(usize, Reverse<u64>, IpAddr)>,
    /// Sources whose clients have requested bytes of the shared budget, by how many.
    by_bytes: BTreeSet<(usize, IpAddr)>,
}

#[derive(Debug)]
struct Source<P> {
    /// By number, which is the order of arrival.
    open: BTreeMap<u64, Open<P>>,
    waiting: BTreeMap<u64, P>,
    /// Bytes of the shared budget that were requested.
    bytes: usize,
}

/// A handshake under way, and its part of the shared budget.
#[derive(Debug)]
struct Open<P> {
    handle: P,
    /// Bytes that it has requested.
    requested: usize,
    /// Those of them that were granted.
    granted: usize,
    /// Its number in the queue.
    queued: Option<u64>,
}

impl<P> Open<P> {
    fn new(handle: P) -> Self {
        Self {
            handle,
            requested: 0,
            granted: 0,
            queued: None,
        }
    }
}

impl<P> Source<P> {
    fn len(&self) -> usize {
        self.open.len() + self.waiting.len()
    }

    fn oldest(&self) -> Option<u64> {
        let first = self.open.first_key_value().map(|(id, _)| *id);
        first.or_else(|| self.waiting.first_key_value().map(|(id, _)| *id))
    }
}

impl<P> Default for Table<P> {
    fn default() -> Self {
        Self {
            next: 0,
            all: 0,
            bounds: Bounds::default(),
            requested: 0,
            granted: 0,
            queue: BTreeMap::new(),
            evicted: HashMap::new(),
            sources: HashMap::new(),
            by_number: BTreeSet::new(),
            by_bytes: BTreeSet::new(),
        }
    }
}

impl<P: Clone> Table<P> {
    /// Number of handshakes, those that wait included.
    pub(super) fn len(&self) -> usize {
        self.all
    }

    /// Adds a client; where the table is full, one of the source that has most gives way.
    ///
    /// A source with clients that wait gives way with the last of these; any other with its
    /// oldest handshake. Where several have most, the newcomer's own does, else the one with the
    /// oldest.
    pub(super) fn enter(
        &mut self,
        source: IpAddr,
        handle: P,
        bounds: Bounds,
    ) -> (Entered, Decisions<P>) {
        self.bounds = bounds;
        let mut decisions = Decisions::default();
        while self.all >= bounds.all.max(1) {
            let Some(most) = self.most(source) else {
                break;
            };
            let (waits, oldest) = self.sources.get(&most).map_or((None, None), |held| {
                let last = held.waiting.last_key_value().map(|(id, _)| *id);
                (last, held.oldest())
            });
            let Some(id) = waits.or(oldest) else {
                break;
            };
            if waits.is_some() && most == source {
                return (Entered::Full, decisions);
            }
            decisions.evicted.extend(self.evict(most, id));
            self.give_turns(most, &mut decisions);
        }
        let id = self.next;
        self.next += 1;
        self.all += 1;
        let open = self.change(source, |held| {
            let open = held.waiting.is_empty() && held.open.len() < bounds.per_ip;
            if open {
                held.open.insert(id, Open::new(handle));
            } else {
                held.waiting.insert(id, handle);
            }
            open
        });
        if open {
            (Entered::Open(id), decisions)
        } else {
            (Entered::Waiting(id), decisions)
        }
    }

    /// Removes a client, evicted or not, with its part of the budget; the next of its source gets
    /// its turn.
    pub(super) fn leave(&mut self, source: IpAddr, id: u64) -> Decisions<P> {
        let mut decisions = Decisions::default();
        if self.evict(source, id).is_some() {
            self.give_turns(source, &mut decisions);
        }
        if let Some(bytes) = self.evicted.remove(&id) {
            self.granted -= bytes;
        }
        self.grant(&mut decisions);
        decisions
    }

    /// Requests `bytes` of the budget for a client under way, in all. They are granted once those
    /// who were evicted have given back enough.
    ///
    /// Where too much is requested together, those of the source that has requested most are
    /// evicted, the oldest first; that may be the client itself.
    pub(super) fn request(&mut self, source: IpAddr, id: u64, bytes: usize) -> Decisions<P> {
        let mut decisions = Decisions::default();
        let known = self.sources.get(&source);
        if known.is_none_or(|held| !held.open.contains_key(&id)) {
            return decisions;
        }
        let number = self.next;
        self.next += 1;
        self.queue.insert(number, (source, id));
        self.change(source, |held| {
            if let Some(open) = held.open.get_mut(&id) {
                held.bytes = held.bytes - open.requested + bytes;
                open.requested = bytes;
                open.queued = Some(number);
            }
        });
        while self.requested > self.bounds.bytes {
            let Some(&(most_bytes, most)) = self.by_bytes.last() else {
                break;
            };
            let own = self.sources.get(&source).map_or(0, |held| held.bytes);
            let most = if own == most_bytes { source } else { most };
            let oldest = self.sources.get(&most).and_then(|held| {
                let holding = held.open.iter().find(|(_, open)| open.requested > 0);
                holding.map(|(id, _)| *id)
            });
            let Some(oldest) = oldest else {
                break;
            };
            decisions.evicted.extend(self.evict(most, oldest));
            self.give_turns(most, &mut decisions);
        }
        self.grant(&mut decisions);
        decisions
    }

    /// Grants what fits of the requests, in their order.
    fn grant(&mut self, decisions: &mut Decisions<P>) {
        while let Some(first) = self.queue.first_entry() {
            let (source, id) = *first.get();
            let held = self.sources.get_mut(&source);
            let Some(open) = held.and_then(|held| held.open.get_mut(&id)) else {
                first.remove();
                continue;
            };
            let more = open.requested - open.granted;
            if self.granted + more > self.bounds.bytes {
                break;
            }
            first.remove();
            self.granted += more;
            open.granted = open.requested;
            open.queued = None;
            decisions
                .granted
                .push((open.handle.clone(), open.requested));
        }
    }

    /// The source with most clients, if the newcomer were one of its own.
    fn most(&self, newcomer: IpAddr) -> Option<IpAddr> {
        let (number, _, most) = self.by_number.last()?;
        let own = self.sources.get(&newcomer).map_or(0, Source::len);
        Some(if own >= *number { newcomer } else { *most })
    }

    /// Removes a client that is still there; what was granted to it stays counted until it leaves.
    fn evict(&mut self, source: IpAddr, id: u64) -> Option<P> {
        self.sources.get(&source)?;
        let open = self.change(source, |held| {
            let open = held.open.remove(&id);
            held.bytes -= open.as_ref().map_or(0, |open| open.requested);
            open.or_else(|| held.waiting.remove(&id).map(Open::new))
        })?;
        if let Some(number) = open.queued {
            self.queue.remove(&number);
        }
        if open.granted > 0 {
            self.evicted.insert(id, open.granted);
        }
        self.all -= 1;
        Some(open.handle)
    }

    fn give_turns(&mut self, source: IpAddr, decisions: &mut Decisions<P>) {
        let per_ip = self.bounds.per_ip;
        let waits = |held: &Source<P>| held.open.len() < per_ip && !held.waiting.is_empty();
        if !self.sources.get(&source).is_some_and(waits) {
            return;
        }
        self.change(source, |held| {
            while held.open.len() < per_ip
                && let Some((id, handle)) = held.waiting.pop_first()
            {
                decisions.turns.push(handle.clone());
                held.open.insert(id, Open::new(handle));
            }
        });
    }

    /// Changes what is known of a source, and its ranks with it.
    fn change<R>(&mut self, source: IpAddr, change: impl FnOnce(&mut Source<P>) -> R) -> R {
        let held = self.sources.entry(source).or_insert_with(|| Source {
            open: BTreeMap::new(),
            waiting: BTreeMap::new(),
            bytes: 0,
        });
        let before = (held.len(), held.oldest(), held.bytes);
        let result = change(held);
        let after = (held.len(), held.oldest(), held.bytes);
        if (before.0, before.1) != (after.0, after.1) {
            if let Some(oldest) = before.1 {
                self.by_number.remove(&(before.0, Reverse(oldest), source));
            }
            if let Some(oldest) = after.1 {
                self.by_number.insert((after.0, Reverse(oldest), source));
            }
        }
        if before.2 != after.2 {
            self.requested = self.requested - before.2 + after.2;
            self.by_bytes.remove(&(before.2, source));
            if after.2 > 0 {
                self.by_bytes.insert((after.2, source));
            }
        }
        if after.0 == 0 {
            self.sources.remove(&source);
        }
        result
    }
}

#[cfg(test)]
mod tests;
