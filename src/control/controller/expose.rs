//! `expose`: databases reachable under their hosts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use tracing::info;

use super::sessions::ends;
use super::{Caller, Controller, join};
use crate::control::answer::{ExposeAnswer, PerDatabase};
use crate::control::error::CommandError;
use crate::control::params::{ExposeParams, RunningSessions};
use crate::control::reads::{millis, number, texts};
use crate::control::undo;
use crate::route::admin::Reason;
use crate::route::request::ExposeRequest;
use crate::route::runtime::Lease;
use crate::route::spec::check_name;
use crate::route::{Database, DatabaseSpec, Host, RouteChange, Snapshot};
use crate::sessions::LiveSession;

/// The longest lease: ten years, so that its end can be written as a date.
const LONGEST_TTL_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

impl Controller {
    /// Exposes databases; the answers, and the databases as they are now, or would be.
    ///
    /// # Errors
    /// A conflict, an unknown database, or it cannot be kept on disk.
    pub(super) fn expose(
        &self,
        params: &ExposeParams,
        caller: &Caller,
    ) -> Result<(PerDatabase<ExposeAnswer>, Vec<Arc<Database>>), CommandError> {
        let names = params.name.checked(&params.hosts)?;
        let requests = requests(&names, params, caller)?;
        let before = self.gateway.store.snapshot().clone();
        let exposed = self
            .gateway
            .store
            .expose(&requests, params.dry_run, &|changed, runtime| {
                self.state.save(changed, runtime)
            });
        let change = exposed.map_err(|error| self.refusal(error, &names))?;
        let sessions = self.affected(&change);
        let closed = if change.changed {
            self.not_admitted(|name| change.databases.iter().find(|d| *d.name == *name))
        } else {
            Vec::new()
        };
        let drain_time = self.drain_time(None);
        if change.changed && !params.dry_run {
            self.emit(&change, &caller.author);
            self.cancel_drains(&change);
            // Those that came in by a host which leads elsewhere now.
            self.end_sessions(&sessions, RunningSessions::Drain, drain_time);
            Self::close_not_admitted(&closed);
            self.leases.notify_one();
            info!(target: "audit", who = %caller.who, database = %join(&names), hosts = %join(&params.hosts),
                closed = closed.len(), revision = change.revision, "expose");
        }
        let after = self.gateway.store.snapshot().clone();
        let answers = names.iter().enumerate().map(|(place, name)| {
            let hosts = if params.dry_run && !params.hosts.is_empty() {
                texts(&params.hosts)
            } else if params.dry_run {
                let all = change.databases.iter().find(|d| *d.name == **name);
                all.map(|d| texts(d.active_hosts())).unwrap_or_default()
            } else {
                let now = after.databases.get(name);
                now.map(|d| texts(d.active_hosts())).unwrap_or_default()
            };
            let touched = sessions
                .iter()
                .filter(|entry| cause(entry, &change, &names) == place);
            let touched = touched.count();
            let changed = change.names.contains(*name);
            let ends = ends(RunningSessions::Drain, drain_time);
            ExposeAnswer {
                database: (*name).to_owned(),
                changed,
                dry_run: params.dry_run,
                revision: change.revision,
                hosts,
                sessions: number(touched),
                drain_ms: (touched > 0).then(|| millis(drain_time)),
                ends: ends.filter(|_| touched > 0),
                changes: before
                    .databases
                    .get(name)
                    .zip(change.databases.iter().find(|d| *d.name == **name))
                    .map(|(old, new)| differences(&old.spec, &new.spec))
                    .unwrap_or_default(),
                closed: number(closed.iter().filter(|e| *e.database.name == **name).count()),
                undo: (changed && !params.dry_run)
                    .then(|| undo_of(name, &before, &after, &change))
                    .flatten(),
                notes: if place == 0 {
                    change.news.clone()
                } else {
                    Vec::new()
                },
                warnings: Vec::new(),
            }
        });
        let answers = PerDatabase::new(answers.collect());
        Ok((answers, change.databases.clone()))
    }
}

fn requests(
    names: &[&str],
    params: &ExposeParams,
    caller: &Caller,
) -> Result<Vec<ExposeRequest>, CommandError> {
    let too_long = |ms: u64| ms == 0 || ms > LONGEST_TTL_MS;
    if params.ttl_ms.is_some_and(too_long) {
        return Err(
            CommandError::usage("invalid ttl").hint("use more than 0 and at most ten years")
        );
    }
    let ttl = params.ttl_ms.map(Duration::from_millis);
    let lease = Lease {
        expires: ttl.map(|ttl| SystemTime::now() + ttl),
        ephemeral: params.ephemeral,
        ended: false,
    };
    let settings = params.settings()?;
    let requests = names.iter().map(|name| {
        check_name(name).map_err(CommandError::usage)?;
        Ok(ExposeRequest {
            name: (*name).to_owned(),
            hosts: params.hosts.clone(),
            settings: settings.clone(),
            lease,
            replace: params.replace,
            reason: Reason::of("expose", SystemTime::now(), &caller.author),
        })
    });
    requests.collect()
}

/// The place of the database that took the host of a session.
fn cause(entry: &LiveSession, change: &RouteChange, names: &[&str]) -> usize {
    let of = |host: &Host| {
        let takers = change.exposed.iter().filter(|(_, taken)| taken == host);
        takers.map(|(name, _)| &**name).next()
    };
    let taker = entry.host().and_then(of);
    let place = names.iter().position(|name| Some(*name) == taker);
    place.unwrap_or_default()
}

/// The keys in which two declarations differ, a sentence each.
fn differences(old: &DatabaseSpec, new: &DatabaseSpec) -> Vec<String> {
    if old == new {
        return Vec::new();
    }
    let fields = |spec: &DatabaseSpec| match serde_json::to_value(spec) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let (old, new) = (fields(old), fields(new));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |v: Option<&Value>| v.map_or("unset".to_owned(), ToString::to_string);
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| format!("{key}: {} → {}", text(old.get(key)), text(new.get(key))))
        .collect()
}

/// The command that takes an exposure back.
fn undo_of(
    name: &str,
    before: &Snapshot,
    after: &Snapshot,
    change: &RouteChange,
) -> Option<String> {
    let Some(old) = before.databases.get(name) else {
        return Some(undo::command("delete", &[name]));
    };
    let now = after.databases.get(name)?;
    if old.spec != now.spec {
        let line = undo::command("expose", &[name]) + " --replace";
        return undo::with_settings(line, &old.spec);
    }
    let fresh = change.exposed.iter().filter(|(of, _)| **of == *name);
    let mut fresh = fresh.map(|(_, host)| host).peekable();
    fresh.peek()?;
    Some(undo::with_hosts(undo::command("hide", &[name]), fresh))
}
