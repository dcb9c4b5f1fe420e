//! The answers to questions: everything that `ctl` shows, as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::error::{CommandError, ErrorKind};
use super::explain;
use super::params::{ExplainParams, SessionsParams};
use crate::gateway::Gateway;
use crate::reload::Reloader;
use crate::route::database::ExposureState;
use crate::route::{Database, Host};
use crate::sessions::BackendUse;
use crate::stats::CloseReason;
use crate::upstream::{BackendAddr, Failure};

pub(super) fn list(gateway: &Gateway) -> Value {
    let snapshot = gateway.store.snapshot();
    let all = snapshot.by_name();
    let moved = gateway.sessions.moved(&all);
    let rows: Vec<Value> = all
        .into_iter()
        .zip(moved)
        .map(|(database, moved)| row(database, moved))
        .collect();
    json!({"revision": snapshot.revision, "databases": rows, "notes": snapshot.all_notes().collect::<Vec<_>>()})
}

fn row(database: &Database, (bytes_in, bytes_out): (u64, u64)) -> Value {
    let in_state = |state: &ExposureState| -> Vec<&Host> {
        database
            .exposures
            .iter()
            .filter(|e| e.state == *state)
            .map(|e| &e.host)
            .collect()
    };
    json!({
        "name": &*database.name,
        "protocol": database.spec.protocol,
        "tls": database.spec.tls,
        "hosts": in_state(&ExposureState::Active),
        "hidden": in_state(&ExposureState::Hidden),
        "shadowed": in_state(&ExposureState::Shadowed),
        "backends": database.spec.backends,
        "sessions": database.sessions(),
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "max_sessions": database.spec.max_sessions,
        "max_sessions_per_ip": database.spec.rare.max_sessions_per_ip,
        "allow": database.spec.rare.allow,
        "deny": database.spec.rare.deny,
        "origin": database.origin,
    })
}

pub(super) fn show(gateway: &Gateway, name: &str) -> Result<Value, CommandError> {
    let snapshot = gateway.store.snapshot();
    let Some(database) = snapshot.databases.get(name) else {
        return Err(no_database(gateway, name));
    };
    let exposures: Vec<Value> = database
        .exposures
        .iter()
        .map(|e| {
            json!({
                "host": e.host,
                "origin": e.origin,
                "state": e.state,
                "ephemeral": e.lease().ephemeral,
                "expires": e.lease().expires.map(|t| humantime::format_rfc3339_seconds(t).to_string()),
            })
        })
        .collect();
    let uses = gateway.sessions.by_backend(&[database]);
    let uses = uses.first().map_or(&[][..], Vec::as_slice);
    let backends: Vec<Value> = database
        .backends()
        .enumerate()
        .map(|(place, (addr, failure))| {
            backend(addr, failure, uses.get(place).copied().unwrap_or_default())
        })
        .collect();
    let certificate = database.server_tls.as_ref().and_then(|tls| {
        let expires = std::time::Duration::from_secs(u64::try_from(tls.not_after).ok()?);
        let expires = std::time::SystemTime::UNIX_EPOCH.checked_add(expires)?;
        Some(json!({"expires": humantime::format_rfc3339_seconds(expires).to_string()}))
    });
    Ok(json!({"database": {
        "name": name,
        "origin": database.origin,
        "settings": database.spec,
        "exposures": exposures,
        "backends": backends,
        "certificate": certificate,
        "sessions": database.sessions(),
    }}))
}

/// A backend as `show` tells it; one that fails with the reason, since when, and what mends it.
fn backend(addr: &BackendAddr, failure: Option<Failure>, at: BackendUse) -> Value {
    let Some(failure) = failure else {
        return json!({
            "addr": addr,
            "state": "ok",
            "sessions": at.sessions,
            "bytes_in": at.moved.0,
            "bytes_out": at.moved.1,
        });
    };
    let since = std::time::Duration::from_secs(failure.since);
    let since = std::time::SystemTime::UNIX_EPOCH.checked_add(since);
    let reason = CloseReason::from_index(failure.reason);
    json!({
        "addr": addr,
        "state": "failing",
        "since": since.map(|since| humantime::format_rfc3339_seconds(since).to_string()),
        "reason": reason,
        "remedy": reason.and_then(CloseReason::remedy),
        "sessions": at.sessions,
        "bytes_in": at.moved.0,
        "bytes_out": at.moved.1,
    })
}

/// An unknown database, with the nearest name there is.
pub(super) fn no_database(gateway: &Gateway, name: &str) -> CommandError {
    let hint = match nearest(gateway, name) {
        Some(known) => format!("; did you mean {known}?"),
        None => "; `dbgate ctl list` shows those there are".to_owned(),
    };
    CommandError::new(
        ErrorKind::NotFound,
        format!("no database {}{hint}", name.escape_default()),
    )
}

