//! Choosing the database of a client, and entering it among the live sessions.
//!
//! Not here: the decision ([`crate::route::decide`]).

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::Session;
use super::end::SessionEnd;
use crate::gateway::ListenerSettings;
use crate::preface::TlsOpening;
use crate::rate::{Counted, RateLimits, RateReached};
use crate::route::Database;
use crate::route::decide::{Decision, Refusal, Shown, decide};
use crate::sessions::{LimitReached, RequestedHost, SessionGuard, SessionLimits};
use crate::stats::CloseReason;

/// A session whose database is chosen: known to `ctl`, and counted once its client's
/// TLS is up, where that ends here.
pub(super) struct Choice {
    pub(super) entry: SessionGuard,
    /// The revision of the routes by which it was chosen.
    revision: u64,
}

impl Session {
    /// Chooses the database of a client by its hello, and enters the session among the live ones.
    pub(super) fn choose(
        &mut self,
        opening: &TlsOpening,
        listener: &ListenerSettings,
    ) -> Result<Choice, SessionEnd> {
        let shown = Shown::Hello {
            sni: &opening.hello.sni,
            speaks: opening.speaks(),
        };
        self.choose_shown(shown, listener)
    }

    /// Chooses the database of a client whose listener relays by port.
    pub(super) fn choose_by_port(
        &mut self,
        listener: &ListenerSettings,
    ) -> Result<Choice, SessionEnd> {
        self.choose_shown(Shown::Port, listener)
    }

    fn choose_shown(
        &mut self,
        shown: Shown<'_>,
        listener: &ListenerSettings,
    ) -> Result<Choice, SessionEnd> {
        let (default, address) = (listener.default.as_deref(), self.context.client.ip());
        let choice = loop {
            let snapshot = self.gateway.store.snapshot();
            let revision = snapshot.revision;
            let decided = decide(&snapshot, default, shown, Some(address), &mut |_| ());
            let of = decided
                .as_ref()
                .map_or_else(Refusal::database, |d| Some(d.database));
            self.context.database = of.cloned();
            if !matches!(decided, Err(Refusal::WrongProtocol(_))) {
                self.context.protocol = of.map(|database| database.spec.protocol);
            }
            let Decision { database, exposure } = decided
                .map_err(|refusal| SessionEnd::new((&refusal).into(), refusal.to_string()))?;
            let database = database.clone();
            drop(snapshot);
            let host = exposure.and_then(|at| Some((at, &database.exposure(at)?.host)));
            let asked = match shown {
                Shown::Port => RequestedHost::default(),
                Shown::Hello { sni, .. } => RequestedHost::new(host, sni),
            };
            let choice = self.enter(database, asked, revision)?;
            // A change between the decision and the entry among the live sessions would have missed
            // this one: decide again.
            if self.gateway.store.snapshot().revision == revision {
                break choice;
            }
        };
        // Once, however often it was decided.
        self.count_new(&choice)?;
        self.context.entry = Some(choice.entry.entry());
        Ok(choice)
    }

    /// Counts a new session against the rates of its database.
    ///
    /// The rate of the whole database counts a client whose TLS ends here only once that is up, as
    /// its other limits do.
    fn count_new(&self, choice: &Choice) -> Result<(), SessionEnd> {
        let database = &choice.entry.database;
        let Some(limits) = &database.spec.access.rate else {
            return Ok(());
        };
        let counted = if database.spec.tls.ends_client_tls() {
            Counted::Network
        } else {
            Counted::Whole
        };
        let (client, now) = (self.context.client.ip(), self.gateway.started.elapsed());
        let new = database.live().new_sessions();
        let done = new.count(limits, client, now, counted);
        done.map_err(|reached| too_fast(reached, limits, client, database))
    }

    /// Enters the session among the live ones.
    ///
    /// A client whose TLS ends here is counted only once that is up ([`Self::count`]): one that
    /// cannot show its certificate must not keep others out. It is refused before where it would
    /// come in vain.
    fn enter(
        &self,
        database: Arc<Database>,
        asked: RequestedHost,
        revision: u64,
    ) -> Result<Choice, SessionEnd> {
        let entry = self.gateway.sessions.enter(
            self.context.id,
            self.context.client,
            self.listener.name.clone(),
            self.context.accepted.into_std(),
            database,
            asked,
        );
        let choice = Choice { entry, revision };
        if choice.entry.database.spec.tls.ends_client_tls() {
            match choice.entry.full(self.limits(&choice)) {
                None => Ok(choice),
                Some(full) => Err(reached(full, &choice.entry.database)),
            }
        } else {
            self.count_towards_limits(&choice)?;
            Ok(choice)
        }
    }

    /// Counts a session whose TLS has ended here towards the limits and the rate of its database,
    /// and the limits of the gateway.
    pub(super) fn count(&self, choice: &Choice) -> Result<(), SessionEnd> {
        self.count_towards_limits(choice)?;
        let database = &choice.entry.database;
        let limits = database.spec.access.rate.as_ref();
        let Some((limits, rate)) = limits.and_then(|limits| Some((limits, limits.database?)))
        else {
            return Ok(());
        };
        let (client, now) = (self.context.client.ip(), self.gateway.started.elapsed());
        let done = database.live().new_sessions().count_in_database(rate, now);
        done.map_err(|reached| too_fast(reached, limits, client, database))
    }

    fn count_towards_limits(&self, choice: &Choice) -> Result<(), SessionEnd> {
        let counted = choice.entry.count(self.limits(choice));
        counted.map_err(|full| reached(full, &choice.entry.database))
    }

    /// The limits in force now: they may have changed since its database was chosen.
    fn limits(&self, choice: &Choice) -> SessionLimits {
        let settings = self.gateway.settings.load();
        let of_database = |database: &Database| {
            let spec = &database.spec;
            (
                spec.max_sessions.map(NonZeroU32::get),
                spec.access.max_sessions_per_ip,
            )
        };
        let chosen = &choice.entry.database;
        let snapshot = self.gateway.store.snapshot();
        let (database, database_per_ip) = if snapshot.revision == choice.revision {
            of_database(chosen)
        } else {
            let now = snapshot.databases.get(&chosen.name);
            of_database(now.unwrap_or(chosen))
        };
        SessionLimits {
            all: settings.limits.max_sessions,
            per_ip: settings.limits.max_sessions_per_ip,
            database,
            database_per_ip,
        }
    }
}

/// The end of a client that finds a limit reached.
fn reached(full: LimitReached, database: &Database) -> SessionEnd {
    let name = &database.name;
    let (reason, detail) = match full {
        LimitReached::Gateway => (
            CloseReason::GatewayFull,
            "limits.max_sessions is reached".to_owned(),
        ),
        LimitReached::GatewayPerIp => (
            CloseReason::SessionsPerIp,
            "limits.max_sessions_per_ip is reached".to_owned(),
        ),
        LimitReached::Database => (
            CloseReason::DatabaseFull,
            format!("max_sessions of {name} is reached"),
        ),
        LimitReached::DatabasePerIp => (
            CloseReason::SessionsPerIp,
            format!("max_sessions_per_ip of {name} is reached"),
        ),
    };
    SessionEnd::new(reason, detail)
}

/// The end of a client that comes while a rate is reached.
fn too_fast(
    reached: RateReached,
    limits: &RateLimits,
    client: IpAddr,
    database: &Database,
) -> SessionEnd {
    SessionEnd::new(
        reached.into(),
        limits.reached(reached, client, &database.name),
    )
}
