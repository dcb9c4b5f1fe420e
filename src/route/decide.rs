//! The decision which database a client reaches, or why it is refused.
//!
//! One function decides: sessions act on it, and `ctl explain` prints the steps that it takes.
//!
//! Not here: limits, certificates, and anything else that a session finds out later.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::database::DatabaseState;
use super::table::{Lookup, Tried, Withdrawn};
use super::{Database, Network, Snapshot};
use crate::protocol::Protocol;
use crate::tls::{ServerName, Sni, TlsMode};

/// The part of a client's opening by which its database is chosen.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    /// Nothing: its listener relays by port, to the default database.
    Port,
    /// A ClientHello.
    Hello {
        /// The name that it asks for.
        sni: &'a Sni,
        /// The protocol that it has shown; without one it may speak any.
        speaks: Option<Protocol>,
    },
}

/// The database that a client reaches.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The database.
    pub database: &'a Arc<Database>,
    /// The exposure by which it was found, counted from 0; `None` for a client without a known
    /// name, by `networks` or as a listener's default.
    pub exposure: Option<u32>,
}

/// The reason why a client reaches no database.
#[derive(Clone, Copy, Debug)]
pub enum Refusal<'a> {
    /// It asks for no name, or not for a DNS name, and neither its network nor the listener's
    /// default leads anywhere.
    NoName(&'a Sni),
    /// No database is exposed under the name, and neither the client's network nor the listener's
    /// default leads anywhere.
    UnknownHost(&'a ServerName),
    /// The name has led to a database and does not any more.
    Withdrawn(&'a Withdrawn),
    /// The listener's default does not exist.
    NoDefault(&'a str),
    /// The client, or any client of a name, cannot speak the database's protocol.
    WrongProtocol(&'a Arc<Database>),
    /// The listener relays by port, which would go around the TLS that ends at the gateway.
    EndsTls(&'a Arc<Database>),
    /// The database is drained: it takes no new sessions.
    Draining(&'a Arc<Database>),
    /// `allow` and `deny` keep the address out.
    NotAllowed(&'a Arc<Database>, IpAddr),
}

/// One step of a decision.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// The listener relays by port.
    Port,
    /// The client asks for no name, or not for a DNS name.
    NoName(&'a Sni),
    /// A host was looked up, with what it leads to.
    Lookup(Tried<'a>, Lookup<'a>),
    /// The client's network, and the database that has it in its `networks`.
    Network(Network, &'a Arc<Database>),
    /// The listener's default, and the database of this name if it exists.
    Default(&'a str, Option<&'a Arc<Database>>),
    /// The listener has no default.
    NoDefault,
    /// The database cannot serve the client.
    Refused(Refusal<'a>),
    /// `allow` and `deny` let the address in.
    Allowed(&'a Arc<Database>, IpAddr),
}

impl<'a> Refusal<'a> {
    /// The database that the client would have reached.
    #[must_use]
    pub fn database(&self) -> Option<&'a Arc<Database>> {
        match self {
            Self::WrongProtocol(database)
            | Self::EndsTls(database)
            | Self::Draining(database)
            | Self::NotAllowed(database, _) => Some(database),
            Self::NoName(_) | Self::UnknownHost(_) | Self::Withdrawn(_) | Self::NoDefault(_) => {
                None
            }
        }
    }
}

/// A sentence for the operator.
impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName(Sni::Ip(_)) => f.write_str("the server name is an IP address"),
            Self::NoName(Sni::Invalid(_)) => f.write_str("the server name is not a DNS name"),
            Self::NoName(_) => f.write_str("the ClientHello carries no server name"),
            Self::UnknownHost(name) => write!(f, "no database is exposed under {name}"),
            Self::Withdrawn(withdrawn) => withdrawn.fmt(f),
            Self::NoDefault(name) => {
                write!(f, "the listener's default database {name} does not exist")
            }
            Self::WrongProtocol(database) => {
                write!(
                    f,
                    "database {} speaks {}",
                    database.name, database.spec.protocol
                )
            }
            Self::EndsTls(database) => write!(
                f,
                "database {} is for tls = \"{}\", which a listener with protocol = \"tcp\" cannot do",
                database.name, database.spec.tls
            ),
            Self::Draining(database) => {
                let name = &database.name;
                let whole = database.admin.as_ref().is_some_and(|a| a.drain.is_some());
                if whole {
                    write!(
                        f,
                        "database {name} is drained: `dbgate ctl resume {name}` takes it back"
                    )
                } else {
                    write!(
                        f,
                        "each backend of database {name} is drained: `dbgate ctl resume {name} --backend ADDR` takes one back"
                    )
                }
            }
            Self::NotAllowed(database, address) => {
                let rule = database.spec.access.rule(*address);
                let name = &database.name;
                write!(f, "allow and deny of {name} keep {address} out: {rule}")
            }
        }
    }
}

/// Decides which database a client reaches.
///
/// `default` is the listener's default database. Without an `address`, `networks`, `allow` and
/// `deny` are left out. `step` gets every step in the order in which it was taken.
///
/// # Errors
/// The client has to be refused.
pub fn decide<'a>(
    snapshot: &'a Snapshot,
    default: Option<&'a str>,
    shown: Shown<'a>,
    address: Option<IpAddr>,
    step: &mut impl FnMut(Step<'a>),
) -> Result<Decision<'a>, Refusal<'a>> {
    let decision = find(snapshot, default, shown, address, step)?;
    let database = decision.database;
    let served = serves(database, shown)
        .and_then(|()| admits(database, address))
        .and_then(|()| is_open(database));
    if let Err(refusal) = served {
        step(Step::Refused(refusal));
        return Err(refusal);
    }
    if let Some(address) = address {
        step(Step::Allowed(database, address));
    }
    Ok(decision)
}

/// Finds the database of a name, else that of the client's network, else the default.
fn find<'a>(
    snapshot: &'a Snapshot,
    default: Option<&'a str>,
    shown: Shown<'a>,
    address: Option<IpAddr>,
    step: &mut impl FnMut(Step<'a>),
) -> Result<Decision<'a>, Refusal<'a>> {
    let otherwise = match shown {
        Shown::Port => {
            step(Step::Port);
            Refusal::NoDefault("")
        }
        Shown::Hello {
            sni: Sni::Name(name),
            ..
        } => {
            let table = &snapshot.table;
            match table.walk(name, |tried, found| step(Step::Lookup(tried, found))) {
                Lookup::Route(route) => {
                    return Ok(Decision {
                        database: &route.database,
                        exposure: Some(route.index),
                    });
                }
                Lookup::Withdrawn(withdrawn) => return Err(Refusal::Withdrawn(withdrawn)),
                Lookup::Nothing => Refusal::UnknownHost(name),
            }
        }
        Shown::Hello { sni, .. } => {
            step(Step::NoName(sni));
            Refusal::NoName(sni)
        }
    };
    if let (Shown::Hello { .. }, Some(address)) = (shown, address)
        && let Some((network, database)) = snapshot.table.by_network(address, |database| {
            serves(database, shown).is_ok() && database.state() != DatabaseState::Hidden
        })
    {
        step(Step::Network(network, database));
        return Ok(Decision {
            database,
            exposure: None,
        });
    }
    let Some(default) = default else {
        step(Step::NoDefault);
        return Err(otherwise);
    };
    let database = snapshot.databases.get(default);
    step(Step::Default(default, database));
    match database {
        Some(database) => Ok(Decision {
            database,
            exposure: None,
        }),
        None => Err(Refusal::NoDefault(default)),
    }
}

/// Checks that a database can serve a client that has shown this.
fn serves<'a>(database: &'a Arc<Database>, shown: Shown<'_>) -> Result<(), Refusal<'a>> {
    let spec = &database.spec;
    match shown {
        Shown::Port if spec.tls != TlsMode::Passthrough => Err(Refusal::EndsTls(database)),
        Shown::Port => Ok(()),
        Shown::Hello { speaks, .. } => {
            let other = speaks.is_some_and(|spoken| spoken != spec.protocol);
            if other || spec.protocol.server_first() {
                return Err(Refusal::WrongProtocol(database));
            }
            Ok(())
        }
    }
}

/// Checks that a database takes new sessions.
fn is_open(database: &Arc<Database>) -> Result<(), Refusal<'_>> {
    if database.is_draining() {
        return Err(Refusal::Draining(database));
    }
    Ok(())
}

/// Checks that a database lets an address in.
fn admits(database: &Arc<Database>, address: Option<IpAddr>) -> Result<(), Refusal<'_>> {
    match address {
        Some(address) if !database.admits(address) => Err(Refusal::NotAllowed(database, address)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
