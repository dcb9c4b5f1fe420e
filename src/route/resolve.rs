//! How configuration and overlay become one: what a database is, and who has a host that several
//! lay claim to.
//!
//! The configuration wins a name that both declare and a host that both give away; what loses is
//! kept, marked, and told. Nothing here looks at all databases: what the overlay does not name is
//! as the configuration has it.
//!
//! Not here: building databases ([`super::build`]) and swapping routes ([`super::store`]).

use std::collections::{BTreeSet, HashMap};

use super::database::{Exposure, ExposureState, Origin};
use super::overlay::Overlay;
use super::spec::DatabaseSpec;
use super::{Host, Snapshot};
use crate::few::Few;

/// A database as it results from configuration and overlay.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Resolved {
    /// From the configuration where it declares the name, else from `ctl`.
    pub(super) spec: DatabaseSpec,
    /// Which of the two.
    pub(super) origin: Origin,
    /// Its hosts, active or not.
    pub(super) exposures: Few<Exposure>,
}

/// An overlay upon a configuration.
pub(super) struct Resolver<'a> {
    /// A snapshot with the databases of the configuration; what else it has plays no part.
    config: &'a Snapshot,
    overlay: &'a Overlay,
    /// Who has each of the hosts that `ctl` exposed and that the configuration leaves free.
    claims: HashMap<&'a Host, &'a str>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(config: &'a Snapshot, overlay: &'a Overlay) -> Self {
        let mut resolver = Self {
            config,
            overlay,
            claims: HashMap::new(),
        };
        let mut claims = HashMap::new();
        for declared in [true, false] {
            for (name, hosts) in &overlay.exposed {
                if resolver.is_declared(name) != declared || !resolver.exists(name) {
                    continue;
                }
                for host in hosts.keys().filter(|host| !resolver.gives(name, host)) {
                    claims.entry(host).or_insert(name.as_str());
                }
            }
        }
        resolver.claims = claims;
        resolver
    }

    /// The database of this name; `None` where there is none.
    pub(super) fn database(&self, name: &str) -> Option<Resolved> {
        let declared = self.config.declared(name);
        let (spec, origin) = match declared {
            Some(declared) => (&declared.spec, Origin::Config),
            None => (self.overlay.databases.get(name)?, Origin::Runtime),
        };
        let config_hosts = declared.into_iter().flat_map(|d| d.config_hosts());
        let of_config = config_hosts.map(|host| {
            let hidden = self.overlay.hides(name, host);
            let state = if hidden {
                ExposureState::Hidden
            } else {
                ExposureState::Active
            };
            Exposure::of_config(host.clone(), state)
        });
        let leases = self.overlay.exposed.get(name).into_iter().flatten();
        let of_runtime = leases
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
        Some(Resolved {
            spec: spec.clone(),
            origin,
            exposures: of_config.chain(of_runtime).collect(),
        })
    }

    /// What an operator should know of what `ctl` did and what has no effect, one sentence each.
    pub(super) fn notes(&self) -> Vec<String> {
        let overlay = self.overlay;
        let unused = overlay
            .databases
            .keys()
            .filter(|name| self.is_declared(name));
        let unused = unused.map(|name| {
            format!(
                "database {name} is declared in the configuration: the one made by ctl under that name is not used"
            )
        });
        let waiting = overlay.exposed.keys().filter(|name| !self.exists(name));
        let waiting = waiting.map(|name| {
            format!(
                "database {name} is no longer declared: what ctl exposed of it waits until it is, or until `dbgate ctl hide {name}`"
            )
        });
        let there = overlay.exposed.iter().filter(|(name, _)| self.exists(name));
        let shadowed = there.flat_map(|(name, hosts)| {
            let claimed = hosts.keys().filter(|host| !self.gives(name, host));
            claimed.filter_map(move |host| {
                let owner = self.owner(host).filter(|owner| owner != name)?;
                Some(format!(
                    "host {host} leads to {owner}: what ctl exposed of {name} under it is not used"
                ))
            })
        });
        unused.chain(waiting).chain(shadowed).collect()
    }

    fn is_declared(&self, name: &str) -> bool {
        self.config.declared(name).is_some()
    }

    fn exists(&self, name: &str) -> bool {
        self.is_declared(name) || self.overlay.databases.contains_key(name)
    }

    /// Whether the configuration gives this host to this database, hidden or not.
    fn gives(&self, name: &str, host: &Host) -> bool {
        let declarer = self.config.table.declarer(host);
        declarer.is_some_and(|database| &*database.name == name)
    }

    /// The database that a host leads to, among those that lay claim to it.
    fn owner(&self, host: &Host) -> Option<&str> {
        let declarer = self.config.table.declarer(host).map(|d| &*d.name);
        declarer
            .filter(|name| !self.overlay.hides(name, host))
            .or_else(|| self.claims.get(host).copied())
    }
}

/// The databases that may be others after the overlay than before it: those about which the two
/// differ, and whoever else lays claim to one of their hosts.
pub(super) fn affected<'a>(before: &'a Overlay, after: &'a Overlay) -> BTreeSet<&'a str> {
    let overlays = [before, after];
    let all = overlays.iter().flat_map(|overlay| {
        let Overlay {
            databases,
            exposed,
            hidden,
        } = overlay;
        let names = databases.keys().chain(exposed.keys());
        names.chain(hidden.keys()).map(String::as_str)
    });
    let mut names: BTreeSet<&str> = all
        .filter(|name| {
            before.databases.get(*name) != after.databases.get(*name)
                || before.exposed.get(*name) != after.exposed.get(*name)
                || before.hidden.get(*name) != after.hidden.get(*name)
        })
        .collect();
    let of_names = |overlay: &'a Overlay| {
        let of_each = names.iter();
        of_each.flat_map(move |name| {
            let exposed = overlay
                .exposed
                .get(*name)
                .into_iter()
                .flat_map(|h| h.keys());
            exposed.chain(overlay.hidden.get(*name).into_iter().flatten())
        })
    };
    let hosts: BTreeSet<&Host> = overlays.into_iter().flat_map(of_names).collect();
    let others = after.exposed.iter().filter(|(_, claimed)| {
        let (few, many) = (hosts.len(), claimed.len());
        if few < many {
            hosts.iter().any(|host| claimed.contains_key(*host))
        } else {
            claimed.keys().any(|host| hosts.contains(host))
        }
    });
    let others: Vec<&str> = others.map(|(name, _)| name.as_str()).collect();
    names.extend(others);
    names
}

#[cfg(test)]
mod tests;
