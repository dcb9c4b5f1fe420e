//! The lookup: a name to a route, in time that does not grow with the number of hosts.
//!
//! Exact names win over wildcards. A wildcard stands for one label, so at most two hash lookups
//! decide.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::database::{Exposure, ExposureState};
use super::networks::Networks;
use super::shards::{Keyed, Shards};
use super::source::Origin;
use super::{Database, Host, Network};
use crate::tls::ServerName;

/// A host and the database that it leads to.
#[derive(Clone, Debug)]
pub struct Route {
    /// The database.
    pub database: Arc<Database>,
    /// The index of the exposure among those of the database.
    pub index: u32,
}

impl Route {
    /// All routes of a database, whether they lead there now or not.
    fn all(database: &Arc<Database>) -> impl Iterator<Item = (Self, &Exposure)> {
        (0..)
            .zip(database.exposures.iter())
            .map(|(index, exposure)| {
                let database = database.clone();
                (Self { database, index }, exposure)
            })
    }

    /// The host as declared, which may be a wildcard.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        self.exposure().map(|exposure| &exposure.host)
    }

    fn exposure(&self) -> Option<&Exposure> {
        self.database.exposure(self.index)
    }
}

impl Keyed for Route {
    fn key(&self) -> &str {
        self.host().map_or("", |host| host.name().as_str())
    }
}

/// A host that led to a database and does not any more. A client that asks for it wants that
/// database, so it is refused, and no wildcard or default takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// The host, which may be a wildcard.
    pub host: Host,
    /// The database to which it led.
    pub database: Arc<str>,
    /// The reason why it does not any more.
    pub reason: WithdrawnReason,
}

/// The reason why a host is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithdrawnReason {
    /// `ctl hide`.
    Hidden,
    /// Its time is over.
    Ended,
    /// Its database cannot be served, or is no longer declared.
    LeftOut,
}

impl fmt::Display for Withdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, database, .. } = self;
        match self.reason {
            WithdrawnReason::Hidden => write!(
                f,
                "{host} of database {database} is hidden by ctl: `dbgate ctl expose {database} --host {host}` takes it back"
            ),
            WithdrawnReason::Ended => write!(
                f,
                "{host} led to database {database} until it was hidden or its time was over: expose it again, or delete it with `dbgate ctl delete {database}`"
            ),
            WithdrawnReason::LeftOut => write!(
                f,
                "{host} is exposed for database {database}, which is left out or not declared: `dbgate ctl status` says why"
            ),
        }
    }
}

impl Keyed for Withdrawn {
    fn key(&self) -> &str {
        self.host.name().as_str()
    }
}

/// The result of a lookup.
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'a> {
    /// A database.
    Route(&'a Route),
    /// A refusal, also where there is a default.
    Withdrawn(&'a Withdrawn),
    /// Nothing: a default may take it.
    Nothing,
}

impl<'a> Lookup<'a> {
    /// The route, if it is one.
    #[must_use]
    pub fn route(self) -> Option<&'a Route> {
        match self {
            Self::Route(route) => Some(route),
            Self::Withdrawn(_) | Self::Nothing => None,
        }
    }
}

/// Things by their hosts, exact ones and wildcards apart.
#[derive(Clone, Debug)]
struct Hosts<T> {
    exact: Shards<T>,
    by_suffix: Shards<T>,
}

impl<T: Keyed + Clone> Default for Hosts<T> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<T: Keyed + Clone> Hosts<T> {
    fn with_capacity(capacity: usize) -> Self {
        Self {
            exact: Shards::with_capacity(capacity),
            by_suffix: Shards::default(),
        }
    }

    fn of(&self, host: &Host) -> Option<&T> {
        match host {
            Host::Exact(name) => self.exact.get(name.as_str()),
            Host::Wildcard(suffix) => self.by_suffix.get(suffix.as_str()),
        }
    }

    fn of_mut(&mut self, host: &Host) -> &mut Shards<T> {
        match host {
            Host::Exact(_) => &mut self.exact,
            Host::Wildcard(_) => &mut self.by_suffix,
        }
    }
}

/// All routes of one snapshot. A copy shares what has not changed.
#[derive(Clone, Debug, Default)]
pub struct Table {
    active: Hosts<Route>,
    /// Hosts that `ctl` switched off, but for those that it exposed itself.
    hidden: Hosts<Route>,
    /// Hosts that are refused unless they are active; mostly very few.
    withdrawn: Hosts<Withdrawn>,
    /// Databases by the networks of their clients.
    networks: Arc<Networks>,
}

