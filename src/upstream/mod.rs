//! The servers behind a database: their addresses and whose turn it is.
//!
//! Not here: dialling them ([`crate::net::dial`]).

mod address;
mod pool;
mod zone;

pub use address::BackendAddr;
pub use pool::{Backend, Failing, Known, Pool, backends};
pub use zone::ZonedAddr;
