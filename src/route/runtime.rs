//! Runtime changes: databases that `ctl` made, hosts that it exposed, hosts that it hid.
//!
//! It may hold as many databases as a configuration: each change is about one or a few of them, and
//! costs no more where there are very many others.
//!
//! Not here: which source wins (`merge.rs`), and keeping them on disk
//! ([`crate::source::state_dir`]).

mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::Host;
use super::admin::{Admin, Reason};
use super::source::{ByHost, Items, Origin, Source};
use super::spec::DatabaseSpec;

pub use record::RuntimeRecord;

/// The end of a runtime exposure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Ends by itself at this time.
    #[serde(skip)]
    pub expires: Option<SystemTime>,
    /// Gone after a restart.
    #[serde(skip)]
    pub ephemeral: bool,
    /// Its time is over: all that is left of it is that the host is refused.
    #[serde(skip)]
    pub ended: bool,
}

/// The most hosts whose lease has ended that are remembered, so that they are refused as themselves;
/// of more, those that ended first are forgotten.
pub const MAX_ENDED: usize = 10_000;

impl Lease {
    /// True if it is there again after a restart.
    #[must_use]
    pub fn lasts(self) -> bool {
        !self.ephemeral && self.expires.is_none()
    }
}

/// Runtime changes to one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeEntry {
    /// Its declaration, where only `ctl` made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseSpec>,
    /// Hosts that `ctl` exposed, whoever declared the database; with those whose lease has ended.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed: BTreeMap<Host, Lease>,
    /// Hosts that `ctl` switched off, whoever gave them to the database: `ctl`, if they are among
    /// `exposed`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub hidden: BTreeSet<Host>,
    /// What was ordered beside; `None` where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<Arc<Admin>>,
}

impl RuntimeEntry {
    /// The part that is kept over a restart: neither ephemeral nor limited in time.
    #[must_use]
    pub fn lasting(&self) -> Self {
        let goes = |host: &Host| self.exposed.get(host).is_some_and(|lease| !lease.lasts());
        let exposed = self.exposed.iter().filter(|(_, lease)| lease.lasts());
        let exposed: BTreeMap<_, _> = exposed
            .map(|(host, lease)| (host.clone(), *lease))
            .collect();
        let hidden = self.hidden.iter().filter(|host| !goes(host));
        // It goes with the last of its hosts, but for one that has lost them to others.
        let stays = self.exposed.is_empty() || !exposed.is_empty();
        let kept = Self {
            database: self.database.clone().filter(|_| stays),
            hidden: hidden.cloned().collect(),
            exposed,
            // A drain ends with the database that it is of.
            admin: self
                .admin
                .clone()
                .filter(|_| stays || self.database.is_none()),
        };
        kept.tidy()
    }

    /// The same without a declaration whose last host has ended.
    fn tidy(mut self) -> Self {
        let over = !self.exposed.is_empty() && self.claims().next().is_none();
        self.database.take_if(|_| over);
        let is_bare = self.database.is_none() && self.hosts().next().is_none();
        self.admin
            .take_if(|admin| admin.is_idle() && (is_bare || admin.reason.is_none()));
        self
    }

    /// Changes what was ordered.
    pub fn order(&mut self, change: impl FnOnce(&mut Admin)) {
        change(Arc::make_mut(self.admin.get_or_insert_default()));
        self.admin.take_if(|admin| **admin == Admin::default());
    }

    /// Keeps the reason of a change, in the place of that of the change before. Where it changes
    /// nothing of `old`, only another reason is one.
    pub(super) fn explain(&mut self, old: Option<&Self>, reason: Option<&Reason>) {
        let text = |reason: Option<&Reason>| reason.and_then(|reason| reason.by.reason.clone());
        let before = old.and_then(|old| old.admin.as_ref()?.reason.clone());
        if Some(&*self) == old && (reason.is_none() || text(reason) == text(before.as_ref())) {
            return;
        }
        if before.is_some() || reason.is_some() {
            self.order(|admin| admin.reason = reason.cloned());
        }
    }

    /// The hosts that it exposes, hidden ones included, with their leases.
    pub fn claims(&self) -> impl Iterator<Item = (&Host, &Lease)> {
        self.exposed.iter().filter(|(_, lease)| !lease.ended)
    }

    /// The hosts that are hidden, or whose time is over.
    pub fn refused(&self) -> impl Iterator<Item = &Host> {
        let over = self.exposed.iter().filter(|(_, lease)| lease.ended);
        self.hidden.iter().chain(over.map(|(host, _)| host))
    }

    /// Every host that it says something about.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.exposed.keys().chain(&self.hidden)
    }

    fn is_nothing(&self) -> bool {
        self.database.is_none()
            && self.exposed.is_empty()
            && self.hidden.is_empty()
            && self.admin.is_none()
    }

    fn expiries(&self) -> impl Iterator<Item = SystemTime> {
        self.claims().filter_map(|(_, lease)| lease.expires)
    }

    /// The leases that have ended, with the time.
    fn ended(&self) -> impl Iterator<Item = (SystemTime, &Host)> {
        let over = self.exposed.iter().filter(|(_, lease)| lease.ended);
        over.map(|(host, lease)| (lease.expires.unwrap_or(SystemTime::UNIX_EPOCH), host))
    }
}

/// All runtime changes that are in force.
#[derive(Clone, Debug, Default)]
pub struct RuntimeChanges {
    entries: BTreeMap<Arc<str>, RuntimeEntry>,
    /// Databases by a host that `ctl` exposed; follows from `entries`.
    claims: ByHost,
    /// Databases by a host that is hidden, or whose lease has ended; follows from `entries`.
    refused: ByHost,
    /// The leases that end, and whose they are; follows from `entries`.
    expiries: BTreeSet<(SystemTime, Arc<str>)>,
    /// The leases that have ended; follows from `entries`.
    ended: BTreeSet<(SystemTime, Arc<str>, Host)>,
}

