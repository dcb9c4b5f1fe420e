//! Routes: databases and hosts, the sources that declare them, the decision which database a client
//! reaches, and the store that replaces all routes as a whole.
//!
//! Not here: sockets, clocks and async code; the store is driven by the control side and read by
//! sessions.

pub mod access;
pub mod admin;
mod build;
pub mod change;
pub mod database;
pub mod decide;
mod edit;
pub mod health;
pub mod hold;
pub mod host;
mod merge;
mod network;
mod networks;
mod renewal;
pub mod renewed;
pub mod request;
pub mod runtime;
pub mod shards;
mod snapshot;
pub mod source;
pub mod spec;
pub mod store;
pub mod table;
pub mod upstream;

pub use crate::protocol::Protocol;
pub use change::RouteChange;
pub use database::{Database, Exposure};
pub use host::Host;
pub use network::Network;
pub use renewal::{Attempt, Renewal};
pub use request::ChangeError;
pub use runtime::RuntimeChanges;
pub use snapshot::Snapshot;
pub use source::{Declared, Origin};
pub use spec::DatabaseSpec;
pub use store::Store;
pub use table::{Lookup, Route, Table};

#[cfg(test)]
pub(crate) mod tests;
