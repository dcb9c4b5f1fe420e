//! `drain` and `resume`: no new sessions, and again.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tracing::info;

use super::sessions::ends;
use super::{Caller, Controller, join};
use crate::control::answer::{DrainAnswer, PerDatabase};
use crate::control::error::CommandError;
use crate::control::params::{DrainParams, Names, ResumeParams, RunningSessions};
use crate::control::reads::number;
use crate::control::undo;
use crate::gateway::Gateway;
use crate::route::admin::Drain;
use crate::route::request::DrainRequest;
use crate::sessions::LiveSession;
use crate::stats::{CloseReason, Event, Operation};
use crate::upstream::BackendAddr;

/// The longest time that may be given: ten years, so that its end can be written as a date.
const LONGEST_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

/// What is drained: a database, or one of its backends.
type Drained = (String, Option<BackendAddr>);

/// The drains whose sessions will end, with the number of each: one that was taken back, or begun
/// anew, has another by then.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<HashMap<Drained, u64>>);

impl Pending {
    /// Ends the drain of this number; false if it is no longer in force.
    fn is_over(&self, drained: &Drained, id: u64) -> bool {
        let mut pending = self.lock();
        let is_in_force = pending.get(drained) == Some(&id);
        if is_in_force {
            pending.remove(drained);
        }
        is_in_force
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Drained, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A drain that begins, or that ends where there is none.
struct Order<'a> {
    name: &'a Names,
    backend: Option<&'a BackendAddr>,
    drain: Option<Drain>,
    within: Option<Duration>,
    dry_run: bool,
}

impl Controller {
    /// Lets no new sessions in.
    ///
    /// # Errors
    /// An unknown database or backend, or it cannot be kept on disk.
    pub(super) fn drain(
        &self,
        params: &DrainParams,
        caller: &Caller,
    ) -> Result<PerDatabase<DrainAnswer>, CommandError> {
        if params.within_ms.is_some_and(|ms| ms > LONGEST_MS) {
            let text = "invalid within_ms: use at most ten years";
            return Err(CommandError::usage(text));
        }
        let within = params.within_ms.map(Duration::from_millis);
        let order = Order {
            name: &params.name,
            backend: params.backend.as_ref(),
            drain: Some(Drain::begin(SystemTime::now(), within, &caller.author)),
            within,
            dry_run: params.dry_run,
        };
        self.order(&order, caller)
    }

    /// Lets new sessions in again.
    ///
    /// # Errors
    /// An unknown database or backend, or it cannot be kept on disk.
    pub(super) fn resume(
        &self,
        params: &ResumeParams,
        caller: &Caller,
    ) -> Result<PerDatabase<DrainAnswer>, CommandError> {
        let order = Order {
            name: &params.name,
            backend: params.backend.as_ref(),
            drain: None,
            within: None,
            dry_run: params.dry_run,
        };
        self.order(&order, caller)
    }

    fn order(
        &self,
        order: &Order<'_>,
        caller: &Caller,
    ) -> Result<PerDatabase<DrainAnswer>, CommandError> {
        let names = order.name.checked(&[])?;
        let requests: Vec<_> = names
            .iter()
            .map(|name| DrainRequest {
                name: (*name).to_owned(),
                backend: order.backend.cloned(),
                drain: order.drain.clone(),
            })
            .collect();
        let store = &self.gateway.store;
        let done = store.drain(&requests, order.dry_run, &|changed, runtime| {
            self.state.save(changed, runtime)
        });
        let change = done.map_err(|error| self.refusal(error, &names))?;
        let verb = if order.drain.is_some() {
            "drain"
        } else {
            "resume"
        };
        let answers: Vec<_> = names
            .iter()
            .map(|name| {
                let changed = change.names.contains(*name);
                let drained = ((*name).to_owned(), order.backend.cloned());
                let sessions = sessions_of(&self.gateway, &drained);
                let touched = self.treat(drained, &sessions, changed, order);
                self.drained(name, touched, (changed, change.revision), order)
            })
            .collect();
        if change.changed && !order.dry_run {
            let backend = order.backend.map(ToString::to_string);
            let sessions: u64 = answers.iter().map(|answer| answer.sessions).sum();
            info!(target: "audit", who = %caller.who, database = %join(&names), backend,
                sessions, revision = change.revision, "{verb}");
        }
        for answer in answers.iter().filter(|a| a.changed && !a.dry_run) {
            let operation = Arc::new(Operation {
                ts: SystemTime::now(),
                revision: answer.revision,
                database: Some(answer.database.clone()),
                backend: answer.backend.clone(),
                sessions: answer.sessions,
                ends: answer.ends.clone(),
                by: caller.author.clone(),
            });
            self.gateway.events.emit_change(if order.drain.is_some() {
                Event::Drained(operation)
            } else {
                Event::Resumed(operation)
            });
        }
        Ok(PerDatabase::new(answers))
    }

