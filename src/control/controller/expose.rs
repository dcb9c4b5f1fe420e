//! `expose`: a database reachable under its hosts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::info;

use super::{Caller, Controller, join};
use crate::control::answer::ExposeAnswer;
use crate::control::error::CommandError;
use crate::control::params::{ExposeParams, RunningSessions};
use crate::control::reads::{self, number, texts};
use crate::route::Database;
use crate::route::request::{ChangeError, ExposeRequest};
use crate::route::runtime::Lease;
use crate::route::spec::check_name;

/// The longest lease: ten years, so that its end can be written as a date.
const LONGEST_TTL_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

impl Controller {
    /// Exposes a database; the answer, and the database as it is now, or would be.
    pub(super) fn expose(
        &self,
        params: &ExposeParams,
        caller: &Caller,
    ) -> Result<(ExposeAnswer, Option<Arc<Database>>), CommandError> {
        check_name(&params.name).map_err(CommandError::usage)?;
        if params
            .ttl_ms
            .is_some_and(|ms| ms == 0 || ms > LONGEST_TTL_MS)
        {
            return Err(CommandError::usage(
                "invalid ttl: use more than 0 and at most ten years",
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
                return Err(CommandError::not_found(what + &hint));
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
        let hosts = snapshot
            .databases
            .get(params.name.as_str())
            .map(|d| texts(d.active_hosts()))
            .unwrap_or_default();
        let answer = ExposeAnswer {
            database: params.name.clone(),
            changed: change.changed,
            dry_run: params.dry_run,
            revision: change.revision,
            hosts: if params.dry_run {
                texts(&params.hosts)
            } else {
                hosts
            },
            sessions: number(sessions.len()),
            notes: change.news,
            warnings: Vec::new(),
        };
        Ok((answer, change.database))
    }
}
