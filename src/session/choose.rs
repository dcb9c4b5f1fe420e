//! Choosing the database of a client: its route, then the policies, then an entry in the
//! registry of live sessions.

use std::sync::Arc;

use super::Session;
use super::end::SessionEnd;
use crate::gateway::ListenerSettings;
use crate::handshake::TlsOpening;
use crate::route::{Database, Lookup, Protocol, Route, Snapshot};
use crate::sessions::{LimitReached, RequestedHost, SessionGuard, SessionLimits};
use crate::stats::CloseReason;
use crate::tls::{Sni, TlsMode};

/// A session whose database is chosen: known to `ctl`, and counted once its client's
/// TLS is up, where that ends here.
pub(super) struct Choice {
    pub(super) entry: SessionGuard,
    /// The revision of the routes by which it was chosen.
    revision: u64,
}

impl Session {
    /// Finds the database and enters it.
    pub(super) fn choose(
        &mut self,
        opening: &TlsOpening,
        listener: &ListenerSettings,
    ) -> Result<Choice, SessionEnd> {
        loop {
            let snapshot = self.gateway.store.snapshot();
            let revision = snapshot.revision;
            self.context.database = None;
            let name = opening.hello.sni.name();
            let found = name.map_or(Lookup::Nothing, |name| snapshot.table.lookup(name));
            let (database, exposure) = match (found, &listener.default) {
                (Lookup::Route(Route { database, place }), _) => (database.clone(), Some(*place)),
                (Lookup::Withdrawn(withdrawn), _) => {
                    return Err(SessionEnd::new(
                        CloseReason::Withdrawn,
                        withdrawn.to_string(),
                    ));
                }
                (Lookup::Nothing, Some(default)) => (default_database(&snapshot, default)?, None),
                (Lookup::Nothing, None) => return Err(no_route(&opening.hello.sni)),
            };
            drop(snapshot);
            self.context.database = Some(database.clone());
            let protocol = database.spec.protocol;
            if protocol.server_first()
                || (opening.speaks_postgres() && protocol != Protocol::Postgres)
            {
                return Err(SessionEnd::new(
                    CloseReason::WrongProtocol,
                    format!("database {} speaks {protocol}", database.name),
                ));
            }
            self.context.protocol = Some(protocol);
            let host = exposure.and_then(|place| Some((place, &database.exposure(place)?.host)));
            let asked = RequestedHost::new(host, &opening.hello.sni);
            let choice = self.enter(database, asked, revision)?;
            // A change between the look-up and the entry in the registry would have missed this
            // session: look again.
            if self.gateway.store.snapshot().revision == revision {
                self.context.entry = Some(choice.entry.entry());
                return Ok(choice);
            }
        }
    }

    /// Applies the policies of a database and enters the session in the registry.
    ///
    /// A client whose TLS ends here is counted only once that is up ([`Self::count`]): one that
    /// cannot show its certificate must not keep others out. It is told before where it would come
    /// in vain.
    fn enter(
        &self,
        database: Arc<Database>,
        asked: RequestedHost,
        revision: u64,
    ) -> Result<Choice, SessionEnd> {
        if !database.admits(self.context.client.ip()) {
            return Err(SessionEnd::new(
                CloseReason::NotAllowed,
                format!(
                    "allow and deny of {} keep {} out",
                    database.name,
                    self.context.client.ip()
                ),
            ));
        }
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
            self.count(&choice)?;
            Ok(choice)
        }
    }

    /// Counts a session towards the limits of its database and of the gateway.
    pub(super) fn count(&self, choice: &Choice) -> Result<(), SessionEnd> {
        let counted = choice.entry.count(self.limits(choice));
        counted.map_err(|full| reached(full, &choice.entry.database))
    }

    /// The limits in force now: they may have changed since its database was chosen.
    fn limits(&self, choice: &Choice) -> SessionLimits {
        let settings = self.gateway.settings.load();
        let of_database = |database: &Database| {
            let spec = &database.spec;
            (spec.max_sessions, spec.rare.max_sessions_per_ip)
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

    /// The choice of a client that arrives where one database has the whole port.
    pub(super) fn enter_by_port(
        &mut self,
        listener: &ListenerSettings,
    ) -> Result<Choice, SessionEnd> {
        let name = listener.default.as_deref().unwrap_or_default();
        loop {
            let snapshot = self.gateway.store.snapshot();
            let revision = snapshot.revision;
            let database = default_database(&snapshot, name)?;
            drop(snapshot);
            self.context.protocol = Some(database.spec.protocol);
            self.context.database = Some(database.clone());
            if database.spec.tls != TlsMode::Passthrough {
                // Relaying the bytes as they come would go around its TLS and what that checks.
                return Err(SessionEnd::new(
                    CloseReason::WrongProtocol,
                    format!(
                        "database {name} is for tls = \"{}\", which a listener with protocol = \"tcp\" cannot do",
                        database.spec.tls
                    ),
                ));
            }
            let choice = self.enter(database, RequestedHost::default(), revision)?;
            if self.gateway.store.snapshot().revision == revision {
                self.context.entry = Some(choice.entry.entry());
                return Ok(choice);
            }
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

fn default_database(snapshot: &Snapshot, name: &str) -> Result<Arc<Database>, SessionEnd> {
    snapshot.databases.get(name).cloned().ok_or_else(|| {
        SessionEnd::new(
            CloseReason::NoDefault,
            format!("the listener's default database {name} does not exist"),
        )
    })
}

fn no_route(sni: &Sni) -> SessionEnd {
    match sni {
        Sni::None => SessionEnd::new(CloseReason::NoSni, "the ClientHello carries no server name"),
        Sni::Ip(_) => SessionEnd::new(CloseReason::IpSni, "the server name is an IP address"),
        Sni::Invalid(_) => {
            SessionEnd::new(CloseReason::InvalidSni, "the server name is no DNS name")
        }
        Sni::Name(name) => SessionEnd::new(
            CloseReason::UnknownHost,
            format!("no database is exposed under {name}"),
        ),
    }
}
