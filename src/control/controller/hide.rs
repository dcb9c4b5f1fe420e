//! `hide`: the end of an exposure. The database stays.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::info;

use super::sessions::ends;
use super::{Caller, Controller, join};
use crate::control::answer::{HideAnswer, PerDatabase};
use crate::control::error::CommandError;
use crate::control::params::{HideParams, RunningSessions};
use crate::control::reads::{millis, number, texts};
use crate::control::undo;
use crate::route::admin::Reason;
use crate::route::request::HideRequest;
use crate::route::{Host, RouteChange};
use crate::sessions::LiveSession;

impl Controller {
    /// Ends exposures.
    ///
    /// # Errors
    /// An unknown database or host, or it cannot be kept on disk.
    pub(super) fn hide(
        &self,
        params: &HideParams,
        caller: &Caller,
    ) -> Result<PerDatabase<HideAnswer>, CommandError> {
        let names = params.name.checked(&params.hosts)?;
        let before: Vec<_> = names
            .iter()
            .map(|name| self.still_running(name, &params.hosts))
            .collect();
        let requests: Vec<_> = names
            .iter()
            .zip(&before)
            .map(|(name, running)| HideRequest {
                name: (*name).to_owned(),
                hosts: params.hosts.clone(),
                // What is gone may have sessions that still run, and can be ended.
                if_exists: params.if_exists || !running.is_empty(),
                reason: Reason::of("hide", SystemTime::now(), &caller.author),
            })
            .collect();
        let hidden = self
            .gateway
            .store
            .hide(&requests, params.dry_run, &|changed, runtime| {
                self.state.save(changed, runtime)
            });
        let change = hidden.map_err(|error| self.refusal(error, &names))?;
        let drain_time = self.drain_time(params.drain_ms);
        let affected = self.affected(&change);
        let touched: Vec<_> = names
            .iter()
            .zip(before)
            .map(|(name, earlier)| touched(name, &affected, earlier, params))
            .collect();
        let sessions: Vec<_> = touched.iter().flat_map(|t| t.sessions.clone()).collect();
        if (change.changed || !sessions.is_empty()) && !params.dry_run {
            self.emit(&change, &caller.author);
            self.end_sessions(&sessions, params.running, drain_time);
            self.leases.notify_one();
            info!(target: "audit", who = %caller.who, database = %join(&names), hosts = %join(&params.hosts),
                running = params.running.as_str(), sessions = sessions.len(), revision = change.revision, "hide");
        }
        let answers = names.iter().zip(touched);
        let answers =
            answers.map(|(name, touched)| self.hidden(name, &change, &touched, params, drain_time));
        Ok(PerDatabase::new(answers.collect()))
    }

    fn hidden(
        &self,
        name: &str,
        change: &RouteChange,
        touched: &Touched,
        params: &HideParams,
        drain_time: std::time::Duration,
    ) -> HideAnswer {
        let changed = change.names.contains(name);
        let heirs = change.exposed.iter().map(|(name, host)| (host, name));
        let heirs: HashMap<&Host, _> = heirs.collect();
        let withdrawn = change.withdrawn.iter().filter(|(of, _)| **of == *name);
        let withdrawn = withdrawn.map(|(_, host)| host);
        let refused = withdrawn.clone().filter(|host| !heirs.contains_key(host));
        let mut notes: Vec<String> = withdrawn
            .clone()
            .filter_map(|host| Some((host, heirs.get(host)?)))
            .map(|(host, heir)| format!("{host} leads to database {heir} from now on"))
            .collect();
        notes.extend(self.still_reached(name));
        if touched.ending > 0 {
            notes.push(format!(
                "{} of {name} ends by an earlier command",
                if touched.ending == 1 {
                    "1 session".to_owned()
                } else {
                    format!("each of {} sessions", touched.ending)
                }
            ));
        }
        let sessions = touched.sessions.len();
        let drained = params.running == RunningSessions::Drain;
        let ends = ends(params.running, drain_time);
        HideAnswer {
            database: name.to_owned(),
            changed,
            dry_run: params.dry_run,
            revision: change.revision,
            hosts: texts(withdrawn),
            refused: texts(refused),
            notes,
            running: params.running.as_str().to_owned(),
            drain_ms: drained.then(|| millis(drain_time)),
            ends: ends.filter(|_| sessions > 0),
            sessions: number(sessions),
            undo: (changed && !params.dry_run)
                .then(|| undo::with_hosts(undo::command("expose", &[name]), &params.hosts)),
        }
    }

    /// Notes on listeners whose default is still this database.
    fn still_reached(&self, name: &str) -> Vec<String> {
        let snapshot = self.gateway.store.snapshot();
        if !snapshot.databases.contains_key(name) {
            return Vec::new();
        }
        self.reloader
            .listeners()
            .iter()
            .filter(|l| l.settings.load().default.as_deref() == Some(name))
            .map(|l| {
                format!(
                    "{name} is the default of listener {}: clients without a known name still reach it",
                    l.name
                )
            })
            .collect()
    }
}

/// The sessions of a database that a `hide` is about.
struct Touched {
    sessions: Vec<Arc<LiveSession>>,
    /// The number of those that an earlier one ends, and this one leaves to it.
    ending: usize,
}

/// Those whose host does not lead to the database any more, and those of which that was true before.
fn touched(
    name: &str,
    affected: &[Arc<LiveSession>],
    earlier: Vec<Arc<LiveSession>>,
    params: &HideParams,
) -> Touched {
    let fresh = affected.iter().filter(|e| *e.database.name == *name);
    let mut sessions: Vec<_> = fresh.cloned().chain(earlier).collect();
    sessions.sort_unstable_by_key(|entry| entry.id);
    sessions.dedup_by_key(|entry| entry.id);
    let all = sessions.len();
    if params.running == RunningSessions::Drain && params.drain_ms.is_none() {
        // The same command again must not put their end off.
        sessions.retain(|entry| entry.drain() == 0);
    }
    Touched {
        ending: all - sessions.len(),
        sessions,
    }
}
