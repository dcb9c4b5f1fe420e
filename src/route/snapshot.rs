//! Everything that routing needs at one moment, immutable and shared.
//!
//! Not here: making one ([`super::build`]) and replacing it ([`super::store`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::shards::Shards;
use super::source::Declared;
use super::{Database, Origin, Table};
use crate::tls::config::ServerTls;

/// All routes as of one revision. A copy shares what has not changed.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Raised by one at each change.
    pub revision: u64,
    /// Host to database.
    pub table: Table,
    /// All databases, exposed or not.
    pub databases: Shards<Arc<Database>>,
    /// The gateway's own certificate, for refusals inside TLS; `None` where it was minted, since
    /// no client trusts it.
    pub gateway_tls: Option<Arc<ServerTls>>,
    /// Sentences for the operator about sources that do not agree, by database.
    pub notes: Arc<BTreeMap<Arc<str>, Vec<String>>>,
    /// Databases whose files could not be used; each change tries them again.
    pub(super) left_out: BTreeSet<String>,
}

impl Snapshot {
    /// All databases, by name.
    #[must_use]
    pub fn by_name(&self) -> Vec<&Arc<Database>> {
        let mut all: Vec<_> = self.databases.iter().collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// All notes, a sentence each.
    pub fn all_notes(&self) -> impl Iterator<Item = &str> {
        self.notes.values().flatten().map(String::as_str)
    }

    /// A database of the configuration.
    #[must_use]
    pub fn of_config(&self, name: &str) -> Option<&Arc<Database>> {
        let database = self.databases.get(name);
        database.filter(|database| database.origin == Origin::Config)
    }

    /// A database that a source other than `ctl` declares.
    pub(super) fn declared(&self, name: &str) -> Option<&Arc<Database>> {
        let database = self.databases.get(name);
        database.filter(|database| database.origin != Origin::Runtime)
    }

    /// True if the configuration declares just these.
    pub(super) fn is_of(&self, config: &BTreeMap<Arc<str>, Declared>) -> bool {
        let declared = self.databases.iter().filter(|d| d.origin == Origin::Config);
        declared.count() == config.len()
            && config.iter().all(|(name, declared)| {
                let database = self.databases.get(name);
                database.is_some_and(|database| database.is_declared_as(declared))
            })
    }
}