/// The database whose name is most like `name`, if one is like it at all.
pub(super) fn nearest(gateway: &Gateway, name: &str) -> Option<String> {
    let snapshot = gateway.store.snapshot();
    snapshot
        .databases
        .iter()
        .map(|database| (strsim::jaro_winkler(&database.name, name), &database.name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)))
        .map(|(_, known)| known.to_string())
}

pub(super) fn explain(
    gateway: &Gateway,
    reloader: &Reloader,
    asked: &ExplainParams,
) -> Result<Value, CommandError> {
    let listeners = reloader.listeners();
    let listener = match &asked.listener {
        Some(name) => listeners.iter().find(|l| &*l.name == name.as_str()),
        None => listeners.first(),
    };
    let Some(listener) = listener else {
        let names: Vec<&str> = listeners.iter().map(|l| &*l.name).collect();
        return Err(CommandError::new(
            ErrorKind::NotFound,
            format!("no such listener; there are: {}", names.join(", ")),
        ));
    };
    let snapshot = gateway.store.snapshot();
    let settings = listener.settings.load();
    let listener = (&*listener.name, &**settings);
    let explained = explain::explain(&snapshot, listener, &asked.host, asked.client);
    let database = explained.database.as_ref();
    let settings = database.map(|database| {
        let moved = gateway.sessions.moved(&[database]);
        row(database, moved.first().copied().unwrap_or_default())
    });
    Ok(json!({
        "host": asked.host,
        "listener": listener.0,
        "database": database.map(|database| &*database.name),
        "admitted": explained.refused.is_none(),
        "reason": explained.refused,
        "walk": explained.walk,
        "settings": settings,
    }))
}

pub(super) fn sessions(gateway: &Gateway, filter: &SessionsParams) -> Result<Value, CommandError> {
    let wanted = filter.database.as_deref();
    let rows: Vec<Value> = gateway
        .sessions
        .select(|e| wanted.is_none_or(|name| &*e.database.name == name))
        .iter()
        .map(|e| json!(e.view()))
        .collect();
    if let Some(name) = wanted
        && rows.is_empty()
        && !gateway.store.snapshot().databases.contains_key(name)
    {
        return Err(no_database(gateway, name));
    }
    Ok(json!({"sessions": rows}))
}

pub(super) fn rejects(gateway: &Gateway) -> Value {
    let counts: Vec<Value> = gateway
        .rejects
        .counts()
        .iter()
        .map(|((listener, reason), count)| {
            json!({"listener": &**listener, "reason": reason, "count": count})
        })
        .collect();
    json!({"rejects": gateway.rejects.last(), "counts": counts})
}

pub(super) fn status(gateway: &Gateway, reloader: &Reloader) -> Value {
    let snapshot = gateway.store.snapshot();
    let listeners: Vec<Value> = reloader
        .bound()
        .into_iter()
        .map(|(listener, addrs)| {
            let settings = listener.settings.load();
            json!({
                "name": &*listener.name,
                "bind": addrs,
                "protocol": settings.protocol.as_str(),
                "default": settings.default,
            })
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_ms": u64::try_from(gateway.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "revision": snapshot.revision,
        "databases": snapshot.databases.len(),
        "hosts": snapshot.table.len(),
        "sessions": gateway.sessions.len(),
        "sessions_total": gateway.sessions_total.load(std::sync::atomic::Ordering::Relaxed),
        "handshakes": gateway.handshakes.open(),
        "log_lines_lost": gateway.access_log.lost(),
        "rejects": gateway.rejects.total(),
        "empty_connects": gateway.rejects.empty().values().sum::<u64>(),
        "config": reloader.config_file(),
        "metrics": reloader.metrics(),
        "listeners": listeners,
        "notes": snapshot.all_notes().collect::<Vec<_>>(),
    })
}

/// The running set as a configuration that would have the same routes.
pub(super) fn export(gateway: &Gateway) -> Result<Value, CommandError> {
    #[derive(serde::Serialize)]
    struct Section<'a> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        hosts: Vec<&'a Host>,
        #[serde(flatten)]
        spec: &'a crate::route::DatabaseSpec,
    }
    #[derive(serde::Serialize)]
    struct File<'a> {
        database: BTreeMap<&'a str, Section<'a>>,
    }
    let snapshot = gateway.store.snapshot();
    let database = snapshot
        .by_name()
        .into_iter()
        .map(|d| {
            let hosts = d.active_hosts().collect();
            (
                &*d.name,
                Section {
                    hosts,
                    spec: &d.spec,
                },
            )
        })
        .collect();
    let text = toml::to_string(&File { database })
        .map_err(|e| CommandError::new(ErrorKind::Refused, e.to_string()))?;
    Ok(json!({"toml": text}))
}