impl PartialEq for RuntimeChanges {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl RuntimeChanges {
    /// The changes to a database; `None` without any.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RuntimeEntry> {
        self.entries.get(name)
    }

    /// Puts this in the place of what was done about a database, which is returned.
    pub fn put(&mut self, name: &str, entry: RuntimeEntry) -> RuntimeEntry {
        let (name, old) = match self.entries.remove_entry(name) {
            Some((name, old)) => (name, old),
            None => (name.into(), RuntimeEntry::default()),
        };
        for expiry in old.expiries() {
            self.expiries.remove(&(expiry, name.clone()));
        }
        for (host, _) in old.claims() {
            self.claims.remove(host, &name);
        }
        for host in old.refused() {
            self.refused.remove(host, &name);
        }
        for (at, host) in old.ended() {
            self.ended.remove(&(at, name.clone(), host.clone()));
        }
        let entry = entry.tidy();
        for expiry in entry.expiries() {
            self.expiries.insert((expiry, name.clone()));
        }
        for (host, _) in entry.claims() {
            self.claims.add(host, &name);
        }
        for host in entry.refused() {
            self.refused.add(host, &name);
        }
        for (at, host) in entry.ended() {
            self.ended.insert((at, name.clone(), host.clone()));
        }
        if !entry.is_nothing() {
            self.entries.insert(name, entry);
        }
        old
    }

    /// The declaration of a database that only `ctl` made.
    #[must_use]
    pub fn made(&self, name: &str) -> Option<&DatabaseSpec> {
        self.get(name)?.database.as_ref()
    }

    /// The entries that remain of databases with a lease that has run out by `now`, and of those whose
    /// ended leases are one too many.
    #[must_use]
    pub fn expired(&self, now: SystemTime) -> BTreeMap<String, RuntimeEntry> {
        let over = self.expiries.iter().take_while(|(at, _)| *at <= now);
        let mut left = BTreeMap::new();
        for (_, name) in over {
            let Some(entry) = self.get(name) else {
                continue;
            };
            let mut entry = entry.clone();
            let RuntimeEntry {
                exposed, hidden, ..
            } = &mut entry;
            for (host, lease) in exposed {
                if lease.expires.is_some_and(|at| at <= now) {
                    lease.ended = true;
                    hidden.remove(host);
                }
            }
            left.insert(name.to_string(), entry);
        }
        self.forget_first(&mut left);
        left
    }

    /// Takes the leases that ended first out of a change, or adds their being gone to it, where they
    /// would be more than [`MAX_ENDED`] with it.
    pub fn forget_first(&self, left: &mut BTreeMap<String, RuntimeEntry>) {
        let fresh: usize = left.values().map(|entry| entry.ended().count()).sum();
        let known = |name: &str| self.get(name).map_or(0, |entry| entry.ended().count());
        let known: usize = left.keys().map(|name| known(name)).sum();
        let many = self.ended.len() - known + fresh;
        for (_, name, host) in self.ended.iter().take(many.saturating_sub(MAX_ENDED)) {
            let entry = left
                .entry(name.to_string())
                .or_insert_with(|| self.get(name).cloned().unwrap_or_default());
            if entry.exposed.get(host).is_some_and(|lease| lease.ended) {
                entry.exposed.remove(host);
            }
        }
    }

    /// The time at which the next lease runs out.
    #[must_use]
    pub fn next_expiry(&self) -> Option<SystemTime> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// All of it, by kind.
    #[must_use]
    pub fn record(&self) -> RuntimeRecord {
        let mut record = RuntimeRecord::default();
        for (name, entry) in &self.entries {
            record.add(name, entry.clone());
        }
        record
    }

    /// The part that is kept over a restart, by kind.
    #[must_use]
    pub fn lasting(&self) -> RuntimeRecord {
        let mut record = RuntimeRecord::default();
        for (name, entry) in &self.entries {
            record.add(name, entry.lasting());
        }
        record
    }
}

impl Source for RuntimeChanges {
    fn origin(&self) -> Origin {
        Origin::Runtime
    }

    fn names(&self) -> Items<'_, &str> {
        Box::new(self.entries.keys().map(|name| &**name))
    }

    fn spec(&self, name: &str) -> Option<&DatabaseSpec> {
        self.made(name)
    }

    fn claims(&self, name: &str) -> Items<'_, (&Host, Lease)> {
        let claims = self.get(name).into_iter().flat_map(RuntimeEntry::claims);
        Box::new(claims.map(|(host, lease)| (host, *lease)))
    }

    fn claimants(&self, host: &Host) -> Items<'_, &str> {
        Box::new(self.claims.names(host))
    }

    fn extends_others(&self) -> bool {
        true
    }

    fn hides(&self, name: &str, host: &Host) -> bool {
        let entry = self.get(name);
        entry.is_some_and(|entry| entry.hidden.contains(host))
    }

    fn admin(&self, name: &str) -> Option<&Arc<Admin>> {
        self.get(name)?.admin.as_ref()
    }

    fn withdrawn(&self, name: &str) -> Items<'_, &Host> {
        Box::new(self.get(name).into_iter().flat_map(RuntimeEntry::refused))
    }

    fn withdrawers(&self, host: &Host) -> Items<'_, &str> {
        Box::new(self.refused.names(host))
    }
}

#[cfg(test)]
mod tests;
