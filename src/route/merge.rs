//! How configuration and runtime changes become one: what a database is, and who has a host that several
//! lay claim to.
//!
//! The configuration wins a name that both declare and a host that both give away; what loses is
//! kept, marked, and told. Nothing here looks at all databases: what the runtime changes do not name is
//! as the configuration has it.
//!
//! Not here: building databases ([`super::build`]) and swapping routes ([`super::store`]).

use std::collections::BTreeSet;

use super::database::{Exposure, ExposureState, Origin};
use super::runtime::{RuntimeChanges, RuntimeEntry};
use super::spec::DatabaseSpec;
use super::table::{Withdrawn, WithdrawnReason};
use super::{Host, Snapshot};
use crate::one_or_many::OneOrMany;

/// A database as it results from configuration and runtime changes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Merged {
    /// From the configuration where it declares the name, else from `ctl`.
    pub(super) spec: DatabaseSpec,
    /// Which of the two.
    pub(super) origin: Origin,
    /// Its hosts, active or not.
    pub(super) exposures: OneOrMany<Exposure>,
}

/// The runtime changes upon a configuration.
pub(super) struct Merge<'a> {
    /// A snapshot with the databases of the configuration; what else it has plays no part.
    config: &'a Snapshot,
    runtime: &'a RuntimeChanges,
}

impl<'a> Merge<'a> {
    pub(super) fn new(config: &'a Snapshot, runtime: &'a RuntimeChanges) -> Self {
        Self { config, runtime }
    }

    /// The database of this name; `None` where there is none.
    pub(super) fn database(&self, name: &str) -> Option<Merged> {
        let declared = self.config.declared(name);
        let (spec, origin) = match declared {
            Some(declared) => (&declared.spec, Origin::Config),
            None => (self.runtime.made(name)?, Origin::Runtime),
        };
        let config_hosts = declared.into_iter().flat_map(|d| d.config_hosts());
        let of_config = config_hosts.map(|host| {
            let hidden = self.runtime.hides(name, host);
            let state = if hidden {
                ExposureState::Hidden
            } else {
                ExposureState::Active
            };
            Exposure::of_config(host.clone(), state)
        });
        let leases = self.runtime.get(name).into_iter();
        let of_runtime = leases
            .flat_map(RuntimeEntry::claims)
            .filter(|(host, _)| !self.gives(name, host))
            .map(|(host, lease)| Exposure {
                host: host.clone(),
                origin: Origin::Runtime,
                state: if self.owner(host) == Some(name) {
                    ExposureState::Active
                } else {
                    ExposureState::Shadowed
                },
                lease: (!lease.lasts()).then(|| Box::new(*lease)),
            });
        Some(Merged {
            spec: spec.clone(),
            origin,
            exposures: of_config.chain(of_runtime).collect(),
        })
    }

    /// What an operator should know of what `ctl` did about a database and what has no effect, one
    /// sentence each.
    pub(super) fn notes(&self, name: &str) -> Vec<String> {
        let Some(entry) = self.runtime.get(name) else {
            return Vec::new();
        };
        let mut notes = Vec::new();
        if entry.database.is_some() && self.is_declared(name) {
            notes.push(format!(
                "database {name} is declared in the configuration: the one made by ctl under that name is not used"
            ));
        }
        if entry.claims().next().is_some() && !self.exists(name) {
            notes.push(format!(
                "database {name} is no longer declared: what ctl exposed of it waits until it is, or until `dbgate ctl hide {name}`"
            ));
            return notes;
        }
        let claims = entry.claims().map(|(host, _)| host);
        for host in claims.filter(|host| !self.gives(name, host)) {
            if let Some(owner) = self.owner(host).filter(|owner| *owner != name) {
                notes.push(format!(
                    "host {host} leads to {owner}: what ctl exposed of {name} under it is not used"
                ));
            }
        }
        notes
    }

    /// Why a host that leads nowhere is refused as itself, if it is: it led to a database, and nobody
    /// has deleted it or given it to another since.
    pub(super) fn withdrawn(&self, host: &Host) -> Option<Withdrawn> {
        let withdrawn = |database: &str, why| Withdrawn {
            host: host.clone(),
            database: database.into(),
            why,
        };
        // By name, so that every order of changes leads to the same.
        if let Some(name) = self.runtime.refusers(host).min() {
            let why = if self.runtime.hides(name, host) {
                WithdrawnReason::Hidden
            } else {
                WithdrawnReason::Ended
            };
            return Some(withdrawn(name, why));
        }
        let name = self.runtime.claimants(host).min()?;
        Some(withdrawn(name, WithdrawnReason::LeftOut))
    }

    fn is_declared(&self, name: &str) -> bool {
        self.config.declared(name).is_some()
    }

    fn exists(&self, name: &str) -> bool {
        self.is_declared(name) || self.runtime.made(name).is_some()
    }

    /// Whether the configuration gives this host to this database, hidden or not.
    fn gives(&self, name: &str, host: &Host) -> bool {
        let declarer = self.config.table.declarer(host);
        declarer.is_some_and(|database| &*database.name == name)
    }

    /// The database that a host leads to, among those that lay claim to it: whose the
    /// configuration says it is, then those that it declares, each kind by name.
    fn owner(&self, host: &Host) -> Option<&str> {
        let declarer = self.config.table.declarer(host).map(|d| &*d.name);
        declarer
            .filter(|name| !self.runtime.hides(name, host))
            .or_else(|| {
                let claimants = self.runtime.claimants(host);
                claimants
                    .filter(|name| self.exists(name) && !self.gives(name, host))
                    .min_by_key(|name| (!self.is_declared(name), *name))
            })
    }
}

/// The databases that may be others with the runtime changes than they were when this is what had been
/// done about some of them: those, and whoever else lays claim to one of their hosts.
pub(super) fn affected<'a>(
    before: &'a [(String, RuntimeEntry)],
    runtime: &'a RuntimeChanges,
) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (name, old) in before {
        let new = runtime.get(name);
        if new.map_or(*old == RuntimeEntry::default(), |new| new == old) {
            continue;
        }
        names.insert(name.as_str());
        for entry in new.into_iter().chain([old]) {
            names.extend(entry.hosts().flat_map(|host| runtime.claimants(host)));
        }
    }
    names
}

#[cfg(test)]
mod tests;
