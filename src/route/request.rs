//! Requests of `ctl`: the runtime changes that one makes, or why it is refused.
//!
//! Not here: building and swapping routes ([`super::store`]).

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::runtime::{Lease, RuntimeChanges, RuntimeEntry};
use super::source::{Origin, Source};
use super::spec::DatabaseSpec;
use super::{Database, Host, Snapshot};
use crate::tls::material::MaterialError;

/// The reason why a change was not made; nothing has changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// The request contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// The named database or host is not there.
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense by itself.
    #[error("{0}")]
    Invalid(String),
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
    /// The hosts; empty takes back what `hide` did to the hosts of the configuration.
    pub hosts: Vec<Host>,
    /// The declaration of a new database; `None` for one that exists.
    pub spec: Option<DatabaseSpec>,
    /// The end of the exposure.
    pub lease: Lease,
    /// Replaces a declaration made by `ctl` before, and takes over hosts exposed by `ctl`.
    pub replace: bool,
}

/// A request to end an exposure.
#[derive(Clone, Debug)]
pub struct HideRequest {
    /// The database.
    pub name: String,
    /// The hosts; empty means all.
    pub hosts: Vec<Host>,
    /// A database or host that is not there is no error.
    pub if_exists: bool,
}

/// New entries of the databases that a change is about.
pub(super) type Changed = BTreeMap<String, RuntimeEntry>;

/// Exposes a database; `runtime` is in force in `now`.
///
/// # Errors
/// A conflict with what is declared, or an unknown database.
pub(super) fn expose(
    now: &Snapshot,
    runtime: &RuntimeChanges,
    request: &ExposeRequest,
) -> Result<Changed, ChangeError> {
    let name = &request.name;
    let declared = now.declared(name);
    let mut entry = runtime.get(name).cloned().unwrap_or_default();
    match (&request.spec, declared, &entry.database) {
        (None, None, None) => {
            return Err(ChangeError::NotFound(format!(
                "no database {name}: declare it in the configuration, or say where it is with --to"
            )));
        }
        (Some(spec), Some(declared), _) if *spec != declared.spec => {
            return Err(ChangeError::Conflict(format!(
                "database {name} is declared in the configuration with other settings: change them there and reload, or expose it with --host alone"
            )));
        }
        (Some(spec), None, Some(old)) if spec != old && !request.replace => {
            return Err(ChangeError::Conflict(format!(
                "database {name} exists with other settings ({}): use --replace to change them",
                difference(old, spec)
            )));
        }
        (Some(spec), None, _) => {
            entry.database = Some(spec.clone());
        }
        _ => {}
    }
    let spec = declared.map(|d| &d.spec).or(entry.database.as_ref());
    if spec.is_some_and(|s| s.protocol.server_first()) && !request.hosts.is_empty() {
        return Err(ChangeError::Invalid(format!(
            "database {name} speaks first, before its client can name it: reach it through a listener with protocol = \"tcp\" and default = \"{name}\""
        )));
    }
    if request.hosts.is_empty() {
        // Hosts that `ctl` exposed stay hidden: how long they would last is not known any more.
        let hidden = entry.hidden.len();
        let given = |host: &Host| declared.is_some_and(|d| given_hosts(d).any(|h| h == host));
        entry.hidden.retain(|host| !given(host));
        let takes_back = entry.hidden.len() < hidden;
        let makes = request.spec.is_some() && declared.is_none();
        if makes || !takes_back && declared.is_none_or(|d| given_hosts(d).next().is_none()) {
            return Err(ChangeError::Invalid(format!(
                "say under which name {name} is to be reached, with --host"
            )));
        }
        return Ok(BTreeMap::from([(name.clone(), entry)]));
    }
    let mut changed = Changed::new();
    for host in &request.hosts {
        let giver = now.table.given_by(host, is_not_runtime).map(|d| &*d.name);
        if let Some(owner) = giver
            && owner != name
            && !runtime.hides(owner, host)
        {
            return Err(ChangeError::Conflict(format!(
                "host {host} leads to database {owner}, declared in the configuration: `dbgate ctl hide {owner} --host {host}` first"
            )));
        }
        for owner in runtime.claimants(host).filter(|owner| owner != name) {
            if !request.replace {
                return Err(ChangeError::Conflict(format!(
                    "host {host} leads to database {owner}: use --replace to move it"
                )));
            }
            let others = changed
                .entry(owner.to_owned())
                .or_insert_with(|| runtime.get(owner).cloned().unwrap_or_default());
            others.exposed.remove(host);
        }
        // Given away by name, it is no longer withdrawn from whoever had it.
        for owner in runtime.withdrawers(host).filter(|owner| owner != name) {
            let declared = now.declared(owner);
            if declared.is_some_and(|d| given_hosts(d).any(|h| h == host)) {
                continue;
            }
            let others = changed
                .entry(owner.to_owned())
                .or_insert_with(|| runtime.get(owner).cloned().unwrap_or_default());
            others.exposed.remove(host);
            others.hidden.remove(host);
        }
        if giver == Some(name) {
            if !request.lease.lasts() {
                return Err(ChangeError::Invalid(format!(
                    "host {host} is declared in the configuration, so its exposure has no end: leave out --ttl and --ephemeral"
                )));
            }
        } else {
            entry.exposed.insert(host.clone(), request.lease);
        }
        entry.hidden.remove(host);
    }
    changed.insert(name.clone(), entry);
    Ok(changed)
}

