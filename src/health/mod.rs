//! Checks of backends, by the clock: each backend that a database wants checked is asked at its
//! interval, once however many databases name it.
//!
//! The control side runs them, spread over time, a bounded number at once. What they find is kept
//! in [`crate::upstream::Checked`]; a change is logged and told to followers, and clients that are
//! held try again.
//!
//! Not here: what is asked (`ask`), and what follows for sessions ([`crate::upstream::Pool`]).

mod ask;
mod schedule;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::gateway::Gateway;
use crate::stats::{BackendChange, CloseReason, Event, unix_ms};
use crate::upstream::{CheckFailure, Checked, CheckedState, Seen};
use schedule::Schedule;

/// Checks at once.
const MAX_AT_ONCE: usize = 256;

/// A check that has ended; no result where this machine is at fault.
struct Done {
    checked: Arc<Checked>,
    began: Instant,
    took: Duration,
    result: Option<Result<(), CheckFailure>>,
}

/// Makes checks for as long as the gateway lives.
pub async fn run(gateway: Arc<Gateway>) {
    let mut schedule = Schedule::new(Instant::now());
    let mut running: JoinSet<Done> = JoinSet::new();
    loop {
        let next = schedule.next().filter(|_| running.len() < MAX_AT_ONCE);
        tokio::select! {
            new = gateway.store.checks().next() => schedule.add(new, Instant::now()),
            Some(done) = running.join_next() => {
                let mut changes = Vec::new();
                let mut done = Some(done);
                // Of many that end at a time the databases are looked up once.
                while let Some(ended) = done {
                    // A panic is in the log.
                    if let Ok(ended) = ended {
                        changes.extend(add(&ended));
                        schedule.again(&ended.checked, ended.began, Instant::now());
                    }
                    done = running.try_join_next();
                }
                report(&gateway, &changes);
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                let free = MAX_AT_ONCE.saturating_sub(running.len());
                for checked in schedule.due(Instant::now(), free) {
                    running.spawn(check(checked));
                }
            }
        }
    }
}

async fn check(checked: Arc<Checked>) -> Done {
    let began = Instant::now();
    let (result, answered) = ask::ask(&checked.check, checked.timing.timeout).await;
    Done {
        checked,
        began,
        took: answered - began,
        result,
    }
}

/// Adds a result; the backend and what is known then, if its state has changed.
fn add(done: &Done) -> Option<(Arc<Checked>, Seen)> {
    let now = unix_ms(SystemTime::now());
    let result = done.result.clone()?;
    let seen = done.checked.add(result, now, done.took)?;
    Some((done.checked.clone(), seen))
}

/// Reports changes: to clients that are held, in the log, to followers.
fn report(gateway: &Gateway, changes: &[(Arc<Checked>, Seen)]) {
    if changes.is_empty() {
        return;
    }
    gateway.backend_changed.send_replace(());
    let mut databases: BTreeMap<*const Checked, Vec<String>> = changes
        .iter()
        .map(|(checked, _)| (Arc::as_ptr(checked), Vec::new()))
        .collect();
    for database in gateway.store.snapshot().databases.iter() {
        for checked in database.checks() {
            if let Some(names) = databases.get_mut(&Arc::as_ptr(checked)) {
                names.push(database.name.to_string());
            }
        }
    }
    for (checked, seen) in changes {
        let mut databases = databases.remove(&Arc::as_ptr(checked)).unwrap_or_default();
        databases.sort_unstable();
        databases.dedup();
        let backend = checked.check.addr.to_string();
        let names = databases.join(" ");
        let reason = seen.failure.as_ref();
        let reason = reason.and_then(|failure| CloseReason::from_index(failure.reason));
        let detail = seen
            .failure
            .as_ref()
            .map(|failure| failure.detail.to_string());
        match seen.state {
            CheckedState::Down => warn!(
                backend,
                databases = names,
                reason = reason.map_or("", CloseReason::as_str),
                detail = detail.as_deref().unwrap_or_default(),
                remedy = reason.and_then(CloseReason::remedy).unwrap_or_default(),
                "backend is down: its checks fail"
            ),
            CheckedState::Up => info!(
                backend,
                databases = names,
                "backend is up: it answers checks"
            ),
            // It is told when it is up.
            CheckedState::Starting | CheckedState::Unchecked => continue,
        }
        let change = Arc::new(BackendChange {
            ts: SystemTime::now(),
            backend,
            databases,
            by: "check",
            reason,
            detail,
        });
        gateway.events.emit_change(match seen.state {
            CheckedState::Down => Event::BackendDown(change),
            _ => Event::BackendUp(change),
        });
    }
}
