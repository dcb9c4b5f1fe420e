//! Several sources as one set of routes: the declaration of each database, and the owner of each
//! host.
//!
//! One rule decides: the first source wins, by the order of [`Origin`]. That goes for names and for
//! hosts; where one source gives a host to several databases, those that an earlier source declares
//! come first, then the first by name. What loses is kept, marked and noted. Nothing here looks at
//! all databases.
//!
//! Not here: building databases ([`super::build`]) and replacing routes ([`super::store`]).

use std::sync::Arc;

use super::admin::Admin;
use super::database::{Exposure, ExposureState};
use super::runtime::Lease;
use super::source::{Origin, Source};
use super::spec::DatabaseSpec;
use super::table::{Withdrawn, WithdrawnReason};
use super::{Host, Snapshot};
use crate::one_or_many::OneOrMany;

/// A database as it results from all sources.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Merged {
    /// Its declaration in the first source that has one.
    pub(super) spec: DatabaseSpec,
    /// That source.
    pub(super) origin: Origin,
    /// Its hosts in the order of the sources, active or not.
    pub(super) exposures: OneOrMany<Exposure>,
    /// What was ordered beside.
    pub(super) admin: Option<Arc<Admin>>,
}

/// The sources, in the order in which they win.
pub(super) struct Merge<'a> {
    sources: Vec<&'a dyn Source>,
}

impl<'a> Merge<'a> {
    /// The databases that `config` has of the configuration, and all `others`; what else `config` has
    /// plays no part.
    pub(super) fn new(config: &'a Snapshot, others: &[&'a dyn Source]) -> Self {
        let mut sources: Vec<&dyn Source> = vec![config];
        sources.extend(others);
        sources.sort_by_key(|source| source.origin());
        Self { sources }
    }

    /// The database of this name; `None` where no source declares it.
    pub(super) fn database(&self, name: &str) -> Option<Merged> {
        let (origin, spec) = self.declaration(name)?;
        let exposures = self.claims(name).map(|(source, host, lease)| {
            let state = if self.is_hidden(name, host) {
                ExposureState::Hidden
            } else if self.owner(host) == Some(name) {
                ExposureState::Active
            } else {
                ExposureState::Shadowed
            };
            Exposure {
                host: host.clone(),
                origin: source.origin(),
                state,
                lease: (!lease.lasts()).then(|| Box::new(lease)),
            }
        });
        Some(Merged {
            spec: spec.clone(),
            origin,
            exposures: exposures.collect(),
            admin: self.admin(name).cloned(),
        })
    }

    /// Sentences for the operator about what sources say of a database and what has no effect.
    pub(super) fn notes(&self, name: &str) -> Vec<String> {
        let mut notes = Vec::new();
        let declaration = self.declaration(name);
        for source in &self.sources {
            let (Some((winner, _)), Some(_)) = (declaration, source.spec(name)) else {
                continue;
            };
            if source.origin() != winner {
                notes.push(format!(
                    "database {name} is {}: the one {} under that name is not used",
                    winner.declared(),
                    source.origin().declared()
                ));
            }
        }
        if declaration.is_none() {
            let waits = |source: &&&dyn Source| {
                let drained = source.admin(name).is_some_and(|admin| !admin.is_idle());
                drained || source.claims(name).next().is_some()
            };
            notes.extend(self.sources.iter().filter(waits).map(|source| {
                format!(
                    "database {name} is no longer declared: what {} did about it waits until it is, or until `dbgate ctl delete {name}`",
                    source.origin().name()
                )
            }));
            return notes;
        }
        for (source, host, _) in self.claims(name) {
            if !self.is_hidden(name, host)
                && let Some(owner) = self.owner(host).filter(|owner| *owner != name)
            {
                notes.push(format!(
                    "host {host} leads to {owner}: what {} exposed of {name} under it is not used",
                    source.origin().name()
                ));
            }
        }
        notes
    }

    /// The reason why a host is refused while no database has it: one had it, or would if it could be
    /// served, and it was not deleted or given to another since.
    pub(super) fn withdrawn(&self, host: &Host) -> Option<Withdrawn> {
        let withdrawn = |database: &str, reason| Withdrawn {
            host: host.clone(),
            database: database.into(),
            reason,
        };
        // The first by name, so that it does not depend on the order of changes.
        for source in &self.sources {
            if let Some(name) = source.withdrawers(host).min() {
                let reason = if source.hides(name, host) {
                    WithdrawnReason::Hidden
                } else {
                    WithdrawnReason::Ended
                };
                return Some(withdrawn(name, reason));
            }
        }
        let claimants = self
            .sources
            .iter()
            .map(|source| source.claimants(host).min());
        let name = claimants.flatten().next()?;
        Some(withdrawn(name, WithdrawnReason::LeftOut))
    }

    /// The declaration that counts, and its source.
    fn declaration(&self, name: &str) -> Option<(Origin, &'a DatabaseSpec)> {
        let mut sources = self.sources.iter();
        sources.find_map(|source| Some((source.origin(), source.spec(name)?)))
    }

    /// What was ordered for a database.
    fn admin(&self, name: &str) -> Option<&'a Arc<Admin>> {
        let mut sources = self.sources.iter();
        sources.find_map(|source| source.admin(name))
    }

    /// True if the hosts that a source gives to a database count: it gives them to its own
    /// declaration, or to whatever has that name.
    fn counts(&self, source: &dyn Source, name: &str) -> bool {
        let declaration = self.declaration(name);
        declaration.is_some_and(|(origin, _)| origin == source.origin() || source.extends_others())
    }

    /// The hosts of a database, each by the first source that gives it.
    fn claims(&self, name: &str) -> impl Iterator<Item = (&'a dyn Source, &'a Host, Lease)> {
        let sources = self.sources.iter().copied();
        let sources = sources.filter(move |source| self.counts(*source, name));
        sources.flat_map(move |source| {
            let claims = source.claims(name);
            let first = claims.filter(move |(host, _)| !self.is_given_before(source, name, host));
            first.map(move |(host, lease)| (source, host, lease))
        })
    }

    /// True if an earlier source gives the host to the database, hidden or not.
    fn is_given_before(&self, source: &dyn Source, name: &str, host: &Host) -> bool {
        let earlier = |other: &&&dyn Source| other.origin() < source.origin();
        let mut earlier = self.sources.iter().filter(earlier);
        earlier.any(|other| {
            self.counts(*other, name) && other.claimants(host).any(|claimant| claimant == name)
        })
    }

    /// True if a source switches off a host of a database.
    fn is_hidden(&self, name: &str, host: &Host) -> bool {
        self.sources.iter().any(|source| source.hides(name, host))
    }

    /// The database that a host leads to, among those that lay claim to it.
    fn owner(&self, host: &Host) -> Option<&'a str> {
        self.sources.iter().copied().find_map(|source| {
            let claimants = source.claimants(host).filter(|name| {
                self.counts(source, name)
                    && !self.is_given_before(source, name, host)
                    && !self.is_hidden(name, host)
            });
            let origin = |name| self.declaration(name).map(|(origin, _)| origin);
            claimants.min_by_key(|name| (origin(name), *name))
        })
    }
}

#[cfg(test)]
mod tests;
