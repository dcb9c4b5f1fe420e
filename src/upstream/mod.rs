//! Upstream servers: backends by address, and the pool that each database makes of them.
//!
//! - A [`Backend`] is one address and its state, shared by all databases that name it.
//! - A [`Member`] is a backend in the [`Pool`] of one database, with what belongs to the pair.
//! - [`Candidates`] are the members of a pool in the order in which one session tries them, by the
//!   database's [`Balance`].
//!
//! Pure: no sockets, no clocks. Not here: dialling ([`crate::net::dial`]).

mod address;
mod backend;
mod balance;
mod member;
mod pool;
mod weighted;
mod zone;

pub use address::BackendAddr;
pub use backend::{Backend, Backends, Failure};
pub use balance::{Balance, Balancing};
pub use member::{Counted, Member};
pub use pool::{Candidates, Pool};
pub use weighted::WeightedAddr;
pub use zone::ZonedAddr;
