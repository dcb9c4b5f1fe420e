//! Statistics: close reasons, records of ended sessions, rejects, events.
//!
//! Not here: the live sessions ([`crate::sessions`]), and how any of it is shown (`ctl`, the access
//! log, metrics).

pub mod close;
pub mod detail;
pub mod event;
pub mod record;
pub mod rejects;

pub use close::{CloseReason, ClosedBy};
pub use detail::Detail;
pub use event::{BackendChange, CertificateFault, Event, EventKind, Events, Operation};
pub use record::Record;
pub use rejects::{Reject, Rejects, Row as RejectedRow};

/// A time in milliseconds of Unix time.
#[must_use]
pub fn unix_ms(time: std::time::SystemTime) -> u64 {
    let since = time.duration_since(std::time::SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