/// Ends an exposure.
///
/// # Errors
/// An unknown database or host.
pub(super) fn hide(
    now: &Snapshot,
    runtime: &RuntimeChanges,
    request: &HideRequest,
) -> Result<Changed, ChangeError> {
    let name = &request.name;
    let declared = now.declared(name);
    let entry = runtime.get(name);
    let known = declared.is_some() || entry.is_some();
    if !known && request.if_exists {
        return Ok(Changed::new());
    }
    if !known {
        return Err(ChangeError::NotFound(format!("no database {name}")));
    }
    let given: BTreeSet<&Host> = declared.iter().flat_map(|d| given_hosts(d)).collect();
    let mut entry = entry.cloned().unwrap_or_default();
    let hosts: Vec<Host> = if request.hosts.is_empty() {
        given
            .iter()
            .map(|h| (*h).clone())
            .chain(entry.exposed.keys().cloned())
            .collect()
    } else {
        request.hosts.clone()
    };
    for host in hosts {
        let exposed = entry.exposed.remove(&host);
        // A name that clients know must not lead them elsewhere, so it is kept: as long as it was.
        if let Some(lease) = exposed.filter(|lease| !lease.lasts() && !given.contains(&host)) {
            entry.exposed.insert(
                host,
                Lease {
                    ended: true,
                    ..lease
                },
            );
        } else if exposed.is_some() || given.contains(&host) || entry.hidden.contains(&host) {
            entry.hidden.insert(host);
        } else if !request.if_exists {
            return Err(ChangeError::NotFound(format!(
                "database {name} is not exposed under {host}"
            )));
        }
    }
    let mut changed = BTreeMap::from([(name.clone(), entry)]);
    runtime.forget_first(&mut changed);
    Ok(changed)
}

/// Removes all runtime changes to a database.
///
/// # Errors
/// The configuration declares it, or nothing was done about it.
pub(super) fn delete(
    now: &Snapshot,
    runtime: &RuntimeChanges,
    name: &str,
) -> Result<Changed, ChangeError> {
    if now.declared(name).is_some() {
        return Err(ChangeError::Conflict(format!(
            "database {name} is declared in the configuration: delete it there and reload, or end its exposure with `dbgate ctl hide {name}`"
        )));
    }
    if runtime.get(name).is_none() {
        return Err(ChangeError::NotFound(format!("no database {name}")));
    }
    Ok(BTreeMap::from([(name.to_owned(), RuntimeEntry::default())]))
}

/// The keys in which two declarations differ, for a conflict's message.
fn difference(old: &DatabaseSpec, new: &DatabaseSpec) -> String {
    let fields = |spec: &DatabaseSpec| match serde_json::to_value(spec) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (fields(old), fields(new));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |v: Option<&serde_json::Value>| v.map_or("unset".to_owned(), ToString::to_string);
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| format!("{key}: {} → {}", text(old.get(key)), text(new.get(key))))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The hosts that a source other than `ctl` gives to a database.
fn given_hosts(database: &Database) -> impl Iterator<Item = &Host> {
    database.hosts_from(is_not_runtime)
}

fn is_not_runtime(origin: Origin) -> bool {
    origin != Origin::Runtime
}
