//! Upstream servers: backends by address, and the pool that each database makes of them.
//!
//! - A [`Backend`] is one address and its state, shared by all databases that name it.
//! - A [`Member`] is a backend in the [`Pool`] of one database, with what belongs to the pair.
//! - A [`Check`] is a question to an address, and [`Checked`] what is known of it; databases that ask
//!   the same share it.
//! - [`Candidates`] are the members of a pool in the order in which one session tries them, by the
//!   database's [`Balance`].
//!
//! Pure: no sockets, no clocks. Not here: dialling ([`crate::net::dial`]), making checks
//! ([`crate::health`]).

mod address;
mod backend;
mod balance;
mod check;
mod checked;
mod member;
mod pool;
mod state;
mod weighted;
mod zone;

pub use address::BackendAddr;
pub use backend::{Backend, Backends, Failure};
pub use balance::{Balance, Balancing};
pub use check::{Check, CheckKind, HttpPath, Speak, Timing};
pub use checked::{CheckFailure, Checked, CheckedState, Checks, Seen};
pub use member::{Counted, Member};
pub use pool::{Candidates, Pool};
pub use state::{BackendState, BackendView, Fault};
pub use weighted::WeightedAddr;
pub use zone::ZonedAddr;
