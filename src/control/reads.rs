//! Answers to questions about the gateway: `list`, `show`, `explain`, `export`; `sessions`,
//! `rejects` and `status` in files of their own.

mod rejects;
mod sessions;
mod status;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::answer::{
    BackendDetails, CertificateDetails, DatabaseDetails, DatabaseSummary, DrainDetails,
    ExplainAnswer, ExportAnswer, ExposureDetails, ListAnswer, ReasonDetails, ShowAnswer,
};
use super::controller::Faults;
use super::error::CommandError;
use super::events::certificate_fault;
use super::explain;
use super::params::{ExplainParams, ListParams};
use crate::gateway::Gateway;
use crate::reload::Reloader;
use crate::route::admin::Drain;
use crate::route::database::ExposureState;
use crate::route::{Database, DatabaseSpec, Host};
use crate::sessions::BackendUse;
use crate::similar::similar;
use crate::stats::CloseReason;
use crate::upstream::{BackendView, Fault};

pub(super) use rejects::{follow as follow_rejects, rejects};
pub(super) use sessions::sessions;
pub(super) use status::{LastReload, Stopping, status};

/// The databases of these names; all without any.
pub(super) fn list(gateway: &Gateway, params: &ListParams) -> Result<ListAnswer, CommandError> {
    let snapshot = gateway.store.snapshot();
    let names = params.names.iter();
    let all = if params.names.is_empty() {
        snapshot.by_name()
    } else {
        let found = names.map(|name| {
            let found = snapshot.databases.get(name.as_str());
            found.ok_or_else(|| no_database(gateway, name))
        });
        let mut found = found.collect::<Result<Vec<_>, _>>()?;
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        found.dedup_by(|a, b| a.name == b.name);
        found
    };
    let moved = gateway.sessions.moved(&all);
    let databases = all.into_iter().zip(moved);
    let notes = if params.names.is_empty() {
        texts(snapshot.all_notes())
    } else {
        Vec::new()
    };
    Ok(ListAnswer {
        revision: snapshot.revision,
        databases: databases
            .map(|(database, bytes)| summary(database, bytes))
            .collect(),
        notes,
    })
}

fn summary(database: &Database, (bytes_in, bytes_out): (u64, u64)) -> DatabaseSummary {
    let spec = &database.spec;
    DatabaseSummary {
        name: database.name.to_string(),
        state: database.state().as_str().to_owned(),
        protocol: spec.protocol.to_string(),
        tls: spec.tls.as_str().to_owned(),
        hosts: hosts(database, &ExposureState::Active),
        hidden: hosts(database, &ExposureState::Hidden),
        shadowed: hosts(database, &ExposureState::Shadowed),
        backends: texts(spec.backends.iter()),
        sessions: database.sessions().into(),
        bytes_in,
        bytes_out,
        max_sessions: spec.max_sessions.map(u32::from),
        max_sessions_per_ip: spec.access.max_sessions_per_ip,
        allow: texts(&spec.access.allow),
        deny: texts(&spec.access.deny),
        origin: database.origin.as_str().to_owned(),
    }
}

/// The hosts of a database that are in this state.
pub(super) fn hosts(database: &Database, state: &ExposureState) -> Vec<String> {
    let exposures = database.exposures.iter().filter(|e| e.state == *state);
    texts(exposures.map(|e| &e.host))
}

pub(super) fn show(
    gateway: &Gateway,
    name: &str,
    faults: &Faults,
) -> Result<ShowAnswer, CommandError> {
    let snapshot = gateway.store.snapshot();
    let Some(database) = snapshot.databases.get(name) else {
        return Err(no_database(gateway, name));
    };
    let exposures = database.exposures.iter().map(|e| ExposureDetails {
        host: e.host.to_string(),
        origin: e.origin.as_str().to_owned(),
        state: state_word(&e.state).to_owned(),
        ephemeral: e.lease().ephemeral,
        expires: e.lease().expires.map(seconds),
    });
    let uses = gateway.sessions.by_backend(&[database]);
    let uses = uses.first().map_or(&[][..], Vec::as_slice);
    let backends = database.backends().enumerate().map(|(place, view)| {
        let at = uses.get(place).copied().unwrap_or_default();
        backend(database, place, &view, at)
    });
    let certificate = database.server_tls.as_ref().and_then(|tls| {
        let not_after = since_epoch(u64::try_from(tls.not_after).ok()?)?;
        Some(CertificateDetails {
            not_after: seconds(not_after),
        })
    });
    let faults = faults.of(database);
    Ok(ShowAnswer {
        database: DatabaseDetails {
            name: name.to_owned(),
            state: database.state().as_str().to_owned(),
            origin: database.origin.as_str().to_owned(),
            drains: drains(database),
            reason: reason(database),
            settings: settings(&database.spec)?,
            exposures: exposures.collect(),
            backends: backends.collect(),
            certificate,
            certificate_faults: faults.map(|fault| certificate_fault(&fault.told)).collect(),
            sessions: database.sessions().into(),
        },
    })
}

/// The drains of a database in force: of all of it, and of its backends.
fn drains(database: &Database) -> Vec<DrainDetails> {
    let Some(admin) = &database.admin else {
        return Vec::new();
    };
    let whole = admin.drain.iter().map(|drain| (None, drain));
    let backends = admin.backends.iter();
    let backends = backends.map(|(backend, drain)| (Some(backend.clone()), drain));
    let details = |(backend, drain): (Option<String>, &Drain)| DrainDetails {
        backend,
        since: at_ms(drain.since_ms),
        ends: drain.ends_ms.map(at_ms),
        by: drain.by.clone(),
    };
    whole.chain(backends).map(details).collect()
}