    /// Sets or cancels the end of the sessions of what is drained, and gives the number of those
    /// that it touches: on a drain all, on its end those that would have ended.
    fn treat(
        &self,
        drained: Drained,
        sessions: &[Arc<LiveSession>],
        changed: bool,
        order: &Order<'_>,
    ) -> usize {
        let begins = order.drain.is_some();
        let ending = sessions.iter().filter(|entry| entry.is_ending()).count();
        let touched = if begins { sessions.len() } else { ending };
        if order.dry_run || !changed {
            return touched;
        }
        let mut pending = self.pending.lock();
        pending.remove(&drained);
        for entry in sessions {
            entry.set_ending(order.within.is_some());
        }
        if let Some(within) = order.within {
            let id = self.drains.fetch_add(1, Ordering::Relaxed);
            pending.insert(drained.clone(), id);
            let (gateway, pending) = (self.gateway.clone(), self.pending.clone());
            tokio::spawn(async move {
                tokio::time::sleep(within).await;
                if pending.is_over(&drained, id) {
                    for entry in sessions_of(&gateway, &drained) {
                        entry.cut(CloseReason::Drained);
                    }
                }
            });
        }
        touched
    }

    fn drained(
        &self,
        name: &str,
        touched: usize,
        (changed, revision): (bool, u64),
        order: &Order<'_>,
    ) -> DrainAnswer {
        let snapshot = self.gateway.store.snapshot();
        let database = snapshot.databases.get(name);
        let backend = order.backend.map(ToString::to_string);
        let running = match order.within {
            Some(_) => RunningSessions::Drain,
            None => RunningSessions::Keep,
        };
        let within = order.within.unwrap_or_default();
        let ends = ends(running, within).filter(|_| touched > 0);
        let left = database.and_then(|database| database.admin.clone());
        let left = left.filter(|_| order.drain.is_none() && !order.dry_run);
        let notes = left.iter().flat_map(|admin| {
            let whole = admin.drain.iter().map(|_| {
                format!("{name} is drained as a whole: `dbgate ctl resume {name}` takes that back")
            });
            let backends = admin.backends.keys().map(|addr| {
                format!("its backend {addr} is drained: `dbgate ctl resume {name} --backend {addr}` takes that back")
            });
            whole.chain(backends).collect::<Vec<_>>()
        });
        let undo = (changed && !order.dry_run).then(|| {
            let verb = if order.drain.is_some() {
                "resume"
            } else {
                "drain"
            };
            let line = undo::command(verb, &[name]);
            match &backend {
                Some(backend) => undo::with_backend(line, backend),
                None => line,
            }
        });
        DrainAnswer {
            database: name.to_owned(),
            changed,
            dry_run: order.dry_run,
            revision,
            drained: order.drain.is_some(),
            state: database.map_or("-", |d| d.state().as_str()).to_owned(),
            notes: notes.collect(),
            running: running.as_str().to_owned(),
            drain_ms: order.within.map(crate::control::reads::millis),
            ends,
            sessions: number(touched),
            undo,
            backend,
        }
    }
}

/// The live sessions of what is drained.
fn sessions_of(gateway: &Gateway, (name, backend): &Drained) -> Vec<Arc<LiveSession>> {
    gateway.sessions.select(|entry| {
        *entry.database.name == **name
            && backend
                .as_ref()
                .is_none_or(|backend| entry.declared() == Some(backend))
    })
}
