//! Makes a snapshot from the sources and the snapshot before.
//!
//! Not here: what a database is and who has a host ([`super::merge`]), and putting a snapshot in
//! force ([`super::store`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::database::{Database, Exposure, ExposureState, GatewayTls, Shared};
use super::merge::{Merge, Merged};
use super::shards::Shards;
use super::source::{Declared, Origin, Source};
use super::{ChangeError, Host, RouteChange, Snapshot, Table};
use crate::tls::config::Loader;
use crate::upstream::Backends;

/// The making of a snapshot.
///
/// A database that is not of the configuration and whose files cannot be used fails the change that
/// asks for it (`requested`), or that would take it away; otherwise it is left out with a note, since
/// it must not stand in the way of changes to others.
pub(super) struct Building<'a> {
    gateway: &'a GatewayTls,
    loader: &'a mut Loader,
    backends: &'a Arc<Backends>,
    before: &'a Snapshot,
    requested: &'a [&'a str],
    /// True where only what is asked for changes, and no file is read again.
    keep: bool,
}

impl<'a> Building<'a> {
    /// Makes what follows the snapshot `before`.
    pub(super) fn new(
        gateway: &'a GatewayTls,
        loader: &'a mut Loader,
        backends: &'a Arc<Backends>,
        before: &'a Snapshot,
    ) -> Self {
        Self {
            gateway,
            loader,
            backends,
            before,
            requested: &[],
            keep: true,
        }
    }

    /// The same for a request to expose these databases.
    pub(super) fn asked_for(self, requested: &'a [&'a str]) -> Self {
        Self { requested, ..self }
    }

    /// The routes of a configuration and all `others`.
    pub(super) fn whole(
        mut self,
        config: BTreeMap<Arc<str>, Declared>,
        others: &[&dyn Source],
    ) -> Result<Snapshot, ChangeError> {
        self.keep = false;
        self.backends.prune();
        let tls = self
            .loader
            .server(&self.gateway.settings())
            .map_err(ChangeError::GatewayFiles)?;
        let mut after = Snapshot {
            revision: self.before.revision + 1,
            table: Table::with_capacity(config.values().map(|d| d.hosts.len()).sum()),
            databases: Shards::with_capacity(config.len()),
            gateway_tls: (!self.gateway.is_minted()).then_some(tls),
            ..Snapshot::default()
        };
        for (name, Declared { spec, hosts }) in config {
            let exposures = hosts.map(|host| Exposure::of_config(host, ExposureState::Active));
            let wanted = Merged {
                spec,
                origin: Origin::Config,
                exposures,
                admin: None,
            };
            let database = self.database(&name, wanted)?;
            after.table.insert(&database);
            after.databases.insert(database);
        }
        let names = others.iter().flat_map(|source| source.names()).collect();
        self.merge(others, &names, BTreeSet::new(), after)
    }

    /// The snapshot before, with these databases as the sources have them now, and what is different
    /// in it. `hosts` are those that they had before.
    pub(super) fn part<'o>(
        self,
        mut names: BTreeSet<&'o str>,
        mut hosts: BTreeSet<&'o Host>,
        others: &[&'o dyn Source],
    ) -> Result<(Snapshot, RouteChange), ChangeError>
    where
        Self: 'o,
    {
        let before = self.before;
        // Whoever lays claim to one of their hosts may have it now, or have lost it.
        hosts.extend(names.iter().flat_map(|name| hosts_of(others, name)));
        for host in &hosts {
            names.extend(others.iter().flat_map(|source| source.claimants(host)));
        }
        let left_out = before.left_out.iter().map(String::as_str);
        let all: BTreeSet<&str> = names.into_iter().chain(left_out).collect();
        let after = Snapshot {
            revision: before.revision + 1,
            ..before.clone()
        };
        let after = self.merge(others, &all, hosts, after)?;
        let change = RouteChange::between(before, &after, all.into_iter());
        Ok((after, change))
    }

    /// Merges all sources in a snapshot that differs by no more than these databases.
    fn merge<'o>(
        mut self,
        others: &[&'o dyn Source],
        names: &BTreeSet<&str>,
        mut hosts: BTreeSet<&'o Host>,
        mut after: Snapshot,
    ) -> Result<Snapshot, ChangeError> {
        let merge = Merge::new(&after, others);
        let mut notes = after.notes.clone();
        let mut left_out = BTreeSet::new();
        let mut built = Vec::with_capacity(names.len());
        for name in names {
            let mut of_name = merge.notes(name);
            let Some(wanted) = merge.database(name) else {
                note(&mut notes, name, of_name);
                built.push((name, None));
                continue;
            };
            let origin = wanted.origin;
            match self.database(&Arc::from(*name), wanted) {
                Ok(database) => built.push((name, Some(database))),
                Err(ChangeError::Files { source, .. })
                    if origin != Origin::Config
                        && !self.requested.contains(name)
                        && !self.before.databases.contains_key(name) =>
                {
                    of_name.push(format!(
                        "database {name}, {}, is left out: {source}",
                        origin.declared()
                    ));
                    left_out.insert((*name).to_owned());
                    built.push((name, None));
                }
                Err(error) => return Err(error),
            }
            note(&mut notes, name, of_name);
        }
        hosts.extend(names.iter().flat_map(|name| hosts_of(others, name)));
        let withdrawn: Vec<_> = hosts
            .into_iter()
            .map(|host| (host, merge.withdrawn(host)))
            .collect();
        for (name, database) in &built {
            let old = match database {
                Some(database) => after.databases.insert(database.clone()),
                None => after.databases.remove(name),
            };
            if let Some(old) = old {
                after.table.remove(&old);
            }
        }
        // Only now, since a host may go from one of them to another.
        for database in built.iter().filter_map(|(_, database)| database.as_ref()) {
            after.table.insert(database);
        }
        for (host, withdrawn) in withdrawn {
            after.table.withdraw(host, withdrawn);
        }
        after.notes = notes;
        after.left_out = left_out;
        Ok(after)
    }

    fn database(&mut self, name: &Arc<str>, wanted: Merged) -> Result<Arc<Database>, ChangeError> {
        let before = self.before.databases.get(name);
        let shared = Shared {
            gateway: self.gateway,
            loader: self.loader,
            backends: self.backends,
            keep: self.keep,
        };
        let Merged {
            spec,
            origin,
            exposures,
            admin,
        } = wanted;
        Database::build(name, spec, (origin, exposures, admin), shared, before).map_err(|source| {
            ChangeError::Files {
                database: name.to_string(),
                source,
            }
        })
    }
}

/// Replaces what is noted of a database.
fn note(notes: &mut Arc<BTreeMap<Arc<str>, Vec<String>>>, name: &str, of_name: Vec<String>) {
    let before = notes.get(name).map_or(&[][..], |notes| notes);
    if before == of_name {
        return;
    }
    let notes = Arc::make_mut(notes);
    if of_name.is_empty() {
        notes.remove(name);
    } else {
        notes.insert(name.into(), of_name);
    }
}

/// The hosts that these sources say anything about for a database.
fn hosts_of<'a>(others: &[&'a dyn Source], name: &str) -> impl Iterator<Item = &'a Host> {
    others.iter().flat_map(move |source| {
        let claims = source.claims(name).map(|(host, _)| host);
        claims.chain(source.withdrawn(name))
    })
}