fn reason(database: &Database) -> Option<ReasonDetails> {
    let reason = database.admin.as_ref()?.reason.as_ref()?;
    Some(ReasonDetails {
        change: reason.change.clone(),
        ts: at_ms(reason.at_ms),
        by: reason.by.clone(),
    })
}

/// A time in milliseconds of Unix time as text; empty where it is beyond what can be written.
fn at_ms(ms: u64) -> String {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms));
    at.filter(|_| ms < 253_402_300_800_000)
        .map(time)
        .unwrap_or_default()
}

fn state_word(state: &ExposureState) -> &'static str {
    match state {
        ExposureState::Active => "active",
        ExposureState::Hidden => "hidden",
        ExposureState::Shadowed => "shadowed",
    }
}

/// The keys of a database as in the configuration.
fn settings(spec: &DatabaseSpec) -> Result<Map<String, Value>, CommandError> {
    match serde_json::to_value(spec) {
        Ok(Value::Object(settings)) => Ok(settings),
        // A path is all that may not be text.
        _ => Err(CommandError::refused("a path in its settings is not UTF-8")),
    }
}

/// A backend in its place; with what speaks against it, and a remedy.
pub(super) fn backend(
    database: &Database,
    place: usize,
    view: &BackendView<'_>,
    at: BackendUse,
) -> BackendDetails {
    let fault = view.fault.as_ref();
    let reason = fault.and_then(|fault| CloseReason::from_index(fault.reason()));
    let last = view.seen.as_ref().and_then(|seen| seen.last);
    BackendDetails {
        address: view.addr.to_string(),
        state: database.backend_state(place, view).as_str().to_owned(),
        since: view.since().and_then(ms_since_epoch).map(seconds),
        reason: reason.map(|reason| reason.to_string()),
        detail: match fault {
            Some(Fault::Checks(failure)) => Some(failure.detail.to_string()),
            _ => None,
        },
        remedy: reason.and_then(CloseReason::remedy).map(ToOwned::to_owned),
        weight: database.spec.upstream.balancing().weight(place),
        last_check: last.and_then(|(at, _)| ms_since_epoch(at)).map(time),
        check_ms: last.map(|(_, took)| took_ms(took)),
        sessions: at.sessions,
        bytes_in: at.moved.0,
        bytes_out: at.moved.1,
    }
}

/// An unknown database, with the nearest name there is.
pub(super) fn no_database(gateway: &Gateway, name: &str) -> CommandError {
    let hint = match nearest(gateway, name) {
        Some(known) => format!("did you mean {known}?"),
        None => "`dbgate ctl list` shows those there are".to_owned(),
    };
    CommandError::not_found(format!("no database {}", name.escape_default())).hint(hint)
}

/// The database whose name is most like `name`, if one is like it at all.
pub(super) fn nearest(gateway: &Gateway, name: &str) -> Option<String> {
    let snapshot = gateway.store.snapshot();
    let names = snapshot.databases.iter().map(|database| &*database.name);
    similar(name, names).map(str::to_owned)
}

pub(super) fn explain(
    gateway: &Gateway,
    reloader: &Reloader,
    asked: &ExplainParams,
) -> Result<ExplainAnswer, CommandError> {
    let listeners = reloader.listeners();
    let listener = match &asked.listener {
        Some(name) => listeners.iter().find(|l| &*l.name == name.as_str()),
        None => listeners.first(),
    };
    let Some(listener) = listener else {
        let names: Vec<&str> = listeners.iter().map(|l| &*l.name).collect();
        let hint = format!("there are: {}", names.join(", "));
        return Err(CommandError::not_found("no such listener").hint(hint));
    };
    let snapshot = gateway.store.snapshot();
    let settings = listener.settings.load();
    let listener = (&*listener.name, &**settings);
    let mut explained = explain::explain(&snapshot, listener, &asked.host, asked.client);
    if let Some(client) = asked.client {
        explain::explain_rates(&mut explained, client, gateway.started.elapsed());
    }
    let database = explained.database.as_ref();
    let summary = database.map(|database| {
        let moved = gateway.sessions.moved(&[database]);
        summary(database, moved.first().copied().unwrap_or_default())
    });
    Ok(ExplainAnswer {
        host: asked.host.clone(),
        listener: listener.0.to_owned(),
        database: database.map(|d| d.name.to_string()),
        admitted: explained.refused.is_none(),
        reason: explained.refused.map(|reason| reason.to_string()),
        walk: explained.walk,
        summary,
    })
}

/// The running set as a configuration that would have the same routes.
pub(super) fn export(gateway: &Gateway) -> Result<ExportAnswer, CommandError> {
    #[derive(serde::Serialize)]
    struct Section<'a> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        hosts: Vec<&'a Host>,
        #[serde(flatten)]
        spec: &'a DatabaseSpec,
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
    let text =
        toml::to_string(&File { database }).map_err(|e| CommandError::refused(e.to_string()))?;
    Ok(ExportAnswer { toml: text })
}

pub(super) fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

pub(super) fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A time as RFC 3339 in UTC, to the millisecond.
pub(super) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// The same to the second.
fn seconds(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The duration of a check, in milliseconds, to the microsecond.
fn took_ms(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}

fn ms_since_epoch(ms: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))
}

fn since_epoch(seconds: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
