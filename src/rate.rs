//! Rates of new sessions: the key `rate` of a database, and the sessions that it counts.

mod limits;
mod new_sessions;

pub use limits::{Prefix, Rate, RateLimits, RateReached};
pub use new_sessions::{Counted, NewSessions};
