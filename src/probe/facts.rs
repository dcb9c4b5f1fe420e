//! What two ends of a connection have said, told as facts: the protocol, the name asked for, what
//! was agreed on and how it ended.
//!
//! A pure function of the [`Exchange`]: the order in which the bytes of the two sides arrived
//! changes nothing but times. Not here: what the facts mean ([`super::diagnose`]).

use super::exchange::Exchange;

/// The protocol that the observer was told, or takes for granted because of the port.
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

/// What is known of one connection.
#[derive(Clone, Debug, Default)]
pub struct Facts {}

/// Reads the facts out of what was said.
#[must_use]
pub fn read(_exchange: &Exchange, _hint: Hint) -> Facts {
    Facts::default()
}
