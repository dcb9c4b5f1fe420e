//! `delete`: what `ctl` made of a database is gone, and its hosts are as free as if they had never
//! led anywhere.

use serde_json::{Value, json};
use tracing::info;

use super::super::error::CommandError;
use super::super::params::{DeleteParams, RunningSessions};
use super::super::reads;
use super::{Caller, Controller, join, millis};
use crate::route::store::ChangeError;

impl Controller {
    /// Deletes what `ctl` made of a database.
    ///
    /// # Errors
    /// The configuration declares it, there is nothing of it, or it cannot be kept on disk.
    pub(super) fn delete(
        &self,
        params: &DeleteParams,
        caller: &Caller,
    ) -> Result<Value, CommandError> {
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
        Ok(json!({
            "database": params.name,
            "changed": change.changed,
            "dry_run": params.dry_run,
            "revision": change.revision,
            "hosts": change.freed,
            "running": running,
            "drain_ms": (running == RunningSessions::Drain).then(|| millis(drain_time)),
            "sessions": sessions.len(),
        }))
    }
}
