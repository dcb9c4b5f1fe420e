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
pub use event::{CertificateFault, Event, EventKind, Events, Operation};
pub use record::Record;
pub use rejects::{Reject, Rejects, Row as RejectedRow};
