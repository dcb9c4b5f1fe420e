//! Carries out what `ctl` asks for: every change of a running gateway goes through here, one at
//! a time, and leaves an audit line.
//!
//! Not here: reading requests ([`super::request`]) and sockets ([`super::server`]).

mod delete;
mod diff;
mod reload;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tracing::{info, warn};

use super::disk::Disk;
use super::error::{CommandError, ErrorKind};
use super::params::{DrainParams, ExposeParams, HideParams, KillParams, RunningSessions};
use super::reads;
use super::request::Command;
use crate::gateway::Gateway;
use crate::reload::Reloader;
use crate::route::runtime::Lease;
use crate::route::spec::check_name;
use crate::route::store::{ChangeError, ExposeRequest, HideRequest, RouteChange};
use crate::route::{Database, Host};
use crate::session::check;
use crate::sessions::LiveSession;
use crate::source::state_dir::StateDir;
use crate::stats::{CloseReason, Event};

/// The longest lease: ten years, so that its end is a date that can be told.
const LONGEST_TTL_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

/// Who asked for a change.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Such as `uid=0 gid=0 pid=4711`, or `SIGHUP`.
    pub who: String,
}

/// The hands of the control side.
pub struct Controller {
    gateway: Arc<Gateway>,
    reloader: Reloader,
    state: StateDir,
    disk: Disk,
    drains: AtomicU64,
    /// What was wrong when the configuration was read last; empty if nothing was.
    failed: Mutex<String>,
    /// Told when leases may have changed.
    pub leases: Notify,
    /// Held once by each `watch`, and once by this.
    pub(super) watches: Arc<()>,
}

impl Controller {
    /// A controller of this gateway. Call it inside the tokio runtime of the control side.
    ///
    /// # Errors
    /// There can be no thread for what waits for a disk.
    pub fn new(gateway: Arc<Gateway>, reloader: Reloader, state: StateDir) -> io::Result<Self> {
        Ok(Self {
            gateway,
            reloader,
            state,
            disk: Disk::start()?,
            drains: AtomicU64::new(1),
            failed: Mutex::default(),
            leases: Notify::new(),
            watches: Arc::default(),
        })
    }

    /// The gateway.
    #[must_use]
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// What a reload needs, and what is bound.
    #[must_use]
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// Carries out one command that has one answer: what may have to wait for a disk on its thread,
    /// one after the other, all else at once.
    ///
    /// # Errors
    /// Why it was not; nothing has changed then.
    pub async fn execute(
        self: &Arc<Self>,
        command: Command,
        caller: &Caller,
    ) -> Result<Value, CommandError> {
        match command {
            Command::List
            | Command::Show(_)
            | Command::Explain(_)
            | Command::Sessions(_)
            | Command::Rejects
            | Command::Status
            | Command::Export
            | Command::Events
            | Command::Watch(_)
            | Command::Kill(_)
            | Command::Drain(_) => self.carry_out(&command, caller),
            Command::Expose(params) => {
                let caller = caller.clone();
                let check = params.check;
                let done = self.on_disk(move |controller| controller.expose(&params, &caller));
                let (mut answer, database) = done.await.unwrap_or_else(|_| Err(failed()))?;
                // Neither on the disk's thread nor before the change: nobody waits for a backend
                // but who asked.
                let warnings = match database {
                    Some(database) if check => check::warnings(&database).await,
                    _ => Vec::new(),
                };
                if let Some(fields) = answer.as_object_mut() {
                    fields.insert("warnings".to_owned(), json!(warnings));
                }
                Ok(answer)
            }
            _ => {
                let caller = caller.clone();
                let done = self.on_disk(move |controller| controller.carry_out(&command, &caller));
                done.await.unwrap_or_else(|_| Err(failed()))
            }
        }
    }

