//! `delete`: the end of all that `ctl` made of a database. Its hosts are free.

use std::sync::Arc;
use std::time::SystemTime;

use tracing::info;

use super::sessions::ends;
use super::{Caller, Controller, join};
use crate::control::answer::{DeleteAnswer, PerDatabase};
use crate::control::error::CommandError;
use crate::control::params::{DeleteParams, RunningSessions};
use crate::control::reads::{millis, number, texts};
use crate::control::undo;
use crate::route::Host;
use crate::route::request::DeleteRequest;
use crate::stats::{Event, Operation};

impl Controller {
    /// Deletes what `ctl` made of databases.
    ///
    /// # Errors
    /// The configuration declares one, there is nothing of it, or it cannot be kept on disk.
    pub(super) fn delete(
        &self,
        params: &DeleteParams,
        caller: &Caller,
    ) -> Result<PerDatabase<DeleteAnswer>, CommandError> {
        let store = &self.gateway.store;
        let names = params.name.checked(&[])?;
        let requests: Vec<_> = names
            .iter()
            .map(|name| DeleteRequest {
                name: (*name).to_owned(),
                if_exists: params.if_exists,
            })
            .collect();
        let before = store.snapshot().clone();
        let done = store.delete(&requests, params.dry_run, &|changed, runtime| {
            self.state.save(changed, runtime)
        });
        let change = done.map_err(|error| self.refusal(error, &names))?;
        let sessions = self.affected(&change);
        let running = if params.kill {
            RunningSessions::Kill
        } else {
            RunningSessions::Drain
        };
        let drain_time = self.drain_time(None);
        let ends = ends(running, drain_time);
        if change.changed && !params.dry_run {
            self.emit(&change, &caller.author);
            self.end_sessions(&sessions, running, drain_time);
            self.leases.notify_one();
            let freed: Vec<_> = change.freed.iter().map(|(_, host)| host).collect();
            info!(target: "audit", who = %caller.who, database = %join(&names), freed = %join(&freed),
                running = running.as_str(), sessions = sessions.len(), revision = change.revision, "delete");
        }
        let answers: Vec<_> = names
            .iter()
            .map(|name| {
                let changed = change.names.contains(*name);
                let freed = change.freed.iter().filter(|(of, _)| changed && of == name);
                let hosts: Vec<&Host> = freed.map(|(_, host)| host).collect();
                let touched = sessions.iter().filter(|e| *e.database.name == **name);
                let touched = touched.count();
                let made = before.databases.get(name);
                let made = made.filter(|_| changed && !params.dry_run && !hosts.is_empty());
                DeleteAnswer {
                    database: (*name).to_owned(),
                    changed,
                    dry_run: params.dry_run,
                    revision: change.revision,
                    hosts: texts(&hosts),
                    running: running.as_str().to_owned(),
                    drain_ms: (running == RunningSessions::Drain).then(|| millis(drain_time)),
                    ends: ends.clone().filter(|_| touched > 0),
                    sessions: number(touched),
                    undo: made.and_then(|made| {
                        let line = undo::with_hosts(undo::command("expose", &[name]), hosts);
                        undo::with_settings(line, &made.spec)
                    }),
                }
            })
            .collect();
        for answer in answers.iter().filter(|a| a.changed && !a.dry_run) {
            self.gateway
                .events
                .emit_change(Event::Deleted(Arc::new(Operation {
                    ts: SystemTime::now(),
                    revision: answer.revision,
                    database: Some(answer.database.clone()),
                    backend: None,
                    sessions: answer.sessions,
                    ends: answer.ends.clone(),
                    by: caller.author.clone(),
                })));
        }
        Ok(PerDatabase::new(answers))
    }
}
