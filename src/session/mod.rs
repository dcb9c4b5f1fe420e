//! One client connection from accept to close.

pub mod accept;
mod admit;
mod answer;
pub mod check;
mod choose;
mod connect;
mod context;
mod end;
mod establish;
mod flight;
mod greet;
mod identity;
mod initiate;
mod run;
mod upgrade;

use std::sync::Arc;

use crate::gateway::{Gateway, Listener, Settings};
use context::SessionContext;
pub use end::SessionEnd;

/// A session that has not ended yet: what it shares, and what is known of it.
struct Session {
    gateway: Arc<Gateway>,
    listener: Arc<Listener>,
    settings: Arc<Settings>,
    context: SessionContext,
}