/// A host that is looked up for a name.
#[derive(Clone, Copy, Debug)]
pub enum Tried<'a> {
    /// The very name.
    Exact(&'a str),
    /// The wildcard with this suffix.
    Wildcard(&'a str),
}

impl Table {
    /// An empty table that will hold about this many hosts.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            active: Hosts::with_capacity(capacity),
            ..Self::default()
        }
    }

    /// Adds the hosts and networks of a database; the later one wins where two have the same.
    pub fn insert(&mut self, database: &Arc<Database>) {
        for (route, exposure) in Route::all(database) {
            if let Some(hosts) = self.place_of(exposure) {
                hosts.of_mut(&exposure.host).insert(route);
            }
        }
        if !database.spec.access.networks.is_empty() {
            Arc::make_mut(&mut self.networks).insert(database);
        }
    }

    /// Takes the hosts and networks of a database out.
    pub fn remove(&mut self, database: &Database) {
        for exposure in database.exposures.iter() {
            if let Some(hosts) = self.place_of(exposure) {
                hosts
                    .of_mut(&exposure.host)
                    .remove(exposure.host.name().as_str());
            }
        }
        if !database.spec.access.networks.is_empty() {
            Arc::make_mut(&mut self.networks).remove(database);
        }
    }

    fn place_of(&mut self, exposure: &Exposure) -> Option<&mut Hosts<Route>> {
        match exposure.state {
            ExposureState::Active => Some(&mut self.active),
            ExposureState::Hidden if exposure.origin == Origin::Runtime => None,
            ExposureState::Hidden => Some(&mut self.hidden),
            ExposureState::Shadowed => None,
        }
    }

    /// Sets or removes the reason why a host is refused while it is not active.
    pub fn withdraw(&mut self, host: &Host, withdrawn: Option<Withdrawn>) {
        let hosts = self.withdrawn.of_mut(host);
        match withdrawn {
            Some(withdrawn) => hosts.insert(withdrawn),
            None => hosts.remove(host.name().as_str()),
        };
    }

    /// Looks up a name that a client asked for: what is known of the very name comes before any
    /// wildcard.
    #[must_use]
    pub fn lookup(&self, name: &ServerName) -> Lookup<'_> {
        self.walk(name, |_, _| ())
    }

    /// [`Table::lookup`], which calls `step` with each host that it tries and what that leads to.
    pub fn walk<'a, 'n>(
        &'a self,
        name: &'n ServerName,
        mut step: impl FnMut(Tried<'n>, Lookup<'a>),
    ) -> Lookup<'a> {
        let text = name.as_str();
        let (active, withdrawn) = (&self.active.exact, &self.withdrawn.exact);
        let exact = find(active, withdrawn, text);
        step(Tried::Exact(text), exact);
        if let (Lookup::Nothing, Some(parent)) = (exact, name.parent()) {
            let (active, withdrawn) = (&self.active.by_suffix, &self.withdrawn.by_suffix);
            let wildcard = find(active, withdrawn, parent);
            step(Tried::Wildcard(parent), wildcard);
            return wildcard;
        }
        exact
    }

    /// The database that has an address in its `networks`, of those for which `fits` holds the one
    /// with the longest prefix, and this network.
    pub fn by_network(
        &self,
        client: IpAddr,
        fits: impl Fn(&Arc<Database>) -> bool,
    ) -> Option<(Network, &Arc<Database>)> {
        self.networks.find(client, fits)
    }

    /// The route of just this host.
    #[must_use]
    pub fn route(&self, host: &Host) -> Option<&Route> {
        self.active.of(host)
    }

    /// The database to which such a source gives a host, be it hidden or not.
    #[must_use]
    pub fn given_by(&self, host: &Host, is: fn(Origin) -> bool) -> Option<&Arc<Database>> {
        let routes = [self.active.of(host), self.hidden.of(host)];
        let mut routes = routes.into_iter().flatten();
        let given = |route: &&Route| route.exposure().is_some_and(|e| is(e.origin));
        routes.find(given).map(|route| &route.database)
    }

    /// Number of hosts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.active.exact.len() + self.active.by_suffix.len()
    }

    /// True without any active host.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn find<'a>(active: &'a Shards<Route>, withdrawn: &'a Shards<Withdrawn>, key: &str) -> Lookup<'a> {
    match active.get(key) {
        Some(route) => Lookup::Route(route),
        None => withdrawn
            .get(key)
            .map_or(Lookup::Nothing, Lookup::Withdrawn),
    }
}
