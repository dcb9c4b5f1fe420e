//! Commands carried out: every change of a running gateway goes through here, one at a time, and
//! leaves a line in the audit log.
//!
//! Not here: reading requests ([`super::request`]) and sockets ([`super::server`]).

mod delete;
mod diff;
mod drain;
mod enforce;
mod expose;
mod hide;
mod reload;
mod renewal;
mod sessions;

use std::fmt::Display;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tokio::sync::{Notify, oneshot};
use tracing::{info, warn};

use super::answer::{Answer, BackendWarning, FollowingAnswer, WatchAnswer};
use super::caller::Caller;
use super::disk_thread::DiskThread;
use super::error::CommandError;
use super::events;
use super::params::{RunningSessions, ShowParams};
use super::reads::{self, LastReload, Stopping, millis};
use super::request::Command;
use crate::author::Author;
use crate::gateway::Gateway;
use crate::reload::Reloader;
use crate::route::{ChangeError, RouteChange};
use crate::session::check;
use crate::source::state_dir::StateDir;
use crate::stats::Event;
pub use renewal::{Faults, RenewalFault};

/// Carries out commands.
pub struct Controller {
    gateway: Arc<Gateway>,
    reloader: Reloader,
    state: StateDir,
    disk: DiskThread,
    drains: AtomicU64,
    pending: Arc<drain::Pending>,
    last_reload: Mutex<Option<LastReload>>,
    faults: Mutex<Faults>,
    stopping: Mutex<Option<Stopping>>,
    /// Notified when leases may have changed.
    pub leases: Notify,
    /// Held once by each `watch`, and once by this.
    pub(super) watches: Arc<()>,
}

impl Controller {
    /// A controller of this gateway. Call it inside the tokio runtime of the control side.
    ///
    /// # Errors
    /// The disk's thread cannot be started.
    pub fn new(gateway: Arc<Gateway>, reloader: Reloader, state: StateDir) -> io::Result<Self> {
        Ok(Self {
            gateway,
            reloader,
            state,
            disk: DiskThread::start()?,
            drains: AtomicU64::new(1),
            pending: Arc::default(),
            last_reload: Mutex::default(),
            faults: Mutex::default(),
            stopping: Mutex::default(),
            leases: Notify::new(),
            watches: Arc::default(),
        })
    }

    /// The gateway.
    #[must_use]
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// The reloader, which also knows the bound listeners.
    #[must_use]
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// Carries out one command: those that may have to wait for a disk on its thread, one after the
    /// other, all others at once.
    ///
    /// # Errors
    /// The command was not carried out; nothing has changed.
    pub async fn execute(
        self: &Arc<Self>,
        command: Command,
        caller: &Caller,
    ) -> Result<Answer, CommandError> {
        match command {
            Command::List(params) => reads::list(&self.gateway, &params).map(Answer::List),
            Command::Show(ShowParams { name }) => {
                let answer = reads::show(&self.gateway, &name, &self.faults())?;
                Ok(Answer::Show(answer.into()))
            }
            Command::Explain(params) => {
                let answer = reads::explain(&self.gateway, &self.reloader, &params)?;
                Ok(Answer::Explain(answer.into()))
            }
            Command::Sessions(params) => {
                reads::sessions(&self.gateway, &params).map(Answer::Sessions)
            }
            Command::Rejects(params) if params.follow => Ok(Answer::Following(following())),
            Command::Rejects(params) => Ok(Answer::Rejects(reads::rejects(&self.gateway, &params))),
            Command::Status => {
                let last_reload = self.last_reload();
                let stopping = self.stopping();
                let answer = reads::status(
                    &self.gateway,
                    &self.reloader,
                    last_reload.as_ref(),
                    &self.faults(),
                    stopping,
                );
                Ok(Answer::Status(answer.into()))
            }
            Command::Export => reads::export(&self.gateway).map(Answer::Export),
            Command::Events(params) if params.follow => Ok(Answer::Following(following())),
            Command::Events(params) => Ok(Answer::Events(events::recent(&self.gateway, &params))),
            Command::Watch(params) => Ok(Answer::Watch(WatchAnswer {
                interval_ms: millis(params.interval()?),
                read_only: false,
            })),
            Command::Kill(params) => self.kill(&params, caller).map(Answer::Kill),
            Command::Expose(params) => {
                let caller = caller.clone();
                let check = params.check;
                let done = self.on_disk(move |controller| controller.expose(&params, &caller));
                let (mut answers, databases) = done.await.unwrap_or_else(|_| Err(panicked()))?;
                // Neither on the disk's thread nor before the change: only the caller waits for a
                // backend.
                if check {
                    let checks = databases.into_iter();
                    let checks = checks.map(|database| {
                        tokio::spawn(async move { check::warnings(&database).await })
                    });
                    let checks: Vec<_> = checks.collect();
                    for (answer, check) in answers.iter_mut().zip(checks) {
                        let warnings = check.await.unwrap_or_default();
                        answer.warnings = warnings.into_iter().map(warning).collect();
                    }
                }
                Ok(Answer::Expose(answers))
            }
            Command::Hide(params) => {
                self.change(caller, move |controller, caller| {
                    controller.hide(&params, caller).map(Answer::Hide)
                })
                .await
            }
            Command::Delete(params) => {
                self.change(caller, move |controller, caller| {
                    controller.delete(&params, caller).map(Answer::Delete)
                })
                .await
            }
            Command::Drain(params) => {
                self.change(caller, move |controller, caller| {
                    controller.drain(&params, caller).map(Answer::Drain)
                })
                .await
            }
            Command::Resume(params) => {
                self.change(caller, move |controller, caller| {
                    controller.resume(&params, caller).map(Answer::Drain)
                })
                .await
            }
            Command::Reload => {
                self.change(caller, |controller, caller| {
                    controller.reload(caller).map(Answer::Reload)
                })
                .await
            }
            Command::Diff => {
                self.change(caller, |controller, _| controller.diff().map(Answer::Diff))
                    .await
            }
        }
    }

