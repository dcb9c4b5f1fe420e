//! What `ctl` changed at run time, laid over the configuration: databases made, hosts exposed,
//! hosts hidden.
//!
//! It may hold as many databases as a configuration: each change is about one or a few of them, and
//! costs no more where there are very many others.
//!
//! Not here: the rules by which the two become one (`merge.rs`), and keeping it on disk
//! ([`crate::source::state_dir`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::Host;
use super::spec::DatabaseSpec;
use crate::one_or_many::OneOrMany;

/// A database with its hosts, as one origin declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Protocol, backends, TLS and limits.
    pub spec: DatabaseSpec,
    /// The hosts under which it is exposed.
    pub hosts: OneOrMany<Host>,
}

/// How long a runtime exposure lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Ends by itself at this time.
    #[serde(skip)]
    pub expires: Option<SystemTime>,
    /// Gone after a restart.
    #[serde(skip)]
    pub ephemeral: bool,
    /// Has ended, by itself or by `hide`: all that is left of it is that the host is refused.
    #[serde(skip)]
    pub ended: bool,
}

/// How many hosts whose lease has ended are remembered, so that they are refused as themselves; of
/// more, those that ended first are forgotten.
pub const MAX_ENDED: usize = 10_000;

impl Lease {
    /// Whether it is there again after a restart.
    #[must_use]
    pub fn lasts(self) -> bool {
        !self.ephemeral && self.expires.is_none()
    }
}

/// What `ctl` did about one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeEntry {
    /// Its declaration, where only `ctl` made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseSpec>,
    /// Hosts that `ctl` exposed, whoever declared the database; with those whose lease is over.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed: BTreeMap<Host, Lease>,
    /// Hosts that `ctl` switched off, whoever gave them to the database.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub hidden: BTreeSet<Host>,
}

impl RuntimeEntry {
    /// The part that is kept over a restart: neither ephemeral nor limited in time.
    #[must_use]
    pub fn lasting(&self) -> Self {
        let exposed = self.exposed.iter().filter(|(_, lease)| lease.lasts());
        let exposed = exposed.map(|(host, lease)| (host.clone(), *lease));
        let kept = Self {
            database: self.database.clone(),
            exposed: exposed.collect(),
            hidden: self.hidden.clone(),
        };
        kept.tidy()
    }

    /// The same without a declaration that has lost its last host.
    fn tidy(mut self) -> Self {
        let lives = self.claims().next().is_some();
        self.database.take_if(|_| !lives);
        self
    }

    /// The hosts that it exposes, with their leases.
    pub fn claims(&self) -> impl Iterator<Item = (&Host, &Lease)> {
        self.exposed.iter().filter(|(_, lease)| !lease.ended)
    }

    /// The hosts that `ctl` exposed once and that have been hidden since, or are over.
    pub fn refused(&self) -> impl Iterator<Item = &Host> {
        let over = self.exposed.iter().filter(|(_, lease)| lease.ended);
        self.hidden.iter().chain(over.map(|(host, _)| host))
    }

    /// Every host that it says something about.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.exposed.keys().chain(&self.hidden)
    }

    fn is_nothing(&self) -> bool {
        self.exposed.is_empty() && self.hidden.is_empty()
    }

    fn expiries(&self) -> impl Iterator<Item = SystemTime> {
        self.claims().filter_map(|(_, lease)| lease.expires)
    }

    /// When the leases ended that have; those that were hidden before they ended by themselves come
    /// first where they had no end.
    fn ended(&self) -> impl Iterator<Item = (SystemTime, &Host)> {
        let over = self.exposed.iter().filter(|(_, lease)| lease.ended);
        over.map(|(host, lease)| (lease.expires.unwrap_or(SystemTime::UNIX_EPOCH), host))
    }
}

/// What `ctl` did, by kind, as it is told and written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeRecord {
    /// Databases that only `ctl` made.
    pub databases: BTreeMap<Arc<str>, DatabaseSpec>,
    /// Hosts that `ctl` exposed, by database, whoever declared the database.
    pub exposed: BTreeMap<Arc<str>, BTreeMap<Host, Lease>>,
    /// Hosts that `ctl` switched off, by database.
    pub hidden: BTreeMap<Arc<str>, BTreeSet<Host>>,
    /// Hosts whose lease is over, by database.
    pub ended: BTreeMap<Arc<str>, BTreeSet<Host>>,
}

