//! The making of a snapshot out of a configuration, the runtime changes and the snapshot before.
//!
//! Not here: what a database is and who has a host ([`super::merge`]), and putting a snapshot in
//! force ([`super::store`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::database::{Database, Exposure, ExposureState, GatewayTls, Origin, Shared};
use super::merge::Merge;
use super::runtime::{Declared, RuntimeChanges, RuntimeEntry};
use super::shards::Shards;
use super::spec::DatabaseSpec;
use super::{ChangeError, Host, RouteChange, Snapshot, Table};
use crate::one_or_many::OneOrMany;
use crate::tls::config::Loader;
use crate::upstream::Backends;

/// The making of a snapshot.
///
/// A database made by `ctl` whose files cannot be used fails the change that wishes for it
/// (`requested`), or that would take it away; otherwise it is left out with a note, since it must not
/// stand in the way of changes to others.
pub(super) struct Building<'a> {
    pub(super) gateway: &'a GatewayTls,
    pub(super) loader: &'a mut Loader,
    pub(super) backends: &'a Arc<Backends>,
    pub(super) before: &'a Snapshot,
    pub(super) requested: Option<&'a str>,
}

impl Building<'_> {
    /// The routes that a configuration and the runtime changes make together.
    pub(super) fn whole(
        mut self,
        config: BTreeMap<Arc<str>, Declared>,
        runtime: &RuntimeChanges,
    ) -> Result<Snapshot, ChangeError> {
        self.backends.prune();
        let tls = self
            .loader
            .server(&self.gateway.files())
            .map_err(ChangeError::GatewayFiles)?;
        let mut after = Snapshot {
            revision: self.before.revision + 1,
            table: Table::with_capacity(config.values().map(|d| d.hosts.len()).sum()),
            databases: Shards::with_capacity(config.len()),
            gateway_tls: (!self.gateway.minted).then_some(tls),
            ..Snapshot::default()
        };
        for (name, Declared { spec, hosts }) in config {
            let exposures = hosts.map(|host| Exposure::of_config(host, ExposureState::Active));
            let database = self.database(&name, spec, Origin::Config, exposures)?;
            after.table.insert(&database);
            after.databases.insert(database);
        }
        self.lay(runtime, &runtime.names().collect(), BTreeSet::new(), after)
    }

    /// The snapshot before, with these databases as the runtime changes want them now. `hosts` are those
    /// that it had something to do with before.
    pub(super) fn part<'o>(
        self,
        names: &BTreeSet<&str>,
        hosts: BTreeSet<&'o Host>,
        runtime: &'o RuntimeChanges,
    ) -> Result<Snapshot, ChangeError> {
        let after = Snapshot {
            revision: self.before.revision + 1,
            ..self.before.clone()
        };
        self.lay(runtime, names, hosts, after)
    }

    /// Lays the runtime changes upon a snapshot that differs by no more than these databases.
    fn lay<'o>(
        mut self,
        runtime: &'o RuntimeChanges,
        names: &BTreeSet<&str>,
        mut hosts: BTreeSet<&'o Host>,
        mut after: Snapshot,
    ) -> Result<Snapshot, ChangeError> {
        let merge = Merge::new(&after, runtime);
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
            match self.database(
                &Arc::from(*name),
                wanted.spec,
                wanted.origin,
                wanted.exposures,
            ) {
                Ok(database) => built.push((name, Some(database))),
                Err(ChangeError::Files { source, .. })
                    if wanted.origin == Origin::Runtime
                        && self.requested != Some(name)
                        && !self.before.databases.contains_key(name) =>
                {
                    of_name.push(format!(
                        "database {name}, made by ctl, is left out: {source}"
                    ));
                    left_out.insert((*name).to_owned());
                    built.push((name, None));
                }
                Err(error) => return Err(error),
            }
            note(&mut notes, name, of_name);
        }
        hosts.extend(
            names
                .iter()
                .filter_map(|name| runtime.get(name))
                .flat_map(RuntimeEntry::hosts),
        );
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

    fn database(
        &mut self,
        name: &Arc<str>,
        spec: DatabaseSpec,
        origin: Origin,
        exposures: OneOrMany<Exposure>,
    ) -> Result<Arc<Database>, ChangeError> {
        let before = self.before.databases.get(name);
        let shared = Shared {
            gateway: self.gateway,
            loader: self.loader,
            backends: self.backends,
        };
        Database::build(name, spec, origin, exposures, shared, before).map_err(|source| {
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

/// What is different in these databases; the others are the same in both.
pub(super) fn compare<'n>(
    before: &Snapshot,
    after: &Snapshot,
    names: impl Iterator<Item = &'n str>,
) -> RouteChange {
    let mut change = RouteChange {
        revision: after.revision,
        changed: true,
        ..RouteChange::default()
    };
    for name in names {
        let (old, new) = (before.databases.get(name), after.databases.get(name));
        if let Some(old) = old {
            let hosts = old.active_hosts();
            let withdrawn = hosts.filter(|host| !leads_to(after, host, name));
            let pairs = withdrawn.map(|host| (old.name.clone(), host.clone()));
            change.withdrawn.extend(pairs);
        }
        if let Some(new) = new {
            let hosts = new.active_hosts();
            let exposed = hosts.filter(|host| !leads_to(before, host, name));
            let pairs = exposed.map(|host| (new.name.clone(), host.clone()));
            change.exposed.extend(pairs);
        }
        change
            .removed
            .extend(old.filter(|_| new.is_none()).map(|old| old.name.clone()));
    }
    change.withdrawn.sort_unstable();
    change.exposed.sort_unstable();
    change.removed.sort_unstable();
    let same_notes = Arc::ptr_eq(&before.notes, &after.notes);
    for (name, notes) in after.notes.iter().filter(|_| !same_notes) {
        let known = before.notes.get(name);
        let news = notes
            .iter()
            .filter(|note| known.is_none_or(|known| !known.contains(note)));
        change.news.extend(news.cloned());
    }
    change
}

fn leads_to(snapshot: &Snapshot, host: &Host, name: &str) -> bool {
    let route = snapshot.table.route(host);
    route.is_some_and(|route| &*route.database.name == name)
}
