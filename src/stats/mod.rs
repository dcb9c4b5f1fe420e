//! What the gateway knows about its own doing: live sessions, endings, rejects, events.
//!
//! Not here: how any of it is shown (`ctl`, the access log); those only format what stands here.

pub mod close;
pub mod detail;
pub mod event;
pub mod record;
pub mod rejects;

pub use close::{CloseReason, ClosedBy};
pub use detail::Detail;
pub use event::{Event, Events};
pub use record::Record;
pub use rejects::{Reject, Rejects, Row as RejectedRow};
