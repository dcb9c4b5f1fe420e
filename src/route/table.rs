//! The lookup: a name to a route, in time that does not grow with the number of hosts.
//!
//! Exact names win over wildcards. A wildcard stands for one label, so at most two hash lookups
//! decide.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::{Database, Host};
use crate::tls::ServerName;

/// A host and the database that it leads to.
#[derive(Clone, Debug)]
pub struct Route {
    /// The host as declared, which may be a wildcard.
    pub host: Arc<Host>,
    /// Where it leads.
    pub database: Arc<Database>,
}

/// All routes of one snapshot.
#[derive(Debug, Default)]
pub struct Table {
    exact: HashMap<ServerName, Route>,
    by_suffix: HashMap<ServerName, Route>,
    hidden: HashSet<Host>,
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
    /// Adds a route; the later one wins where two have the same host.
    pub fn insert(&mut self, host: &Host, database: Arc<Database>) {
        let route = Route {
            host: Arc::new(host.clone()),
            database,
        };
        match host {
            Host::Exact(name) => self.exact.insert(name.clone(), route),
            Host::Wildcard(suffix) => self.by_suffix.insert(suffix.clone(), route),
        };
    }

    /// The route for a name that a client asked for.
    #[must_use]
    pub fn lookup(&self, name: &ServerName) -> Option<&Route> {
        self.exact
            .get(name)
            .or_else(|| self.by_suffix.get(name.parent()?))
    }

    /// Notes a host that is declared and switched off.
    pub fn hide(&mut self, host: &Host) {
        self.hidden.insert(host.clone());
    }

    /// Whether a name without a route is one that was switched off. Such a client asks for a
    /// database that it must not reach, so it is not one for a listener's default either.
    #[must_use]
    pub fn is_hidden(&self, name: &ServerName) -> bool {
        // Nearly always there is nothing hidden, and nothing to build for the look-up.
        !self.hidden.is_empty()
            && (self.hidden.contains(&Host::Exact(name.clone()))
                || name
                    .parent()
                    .and_then(|parent| ServerName::parse(parent).ok())
                    .is_some_and(|parent| self.hidden.contains(&Host::Wildcard(parent))))
    }

    /// The steps of [`Table::lookup`], up to the one that found something.
    #[must_use]
    pub fn explain(&self, name: &ServerName) -> Vec<Step> {
        let step = |tried: String, route: Option<&Route>| Step {
            tried,
            database: route.map(|r| r.database.name.to_string()),
        };
        let mut steps = vec![step(format!("exact {name}"), self.exact.get(name))];
        if let (None, Some(parent)) = (self.exact.get(name), name.parent()) {
            steps.push(step(
                format!("wildcard *.{parent}"),
                self.by_suffix.get(parent),
            ));
        }
        steps
    }

    /// Number of hosts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.len() + self.by_suffix.len()
    }

    /// Whether no host leads anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
