//! The table of unfinished handshakes: who has a place, who waits for one, who gives way.
//!
//! It is pure: no lock, no clock, no tasks. Every operation takes O(log n).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// How many handshakes there may be, and what they may hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// All together, those that wait included; at least 1.
    pub(super) all: usize,
    /// Under way from one source.
    pub(super) per_ip: usize,
    /// Bytes held beyond what each may hold anyway.
    pub(super) bytes: usize,
}

/// Those for whom an operation changed something.
#[derive(Debug)]
pub(super) struct Changes<P> {
    /// They waited, and it is their turn.
    pub(super) turns: Vec<P>,
    /// They have lost their place.
    pub(super) gave_way: Vec<P>,
}

impl<P> Default for Changes<P> {
    fn default() -> Self {
        Self {
            turns: Vec::new(),
            gave_way: Vec::new(),
        }
    }
}

/// Where a newcomer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// Its handshake may begin.
    Open(u64),
    /// It has to wait for its turn.
    Waiting(u64),
    /// The table is full, mostly of its own source, whose clients wait already.
    Full,
}

/// Unfinished handshakes by source; `P` is how each is reached.
#[derive(Debug)]
pub(super) struct Table<P> {
    next: u64,
    all: usize,
    bytes: usize,
    bounds: Bounds,
    sources: HashMap<IpAddr, Source<P>>,
    /// Sources by the number of their clients, then the one with the oldest last.
    by_number: BTreeSet<(usize, Reverse<u64>, IpAddr)>,
    /// Sources whose clients hold more than each may hold anyway, by how much.
    by_bytes: BTreeSet<(usize, IpAddr)>,
}

#[derive(Debug)]
struct Source<P> {
    /// By number, which is the order of arrival.
    open: BTreeMap<u64, (P, usize)>,
    waiting: BTreeMap<u64, P>,
    bytes: usize,
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
            bytes: 0,
            bounds: Bounds::default(),
            sources: HashMap::new(),
            by_number: BTreeSet::new(),
            by_bytes: BTreeSet::new(),
        }
    }
}

impl<P: Clone> Table<P> {
    /// How many there are, those that wait included.
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
        place: P,
        bounds: Bounds,
    ) -> (Entered, Changes<P>) {
        self.bounds = bounds;
        let mut changes = Changes::default();
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
                return (Entered::Full, changes);
            }
            changes.gave_way.extend(self.remove(most, id));
            self.give_turns(most, &mut changes);
        }
        let id = self.next;
        self.next += 1;
        self.all += 1;
        let open = self.change(source, |held| {
            let open = held.waiting.is_empty() && held.open.len() < bounds.per_ip;
            if open {
                held.open.insert(id, (place, 0));
            } else {
                held.waiting.insert(id, place);
            }
            open
        });
        if open {
            (Entered::Open(id), changes)
        } else {
            (Entered::Waiting(id), changes)
        }
    }

    /// Removes a client, if it is still there; the next of its source gets its turn.
    pub(super) fn leave(&mut self, source: IpAddr, id: u64) -> Changes<P> {
        let mut changes = Changes::default();
        if self.remove(source, id).is_some() {
            self.give_turns(source, &mut changes);
        }
        changes
    }

    /// Says how many bytes a client under way holds beyond what each may hold anyway; where that is
    /// too much together, those of the source that holds most give way, the oldest first.
    pub(super) fn hold(&mut self, source: IpAddr, id: u64, bytes: usize) -> Changes<P> {
        let mut changes = Changes::default();
        let known = self.sources.get(&source);
        if known.is_none_or(|held| !held.open.contains_key(&id)) {
            return changes;
        }
        self.change(source, |held| {
            if let Some((_, held_before)) = held.open.get_mut(&id) {
                held.bytes = held.bytes - *held_before + bytes;
                *held_before = bytes;
            }
        });
        while self.bytes > self.bounds.bytes {
            let Some(&(most_bytes, most)) = self.by_bytes.last() else {
                break;
            };
            let own = self.sources.get(&source).map_or(0, |held| held.bytes);
            let most = if own == most_bytes { source } else { most };
            let oldest = self.sources.get(&most).and_then(|held| {
                let holding = held.open.iter().find(|(_, (_, bytes))| *bytes > 0);
                holding.map(|(id, _)| *id)
            });
            let Some(oldest) = oldest else {
                break;
            };
            changes.gave_way.extend(self.remove(most, oldest));
            self.give_turns(most, &mut changes);
        }
        changes
    }

    /// The source with most clients, if the newcomer were one of its own.
    fn most(&self, newcomer: IpAddr) -> Option<IpAddr> {
        let (number, _, most) = self.by_number.last()?;
        let own = self.sources.get(&newcomer).map_or(0, Source::len);
        Some(if own >= *number { newcomer } else { *most })
    }

    fn remove(&mut self, source: IpAddr, id: u64) -> Option<P> {
        self.sources.get(&source)?;
        let removed = self.change(source, |held| match held.open.remove(&id) {
            Some((place, bytes)) => {
                held.bytes -= bytes;
                Some(place)
            }
            None => held.waiting.remove(&id),
        });
        self.all -= usize::from(removed.is_some());
        removed
    }

    fn give_turns(&mut self, source: IpAddr, changes: &mut Changes<P>) {
        let per_ip = self.bounds.per_ip;
        let waits = |held: &Source<P>| held.open.len() < per_ip && !held.waiting.is_empty();
        if !self.sources.get(&source).is_some_and(waits) {
            return;
        }
        self.change(source, |held| {
            while held.open.len() < per_ip
                && let Some((id, place)) = held.waiting.pop_first()
            {
                changes.turns.push(place.clone());
                held.open.insert(id, (place, 0));
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
            self.bytes = self.bytes - before.2 + after.2;
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
