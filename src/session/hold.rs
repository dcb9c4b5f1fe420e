//! Holding a client while no backend of its database is ready, and waking the database.
//!
//! One of the clients that wait tries the backends for all of them, more and more seldom; when it
//! reaches one, the others try at once. Who leaves gives the turn to the next.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use super::Session;
use super::connect::{Backends, Connected};
use super::end::SessionEnd;
use crate::held_clients::Turn;
use crate::net::http;
use crate::route::Database;
use crate::route::hold::{Hold, HttpCall};
use crate::stats::CloseReason;

/// The shortest pause between two attempts; it doubles with each that fails.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(1);

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
    /// Waits until a backend is connected, for `hold` of its database at most.
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
        if let Some(entry) = &self.context.entry {
            entry.set_held(true);
        }
        let connected = hold(backends, refusal).await;
        if let Some(entry) = &self.context.entry {
            entry.set_held(false);
        }
        connected
    }
}

async fn hold(backends: &mut Backends, refusal: SessionEnd) -> Result<Connected, SessionEnd> {
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
    let deadline = Instant::now() + limit.0;
    let mut last = refusal;
    match timeout_at(
        deadline,
        until_connected(backends, &database, deadline, &mut last),
    )
    .await
    {
        Ok(connected) => connected,
        Err(_) => Err(SessionEnd::new(
            CloseReason::HoldExpired,
            format!(
                "no backend of {} was ready within {limit} (hold): {}",
                database.name, last.detail
            ),
        )),
    }
}

/// Waits for the turn or for the word of the client whose turn it is, and tries the backends.
async fn until_connected(
    backends: &mut Backends,
    database: &Arc<Database>,
    deadline: Instant,
    last: &mut SessionEnd,
) -> Result<Connected, SessionEnd> {
    let live = database.live();
    let held = live.held();
    loop {
        let turn = tokio::select! {
            biased;
            turn = held.turn.lock() => Some(turn),
            () = held.ready.notified() => None,
        };
        if let Some(mut turn) = turn {
            let connected = try_for_all(backends, &mut turn, database, deadline, last).await;
            if connected.is_ok() {
                turn.pause = Duration::ZERO;
                turn.woken = None;
                held.ready.notify_waiters();
            }
            return connected;
        }
        backends.again(deadline);
        match backends.next().await {
            Err(refusal) if refusal.may_pass() => *last = refusal,
            connected => return connected,
        }
    }
}

async fn try_for_all(
    backends: &mut Backends,
    turn: &mut Turn,
    database: &Arc<Database>,
    deadline: Instant,
    last: &mut SessionEnd,
) -> Result<Connected, SessionEnd> {
    loop {
        sleep(turn.pause).await;
        backends.again(deadline);
        match backends.next().await {
            Err(refusal) if refusal.may_pass() => *last = refusal,
            connected => return connected,
        }
        // Not before: whoever waited with the one that succeeded has the turn next.
        wake_once(turn, database);
        turn.pause = (turn.pause * 2).clamp(MIN_PAUSE, MAX_PAUSE);
    }
}

/// Wakes the database, unless that was done since it was ready last, less than `hold` ago.
fn wake_once(turn: &mut Turn, database: &Arc<Database>) {
    let Hold {
        hold: Some(limit),
        wake: Some(wake),
        ..
    } = &*database.spec.hold
    else {
        return;
    };
    let recent = |woken: std::time::Instant| woken.elapsed() < limit.0;
    if turn.woken.is_some_and(recent) {
        return;
    }
    turn.woken = Some(std::time::Instant::now());
    let (call, name) = (wake.http.clone(), database.name.clone());
    // It goes on when the client leaves.
    tokio::spawn(async move { send_wake(&call, &name).await });
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
