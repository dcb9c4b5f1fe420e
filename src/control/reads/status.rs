//! The gateway itself: `status`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::{millis, number, texts, time};
use crate::author::Author;
use crate::control::answer::{ListenerStatus, ReloadDetails, StatusAnswer, StoppingDetails};
use crate::control::controller::Faults;
use crate::control::events::certificate_fault;
use crate::gateway::Gateway;
use crate::reload::Reloader;

/// The problems of a failed reload, or of changed files, that are told; the rest is counted.
const SHOWN_PROBLEMS: usize = 20;

/// The last time that the configuration was read again.
#[derive(Clone, Debug)]
pub(in crate::control) struct LastReload {
    /// The time.
    pub(in crate::control) at: SystemTime,
    /// True if it is in force.
    pub(in crate::control) ok: bool,
    /// The revision since then.
    pub(in crate::control) revision: u64,
    /// The reasons, if it is not in force.
    pub(in crate::control) problems: Vec<String>,
    /// The operator, or the signal.
    pub(in crate::control) by: Arc<Author>,
}

/// The end of the gateway, while sessions still run.
#[derive(Clone, Copy, Debug)]
pub(in crate::control) struct Stopping {
    /// Its begin.
    pub(in crate::control) since: SystemTime,
    /// The time at which sessions are closed that still run.
    pub(in crate::control) deadline: SystemTime,
}

/// The gateway as a whole.
pub(in crate::control) fn status(
    gateway: &Gateway,
    reloader: &Reloader,
    last_reload: Option<&LastReload>,
    faults: &Faults,
    stopping: Option<Stopping>,
) -> StatusAnswer {
    let snapshot = gateway.store.snapshot();
    let listeners = reloader.bound().into_iter().map(|(listener, addrs)| {
        let settings = listener.settings.load();
        ListenerStatus {
            name: listener.name.to_string(),
            bind: texts(&addrs),
            protocol: settings.protocol.as_str().to_owned(),
            default: settings.default.as_ref().map(ToString::to_string),
        }
    });
    let config = reloader.config_file();
    StatusAnswer {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_ms: millis(gateway.started.elapsed()),
        revision: snapshot.revision,
        databases: number(snapshot.databases.len()),
        hosts: number(snapshot.table.len()),
        sessions: number(gateway.sessions.len()),
        sessions_total: gateway.sessions_total.load(Ordering::Relaxed),
        handshakes: number(gateway.handshakes.open()),
        log_lines_lost: number(gateway.access_log.lost()),
        rejects: gateway.rejects.total(),
        empty_connects: gateway.rejects.empty().values().sum(),
        config: config.map(|path| path.to_string_lossy().into_owned()),
        metrics: reloader.metrics().map(|addr| addr.to_string()),
        listeners: listeners.collect(),
        last_reload: last_reload.map(|last| ReloadDetails {
            ts: time(last.at),
            ok: last.ok,
            revision: last.revision,
            problems: last.problems.iter().take(SHOWN_PROBLEMS).cloned().collect(),
            more_problems: number(last.problems.len().saturating_sub(SHOWN_PROBLEMS)),
            by: (*last.by).clone(),
        }),
        certificate_faults: faults
            .all
            .iter()
            .take(SHOWN_PROBLEMS)
            .map(|fault| certificate_fault(&fault.told))
            .collect(),
        more_certificate_faults: number(faults.all.len().saturating_sub(SHOWN_PROBLEMS)),
        stopping: stopping.map(|stopping| StoppingDetails {
            since: time(stopping.since),
            deadline: time(stopping.deadline),
            sessions: number(gateway.sessions.len()),
        }),
        notes: texts(snapshot.all_notes()),
    }
}
