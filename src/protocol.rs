//! The protocols of databases, and which of them a listener accepts: the one list that routes,
//! sessions and probes share.
//!
//! Not here: their bytes ([`crate::preface`]).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The ALPN protocol id of Postgres (registered with IANA; PostgreSQL documentation, "SSL Session
/// Encryption").
pub const ALPN_POSTGRES: &[u8] = b"postgresql";

/// The protocol of a database.
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

    /// True if the server speaks first, before its client can send a name.
    #[must_use]
    pub fn server_first(self) -> bool {
        matches!(self, Self::Mysql | Self::Mariadb)
    }

    /// The protocol that usually listens on a port (6380 is Redis with TLS).
    #[must_use]
    pub fn of_port(port: u16) -> Option<Self> {
        match port {
            5432 => Some(Self::Postgres),
            3306 => Some(Self::Mysql),
            27017 => Some(Self::Mongodb),
            6379 | 6380 => Some(Self::Redis),
            _ => None,
        }
    }

    /// Its ALPN ids, which the gateway agrees to and offers. None is registered for MongoDB and
    /// Redis, and none of their clients offers any.
    pub(crate) fn alpn(self) -> &'static [&'static [u8]] {
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
            .find(|protocol| protocol.as_str() == text)
            .ok_or_else(|| {
                format!(
                    "unknown protocol \"{text}\": use one of {}",
                    Self::ALL.map(Self::as_str).join(", ")
                )
            })
    }
}

/// The protocols that a listener accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ListenerProtocol {
    /// Every protocol whose client speaks first: TLS from the first byte, and Postgres.
    #[default]
    Auto,
    /// Postgres only: TLS after an `SSLRequest`, or direct.
    Postgres,
    /// TLS from the first byte only.
    Tls,
    /// Anything, by port, to the listener's default database.
    Tcp,
}

impl ListenerProtocol {
    /// The word used in configuration, logs and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Postgres => "postgres",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for ListenerProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ListenerProtocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "postgres" => Ok(Self::Postgres),
            "tls" => Ok(Self::Tls),
            "tcp" => Ok(Self::Tcp),
            "mysql" | "mariadb" => Err(format!(
                "this version cannot tell {text} databases apart by name: relay one by its port, with protocol = \"tcp\" and default = \"NAME\""
            )),
            _ => Err(format!(
                "unknown protocol \"{text}\" of a listener: use one of auto, postgres, tls, tcp"
            )),
        }
    }
}
