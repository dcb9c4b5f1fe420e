//! Choosing the database of a client: its route, then the policies, then a place among the live
//! sessions.

use std::sync::Arc;

use super::Session;
use super::ending::Ending;
use crate::gateway::ListenerSettings;
use crate::handshake::TlsOpening;
use crate::route::{Database, Found, Protocol, Route, Snapshot};
use crate::sessions::{LimitReached, RequestedHost, SessionGuard, SessionLimits};
use crate::stats::CloseReason;
use crate::tls::{Sni, TlsMode};

/// The place of a session whose database is chosen: known to `ctl`, and counted once its client's
/// TLS is up, where that ends here.
pub(super) struct Place {
    pub(super) entry: SessionGuard,
    /// The revision of the routes by which it was chosen.
    revision: u64,
}

impl Session {
    /// Finds the database and takes a place in it.
    pub(super) fn choose(
        &mut self,
        opening: &TlsOpening,
        listener: &ListenerSettings,
    ) -> Result<Place, Ending> {
        loop {
            let snapshot = self.gateway.store.snapshot();
            let revision = snapshot.revision;
            self.facts.database = None;
            let name = opening.hello.sni.name();
            let found = name.map_or(Found::Nothing, |name| snapshot.table.lookup(name));
            let (database, exposure) = match (found, &listener.default) {
                (Found::Route(Route { database, place }), _) => (database.clone(), Some(*place)),
                (Found::Withdrawn(withdrawn), _) => {
                    return Err(Ending::new(CloseReason::Withdrawn, withdrawn.to_string()));
                }
                (Found::Nothing, Some(default)) => (default_database(&snapshot, default)?, None),
                (Found::Nothing, None) => return Err(no_route(&opening.hello.sni)),
            };
            drop(snapshot);
            self.facts.database = Some(database.clone());
            let protocol = database.spec.protocol;
            if protocol.server_first()
                || (opening.speaks_postgres() && protocol != Protocol::Postgres)
            {
                return Err(Ending::new(
                    CloseReason::WrongProtocol,
                    format!("database {} speaks {protocol}", database.name),
                ));
            }
            self.facts.protocol = Some(protocol);
            let host = exposure.and_then(|place| Some((place, &database.exposure(place)?.host)));
            let asked = RequestedHost::new(host, &opening.hello.sni);
            let place = self.take_place(database, asked, revision)?;
            // A change between the look-up and the entry in the registry would have missed this
            // session: look again.
            if self.gateway.store.snapshot().revision == revision {
                self.facts.entry = Some(place.entry.entry());
                return Ok(place);
            }
        }
    }

    /// Applies the policies of a database and enters the session in the registry.
    ///
    /// A client whose TLS ends here is counted only once that is up ([`Self::count`]): one that
    /// cannot show its certificate must not keep others out. It is told before where it would come
    /// in vain.
    fn take_place(
        &self,
        database: Arc<Database>,
        asked: RequestedHost,
        revision: u64,
    ) -> Result<Place, Ending> {
        if !database.admits(self.facts.client.ip()) {
            return Err(Ending::new(
                CloseReason::NotAllowed,
                format!(
                    "allow and deny of {} keep {} out",
                    database.name,
                    self.facts.client.ip()
                ),
            ));
        }
        let entry = self.gateway.sessions.enter(
            self.facts.id,
            self.facts.client,
            self.listener.name.clone(),
            self.facts.accepted.into_std(),
            database,
            asked,
        );
        let place = Place { entry, revision };
        if place.entry.database.spec.tls.ends_client_tls() {
            match place.entry.full(self.limits(&place)) {
                None => Ok(place),
                Some(full) => Err(reached(full, &place.entry.database)),
            }
        } else {
            self.count(&place)?;
            Ok(place)
        }
    }

    /// Counts a session towards the limits of its database and of the gateway.
    pub(super) fn count(&self, place: &Place) -> Result<(), Ending> {
        let counted = place.entry.count(self.limits(place));
        counted.map_err(|full| reached(full, &place.entry.database))
    }

    /// The limits in force now: they may have changed since its database was chosen.
    fn limits(&self, place: &Place) -> SessionLimits {
        let settings = self.gateway.settings.load();
        let of_database = |database: &Database| {
            let spec = &database.spec;
            (spec.max_sessions, spec.rare.max_sessions_per_ip)
        };
        let chosen = &place.entry.database;
        let snapshot = self.gateway.store.snapshot();
        let (database, database_per_source) = if snapshot.revision == place.revision {
            of_database(chosen)
        } else {
            let now = snapshot.databases.get(&chosen.name);
            of_database(now.unwrap_or(chosen))
        };
        SessionLimits {
            all: settings.limits.max_sessions,
            per_source: settings.limits.max_sessions_per_ip,
            database,
            database_per_source,
        }
    }

    /// The place of a client that arrives where one database has the whole port.
    pub(super) fn place_by_port(&mut self, listener: &ListenerSettings) -> Result<Place, Ending> {
        let name = listener.default.as_deref().unwrap_or_default();
        loop {
            let snapshot = self.gateway.store.snapshot();
            let revision = snapshot.revision;
            let database = default_database(&snapshot, name)?;
            drop(snapshot);
            self.facts.protocol = Some(database.spec.protocol);
            self.facts.database = Some(database.clone());
            if database.spec.tls != TlsMode::Passthrough {
                // Relaying the bytes as they come would go around its TLS and what that checks.
                return Err(Ending::new(
                    CloseReason::WrongProtocol,
                    format!(
                        "database {name} is for tls = \"{}\", which a listener with protocol = \"tcp\" cannot do",
                        database.spec.tls
                    ),
                ));
            }
            let place = self.take_place(database, RequestedHost::default(), revision)?;
            if self.gateway.store.snapshot().revision == revision {
                self.facts.entry = Some(place.entry.entry());
                return Ok(place);
            }
        }
    }
}

/// The ending of a client that finds a limit reached.
fn reached(full: LimitReached, database: &Database) -> Ending {
    let name = &database.name;
    let (reason, detail) = match full {
        LimitReached::Gateway => (
            CloseReason::GatewayFull,
            "limits.max_sessions is reached".to_owned(),
        ),
        LimitReached::GatewaySource => (
            CloseReason::SessionsPerIp,
            "limits.max_sessions_per_ip is reached".to_owned(),
        ),
        LimitReached::Database => (
            CloseReason::DatabaseFull,
            format!("max_sessions of {name} is reached"),
        ),
        LimitReached::DatabaseSource => (
            CloseReason::SessionsPerIp,
            format!("max_sessions_per_ip of {name} is reached"),
        ),
    };
    Ending::new(reason, detail)
}

fn default_database(snapshot: &Snapshot, name: &str) -> Result<Arc<Database>, Ending> {
    snapshot.databases.get(name).cloned().ok_or_else(|| {
        Ending::new(
            CloseReason::NoDefault,
            format!("the listener's default database {name} does not exist"),
        )
    })
}

fn no_route(sni: &Sni) -> Ending {
    match sni {
        Sni::None => Ending::new(CloseReason::NoSni, "the ClientHello carries no server name"),
        Sni::Ip(_) => Ending::new(CloseReason::IpSni, "the server name is an IP address"),
        Sni::Invalid(_) => Ending::new(CloseReason::InvalidSni, "the server name is no DNS name"),
        Sni::Name(name) => Ending::new(
            CloseReason::UnknownHost,
            format!("no database is exposed under {name}"),
        ),
    }
}
