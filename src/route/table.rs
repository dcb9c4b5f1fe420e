//! The lookup: a name to a route, in time that does not grow with the number of hosts.
//!
//! Exact names win over wildcards. A wildcard stands for one label, so at most two hash lookups
//! decide.

use std::sync::Arc;

use serde::Serialize;

use super::database::{Exposure, ExposureState, Origin};
use super::shards::{Keyed, Shards};
use super::{Database, Host};
use crate::tls::ServerName;

/// A host and the database that it leads to.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where it leads.
    pub database: Arc<Database>,
    /// Which of the database's exposures this is, counted from 0.
    pub place: u32,
}

impl Route {
    /// All routes of a database, whether they lead there now or not.
    fn all(database: &Arc<Database>) -> impl Iterator<Item = (Self, &Exposure)> {
        (0..)
            .zip(database.exposures.iter())
            .map(|(place, exposure)| {
                let database = database.clone();
                (Self { database, place }, exposure)
            })
    }

    /// The host as declared, which may be a wildcard.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        self.exposure().map(|exposure| &exposure.host)
    }

    fn exposure(&self) -> Option<&Exposure> {
        self.database.exposure(self.place)
    }
}

impl Keyed for Route {
    fn key(&self) -> &str {
        self.host().map_or("", |host| host.name().as_str())
    }
}

/// Routes by their hosts, exact ones and wildcards apart.
#[derive(Clone, Debug, Default)]
struct Hosts {
    exact: Shards<Route>,
    by_suffix: Shards<Route>,
}

impl Hosts {
    fn with_capacity(capacity: usize) -> Self {
        Self {
            exact: Shards::with_capacity(capacity),
            by_suffix: Shards::default(),
        }
    }

    fn find(&self, name: &ServerName) -> Option<&Route> {
        let exact = self.exact.get(name.as_str());
        exact.or_else(|| self.by_suffix.get(name.parent()?))
    }

    fn of(&self, host: &Host) -> Option<&Route> {
        match host {
            Host::Exact(name) => self.exact.get(name.as_str()),
            Host::Wildcard(suffix) => self.by_suffix.get(suffix.as_str()),
        }
    }

    fn of_mut(&mut self, host: &Host) -> &mut Shards<Route> {
        match host {
            Host::Exact(_) => &mut self.exact,
            Host::Wildcard(_) => &mut self.by_suffix,
        }
    }
}

/// All routes of one snapshot. A copy shares what has not changed.
#[derive(Clone, Debug, Default)]
pub struct Table {
    active: Hosts,
    /// Hosts of the configuration that are switched off.
    hidden: Hosts,
}

/// One step of a lookup, told for `ctl explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was looked for, such as `exact pg1.example` or `wildcard *.example`.
    pub tried: String,
    /// The database found there.
    pub database: Option<String>,
}

impl Table {
    /// An empty table that will hold about this many hosts.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            active: Hosts::with_capacity(capacity),
            hidden: Hosts::default(),
        }
    }

    /// Adds the hosts of a database; the later one wins where two have the same.
    pub fn insert(&mut self, database: &Arc<Database>) {
        for (route, exposure) in Route::all(database) {
            if let Some(hosts) = self.in_state(&exposure.state) {
                hosts.of_mut(&exposure.host).insert(route);
            }
        }
    }

    /// Takes the hosts of a database out.
    pub fn remove(&mut self, database: &Database) {
        for exposure in database.exposures.iter() {
            if let Some(hosts) = self.in_state(&exposure.state) {
                hosts
                    .of_mut(&exposure.host)
                    .remove(exposure.host.name().as_str());
            }
        }
    }

    fn in_state(&mut self, state: &ExposureState) -> Option<&mut Hosts> {
        match state {
            ExposureState::Active => Some(&mut self.active),
            ExposureState::Hidden => Some(&mut self.hidden),
            ExposureState::Shadowed => None,
        }
    }

    /// The route for a name that a client asked for.
    #[must_use]
    pub fn lookup(&self, name: &ServerName) -> Option<&Route> {
        self.active.find(name)
    }

    /// The route of just this host.
    #[must_use]
    pub fn route(&self, host: &Host) -> Option<&Route> {
        self.active.of(host)
    }

    /// The database that the configuration gives a host to, be it hidden or not.
    #[must_use]
    pub fn declarer(&self, host: &Host) -> Option<&Arc<Database>> {
        let routes = [self.active.of(host), self.hidden.of(host)];
        let mut routes = routes.into_iter().flatten();
        let declared =
            |route: &&Route| route.exposure().is_some_and(|e| e.origin == Origin::Config);
        routes.find(declared).map(|route| &route.database)
    }

    /// Whether a name without a route is one that was switched off. Such a client asks for a
    /// database that it must not reach, so it is not one for a listener's default either.
    #[must_use]
    pub fn is_hidden(&self, name: &ServerName) -> bool {
        self.hidden.find(name).is_some()
    }

    /// The steps of [`Table::lookup`], up to the one that found something.
    #[must_use]
    pub fn explain(&self, name: &ServerName) -> Vec<Step> {
        let step = |tried: String, route: Option<&Route>| Step {
            tried,
            database: route.map(|r| r.database.name.to_string()),
        };
        let exact = self.active.exact.get(name.as_str());
        let mut steps = vec![step(format!("exact {name}"), exact)];
        if let (None, Some(parent)) = (exact, name.parent()) {
            steps.push(step(
                format!("wildcard *.{parent}"),
                self.active.by_suffix.get(parent),
            ));
        }
        steps
    }

    /// Number of hosts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.active.exact.len() + self.active.by_suffix.len()
    }

    /// Whether no host leads anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
