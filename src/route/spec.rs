//! A database as it is declared: what it speaks, where it is, and what goes with what.
//!
//! Not here: what a session needs of it ([`super::database`]).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::backend::BackendAddr;
use crate::tls::config::{ALPN_POSTGRES, MinVersion};
use crate::tls::{ServerName, TlsMode};

/// The longest name of a database or listener, in bytes.
pub const MAX_NAME: usize = 63;

/// Checks the name of a database or a listener: it ends up in tables, logs and labels, so it is
/// short and plain.
///
/// # Errors
/// What a name may be.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "\"{}\" is no name here: use 1 to {MAX_NAME} letters, digits, '.', '_' and '-'",
        name.escape_default()
    ))
}

/// What a database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// PostgreSQL and its relatives: TLS after an SSLRequest, or direct.
    Postgres,
    /// MySQL: the server speaks first.
    Mysql,
    /// MariaDB: the server speaks first.
    Mariadb,
    /// MongoDB: TLS from the first byte.
    Mongodb,
    /// Redis and Valkey: TLS from the first byte.
    Redis,
    /// Anything else with TLS from the first byte.
    Tls,
}

impl Protocol {
    /// Every protocol, in the order in which help lists them.
    pub const ALL: [Self; 6] = [
        Self::Postgres,
        Self::Mysql,
        Self::Mariadb,
        Self::Mongodb,
        Self::Redis,
        Self::Tls,
    ];

    /// The word used in configuration, logs and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::Mongodb => "mongodb",
            Self::Redis => "redis",
            Self::Tls => "tls",
        }
    }

    /// Whether the server speaks first, so that no name is known when it has to.
    #[must_use]
    pub fn server_first(self) -> bool {
        matches!(self, Self::Mysql | Self::Mariadb)
    }

    /// What usually listens on a port.
    #[must_use]
    pub fn of_port(port: u16) -> Option<Self> {
        match port {
            5432 => Some(Self::Postgres),
            3306 => Some(Self::Mysql),
            27017 => Some(Self::Mongodb),
            6379 => Some(Self::Redis),
            _ => None,
        }
    }

    /// What the gateway agrees to and offers by ALPN.
    pub(super) fn alpn(self) -> &'static [&'static [u8]] {
        match self {
            Self::Postgres => &[ALPN_POSTGRES],
            _ => &[],
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or_else(|| {
                let all: Vec<_> = Self::ALL.iter().map(|p| p.as_str()).collect();
                format!("\"{text}\" is no protocol: use one of {}", all.join(", "))
            })
    }
}

/// A database as declared: the keys of a `[database.NAME]` section, without its hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSpec {
    /// What it speaks.
    pub protocol: Protocol,
    /// Its servers, tried in turn.
    pub backends: Vec<BackendAddr>,
    /// Where the client's TLS ends.
    #[serde(default)]
    pub tls: TlsMode,
    /// Networks that may connect; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<IpNet>,
    /// Networks that may not, even where `allow` has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<IpNet>,
    /// Most sessions at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u32>,
    /// Certificate shown to clients, instead of the gateway's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// The key of `cert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Oldest TLS version accepted from clients, instead of the gateway's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<MinVersion>,
    /// Authorities of the certificates that clients must show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Authorities of the backends' certificates; the system's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_ca: Option<PathBuf>,
    /// The name that backends' certificates must carry; the name asked for if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_name: Option<ServerName>,
    /// Certificate shown to backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_cert: Option<PathBuf>,
    /// The key of `backend_cert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_key: Option<PathBuf>,
}

impl DatabaseSpec {
    /// What does not fit together, as (key, sentence) pairs; empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut say = |key, what: &str| found.push((key, what.to_owned()));
        if self.backends.is_empty() {
            say(
                "backends",
                "a database needs at least one backend, as in backends = [\"10.0.0.5:5432\"]",
            );
        }
        if self.protocol.server_first() && self.tls.ends_client_tls() {
            say(
                "tls",
                "mysql and mariadb can only be relayed as they come: use tls = \"passthrough\" and a listener with protocol = \"tcp\"",
            );
        }
        if self.cert.is_some() != self.key.is_some() {
            say("cert", "cert and key belong together: give both or neither");
        }
        if self.backend_cert.is_some() != self.backend_key.is_some() {
            say(
                "backend_cert",
                "backend_cert and backend_key belong together: give both or neither",
            );
        }
        if self.max_sessions == Some(0) {
            say(
                "max_sessions",
                "0 would let nobody in; use hide to end an exposure",
            );
        }
        if !self.tls.ends_client_tls() {
            for (key, given) in [
                ("cert", self.cert.is_some()),
                ("min_version", self.min_version.is_some()),
                ("client_ca", self.client_ca.is_some()),
            ] {
                if given {
                    say(
                        key,
                        "has no meaning with tls = \"passthrough\": the client's TLS ends at the database",
                    );
                }
            }
        }
        if self.tls != TlsMode::Reencrypt {
            for (key, given) in [
                ("backend_ca", self.backend_ca.is_some()),
                ("backend_name", self.backend_name.is_some()),
                ("backend_cert", self.backend_cert.is_some()),
            ] {
                if given {
                    say(key, "has a meaning only with tls = \"reencrypt\"");
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_that_contradicts_itself_says_where() {
        let spec: DatabaseSpec = serde_json::from_value(serde_json::json!({
            "protocol": "postgres", "backends": [], "cert": "a.crt", "backend_ca": "b.crt",
        }))
        .unwrap();
        let keys: Vec<_> = spec.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["backends", "cert", "cert", "backend_ca"]);
    }
}
