//! Upstream servers: backends by address, and the pool that each database makes of them.
//!
//! - A [`Backend`] is one address and its state, shared by all databases that name it.
//! - A [`Member`] is a backend in the [`Pool`] of one database, with what belongs to the pair.
//! - [`Candidates`] are the members of a pool in the order in which one session tries them.
//!
//! Pure: no sockets, no clocks. A backend is only known to fail by the sessions that it failed,
//! and is still tried when its turn comes. Not here: dialling ([`crate::net::dial`]).

mod address;
mod backend;
mod pool;
mod zone;

pub use address::BackendAddr;
pub use backend::{Backend, Backends, Failure};
pub use pool::{Candidates, Member, Pool};
pub use zone::ZonedAddr;
