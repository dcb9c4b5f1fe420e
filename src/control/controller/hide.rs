//! `hide`: the end of an exposure.

use std::collections::HashMap;

use tracing::info;

use super::{Caller, Controller, join};
use crate::control::answer::HideAnswer;
use crate::control::error::CommandError;
use crate::control::params::{HideParams, RunningSessions};
use crate::control::reads::{self, millis, number, texts};
use crate::route::Host;
use crate::route::request::{ChangeError, HideRequest};

impl Controller {
    pub(super) fn hide(
        &self,
        params: &HideParams,
        caller: &Caller,
    ) -> Result<HideAnswer, CommandError> {
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
            // Hidden already; its sessions may still run, and can be ended.
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
        let refused = withdrawn.clone().filter(|host| !heirs.contains_key(host));
        let notes = heirs
            .iter()
            .map(|(host, name)| format!("{host} leads to database {name} from now on"))
            .chain(self.still_reached(&params.name));
        let drained = params.running == RunningSessions::Drain;
        Ok(HideAnswer {
            database: params.name.clone(),
            changed: change.changed,
            dry_run: params.dry_run,
            revision: change.revision,
            hosts: texts(withdrawn),
            refused: texts(refused),
            removed: !change.removed.is_empty(),
            notes: notes.collect(),
            running: params.running.as_str().to_owned(),
            drain_ms: drained.then(|| millis(drain_time)),
            sessions: number(sessions.len()),
        })
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