    /// Gives the disk's thread something to do, after all that was given before.
    pub fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let controller = self.clone();
        self.disk.give(move || job(&controller))
    }

    fn carry_out(&self, command: &Command, caller: &Caller) -> Result<Value, CommandError> {
        match command {
            Command::Expose(params) => self.expose(params, caller).map(|(answer, _)| answer),
            Command::Hide(hide) => self.hide(hide, caller),
            Command::Delete(delete) => self.delete(delete, caller),
            Command::Kill(kill) => self.kill(kill, caller),
            Command::Drain(drain) => self.drain(drain, caller),
            Command::Reload => self.reload(caller),
            Command::List => Ok(reads::list(&self.gateway)),
            Command::Show(named) => reads::show(&self.gateway, &named.name),
            Command::Explain(explain) => reads::explain(&self.gateway, &self.reloader, explain),
            Command::Sessions(filter) => reads::sessions(&self.gateway, filter),
            Command::Rejects => Ok(reads::rejects(&self.gateway)),
            Command::Status => Ok(reads::status(&self.gateway, &self.reloader)),
            Command::Diff => self.diff(),
            Command::Export => reads::export(&self.gateway),
            Command::Events => Ok(json!({"subscribed": true})),
            Command::Watch(watch) => Ok(json!({"interval_ms": watch.interval()?.as_millis()})),
        }
    }

    /// Exposes a database; the answer, and the database as it is now, or would be.
    fn expose(
        &self,
        params: &ExposeParams,
        caller: &Caller,
    ) -> Result<(Value, Option<Arc<Database>>), CommandError> {
        check_name(&params.name).map_err(|e| CommandError::new(ErrorKind::Usage, e))?;
        if params
            .ttl_ms
            .is_some_and(|ms| ms == 0 || ms > LONGEST_TTL_MS)
        {
            return Err(CommandError::new(
                ErrorKind::Usage,
                "a ttl has to be more than nothing and at most ten years",
            ));
        }
        let expires = params
            .ttl_ms
            .map(|ms| SystemTime::now() + Duration::from_millis(ms));
        let request = ExposeRequest {
            name: params.name.clone(),
            hosts: params.hosts.clone(),
            spec: params.spec()?,
            lease: Lease {
                expires,
                ephemeral: params.ephemeral,
                ended: false,
            },
            replace: params.replace,
        };
        let exposed = self
            .gateway
            .store
            .expose(&request, params.dry_run, &|changed, runtime| {
                self.state.save(changed, runtime)
            });
        let change = match exposed {
            Ok(change) => change,
            Err(ChangeError::NotFound(what)) => {
                let nearest = reads::nearest(&self.gateway, &params.name);
                let hint = nearest.map_or_else(String::new, |n| format!("; did you mean {n}?"));
                return Err(CommandError::new(ErrorKind::NotFound, what + &hint));
            }
            Err(error) => return Err(error.into()),
        };
        let sessions = self.affected(&change);
        if change.changed && !params.dry_run {
            self.emit(&change);
            self.cancel_drains(&change);
            // Those that came in by a host which leads elsewhere now.
            self.end_sessions(&sessions, RunningSessions::Drain, self.drain_time(None));
            self.leases.notify_one();
            info!(target: "audit", who = %caller.who, database = %params.name, hosts = %join(&params.hosts),
                revision = change.revision, "expose");
        }
        let snapshot = self.gateway.store.snapshot();
        let hosts: Vec<String> = snapshot
            .databases
            .get(params.name.as_str())
            .map(|d| d.active_hosts().map(ToString::to_string).collect())
            .unwrap_or_default();
        let answer = json!({
            "database": params.name,
            "changed": change.changed,
            "dry_run": params.dry_run,
            "revision": change.revision,
            "hosts": if params.dry_run { texts(&params.hosts) } else { hosts },
            "sessions": sessions.len(),
            "notes": change.news,
        });
        Ok((answer, change.database))
    }

    fn hide(&self, params: &HideParams, caller: &Caller) -> Result<Value, CommandError> {
        let request = HideRequest {
            name: params.name.clone(),
            hosts: params.hosts.clone(),
            if_exists: params.if_exists,
        };
        let hidden = self
            .gateway
            .store
            .hide(&request, params.dry_run, &|changed, runtime| {
                self.state.save(changed, runtime)
            });
        let change = match hidden {
            Ok(change) => change,
            // Gone already; its sessions may still run, and can still be ended.
            Err(ChangeError::NotFound(_)) if !self.still_running(params).is_empty() => {
                self.gateway.store.unchanged()
            }
            Err(ChangeError::NotFound(_))
                if !self
                    .gateway
                    .store
                    .snapshot()
                    .databases
                    .contains_key(params.name.as_str()) =>
            {
                return Err(reads::no_database(&self.gateway, &params.name));
            }
            Err(error) => return Err(error.into()),
        };
        let mut sessions = self.affected(&change);
        if !change.changed {
            sessions = self.still_running(params);
            if params.running == RunningSessions::Drain && params.drain_ms.is_none() {
                // The same command again must not put their end off.
                sessions.retain(|entry| entry.drain() == 0);
            }
        }
        let drain_time = self.drain_time(params.drain_ms);
        if (change.changed || !sessions.is_empty()) && !params.dry_run {
            self.emit(&change);
            self.end_sessions(&sessions, params.running, drain_time);
            self.leases.notify_one();
            info!(target: "audit", who = %caller.who, database = %params.name, hosts = %join(&params.hosts),
                running = params.running.as_str(), sessions = sessions.len(), revision = change.revision, "hide");
        }
        let heirs = change.exposed.iter().map(|(name, host)| (host, name));
        let heirs: HashMap<&Host, _> = heirs.collect();
        let withdrawn = change.withdrawn.iter().map(|(_, host)| host);
        let refused: Vec<&Host> = withdrawn.filter(|host| !heirs.contains_key(host)).collect();
        let heirs = heirs.iter();
        let notes: Vec<String> = heirs
            .map(|(host, name)| format!("{host} leads to database {name} from now on"))
            .chain(self.still_reached(&params.name))
            .collect();
        Ok(json!({
            "database": params.name,
            "changed": change.changed,
            "dry_run": params.dry_run,
            "revision": change.revision,
            "hosts": change.withdrawn.iter().map(|(_, host)| host.to_string()).collect::<Vec<_>>(),
            "refused": refused,
            "removed": !change.removed.is_empty(),
            "notes": notes,
            "running": params.running,
            "drain_ms": (params.running == RunningSessions::Drain).then(|| millis(drain_time)),
            "sessions": sessions.len(),
        }))
    }

    fn kill(&self, params: &KillParams, caller: &Caller) -> Result<Value, CommandError> {
        let (sessions, missing) = match (&params.database, params.ids.as_slice()) {
            (Some(_), [_, ..]) | (None, []) => {
                return Err(CommandError::new(
                    ErrorKind::Usage,
                    "say which sessions: their ids, or --database NAME",
                ));
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
            return Err(CommandError::new(
                ErrorKind::NotFound,
                format!("no session {}", join(&missing)),
            ));
        }
        for entry in &sessions {
            entry.cut(CloseReason::Killed);
        }
        info!(target: "audit", who = %caller.who, database = params.database, ids = %join(&params.ids),
            sessions = sessions.len(), "kill");
        Ok(json!({"killed": sessions.len(), "missing": missing}))
    }

    fn drain(&self, params: &DrainParams, caller: &Caller) -> Result<Value, CommandError> {
        let sessions = self.sessions_of(&params.name)?;
        let drain_time = self.drain_time(params.drain_ms);
        self.end_sessions(&sessions, RunningSessions::Drain, drain_time);
        info!(target: "audit", who = %caller.who, database = %params.name, sessions = sessions.len(), "drain");
        Ok(json!({
            "database": params.name,
            "sessions": sessions.len(),
            "drain_ms": millis(drain_time),
        }))
    }

    /// Ends exposures whose time is over.
    pub fn expire(&self) {
        match self.gateway.store.expire(SystemTime::now()) {
            Ok(change) if change.changed => {
                let sessions = self.affected(&change);
                self.emit(&change);
                self.end_sessions(&sessions, RunningSessions::Drain, self.drain_time(None));
                let withdrawn: Vec<String> = change
                    .withdrawn
                    .iter()
                    .map(|(database, host)| format!("{database} {host}"))
                    .collect();
                let withdrawn = withdrawn.join(", ");
                info!(target: "audit", who = "ttl", withdrawn = %withdrawn,
                    sessions = sessions.len(), revision = change.revision, "expire");
            }
            Ok(_) => {}
            Err(error) => warn!(%error, "cannot end exposures whose time is over"),
        }
    }

    /// The sessions that came in by something that is no longer there.
    fn affected(&self, change: &RouteChange) -> Vec<Arc<LiveSession>> {
        if change.withdrawn.is_empty() && change.removed.is_empty() {
            return Vec::new();
        }
        let removed: HashSet<&str> = change.removed.iter().map(|name| &**name).collect();
        let withdrawn = HostSet::new(&change.withdrawn);
        self.gateway
            .sessions
            .select(|entry| removed.contains(&*entry.database.name) || withdrawn.contains(entry))
    }

    /// The sessions that came in by hosts of these parameters which no longer lead to the database: a
    /// `hide` before let them be, and another may end them.
    fn still_running(&self, params: &HideParams) -> Vec<Arc<LiveSession>> {
        let snapshot = self.gateway.store.snapshot();
        let active: Vec<Host> = snapshot
            .databases
            .get(params.name.as_str())
            .map(|d| d.active_hosts().cloned().collect())
            .unwrap_or_default();
        self.gateway.sessions.select(|entry| {
            *entry.database.name == params.name
                && entry.host().is_some_and(|host| {
                    !active.contains(host)
                        && (params.hosts.is_empty() || params.hosts.contains(host))
                })
        })
    }

    /// The listeners whose default still leads to a database, whatever its hosts do.
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

    /// Ends sessions the way that was asked for.
    fn end_sessions(
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
    fn cancel_drains(&self, change: &RouteChange) {
        if change.exposed.is_empty() {
            return;
        }
        let exposed = HostSet::new(&change.exposed);
        let sessions = &self.gateway.sessions;
        for entry in sessions.select(|entry| entry.drain() != 0 && exposed.contains(entry)) {
            entry.set_drain(0);
        }
    }

    fn emit(&self, change: &RouteChange) {
        let revision = change.revision;
        for (database, host) in &change.exposed {
            self.gateway.events.tell_change(Event::Exposed {
                ts: SystemTime::now(),
                revision,
                database: database.to_string(),
                host: host.to_string(),
            });
        }
        for (database, host) in &change.withdrawn {
            self.gateway.events.tell_change(Event::Hidden {
                ts: SystemTime::now(),
                revision,
                database: database.to_string(),
                host: host.to_string(),
            });
        }
    }

    fn sessions_of(&self, name: &str) -> Result<Vec<Arc<LiveSession>>, CommandError> {
        let sessions = self.gateway.sessions.select(|e| &*e.database.name == name);
        // A removed database may have sessions that still run.
        if sessions.is_empty() && !self.gateway.store.snapshot().databases.contains_key(name) {
            return Err(reads::no_database(&self.gateway, name));
        }
        Ok(sessions)
    }

    fn drain_time(&self, asked_ms: Option<u64>) -> Duration {
        asked_ms.map_or_else(
            || self.gateway.settings.load().timeouts.drain,
            Duration::from_millis,
        )
    }
}

/// The answer to a change that panicked.
fn failed() -> CommandError {
    let words = "the gateway failed over it; its log says more";
    CommandError::new(ErrorKind::Refused, words)
}

/// Databases and hosts of theirs. A reload can name very many, and sessions must not wait while
/// each of them is held against each of the others.
struct HostSet<'a>(HashSet<(&'a str, &'a Host)>);

impl<'a> HostSet<'a> {
    fn new(pairs: &'a [(Arc<str>, Host)]) -> Self {
        Self(pairs.iter().map(|(name, host)| (&**name, host)).collect())
    }

    /// Whether a session came in by one of them.
    fn contains(&self, entry: &LiveSession) -> bool {
        let host = entry.host();
        host.is_some_and(|host| self.0.contains(&(&*entry.database.name, host)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn join<T: ToString>(items: &[T]) -> String {
    texts(items).join(", ")
}

fn pairs(pairs: &[(Arc<str>, crate::route::Host)]) -> Vec<Value> {
    pairs
        .iter()
        .map(|(database, host)| json!({"database": &**database, "host": host}))
        .collect()
}
