//! `reload`, and its report to the caller, the events, the log and the service manager.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use tracing::{info, warn};

use super::diff::{Tense, rows_of};
use super::{Caller, Controller, join};
use crate::config::difference::Effect;
use crate::control::answer::{DifferenceRow, ExposedHost, ReloadAnswer};
use crate::control::error::CommandError;
use crate::control::params::RunningSessions;
use crate::control::reads::{LastReload, Stopping, millis, number};
use crate::route::Host;
use crate::service::{self, user};
use crate::stats::Event;

/// The changed sections that a log line names; the rest is counted.
const SHOWN_SECTIONS: usize = 8;

/// The addresses that a status names; the rest is counted.
const SHOWN_ADDRESSES: usize = 3;

impl Controller {
    /// Reads the configuration again and puts it in force as a whole, or changes nothing.
    ///
    /// # Errors
    /// Every problem of the file, with its place.
    pub fn reload(&self, caller: &Caller) -> Result<ReloadAnswer, CommandError> {
        if self.reloader.is_stopping() {
            return Err(CommandError::refused(
                "the gateway is stopping: nothing changed",
            ));
        }
        service::reloading();
        let done = self.carry_out_reload(caller);
        // The one before runs on where this one has failed: ready it is in any case.
        service::ready(&self.status());
        done
    }

    fn carry_out_reload(&self, caller: &Caller) -> Result<ReloadAnswer, CommandError> {
        let reloaded = self.reloader.reload(&self.gateway).map_err(|problems| {
            let problems = problems.iter().map(|problem| user::with_user(problem));
            problems.collect::<Vec<_>>()
        });
        let (ok, problems) = match &reloaded {
            Ok(reloaded) => (true, reloaded.warnings.clone()),
            Err(problems) => (false, problems.clone()),
        };
        let revision = self.gateway.store.snapshot().revision;
        let now = SystemTime::now();
        self.keep_reload(LastReload {
            at: now,
            ok,
            revision,
            problems: reloaded.as_ref().err().cloned().unwrap_or_default(),
            by: caller.author.clone(),
        });
        self.gateway.events.emit_change(Event::Reload {
            ts: now,
            ok,
            revision,
            problems,
            by: caller.author.clone(),
        });
        match reloaded {
            Ok(reloaded) => {
                let change = &reloaded.change;
                let sessions = self.affected(change);
                let rows = rows_of(&reloaded, &sessions, Tense::Past);
                let more = reloaded.differences.more;
                let changed = more > 0
                    || change.changed
                    || rows
                        .iter()
                        .any(|row| row.effect != Effect::Restart.as_str());
                self.emit(change, &caller.author);
                self.tell_renewed(revision, &change.renewed);
                self.cancel_drains(change);
                let now = self.gateway.store.snapshot().clone();
                let closed = self.not_admitted(|name| now.databases.get(name));
                Self::close_not_admitted(&closed);
                let drain_time = self.drain_time(None);
                self.end_sessions(&sessions, RunningSessions::Drain, drain_time);
                self.leases.notify_one();
                info!(target: "audit", who = %caller.who, revision, exposed = change.exposed.len(),
                    withdrawn = change.withdrawn.len(), changes = %named(&rows), sessions = sessions.len(), closed = closed.len(), "reload");
                for warning in reloaded.warnings.iter().chain(&change.news) {
                    warn!("{warning}");
                }
                Ok(ReloadAnswer {
                    revision,
                    changed,
                    changes: rows,
                    more_databases: number(more),
                    exposed: pairs(&change.exposed),
                    withdrawn: pairs(&change.withdrawn),
                    closed: number(closed.len()),
                    sessions: number(sessions.len()),
                    drain_ms: millis(drain_time),
                    config: self
                        .reloader
                        .config_file()
                        .map(|file| file.display().to_string()),
                    warnings: reloaded.warnings,
                    notes: reloaded.change.news,
                })
            }
            Err(problems) => {
                warn!(target: "audit", who = %caller.who, "reload refused, nothing changed: {}", problems.join("; "));
                Err(CommandError::refused(format!(
                    "nothing changed\n{}",
                    problems.join("\n")
                )))
            }
        }
    }

    /// The state of the gateway in one line, for the service manager.
    #[must_use]
    pub fn status(&self) -> String {
        let snapshot = self.gateway.store.snapshot();
        let bound = self.reloader.bound().into_iter();
        let addrs: Vec<_> = bound.flat_map(|(_, addrs)| addrs).collect();
        let listening = match addrs.split_at_checked(SHOWN_ADDRESSES) {
            Some((shown, more @ [_, ..])) => format!("{} and {} more", join(shown), more.len()),
            _ => join(&addrs),
        };
        let databases = snapshot.databases.len();
        let plural = if databases == 1 { "" } else { "s" };
        let failed = match self.last_reload() {
            Some(LastReload {
                ok: false,
                problems,
                ..
            }) => {
                let problem = problems.first().map_or("", String::as_str);
                format!("; last reload failed, nothing changed: {problem}")
            }
            _ => String::new(),
        };
        format!("{databases} database{plural} on {listening}{failed}")
    }

    /// The last time that the configuration was read again.
    pub(super) fn last_reload(&self) -> Option<LastReload> {
        let last = self.last_reload.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep_reload(&self, reload: LastReload) {
        let last = self.last_reload.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = Some(reload);
    }

    /// The gateway's end, if it has begun.
    pub(super) fn stopping(&self) -> Option<Stopping> {
        let stopping = self.stopping.lock();
        *stopping.unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the gateway stops from now on, and closes sessions that still run after `timeout`.
    pub fn begin_stopping(&self, timeout: Duration) {
        let since = SystemTime::now();
        let stopping = self.stopping.lock();
        *stopping.unwrap_or_else(PoisonError::into_inner) = Some(Stopping {
            since,
            deadline: since.checked_add(timeout).unwrap_or(since),
        });
    }
}

/// The sections of these changes, each once.
fn named(changes: &[DifferenceRow]) -> String {
    let mut sections: Vec<&str> = changes.iter().map(|c| c.section.as_str()).collect();
    sections.dedup();
    match sections.split_at_checked(SHOWN_SECTIONS) {
        Some((shown, more @ [_, ..])) => format!("{} and {} more", join(shown), more.len()),
        _ => join(&sections),
    }
}

fn pairs(pairs: &[(Arc<str>, Host)]) -> Vec<ExposedHost> {
    let pairs = pairs.iter().map(|(database, host)| ExposedHost {
        database: database.to_string(),
        host: host.to_string(),
    });
    pairs.collect()
}
