//! Sessions that a change affects, and their end: `kill`, `drain`.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tracing::info;

use super::{Caller, Controller, join};
use crate::control::answer::KillAnswer;
use crate::control::error::CommandError;
use crate::control::params::{KillParams, RunningSessions};
use crate::control::reads::{self, number};
use crate::control::undo;
use crate::route::database::DatabaseState;
use crate::route::{Host, RouteChange};
use crate::sessions::LiveSession;
use crate::stats::{CloseReason, Event, Operation};

impl Controller {
    pub(super) fn kill(
        &self,
        params: &KillParams,
        caller: &Caller,
    ) -> Result<KillAnswer, CommandError> {
        let (sessions, missing) = match (&params.database, params.ids.as_slice()) {
            (Some(_), [_, ..]) | (None, []) => {
                return Err(CommandError::usage("no session is named")
                    .hint("name them by their ids, or with --database NAME"));
            }
            (Some(name), []) => (self.sessions_of(name)?, Vec::new()),
            (None, ids) => {
                let mut found = Vec::new();
                let mut missing = Vec::new();
                for id in ids {
                    match self.gateway.sessions.get(*id) {
                        Some(entry) => found.push(entry),
                        None => missing.push(*id),
                    }
                }
                (found, missing)
            }
        };
        if sessions.is_empty() && !missing.is_empty() {
            return Err(CommandError::not_found(format!(
                "no session {}",
                join(&missing)
            )));
        }
        for entry in &sessions {
            entry.cut(CloseReason::Killed);
        }
        info!(target: "audit", who = %caller.who, database = params.database, ids = %join(&params.ids),
            sessions = sessions.len(), "kill");
        self.gateway
            .events
            .emit_change(Event::Killed(Arc::new(Operation {
                ts: SystemTime::now(),
                revision: self.gateway.store.snapshot().revision,
                database: params.database.clone(),
                backend: None,
                sessions: number(sessions.len()),
                ends: None,
                by: caller.author.clone(),
            })));
        Ok(KillAnswer {
            killed: number(sessions.len()),
            missing,
            keep_out: self.keep_out(&sessions),
        })
    }

    /// The command that keeps the clients of these sessions from connecting again.
    fn keep_out(&self, sessions: &[Arc<LiveSession>]) -> Option<String> {
        let snapshot = self.gateway.store.snapshot();
        let names = sessions.iter().map(|entry| &*entry.database.name);
        let names: BTreeSet<&str> = names.collect();
        let open = names.into_iter().filter(|name| {
            let database = snapshot.databases.get(name);
            database.is_some_and(|d| matches!(d.state(), DatabaseState::Open | DatabaseState::Down))
        });
        let open: Vec<&str> = open.collect();
        (!open.is_empty()).then(|| undo::command("hide", &open))
    }

    /// Sessions that came in by a database or host that is gone.
    pub(super) fn affected(&self, change: &RouteChange) -> Vec<Arc<LiveSession>> {
        if change.withdrawn.is_empty() && change.removed.is_empty() {
            return Vec::new();
        }
        let removed: HashSet<&str> = change.removed.iter().map(|name| &**name).collect();
        let withdrawn = HostSet::new(&change.withdrawn);
        self.gateway
            .sessions
            .select(|entry| removed.contains(&*entry.database.name) || withdrawn.contains(entry))
    }

    /// Sessions of a database that came in by one of these hosts, or by any if empty, which no longer
    /// leads there: an earlier `hide` kept them, and another may end them.
    pub(super) fn still_running(&self, name: &str, hosts: &[Host]) -> Vec<Arc<LiveSession>> {
        let snapshot = self.gateway.store.snapshot();
        let active: Vec<Host> = snapshot
            .databases
            .get(name)
            .map(|d| d.active_hosts().cloned().collect())
            .unwrap_or_default();
        self.gateway.sessions.select(|entry| {
            *entry.database.name == *name
                && entry.host().is_some_and(|host| {
                    !active.contains(host) && (hosts.is_empty() || hosts.contains(host))
                })
        })
    }

    /// Ends sessions as asked for.
    pub(super) fn end_sessions(
        &self,
        sessions: &[Arc<LiveSession>],
        running: RunningSessions,
        drain_time: Duration,
    ) {
        match running {
            RunningSessions::Keep => {}
            RunningSessions::Kill => {
                for entry in sessions {
                    entry.cut(CloseReason::Killed);
                }
            }
            RunningSessions::Drain if sessions.is_empty() => {}
            RunningSessions::Drain => {
                let drain = self.drains.fetch_add(1, Ordering::Relaxed);
                for entry in sessions {
                    entry.set_drain(drain);
                }
                let gateway = self.gateway.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(drain_time).await;
                    // Those exposed again in the meantime are no longer under this drain.
                    for entry in gateway.sessions.select(|e| e.drain() == drain) {
                        entry.cut(CloseReason::Drained);
                    }
                });
            }
        }
    }

    /// Takes sessions out of a drain whose exposure is back.
    pub(super) fn cancel_drains(&self, change: &RouteChange) {
        if change.exposed.is_empty() {
            return;
        }
        let exposed = HostSet::new(&change.exposed);
        let sessions = &self.gateway.sessions;
        for entry in sessions.select(|entry| entry.drain() != 0 && exposed.contains(entry)) {
            entry.set_drain(0);
        }
    }

    pub(super) fn sessions_of(&self, name: &str) -> Result<Vec<Arc<LiveSession>>, CommandError> {
        let sessions = self.gateway.sessions.select(|e| &*e.database.name == name);
        // A removed database may have sessions that still run.
        if sessions.is_empty() && !self.gateway.store.snapshot().databases.contains_key(name) {
            return Err(reads::no_database(&self.gateway, name));
        }
        Ok(sessions)
    }

    pub(super) fn drain_time(&self, asked_ms: Option<u64>) -> Duration {
        asked_ms.map_or_else(
            || self.gateway.settings.load().timeouts.drain,
            Duration::from_millis,
        )
    }
}

/// The time at which sessions are closed that are treated like this from now on.
pub(super) fn ends(running: RunningSessions, drain_time: Duration) -> Option<String> {
    let after = match running {
        RunningSessions::Keep => return None,
        RunningSessions::Kill => Duration::ZERO,
        RunningSessions::Drain => drain_time,
    };
    Some(reads::time(SystemTime::now().checked_add(after)?))
}

/// Hosts with their databases, hashed: a reload can name very many, and sessions must not wait
/// while each of them is compared with each host.
struct HostSet<'a>(HashSet<(&'a str, &'a Host)>);

impl<'a> HostSet<'a> {
    fn new(pairs: &'a [(Arc<str>, Host)]) -> Self {
        Self(pairs.iter().map(|(name, host)| (&**name, host)).collect())
    }

    /// True if a session came in by one of them.
    fn contains(&self, entry: &LiveSession) -> bool {
        let host = entry.host();
        host.is_some_and(|host| self.0.contains(&(&*entry.database.name, host)))
    }
}
