//! Holding a client while no backend of its database is ready, and waking the database.
//!
//! The clients that wait try the backends one after the other, more and more seldom, and when a
//! check finds one in another state; when one is answered, the others try at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use super::Session;
use super::connect::{Backends, Connected};
use super::end::SessionEnd;
use crate::net::http;
use crate::route::Database;
use crate::route::hold::{Hold, HttpCall};
use crate::stats::CloseReason;

/// Time for the answer to a call that wakes a database.
const WAKE_TIMEOUT: Duration = Duration::from_secs(10);

impl SessionEnd {
    /// True if a backend may be ready soon that was not now.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self.reason,
            CloseReason::BackendUnreachable
                | CloseReason::BackendUnresolved
                | CloseReason::BackendSilent
                | CloseReason::BackendClosedEarly
        )
    }
}

impl Session {
    /// Waits until a backend is connected, for `hold` of its database at most, all times together
    /// that this client waits.
    ///
    /// # Errors
    /// None was in time, as many clients as may wait do so already, or a backend failed for a
    /// reason that waiting does not mend; `refusal`, the failure so far, where the database holds
    /// nobody.
    pub(super) async fn hold(
        &self,
        backends: &mut Backends,
        refusal: SessionEnd,
    ) -> Result<Connected, SessionEnd> {
        let database = backends.database().clone();
        let spec = &*database.spec.hold;
        let Some(limit) = spec.hold.filter(|_| refusal.may_pass()) else {
            return Err(refusal);
        };
        let live = database.live();
        let Some(_held) = live.held().enter(spec.max()) else {
            return Err(SessionEnd::new(
                CloseReason::HoldFull,
                format!(
                    "{} clients (hold_max) wait for a backend of {}: {}",
                    spec.max(),
                    database.name,
                    refusal.detail
                ),
            ));
        };
        let show = |held| {
            if let Some(entry) = &self.context.entry {
                entry.set_held(held);
            }
        };
        show(true);
        let deadline = backends.hold_until(limit.0);
        let mut last = refusal;
        let connected = until_connected(backends, &database, deadline, &mut last);
        let connected = timeout_at(deadline, connected).await;
        show(false);
        connected.unwrap_or_else(|_| {
            Err(SessionEnd::new(
                CloseReason::HoldExpired,
                format!(
                    "no backend of {} was ready within {limit} (hold): {}",
                    database.name, last.detail
                ),
            ))
        })
    }
}

/// Waits for the turn, or for the word of another that a backend has answered, and tries the
/// backends, until one is connected.
async fn until_connected(
    backends: &mut Backends,
    database: &Arc<Database>,
    deadline: Instant,
    last: &mut SessionEnd,
) -> Result<Connected, SessionEnd> {
    let live = database.live();
    let held = live.held();
    let mut failed = std::time::Instant::now();
    loop {
        let turn = tokio::select! {
            biased;
            turn = held.turn.lock() => Some(turn),
            () = held.ready.notified() => None,
        };
        if turn.is_some()
            && let Some(pause) = held.pause_after(failed)
        {
            wake(database);
            tokio::select! {
                () = sleep(pause) => {}
                () = held.ready.notified() => {}
                () = backends.state_changes() => {}
            }
        }
        backends.again(deadline);
        match backends.next().await {
            Err(refusal) if refusal.may_pass() => *last = refusal,
            connected => return connected,
        }
        failed = std::time::Instant::now();
    }
}

/// Calls for the database, once while clients wait, and again where that did not help within `hold`.
fn wake(database: &Arc<Database>) {
    let Hold {
        hold: Some(limit),
        wake: Some(wake),
        ..
    } = &*database.spec.hold
    else {
        return;
    };
    if database.live().held().wake(limit.0) {
        let (call, name) = (wake.http.clone(), database.name.clone());
        // It goes on when the client leaves.
        tokio::spawn(async move { send_wake(&call, &name).await });
    }
}

async fn send_wake(call: &HttpCall, database: &str) {
    let HttpCall { method, addr, path } = call;
    let asked = timeout(WAKE_TIMEOUT, http::request(method.clone(), addr, path)).await;
    match asked {
        Ok(Ok(status)) if status.is_success() => {
            info!(database, service = %addr, status = status.as_u16(), "database woken");
        }
        Ok(Ok(status)) => warn!(database, service = %addr, status = status.as_u16(),
            "the service that wakes the database refused: see its log, or correct `wake`"),
        Ok(Err(error)) => warn!(database, service = %addr, %error,
            "the service that wakes the database cannot be asked: correct `wake`, or start it"),
        Err(_) => warn!(database, service = %addr,
            "the service that wakes the database did not answer within 10s"),
    }
}