/// Databases by a host that they have something to do with.
#[derive(Clone, Debug, Default)]
struct Names(HashMap<Host, OneOrMany<Arc<str>>>);

impl Names {
    fn add(&mut self, host: &Host, name: &Arc<str>) {
        let names = self.0.remove(host).unwrap_or_default();
        let names = names.iter().cloned().chain([name.clone()]).collect();
        self.0.insert(host.clone(), names);
    }

    fn remove(&mut self, host: &Host, name: &Arc<str>) {
        let Some(names) = self.0.remove(host) else {
            return;
        };
        let others: OneOrMany<_> = names.iter().filter(|n| *n != name).cloned().collect();
        if !others.is_empty() {
            self.0.insert(host.clone(), others);
        }
    }

    fn of(&self, host: &Host) -> impl Iterator<Item = &str> {
        let names = self.0.get(host).into_iter();
        names.flat_map(|names| names.iter().map(|name| &**name))
    }
}

/// Everything that `ctl` did and that is still in force.
#[derive(Clone, Debug, Default)]
pub struct RuntimeChanges {
    entries: BTreeMap<Arc<str>, RuntimeEntry>,
    /// Which databases have a host exposed by `ctl`; follows from `entries`.
    claims: Names,
    /// Which databases had a host that is hidden or over; follows from `entries`.
    refused: Names,
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
    /// What was done about this database; `None` for nothing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RuntimeEntry> {
        self.entries.get(name)
    }

    /// The databases that something was done about.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(|name| &**name)
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

    /// The databases that `ctl` exposed under this host, in no order.
    pub fn claimants(&self, host: &Host) -> impl Iterator<Item = &str> {
        self.claims.of(host)
    }

    /// The databases whose host this was until `ctl` hid it or its lease ended, in no order.
    pub fn refusers(&self, host: &Host) -> impl Iterator<Item = &str> {
        self.refused.of(host)
    }

    /// The declaration of a database that only `ctl` made.
    #[must_use]
    pub fn made(&self, name: &str) -> Option<&DatabaseSpec> {
        self.get(name)?.database.as_ref()
    }

    /// Whether a host is switched off.
    #[must_use]
    pub fn hides(&self, name: &str, host: &Host) -> bool {
        self.get(name)
            .is_some_and(|entry| entry.hidden.contains(host))
    }

    /// What is left of each database with a lease that has run out by `now`, and of those whose
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
            for lease in entry.exposed.values_mut() {
                lease.ended |= lease.expires.is_some_and(|at| at <= now);
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

    /// When the next lease runs out.
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

impl RuntimeRecord {
    fn add(&mut self, name: &Arc<str>, entry: RuntimeEntry) {
        let RuntimeEntry {
            database,
            mut exposed,
            hidden,
        } = entry;
        let ended = exposed.iter().filter(|(_, lease)| lease.ended);
        let over: BTreeSet<Host> = ended.map(|(host, _)| host.clone()).collect();
        exposed.retain(|_, lease| !lease.ended);
        if !over.is_empty() {
            self.ended.insert(name.clone(), over);
        }
        if let Some(spec) = database {
            self.databases.insert(name.clone(), spec);
        }
        if !exposed.is_empty() {
            self.exposed.insert(name.clone(), exposed);
        }
        if !hidden.is_empty() {
            self.hidden.insert(name.clone(), hidden);
        }
    }
}

impl From<RuntimeRecord> for RuntimeChanges {
    fn from(record: RuntimeRecord) -> Self {
        let RuntimeRecord {
            mut databases,
            mut exposed,
            mut hidden,
            ended: _,
        } = record;
        // A database that `ctl` made lasts as long as its last host.
        let names: BTreeSet<Arc<str>> = exposed.keys().chain(hidden.keys()).cloned().collect();
        let mut runtime = Self::default();
        for name in names {
            let entry = RuntimeEntry {
                database: databases.remove(&name),
                exposed: exposed.remove(&name).unwrap_or_default(),
                hidden: hidden.remove(&name).unwrap_or_default(),
            };
            runtime.put(&name, entry);
        }
        runtime
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spec(port: u16) -> DatabaseSpec {
        serde_json::from_value(serde_json::json!({
            "protocol": "postgres", "backends": [format!("10.0.0.1:{port}")],
        }))
        .unwrap()
    }

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    fn exposed(hosts: &[&str], expires: Option<SystemTime>) -> RuntimeEntry {
        let lease = Lease {
            expires,
            ..Lease::default()
        };
        RuntimeEntry {
            database: Some(spec(1)),
            exposed: hosts.iter().map(|text| (host(text), lease)).collect(),
            hidden: BTreeSet::new(),
        }
    }

    #[test]
    fn leases_end_and_take_their_database_with_them() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let mut runtime = RuntimeChanges::default();
        runtime.put("tmp", exposed(&["t.example"], Some(now)));
        runtime.put("pg9", exposed(&["9.example"], None));
        assert_eq!(runtime.lasting().databases.len(), 1);
        assert_eq!(runtime.next_expiry(), Some(now));
        assert!(runtime.expired(now - Duration::from_secs(1)).is_empty());
        for (name, left) in runtime.expired(now) {
            runtime.put(&name, left);
        }
        assert!(runtime.made("tmp").is_none() && runtime.made("pg9").is_some());
        assert_eq!(runtime.next_expiry(), None);
    }

    #[test]
    fn a_bounded_number_of_ended_leases_is_remembered() {
        let mut runtime = RuntimeChanges::default();
        let at = |n: usize| SystemTime::UNIX_EPOCH + Duration::from_secs(n as u64);
        for n in 0..MAX_ENDED + 3 {
            let entry = exposed(&[&format!("h{n}.example")], Some(at(n)));
            runtime.put(&format!("db{n}"), entry);
        }
        let refuser = |runtime: &RuntimeChanges, n: usize| {
            runtime.refusers(&host(&format!("h{n}.example"))).count()
        };
        for now in [at(MAX_ENDED - 1), at(MAX_ENDED), at(MAX_ENDED + 2)] {
            for (name, left) in runtime.expired(now) {
                runtime.put(&name, left);
            }
        }
        let known = [0, 1, 2, 3, MAX_ENDED - 1, MAX_ENDED + 2].map(|n| refuser(&runtime, n));
        assert_eq!(known, [0, 0, 0, 1, 1, 1]);
        assert_eq!(runtime.names().count(), MAX_ENDED);
    }

    #[test]
    fn it_knows_who_has_a_host_whatever_was_put_in_its_place() {
        let mut runtime = RuntimeChanges::default();
        let claimants = |runtime: &RuntimeChanges, text: &str| {
            let mut names: Vec<_> = runtime.claimants(&host(text)).map(str::to_owned).collect();
            names.sort_unstable();
            names
        };
        runtime.put("a", exposed(&["1.example", "2.example"], None));
        runtime.put("b", exposed(&["2.example"], None));
        assert_eq!(claimants(&runtime, "2.example"), ["a", "b"]);
        let old = runtime.put("a", exposed(&["1.example"], None));
        assert_eq!(claimants(&runtime, "2.example"), ["b"]);
        runtime.put("a", old);
        runtime.put("b", RuntimeEntry::default());
        assert_eq!(claimants(&runtime, "1.example"), ["a"]);
        assert_eq!(claimants(&runtime, "2.example"), ["a"]);
    }

    #[test]
    fn what_is_told_makes_the_same_again() {
        let mut runtime = RuntimeChanges::default();
        runtime.put("pg9", exposed(&["*.example"], None));
        let mut entry = RuntimeEntry::default();
        entry.hidden.insert(host("a.example"));
        runtime.put("pg1", entry);
        assert_eq!(RuntimeChanges::from(runtime.record()), runtime);
        let entry = runtime.get("pg9").unwrap();
        let text = serde_json::to_string(entry).unwrap();
        assert_eq!(serde_json::from_str::<RuntimeEntry>(&text).unwrap(), *entry);
    }
}
