//! Which database a name leads to: databases, hosts, the lookup table, and the store that
//! replaces the table as a whole.
//!
//! Not here: sockets, clocks and async code; the store is driven by the control side and read by
//! sessions.

mod build;
pub mod change;
pub mod database;
pub mod decide;
#[cfg(test)]
pub(crate) mod ground;
pub mod host;
mod merge;
mod network;
pub mod renewed;
pub mod runtime;
pub mod shards;
pub mod spec;
pub mod store;
pub mod table;

pub use change::ChangeError;
pub use database::{Database, Exposure, Origin};
pub use host::Host;
pub use network::Network;
pub use runtime::RuntimeChanges;
pub use spec::{DatabaseSpec, Protocol};
pub use store::{RouteChange, Snapshot, Store};
pub use table::{Lookup, Route, Table};
