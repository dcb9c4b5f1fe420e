//! A change of the runtime changes, taken back when dropped unless it is kept.

use std::collections::{BTreeMap, BTreeSet};

use super::Host;
use super::request::Changed;
use super::runtime::{RuntimeChanges, RuntimeEntry};

/// Keeps the lasting part of a change before it takes effect: the entries of the databases that it
/// is about, and all runtime changes with it done.
pub(super) type Persist<'a> =
    &'a dyn Fn(&BTreeMap<&str, RuntimeEntry>, &RuntimeChanges) -> std::io::Result<()>;

/// Entries that were replaced, and by what they were.
pub(super) struct Edit<'a> {
    runtime: &'a mut RuntimeChanges,
    before: Vec<(String, RuntimeEntry)>,
}

impl<'a> Edit<'a> {
    /// Replaces entries.
    pub(super) fn begin(runtime: &'a mut RuntimeChanges, changed: Changed) -> Self {
        let mut edit = Self {
            runtime,
            before: Vec::with_capacity(changed.len()),
        };
        for (name, entry) in changed {
            let old = edit.runtime.put(&name, entry);
            edit.before.push((name, old));
        }
        edit
    }

    /// The runtime changes with it done.
    pub(super) fn runtime(&self) -> &RuntimeChanges {
        self.runtime
    }

    /// True if every entry is as it was.
    pub(super) fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    /// The databases whose entries are others now.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        let differ = self.before.iter().filter(|(name, old)| {
            let new = self.runtime.get(name);
            new.map_or(*old != RuntimeEntry::default(), |new| new != old)
        });
        differ.map(|(name, _)| name.as_str()).collect()
    }

    /// The hosts of the entries as they were.
    pub(super) fn hosts_before(&self) -> BTreeSet<&Host> {
        let old = self.before.iter();
        old.flat_map(|(_, entry)| entry.hosts()).collect()
    }

    /// The entries whose part that is kept over a restart is another now, with that part.
    pub(super) fn lasting(&self) -> BTreeMap<&str, RuntimeEntry> {
        let now = self.before.iter().map(|(name, old)| {
            let now = self.runtime.get(name);
            let now = now.map_or_else(RuntimeEntry::default, RuntimeEntry::lasting);
            (name.as_str(), old, now)
        });
        now.filter(|(_, old, now)| *now != old.lasting())
            .map(|(name, _, now)| (name, now))
            .collect()
    }

    /// Keeps it.
    pub(super) fn keep(mut self) {
        self.before.clear();
    }
}

impl Drop for Edit<'_> {
    fn drop(&mut self) {
        for (name, old) in self.before.drain(..) {
            self.runtime.put(&name, old);
        }
    }
}
