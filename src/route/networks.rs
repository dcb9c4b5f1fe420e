//! Databases by the networks of their clients (`networks`): a client without a known name reaches
//! the one with the longest prefix.
//!
//! Not here: which clients have no known name ([`super::decide`]).

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Database, Network};

/// Databases by network. A copy is for one change of the routes; most gateways have none at all.
#[derive(Clone, Debug, Default)]
pub(super) struct Networks {
    /// The databases of each network, the first by origin and name first.
    databases: HashMap<Network, Vec<Arc<Database>>>,
    /// The number of networks by the length of their prefixes.
    lengths: BTreeMap<u8, usize>,
}

impl Networks {
    /// Adds the networks of a database.
    pub(super) fn insert(&mut self, database: &Arc<Database>) {
        for network in &database.spec.access.networks {
            let network = network.trunc();
            let all = self.databases.entry(network).or_insert_with(|| {
                *self.lengths.entry(network.prefix_len()).or_default() += 1;
                Vec::new()
            });
            let rank = |of: &Arc<Database>| (of.origin, of.name.clone());
            if !all.iter().any(|known| known.name == database.name) {
                all.push(database.clone());
                all.sort_by_cached_key(rank);
            }
        }
    }

    /// Takes the networks of a database out.
    pub(super) fn remove(&mut self, database: &Database) {
        for network in &database.spec.access.networks {
            let network = network.trunc();
            let Some(all) = self.databases.get_mut(&network) else {
                continue;
            };
            all.retain(|known| known.name != database.name);
            if all.is_empty() {
                self.databases.remove(&network);
                let length = network.prefix_len();
                if let Some(count) = self.lengths.get_mut(&length) {
                    *count -= 1;
                    if *count == 0 {
                        self.lengths.remove(&length);
                    }
                }
            }
        }
    }

    /// The database of the longest prefix for an address, of those for which `fits` holds, with
    /// its network.
    pub(super) fn find(
        &self,
        client: IpAddr,
        fits: impl Fn(&Arc<Database>) -> bool,
    ) -> Option<(Network, &Arc<Database>)> {
        self.lengths.keys().rev().find_map(|length| {
            let network = Network::of(client, *length)?;
            let databases = self.databases.get(&network)?;
            let database = databases.iter().find(|database| fits(database))?;
            Some((network, database))
        })
    }
}
