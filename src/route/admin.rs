//! The administrative state of a database: what an operator has ordered beside its declaration and
//! its hosts, and why.
//!
//! Not here: ending sessions ([`crate::control`]).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::author::Author;

/// The administrative state of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Takes no new sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// Its backends that take no new sessions, by their address as declared.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub backends: BTreeMap<String, Drain>,
    /// The reason of the last change of its hosts or settings, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// The order to take no new sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Since when, in milliseconds of Unix time.
    pub since_ms: u64,
    /// When the sessions that still run then end; never, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_ms: Option<u64>,
    /// The operator.
    #[serde(default)]
    pub by: Author,
}

/// The reason of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The command, such as `hide`.
    pub change: String,
    /// When, in milliseconds of Unix time.
    pub at_ms: u64,
    /// The operator, and what was said.
    pub by: Author,
}

impl Admin {
    /// True without any order; a reason alone is none.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.drain.is_none() && self.backends.is_empty()
    }

    /// The drain of the database, or of one of its backends.
    #[must_use]
    pub fn drain(&self, backend: Option<&str>) -> Option<&Drain> {
        match backend {
            None => self.drain.as_ref(),
            Some(backend) => self.backends.get(backend),
        }
    }

    /// Replaces it; `None` ends it.
    pub fn set_drain(&mut self, backend: Option<&str>, drain: Option<Drain>) {
        match (backend, drain) {
            (None, drain) => self.drain = drain,
            (Some(backend), None) => {
                self.backends.remove(backend);
            }
            (Some(backend), Some(drain)) => {
                self.backends.insert(backend.to_owned(), drain);
            }
        }
    }
}

impl Drain {
    /// A drain that begins `now`; the sessions that run still end after this time, if at all.
    #[must_use]
    pub fn begin(now: SystemTime, within: Option<Duration>, by: &Author) -> Self {
        Self {
            since_ms: since_epoch(now),
            ends_ms: within
                .and_then(|within| now.checked_add(within))
                .map(since_epoch),
            by: by.clone(),
        }
    }
}

impl Reason {
    /// The reason that this author gives for a change that is made `now`, if any.
    #[must_use]
    pub fn of(change: &str, now: SystemTime, by: &Author) -> Option<Self> {
        by.reason.as_ref()?;
        Some(Self {
            change: change.to_owned(),
            at_ms: since_epoch(now),
            by: by.clone(),
        })
    }
}

/// A time in milliseconds of Unix time.
fn since_epoch(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
