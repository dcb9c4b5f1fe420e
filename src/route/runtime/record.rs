//! Runtime changes by kind, as they are shown and written to a file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Lease, RuntimeChanges, RuntimeEntry};
use crate::route::Host;
use crate::route::admin::Admin;
use crate::route::spec::DatabaseSpec;

/// All runtime changes by kind, as they are shown and written to a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeRecord {
    /// Databases that only `ctl` made.
    pub databases: BTreeMap<Arc<str>, DatabaseSpec>,
    /// Hosts that `ctl` exposed, by database, whoever declared the database.
    pub exposed: BTreeMap<Arc<str>, BTreeMap<Host, Lease>>,
    /// Hosts that `ctl` switched off, by database.
    pub hidden: BTreeMap<Arc<str>, BTreeSet<Host>>,
    /// Hosts whose lease has ended, by database.
    pub ended: BTreeMap<Arc<str>, BTreeSet<Host>>,
    /// What was ordered beside, by database.
    pub admin: BTreeMap<Arc<str>, Arc<Admin>>,
}

impl RuntimeRecord {
    /// Adds the changes to a database.
    pub(super) fn add(&mut self, name: &Arc<str>, entry: RuntimeEntry) {
        let RuntimeEntry {
            database,
            mut exposed,
            hidden,
            admin,
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
        if let Some(admin) = admin {
            self.admin.insert(name.clone(), admin);
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
            mut admin,
        } = record;
        let names = databases.keys().chain(exposed.keys());
        let names = names.chain(hidden.keys()).chain(admin.keys());
        let names: BTreeSet<Arc<str>> = names.cloned().collect();
        let mut runtime = Self::default();
        for name in names {
            let entry = RuntimeEntry {
                database: databases.remove(&name),
                exposed: exposed.remove(&name).unwrap_or_default(),
                hidden: hidden.remove(&name).unwrap_or_default(),
                admin: admin.remove(&name),
            };
            runtime.put(&name, entry);
        }
        runtime
    }
}
