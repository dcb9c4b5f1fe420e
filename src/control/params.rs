//! Parameters of the commands of the control protocol.
//!
//! A request is `{"v":1,"id":7,"cmd":"expose",…}`, its answer `{"id":7,"ok":true,…}` or
//! `{"id":7,"ok":false,"error":{"kind":"conflict","message":"…"}}`. Events of a subscription are
//! `{"id":7,"event":{…}}` with the id of the request that subscribed, so that everything can
//! share one connection: `events` sends each as it happens, `watch` sends changes at intervals
//! ([`super::watch`]). Durations are in milliseconds. A change may have a `"reason"` beside its
//! `id`, which goes to the audit log, events and `show` with its author.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::CommandError;
use crate::protocol::Protocol;
use crate::route::spec::{Access, BackendTls, ClientTls, Keys};
use crate::route::{DatabaseSpec, Host};
use crate::tls::TlsMode;
use crate::upstream::BackendAddr;

/// Makes a database reachable.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of `ctl expose`"
)]
pub struct ExposeParams {
    /// The database.
    pub name: String,
    /// The hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// Backends; given, they declare a database that the configuration does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<BackendAddr>,
    /// With `to`: the protocol; by the backend's port if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// With `to`: the TLS mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsMode>,
    /// With `to`: most sessions at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u32>,
    /// With `to`: rules for clients.
    #[serde(flatten)]
    pub access: Access,
    /// With `to`: TLS settings towards clients.
    #[serde(flatten)]
    pub client: ClientTls,
    /// With `to`: TLS settings towards backends.
    #[serde(flatten)]
    pub backend: BackendTls,
    /// Ends by itself after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Not kept over a restart.
    #[serde(default)]
    pub ephemeral: bool,
    /// Replaces what `ctl` declared before.
    #[serde(default)]
    pub replace: bool,
    /// Only reports what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// Checks the backends too, and warns of those that would not serve a session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub check: bool,
}

impl ExposeParams {
    /// The declaration that `to` and the settings beside it make; `None` without them.
    ///
    /// # Errors
    /// Settings without `to`, settings that do not fit together, or an unknown protocol.
    pub fn spec(&self) -> Result<Option<DatabaseSpec>, CommandError> {
        let Some(first) = self.to.first() else {
            let settings = self.protocol.is_some()
                || self.tls.is_some()
                || self.max_sessions.is_some()
                || self.access != Access::default()
                || self.client != ClientTls::default()
                || self.backend != BackendTls::default();
            return if settings {
                Err(CommandError::usage(format!(
                    "settings of a database go with --to ADDR; what {} has now is shown by `dbgate ctl show {}`",
                    self.name, self.name
                )))
            } else {
                Ok(None)
            };
        };
        let Some(protocol) = self.protocol.or_else(|| Protocol::of_port(first.port())) else {
            return Err(CommandError::usage(format!(
                "port {} is not that of a known protocol: add --protocol",
                first.port()
            )));
        };
        let keys = Keys {
            protocol,
            backends: self.to.clone().into(),
            tls: self.tls.unwrap_or_default(),
            access: self.access.clone(),
            max_sessions: self.max_sessions,
            client: self.client.clone(),
            backend: self.backend.clone(),
        };
        keys.try_into().map(Some).map_err(CommandError::usage)
    }
}

/// The fate of the sessions of an exposure that ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunningSessions {
    /// They get some time, then they are closed.
    #[default]
    Drain,
    /// They run on.
    Keep,
    /// They are closed at once.
    Kill,
}

impl RunningSessions {
    /// The word used in JSON and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Keep => "keep",
            Self::Kill => "kill",
        }
    }
}

/// Ends an exposure.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HideParams {
    /// The database.
    pub name: String,
    /// The hosts; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// The fate of running sessions.
    #[serde(default)]
    pub running: RunningSessions,
    /// With drain: how long; `timeouts.drain` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_ms: Option<u64>,
    /// No error if there is nothing to hide.
    #[serde(default)]
    pub if_exists: bool,
    /// Only reports what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// Deletes what `ctl` made of a database.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteParams {
    /// The database.
    pub name: String,
    /// Closes its sessions at once; else they get `timeouts.drain`.
    #[serde(default)]
    pub kill: bool,
    /// No error if there is nothing to delete.
    #[serde(default)]
    pub if_exists: bool,
    /// Only reports what would be done.
    #[serde(default)]
    pub dry_run: bool,
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
    pub client: Option<std::net::IpAddr>,
}

/// Asks for live sessions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsParams {
    /// Only those of this database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

/// Closes sessions at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KillParams {
    /// These sessions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<u64>,
    /// All sessions of this database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

/// Closes the sessions of a database that still run after some time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainParams {
    /// The database.
    pub name: String,
    /// Time for running sessions; `timeouts.drain` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_ms: Option<u64>,
}

/// Asks for everything that `top` shows: first all of it, then changes at each interval
/// ([`super::watch`]).
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
        Err(CommandError::usage("invalid interval_ms: use 100 to 60000"))
    }
}

/// A command without parameters.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::error::ErrorKind;

    #[test]
    fn settings_need_a_backend() {
        let expose = ExposeParams {
            name: "pg1".into(),
            tls: Some(TlsMode::Terminate),
            ..ExposeParams::default()
        };
        assert_eq!(expose.spec().unwrap_err().kind, ErrorKind::Usage);
    }
}
