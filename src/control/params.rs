//! Parameters of the commands of the control protocol.
//!
//! A request is `{"v":1,"id":7,"cmd":"expose",…}`, its answer `{"id":7,"ok":true,…}` or
//! `{"id":7,"ok":false,"error":{"code":"conflict","message":"…"}}`. Events of a subscription are
//! `{"id":7,"event":{…}}` with the id of the request that subscribed, so that everything can
//! share one connection: `events` and `rejects` send each as it happens where they are asked to follow, `watch` sends
//! changes at intervals ([`super::watch`]). Durations are in milliseconds. A change may have a `"reason"` beside its
//! `id`, which goes to the audit log, events and `show` with its author.

mod reads;

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use reads::{
    EventsParams, ExplainParams, ListParams, NoParams, RejectsParams, SessionsParams, ShowParams,
    WatchParams,
};

use super::error::CommandError;
use crate::protocol::Protocol;
use crate::proxy_protocol::Version;
use crate::route::Host;
use crate::route::access::Access;
use crate::route::health::Health;
use crate::route::hold::Hold;
use crate::route::request::Settings;
use crate::route::spec::{BackendTls, ClientTls};
use crate::tls::TlsMode;
use crate::upstream::{BackendAddr, Balance, WeightedAddr};

/// Makes a database reachable.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of `ctl expose`"
)]
pub struct ExposeParams {
    /// The databases; those that are new, and those with hosts, one at a time.
    pub name: Names,
    /// The hosts; empty takes back all that is hidden.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// Backends; given, they declare a database that the configuration does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<WeightedAddr>,
    /// The choice among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// The checks of the backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// The protocol; of a new database by the backend's port if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The TLS mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsMode>,
    /// Most sessions at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u32>,
    /// The PROXY protocol header that backends get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_proxy: Option<Version>,
    /// Rules for clients.
    #[serde(flatten)]
    pub access: Access,
    /// Waiting for a backend.
    #[serde(flatten)]
    pub hold: Hold,
    /// TLS settings towards clients.
    #[serde(flatten)]
    pub client: ClientTls,
    /// TLS settings towards backends.
    #[serde(flatten)]
    pub backend: BackendTls,
    /// Ends by itself after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Not kept over a restart.
    #[serde(default)]
    pub ephemeral: bool,
    /// States all: settings and ends that are not given return to their defaults. Also takes over
    /// hosts that `ctl` exposed.
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
    /// The settings that are given.
    ///
    /// # Errors
    /// A path is not UTF-8.
    pub fn settings(&self) -> Result<Settings, CommandError> {
        #[derive(Serialize)]
        struct Plain<'a> {
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            backends: &'a [WeightedAddr],
            #[serde(skip_serializing_if = "Option::is_none")]
            balance: Option<Balance>,
            #[serde(skip_serializing_if = "Option::is_none")]
            health: Option<&'a Health>,
            #[serde(skip_serializing_if = "Option::is_none")]
            protocol: Option<Protocol>,
            #[serde(skip_serializing_if = "Option::is_none")]
            tls: Option<TlsMode>,
            #[serde(skip_serializing_if = "Option::is_none")]
            max_sessions: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            send_proxy: Option<Version>,
        }
        let plain = Plain {
            backends: &self.to,
            balance: self.balance,
            health: self.health.as_ref(),
            protocol: self.protocol,
            tls: self.tls,
            max_sessions: self.max_sessions,
            send_proxy: self.send_proxy,
        };
        let mut settings = Settings::default();
        settings
            .add(&plain)
            .and_then(|()| settings.add(&self.access))
            .and_then(|()| settings.add(&self.hold))
            .and_then(|()| settings.add(&self.client))
            .and_then(|()| settings.add(&self.backend))
            .map_err(CommandError::usage)?;
        Ok(settings)
    }
}

/// The databases of a command: in JSON a text for one, a list for several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

/// The most databases of one command.
const MAX_NAMES: usize = 1000;

impl Names {
    /// The names, each once, in their order; a host belongs to one database.
    ///
    /// # Errors
    /// There is none, there are too many, or several with `hosts`.
    pub fn checked(&self, hosts: &[Host]) -> Result<Vec<&str>, CommandError> {
        let mut names: Vec<&str> = Vec::new();
        for name in &self.0 {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        if !(1..=MAX_NAMES).contains(&names.len()) {
            let text = format!("name 1 to {MAX_NAMES} databases");
            return Err(CommandError::usage(text));
        }
        if names.len() > 1 && !hosts.is_empty() {
            let error = CommandError::usage("a host leads to one database");
            return Err(error.hint("name one with --host"));
        }
        Ok(names)
    }
}

impl From<&str> for Names {
    fn from(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            all => all.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;
        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of texts")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Names, E> {
                Ok(name.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_any(OneOrSeveral)
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
    /// The databases.
    pub name: Names,
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
    /// The databases.
    pub name: Names,
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

/// Lets no new sessions in to databases, or to one backend of theirs; those that run go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainParams {
    /// The databases.
    pub name: Names,
    /// Only this backend, as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendAddr>,
    /// Time after which those that still run end; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
    /// Only reports what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// Lets new sessions in again, and those that run go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeParams {
    /// The databases.
    pub name: Names,
    /// Only this backend, as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendAddr>,
    /// Only reports what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::error::ErrorCode;

    #[test]
    fn a_command_names_one_database_or_several() {
        for (line, names) in [
            (r#"{"name":"a"}"#, &["a"][..]),
            (r#"{"name":["b","a","b"]}"#, &["b", "a"]),
        ] {
            let params: DeleteParams = serde_json::from_str(line).unwrap();
            assert_eq!(params.name.checked(&[]).unwrap(), names);
            let written = serde_json::to_string(&params).unwrap();
            let again: DeleteParams = serde_json::from_str(&written).unwrap();
            assert_eq!(again.name, params.name);
        }
        let none = Names::default().checked(&[]).unwrap_err();
        assert_eq!(none.code, ErrorCode::Usage);
        let host = ["a.example".parse().unwrap()];
        assert!(Names::from("a").checked(&host).is_ok());
        let several = Names(vec!["a".into(), "b".into()]);
        assert_eq!(several.checked(&host).unwrap_err().code, ErrorCode::Usage);
    }
}
