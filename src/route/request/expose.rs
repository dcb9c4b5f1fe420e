//! `expose`: a database reachable under its hosts, and what is given of its settings.

use super::{ChangeError, Changed, ExposeRequest, given_hosts, is_not_runtime, no_database};
use crate::route::runtime::{Lease, RuntimeChanges, RuntimeEntry};
use crate::route::source::Source;
use crate::route::{Database, Host, Snapshot};

/// Exposes a database; `runtime` is in force in `now`.
///
/// # Errors
/// A conflict with what is declared, or an unknown database.
pub(in crate::route) fn expose(
    now: &Snapshot,
    runtime: &RuntimeChanges,
    request: &ExposeRequest,
    changed: &mut Changed,
) -> Result<(), ChangeError> {
    let name = &request.name;
    let declared = now.declared(name).map(|database| &**database);
    let mut entry = runtime.get(name).cloned().unwrap_or_default();
    let is_new = declared.is_none() && entry.database.is_none();
    declare(declared, &mut entry, request)?;
    let spec = declared.map(|d| &d.spec).or(entry.database.as_ref());
    if spec.is_some_and(|s| s.protocol.server_first()) && !request.hosts.is_empty() {
        return Err(ChangeError::Invalid(format!(
            "database {name} speaks first, before its client can name it: reach it through a listener with protocol = \"tcp\" and default = \"{name}\""
        )));
    }
    if request.hosts.is_empty() {
        take_back(declared, &mut entry, request, is_new)?;
    } else {
        for host in &request.hosts {
            take_over(now, runtime, request, host, changed)?;
            let given = now.table.given_by(host, is_not_runtime);
            if given.is_some_and(|giver| *giver.name == **name) {
                if !request.lease.lasts() {
                    return Err(no_end(host));
                }
            } else {
                let old = entry.exposed.get(host).copied();
                entry.exposed.insert(host.clone(), renewed(old, request));
            }
            entry.hidden.remove(host);
        }
    }
    entry.explain(runtime.get(name), request.reason.as_ref());
    changed.insert(name.clone(), entry);
    Ok(())
}

/// Makes or changes the declaration, as far as the request is about it.
fn declare(
    declared: Option<&Database>,
    entry: &mut RuntimeEntry,
    request: &ExposeRequest,
) -> Result<(), ChangeError> {
    let ExposeRequest {
        name,
        settings,
        replace,
        ..
    } = request;
    let old = declared.map(|d| &d.spec).or(entry.database.as_ref());
    if settings.is_empty() {
        return match old {
            Some(_) => Ok(()),
            None => Err(no_database(
                name,
                Some("declare it in the configuration, or say where it is with --to"),
            )),
        };
    }
    let kept = old.filter(|_| !replace);
    let spec = settings.apply(kept).map_err(|what| {
        ChangeError::Invalid(match (old, replace) {
            (None, _) => what,
            (Some(_), true) => format!("{what} (--replace states all settings of {name})"),
            (Some(_), false) => format!(
                "{what} (settings of {name} that are not given stay as they are; --replace states all)"
            ),
        })
    })?;
    match declared {
        Some(declared) if spec == declared.spec => {}
        Some(_) => {
            return Err(ChangeError::Conflict(format!(
                "database {name} is declared in the configuration with other settings: change them there and reload, or expose it with --host alone"
            )));
        }
        None => entry.database = Some(spec),
    }
    Ok(())
}

/// Takes back all that was hidden.
fn take_back(
    declared: Option<&Database>,
    entry: &mut RuntimeEntry,
    request: &ExposeRequest,
    is_new: bool,
) -> Result<(), ChangeError> {
    let name = &request.name;
    let given = |host: &Host| declared.is_some_and(|d| given_hosts(d).any(|h| h == host));
    let is_bare = entry.claims().next().is_none()
        && declared.is_none_or(|declared| given_hosts(declared).next().is_none());
    if is_new || is_bare && request.settings.is_empty() {
        return Err(ChangeError::Invalid(format!(
            "say under which name {name} is to be reached, with --host"
        )));
    }
    let RuntimeEntry {
        exposed, hidden, ..
    } = entry;
    hidden.retain(|host| !given(host) && !exposed.contains_key(host));
    let live: Vec<Host> = entry.claims().map(|(host, _)| host.clone()).collect();
    if !request.lease.lasts() && live.is_empty() {
        return Err(declared
            .and_then(|declared| given_hosts(declared).next())
            .map_or_else(
                || ChangeError::Invalid(format!("{name} has no host")),
                no_end,
            ));
    }
    for lease in entry.exposed.values_mut().filter(|lease| !lease.ended) {
        *lease = if request.lease.lasts() {
            *lease
        } else {
            renewed(Some(*lease), request)
        };
    }
    Ok(())
}

/// Takes a host from whoever has it besides.
fn take_over(
    now: &Snapshot,
    runtime: &RuntimeChanges,
    request: &ExposeRequest,
    host: &Host,
    changed: &mut Changed,
) -> Result<(), ChangeError> {
    let name = &request.name;
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
        // One that is hidden is free for whoever asks for it by name.
        if !request.replace && !runtime.hides(owner, host) {
            return Err(ChangeError::Conflict(format!(
                "host {host} leads to database {owner}: use --replace to move it"
            )));
        }
        give_up(entry_of(runtime, changed, owner), host);
    }
    // Given away by name, it is no longer withdrawn from whoever had it.
    for owner in runtime.withdrawers(host).filter(|owner| owner != name) {
        let declared = now.declared(owner);
        if !declared.is_some_and(|d| given_hosts(d).any(|h| h == host)) {
            give_up(entry_of(runtime, changed, owner), host);
        }
    }
    Ok(())
}

fn entry_of<'c>(
    runtime: &RuntimeChanges,
    changed: &'c mut Changed,
    name: &str,
) -> &'c mut RuntimeEntry {
    changed
        .entry(name.to_owned())
        .or_insert_with(|| runtime.get(name).cloned().unwrap_or_default())
}

/// Takes a host out of an entry. The declaration stays with its settings, unless it was to go with
/// this host.
fn give_up(entry: &mut RuntimeEntry, host: &Host) {
    let lease = entry.exposed.remove(host);
    entry.hidden.remove(host);
    let is_last = entry.claims().next().is_none();
    if is_last && lease.is_some_and(|lease| !lease.lasts()) {
        entry.database = None;
    }
}

/// The lease of a host that was exposed before, or was not.
fn renewed(old: Option<Lease>, request: &ExposeRequest) -> Lease {
    let asked = request.lease;
    match old.filter(|old| !old.ended && !request.replace) {
        Some(old) => Lease {
            expires: asked.expires.or(old.expires),
            ephemeral: asked.ephemeral || old.ephemeral,
            ended: false,
        },
        None => asked,
    }
}

fn no_end(host: &Host) -> ChangeError {
    ChangeError::Invalid(format!(
        "host {host} is declared in the configuration, so its exposure has no end: leave out --ttl and --ephemeral"
    ))
}
