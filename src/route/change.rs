//! A change of the routes: the differences between two snapshots.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::renewed::RenewedFile;
use super::{Database, Host, Snapshot};

/// A change of the routes.
#[derive(Debug, Default)]
pub struct RouteChange {
    /// The revision after it.
    pub revision: u64,
    /// False where everything already was as asked.
    pub changed: bool,
    /// (database, host) pairs that routed before and do not now.
    pub withdrawn: Vec<(Arc<str>, Host)>,
    /// (database, host) pairs that route now and did not before.
    pub exposed: Vec<(Arc<str>, Host)>,
    /// Databases that are gone.
    pub removed: Vec<Arc<str>>,
    /// Databases that it was asked for, as far as anything about them is another now.
    pub names: BTreeSet<String>,
    /// (database, host) pairs of databases that were deleted, whether the host led there or was
    /// refused.
    pub freed: Vec<(String, Host)>,
    /// Notes of the new snapshot that the one before did not have.
    pub news: Vec<String>,
    /// Files of certificates, keys and authorities that hold something else now.
    pub renewed: Vec<RenewedFile>,
    /// The databases that are exposed, as they are after the change; in a dry run, as they would be.
    pub databases: Vec<Arc<Database>>,
}

impl RouteChange {
    /// The differences in all databases.
    pub(super) fn of_all(before: &Snapshot, after: &Snapshot) -> Self {
        let gone = before.databases.iter().map(|d| &*d.name);
        let gone = gone.filter(|name| !after.databases.contains_key(name));
        let names = after.databases.iter().map(|d| &*d.name).chain(gone);
        Self::between(before, after, names)
    }

    /// The differences in these databases; the others are the same in both.
    pub(super) fn between<'n>(
        before: &Snapshot,
        after: &Snapshot,
        names: impl Iterator<Item = &'n str>,
    ) -> Self {
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
}

fn leads_to(snapshot: &Snapshot, host: &Host, name: &str) -> bool {
    let route = snapshot.table.route(host);
    route.is_some_and(|route| &*route.database.name == name)
}