    /// Carries out a command on the disk's thread.
    async fn change(
        self: &Arc<Self>,
        caller: &Caller,
        job: impl FnOnce(&Self, &Caller) -> Result<Answer, CommandError> + Send + 'static,
    ) -> Result<Answer, CommandError> {
        let caller = caller.clone();
        let done = self.on_disk(move |controller| job(controller, &caller));
        done.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// Runs a job on the disk's thread, after all earlier jobs.
    pub fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let controller = self.clone();
        self.disk.give(move || job(&controller))
    }

    /// Ends exposures whose time is over.
    pub fn expire(&self) {
        match self.gateway.store.expire(SystemTime::now()) {
            Ok(change) if change.changed => {
                let sessions = self.affected(&change);
                self.emit(&change, &Arc::new(Author::own("ttl")));
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

    /// The error for a change that was not made; an unknown database with the nearest there is.
    fn refusal(&self, error: ChangeError, names: &[&str]) -> CommandError {
        let mut refusal = match error {
            ChangeError::NoDatabase { name, hint } => {
                let near = reads::nearest(&self.gateway, &name);
                match (near, hint) {
                    (None, None) => reads::no_database(&self.gateway, &name),
                    (near, hint) => {
                        let near = near.map(|near| format!("did you mean {near}?"));
                        let hints: Vec<String> = hint
                            .map(ToOwned::to_owned)
                            .into_iter()
                            .chain(near)
                            .collect();
                        CommandError::not_found(format!("no database {name}"))
                            .hint(hints.join("; "))
                    }
                }
            }
            error => error.into(),
        };
        if names.len() > 1 {
            refusal.message += " (nothing changed)";
        }
        refusal
    }

    fn emit(&self, change: &RouteChange, by: &Arc<Author>) {
        let revision = change.revision;
        for (database, host) in &change.exposed {
            self.gateway.events.emit_change(Event::Exposed {
                ts: SystemTime::now(),
                revision,
                database: database.to_string(),
                host: host.to_string(),
                by: by.clone(),
            });
        }
        for (database, host) in &change.withdrawn {
            self.gateway.events.emit_change(Event::Hidden {
                ts: SystemTime::now(),
                revision,
                database: database.to_string(),
                host: host.to_string(),
                by: by.clone(),
            });
        }
    }
}

fn following() -> FollowingAnswer {
    FollowingAnswer { following: true }
}

/// The answer to a change that panicked.
fn panicked() -> CommandError {
    CommandError::refused("the gateway failed over it").hint("its log says more")
}

fn warning(warning: check::Warning) -> BackendWarning {
    BackendWarning {
        backend: warning.backend,
        reason: warning.reason.to_string(),
        detail: warning.detail.to_string(),
        remedy: warning.remedy.map(ToOwned::to_owned),
    }
}

fn join<T: Display>(items: &[T]) -> String {
    reads::texts(items).join(", ")
}
