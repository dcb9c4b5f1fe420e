//! Parameters of questions: `list`, `show`, `explain`, `sessions`, `rejects`, `events`, `watch`.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::error::CommandError;
use crate::route::{Host, Network};
use crate::stats::EventKind;

/// Asks for databases.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    /// Only these; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// Names one database.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowParams {
    /// The database.
    pub name: String,
}

/// Asks for the database that a name reaches.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainParams {
    /// The name, as a client would send it.
    pub host: String,
    /// The listener; the first one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// The client's address; policies are not checked if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
}

/// Asks for live sessions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsParams {
    /// Only those of this database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Only those of clients of this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Network>,
}

/// Asks for clients that were turned away.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectsParams {
    /// Only those of so much time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Only those that asked for this name, or for one that this wildcard covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// Only clients of this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Network>,
    /// Sends each row as an event, first those that there are, then those that are new or have
    /// grown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}

/// Asks for what has happened.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsParams {
    /// Only events of these kinds; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<EventKind>,
    /// Sends each as an event, first those that are kept, then others as they happen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}

impl EventsParams {
    /// True if events of this kind are asked for.
    #[must_use]
    pub fn wants(&self, kind: EventKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

/// Asks for everything that `top` shows: first all of it, then changes at each interval
/// ([`crate::control::watch`]).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchParams {
    /// Milliseconds from one refresh to the next, 100 to 60,000; a second if absent.
    #[serde(default = "WatchParams::second")]
    pub interval_ms: u64,
}

impl WatchParams {
    fn second() -> u64 {
        1000
    }

    /// The time from one refresh to the next.
    ///
    /// # Errors
    /// It is out of bounds.
    pub fn interval(self) -> Result<Duration, CommandError> {
        if (100..=60_000).contains(&self.interval_ms) {
            return Ok(Duration::from_millis(self.interval_ms));
        }
        Err(CommandError::usage("invalid interval_ms").hint("use 100 to 60000"))
    }
}

/// A command without parameters.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}
