//! One client connection from accept to close.

pub mod accept;
mod admit;
pub mod check;
mod choose;
mod connect;
mod context;
mod end;
mod first_answer;
mod flight;
mod greet;
mod hold;
mod identity;
mod initiate;
mod proxied;
mod proxy_header;
mod refuse;
mod run;
mod upgrade;

use std::sync::Arc;

use crate::gateway::{Gateway, Listener, Settings};
use crate::sessions::SessionGuard;
use context::SessionContext;
pub use end::SessionEnd;

/// A session that has not ended yet: what it shares, and what is known of it.
struct Session {
    gateway: Arc<Gateway>,
    listener: Arc<Listener>,
    settings: Arc<Settings>,
    context: SessionContext,
}

/// Goes on with a step unless the session is cut meanwhile.
async fn unless_cut<T>(
    entry: &SessionGuard,
    step: impl Future<Output = Result<T, SessionEnd>>,
) -> Result<T, SessionEnd> {
    tokio::select! {
        biased;
        reason = entry.wait_cut() => Err(SessionEnd::new(reason, "")),
        done = step => done,
    }
}

#[cfg(test)]
mod tests {
    use super::run::run;

    fn size_of_future<A, B, C, D, F>(_: fn(A, B, C, D) -> F) -> usize {
        std::mem::size_of::<F>()
    }

    /// Every idle session holds this much; steps that rarely run are boxed to keep them out of it.
    /// Tokio's task around it has 176 bytes more, and comes in steps of 128.
    #[test]
    fn a_session_is_small() {
        let size = size_of_future(run);
        assert!(size <= 848, "the future of a session has {size} bytes");
    }
}
