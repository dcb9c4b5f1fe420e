//! A source of routes: what declares databases and exposes them under hosts.
//!
//! Not here: which source wins where several lay claim to a name or a host (`merge.rs`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::admin::Admin;
use super::runtime::Lease;
use super::spec::DatabaseSpec;
use super::{Host, Snapshot};
use crate::one_or_many::OneOrMany;

/// The source that declared a database or one of its hosts, in the order in which they win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The configuration file.
    Config,
    /// `ctl`, while the gateway runs.
    Runtime,
    /// A further one.
    #[cfg(test)]
    Third,
}

impl Origin {
    /// The word for tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Runtime => "runtime",
            #[cfg(test)]
            Self::Third => "third",
        }
    }

    /// The participle for a database of this source, such as `made by ctl`.
    pub(super) fn declared(self) -> &'static str {
        match self {
            Self::Config => "declared in the configuration",
            Self::Runtime => "made by ctl",
            #[cfg(test)]
            Self::Third => "declared by a third source",
        }
    }

    /// The name of the source in a sentence.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Config => "the configuration",
            Self::Runtime => "ctl",
            #[cfg(test)]
            Self::Third => "a third source",
        }
    }
}

/// A database with its hosts, as a source declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Protocol, backends, TLS and limits.
    pub spec: DatabaseSpec,
    /// The hosts under which it is exposed.
    pub hosts: OneOrMany<Host>,
}

/// Items that a source has many of, made when asked for.
pub type Items<'a, T> = Box<dyn Iterator<Item = T> + 'a>;

/// A source of routes, found by database and by host.
///
/// Each method costs no more where there are very many other databases, but for [`Source::names`].
pub trait Source {
    /// The source's name and its place in the order.
    fn origin(&self) -> Origin;

    /// The databases that it says anything about.
    fn names(&self) -> Items<'_, &str>;

    /// The declaration of a database, where it has one.
    fn spec(&self, name: &str) -> Option<&DatabaseSpec>;

    /// The hosts under which it exposes a database.
    fn claims(&self, name: &str) -> Items<'_, (&Host, Lease)>;

    /// The databases that it exposes under a host, in no order.
    fn claimants(&self, host: &Host) -> Items<'_, &str>;

    /// True if it also exposes databases that only other sources declare.
    fn extends_others(&self) -> bool {
        false
    }

    /// True if it switches off a host of the database, whoever gives it.
    fn hides(&self, _name: &str, _host: &Host) -> bool {
        false
    }

    /// What it orders for a database, whoever declares that.
    fn admin(&self, _name: &str) -> Option<&Arc<Admin>> {
        None
    }

    /// The hosts of a database that it hides, or does not expose any more.
    fn withdrawn(&self, _name: &str) -> Items<'_, &Host> {
        Box::new([].into_iter())
    }

    /// The databases whose host this was until it ended that, in no order.
    fn withdrawers(&self, _host: &Host) -> Items<'_, &str> {
        Box::new([].into_iter())
    }
}

/// The configuration, read back from a snapshot: nothing wins over what it declares, so all of it
/// is there, and 100,000 databases are not kept twice.
impl Source for Snapshot {
    fn origin(&self) -> Origin {
        Origin::Config
    }

    fn names(&self) -> Items<'_, &str> {
        let declared = self.databases.iter().filter(|d| d.origin == Origin::Config);
        Box::new(declared.map(|database| &*database.name))
    }

    fn spec(&self, name: &str) -> Option<&DatabaseSpec> {
        Some(&self.of_config(name)?.spec)
    }

    fn claims(&self, name: &str) -> Items<'_, (&Host, Lease)> {
        let database = self.databases.get(name).into_iter();
        let hosts = database.flat_map(|database| database.config_hosts());
        Box::new(hosts.map(|host| (host, Lease::default())))
    }

    fn claimants(&self, host: &Host) -> Items<'_, &str> {
        let declarer = self.table.given_by(host, |origin| origin == Origin::Config);
        let declarer = declarer.into_iter();
        Box::new(declarer.map(|database| &*database.name))
    }
}

/// Databases by a host that they have something to do with.
#[derive(Clone, Debug, Default)]
pub(super) struct ByHost(HashMap<Host, OneOrMany<Arc<str>>>);

impl ByHost {
    pub(super) fn add(&mut self, host: &Host, name: &Arc<str>) {
        let names = self.0.remove(host).unwrap_or_default();
        let names = names.iter().cloned().chain([name.clone()]).collect();
        self.0.insert(host.clone(), names);
    }

    pub(super) fn remove(&mut self, host: &Host, name: &Arc<str>) {
        let Some(names) = self.0.remove(host) else {
            return;
        };
        let others: OneOrMany<_> = names.iter().filter(|n| *n != name).cloned().collect();
        if !others.is_empty() {
            self.0.insert(host.clone(), others);
        }
    }

    pub(super) fn names<'a>(&'a self, host: &Host) -> impl Iterator<Item = &'a str> + use<'a> {
        let names = self.0.get(host).into_iter();
        names.flat_map(|names| names.iter().map(|name| &**name))
    }
}

/// The declarations of a source that does nothing else than declare.
#[derive(Clone, Debug)]
pub struct Declarations {
    origin: Origin,
    databases: BTreeMap<Arc<str>, Declared>,
    /// Follows from `databases`.
    by_host: ByHost,
}

impl Declarations {
    /// A source that declares nothing yet.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            databases: BTreeMap::new(),
            by_host: ByHost::default(),
        }
    }

    /// Replaces the declaration of a database, or removes it, and gives back the one before.
    pub fn put(&mut self, name: &Arc<str>, declared: Option<Declared>) -> Option<Declared> {
        let old = self.databases.remove(name);
        for host in old.iter().flat_map(|old| old.hosts.iter()) {
            self.by_host.remove(host, name);
        }
        for host in declared.iter().flat_map(|new| new.hosts.iter()) {
            self.by_host.add(host, name);
        }
        if let Some(declared) = declared {
            self.databases.insert(name.clone(), declared);
        }
        old
    }
}

impl Source for Declarations {
    fn origin(&self) -> Origin {
        self.origin
    }

    fn names(&self) -> Items<'_, &str> {
        Box::new(self.databases.keys().map(|name| &**name))
    }

    fn spec(&self, name: &str) -> Option<&DatabaseSpec> {
        Some(&self.databases.get(name)?.spec)
    }

    fn claims(&self, name: &str) -> Items<'_, (&Host, Lease)> {
        let declared = self.databases.get(name).into_iter();
        let hosts = declared.flat_map(|declared| declared.hosts.iter());
        Box::new(hosts.map(|host| (host, Lease::default())))
    }

    fn claimants(&self, host: &Host) -> Items<'_, &str> {
        Box::new(self.by_host.names(host))
    }
}
