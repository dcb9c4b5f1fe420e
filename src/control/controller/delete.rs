//! `delete`: what `ctl` made of a database is gone, and its hosts are as free as if they had never
//! led anywhere.

use serde_json::{Value, json};
use tracing::info;

use super::super::message::{CommandError, Delete, Running};
use super::super::reads;
use super::{Caller, Controller, join, millis};
use crate::route::store::ChangeError;

impl Controller {
    /// Deletes what `ctl` made of a database.
    ///
    /// # Errors
    /// The configuration declares it, there is nothing of it, or it cannot be kept on disk.
    pub(super) fn delete(&self, wish: &Delete, caller: &Caller) -> Result<Value, CommandError> {
        let store = &self.gateway.store;
        let done = store.delete(&wish.name, wish.dry_run, &|changed, overlay| {
            self.state.save(changed, overlay)
        });
        let change = match done {
            Ok(change) => change,
            Err(ChangeError::NotFound(_)) if wish.if_exists => store.unchanged(),
            Err(ChangeError::NotFound(_)) => {
                return Err(reads::no_database(&self.gateway, &wish.name));
            }
            Err(error) => return Err(error.into()),
        };
        let sessions = self.touched(&change);
        let running = if wish.kill {
            Running::Kill
        } else {
            Running::Drain
        };
        let patience = self.patience(None);
        if change.changed && !wish.dry_run {
            self.tell(&change);
            self.end(&sessions, running, patience);
            self.leases.notify_one();
            info!(target: "audit", who = %caller.who, database = %wish.name, freed = %join(&change.freed),
                running = running.as_str(), sessions = sessions.len(), revision = change.revision, "delete");
        }
        Ok(json!({
            "database": wish.name,
            "changed": change.changed,
            "dry_run": wish.dry_run,
            "revision": change.revision,
            "hosts": change.freed,
            "running": running,
            "drain_ms": (running == Running::Drain).then(|| millis(patience)),
            "sessions": sessions.len(),
        }))
    }
}
