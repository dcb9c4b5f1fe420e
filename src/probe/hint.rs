//! Protocol of a connection, as far as the user names it or a port suggests it.
//!
//! A hint decides only what the bytes leave open.

use std::str::FromStr;

/// Protocol named by the user, or assumed because of the port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hint {
    /// Nothing is known.
    #[default]
    None,
    /// Postgres.
    Postgres,
    /// MySQL: the server speaks first.
    Mysql,
    /// MariaDB: the server speaks first.
    Mariadb,
    /// MongoDB: TLS from the first byte.
    Mongodb,
    /// Redis: TLS from the first byte.
    Redis,
    /// TLS from the first byte, whatever is inside.
    Tls,
}

impl Hint {
    /// Protocol that the port is usually for.
    #[must_use]
    pub fn from_port(port: u16) -> Self {
        match port {
            5432 => Self::Postgres,
            3306 => Self::Mysql,
            6379 | 6380 => Self::Redis,
            27017 => Self::Mongodb,
            _ => Self::None,
        }
    }

    /// Returns whether the server is the one to speak first.
    #[must_use]
    pub fn is_server_first(self) -> bool {
        matches!(self, Self::Mysql | Self::Mariadb)
    }

    pub(super) fn as_str(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Postgres => Some("postgres"),
            Self::Mysql => Some("mysql"),
            Self::Mariadb => Some("mariadb"),
            Self::Mongodb => Some("mongodb"),
            Self::Redis => Some("redis"),
            Self::Tls => Some("tls"),
        }
    }
}

impl FromStr for Hint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [
            Self::Postgres,
            Self::Mysql,
            Self::Mariadb,
            Self::Mongodb,
            Self::Redis,
            Self::Tls,
        ];
        all.into_iter()
            .find(|hint| hint.as_str() == Some(text))
            .ok_or_else(|| {
                format!(
                    "invalid protocol \"{text}\": use postgres, mysql, mariadb, mongodb, redis or tls"
                )
            })
    }
}
