//! Requests of `ctl`: the runtime changes that one makes, or why it is refused.
//!
//! Not here: building and swapping routes ([`super::store`]).

mod drain;
mod expose;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

pub(super) use drain::drain;
pub(super) use expose::expose;
pub use settings::Settings;

use super::admin::{Drain, Reason};
use super::runtime::{Lease, RuntimeChanges, RuntimeEntry};
use super::source::Origin;
use super::{Database, Host, Snapshot};
use crate::tls::material::MaterialError;
use crate::upstream::BackendAddr;

/// The reason why a change was not made; nothing has changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// The request contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// The named database is not there.
    #[error("no database {name}")]
    NoDatabase {
        /// Its name.
        name: String,
        /// A step that would help, if it was meant to be there.
        hint: Option<&'static str>,
    },
    /// The named host is not there.
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense by itself.
    #[error("{0}")]
    Invalid(String),
    /// It is not for `ctl` to do.
    #[error("{0}")]
    Refused(String),
    /// A file of a database cannot be used.
    #[error("database {database}: {source}")]
    Files {
        /// The database.
        database: String,
        /// The problem with the file.
        source: MaterialError,
    },
    /// The gateway's own certificate cannot be used.
    #[error("the gateway's certificate: {0}")]
    GatewayFiles(MaterialError),
    /// The change cannot be kept on disk.
    #[error("cannot keep the change in the state directory: {0}")]
    State(std::io::Error),
}

/// A request to make a database reachable.
#[derive(Clone, Debug)]
pub struct ExposeRequest {
    /// The database.
    pub name: String,
    /// The hosts; empty takes back what `hide` did to all of its hosts.
    pub hosts: Vec<Host>,
    /// The settings of a new database, or those to change of one that `ctl` made.
    pub settings: Settings,
    /// The end of the exposure; of hosts that are exposed already, what is given of it.
    pub lease: Lease,
    /// States everything: settings and ends that are not given return to their defaults. Also takes
    /// over hosts exposed by `ctl`.
    pub replace: bool,
    /// The reason that was given for it.
    pub reason: Option<Reason>,
}

/// A request to end an exposure. The declaration stays, and what `ctl` exposed stays known.
#[derive(Clone, Debug)]
pub struct HideRequest {
    /// The database.
    pub name: String,
    /// The hosts; empty means all.
    pub hosts: Vec<Host>,
    /// A database or host that is not there is no error.
    pub if_exists: bool,
    /// The reason that was given for it.
    pub reason: Option<Reason>,
}

/// A request to let no new sessions in, or to let them in again.
#[derive(Clone, Debug)]
pub struct DrainRequest {
    /// The database.
    pub name: String,
    /// One of its backends, instead of all of it.
    pub backend: Option<BackendAddr>,
    /// The drain; `None` ends it.
    pub drain: Option<Drain>,
}

/// A request to remove what `ctl` made of a database.
#[derive(Clone, Debug)]
pub struct DeleteRequest {
    /// The database.
    pub name: String,
    /// A database that is not there is no error.
    pub if_exists: bool,
}

/// New entries of the databases that a change is about.
pub(super) type Changed = BTreeMap<String, RuntimeEntry>;

/// Ends an exposure.
///
/// # Errors
/// An unknown database or host.
pub(super) fn hide(
    now: &Snapshot,
    runtime: &RuntimeChanges,
    request: &HideRequest,
    changed: &mut Changed,
) -> Result<(), ChangeError> {
    let name = &request.name;
    let declared = now.declared(name);
    let entry = runtime.get(name);
    if declared.is_none() && entry.is_none() {
        return if request.if_exists {
            Ok(())
        } else {
            Err(no_database(name, None))
        };
    }
    let given: BTreeSet<&Host> = declared.iter().flat_map(|d| given_hosts(d)).collect();
    let mut entry = entry.cloned().unwrap_or_default();
    let hosts: Vec<Host> = if request.hosts.is_empty() {
        let given = given.iter().map(|host| (*host).clone());
        given.chain(entry.exposed.keys().cloned()).collect()
    } else {
        request.hosts.clone()
    };
    for host in hosts {
        if given.contains(&host) {
            // Whoever declares it exposes it, too.
            entry.exposed.remove(&host);
            entry.hidden.insert(host);
        } else if let Some(lease) = entry.exposed.get(&host) {
            // A name that clients know must not lead them elsewhere: it is refused as itself. One
            // whose time is over is so already.
            if !lease.ended {
                entry.hidden.insert(host);
            }
        } else if !entry.hidden.contains(&host) && !request.if_exists {
            return Err(ChangeError::NotFound(format!(
                "database {name} is not exposed under {host}"
            )));
        }
    }
    entry.explain(runtime.get(name), request.reason.as_ref());
    changed.insert(name.clone(), entry);
    Ok(())
}

/// Removes all runtime changes to a database.
///
/// # Errors
/// The configuration declares it, or nothing was done about it.
pub(super) fn delete(
    now: &Snapshot,
    runtime: &RuntimeChanges,
    request: &DeleteRequest,
    changed: &mut Changed,
) -> Result<(), ChangeError> {
    let name = &request.name;
    if now.declared(name).is_some() {
        return Err(ChangeError::Refused(format!(
            "database {name} is declared in the configuration: delete it there and reload, or end its exposure with `dbgate ctl hide {name}`"
        )));
    }
    if runtime.get(name).is_some() {
        changed.insert(name.clone(), RuntimeEntry::default());
    } else if !request.if_exists {
        return Err(no_database(name, None));
    }
    Ok(())
}

fn no_database(name: &str, hint: Option<&'static str>) -> ChangeError {
    ChangeError::NoDatabase {
        name: name.to_owned(),
        hint,
    }
}

/// The hosts that a source other than `ctl` gives to a database.
fn given_hosts(database: &Database) -> impl Iterator<Item = &Host> {
    database.hosts_from(is_not_runtime)
}

fn is_not_runtime(origin: Origin) -> bool {
    origin != Origin::Runtime
}
