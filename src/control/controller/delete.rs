//! `delete`: the end of all that `ctl` made of a database. Its hosts are free.

use tracing::info;

use super::{Caller, Controller, join};
use crate::control::answer::DeleteAnswer;
use crate::control::error::CommandError;
use crate::control::params::{DeleteParams, RunningSessions};
use crate::control::reads::{self, millis, number, texts};
use crate::route::request::ChangeError;

impl Controller {
    /// Deletes what `ctl` made of a database.
    ///
    /// # Errors
    /// The configuration declares it, there is nothing of it, or it cannot be kept on disk.
    pub(super) fn delete(
        &self,
        params: &DeleteParams,
        caller: &Caller,
    ) -> Result<DeleteAnswer, CommandError> {
        let store = &self.gateway.store;
        let done = store.delete(&params.name, params.dry_run, &|changed, runtime| {
            self.state.save(changed, runtime)
        });
        let change = match done {
            Ok(change) => change,
            Err(ChangeError::NotFound(_)) if params.if_exists => store.unchanged(),
            Err(ChangeError::NotFound(_)) => {
                return Err(reads::no_database(&self.gateway, &params.name));
            }
            Err(error) => return Err(error.into()),
        };
        let sessions = self.affected(&change);
        let running = if params.kill {
            RunningSessions::Kill
        } else {
            RunningSessions::Drain
        };
        let drain_time = self.drain_time(None);
        if change.changed && !params.dry_run {
            self.emit(&change);
            self.end_sessions(&sessions, running, drain_time);
            self.leases.notify_one();
            info!(target: "audit", who = %caller.who, database = %params.name, freed = %join(&change.freed),
                running = running.as_str(), sessions = sessions.len(), revision = change.revision, "delete");
        }
        let drained = running == RunningSessions::Drain;
        Ok(DeleteAnswer {
            database: params.name.clone(),
            changed: change.changed,
            dry_run: params.dry_run,
            revision: change.revision,
            hosts: texts(&change.freed),
            running: running.as_str().to_owned(),
            drain_ms: drained.then(|| millis(drain_time)),
            sessions: number(sessions.len()),
        })
    }
}
