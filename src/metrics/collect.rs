//! All metrics, read from where each is kept.
//!
//! Labels are names that an operator has given, and words of our own: nothing that a client sends
//! makes a series. A series is there from the start, also where its value is 0, and goes with the
//! database or the listener that it is about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use hyper::body::Bytes;

use super::Sources;
use super::text::Text;
use crate::gateway::{Gateway, Listener};
use crate::route::Database;
use crate::route::database::Live;
use crate::stats::{CloseReason, ClosedBy};
use crate::upstream::BackendState;

/// All metrics, in the text format, in pieces.
pub(super) fn collect(sources: &Sources) -> Vec<Bytes> {
    let gateway = &sources.gateway;
    let mut text = Text::default();
    databases(&mut text, gateway);
    listeners(&mut text, gateway, &sources.listeners.all());
    certificates(&mut text, gateway);
    process(&mut text, gateway);
    text.finish()
}

fn databases(text: &mut Text, gateway: &Gateway) {
    let snapshot = gateway.store.snapshot();
    let all = snapshot.by_name();
    // The counters of a database without a session so far.
    let unused = Live::default();

    let mut active = text.gauge(
        "dbgate_sessions_active",
        "Sessions open now, from the choice of their database on.",
    );
    for database in &all {
        active.add(&[("database", &database.name)], database.sessions());
    }
    let mut ended = text.counter(
        "dbgate_sessions_total",
        "Sessions of a database that have ended, by who ended them.",
    );
    for database in &all {
        for by in ClosedBy::ALL {
            let labels = [("database", &*database.name), ("close", by.as_str())];
            ended.add(&labels, counted(database, &unused).endings(by as usize));
        }
    }
    let mut bytes = text.counter(
        "dbgate_bytes_total",
        "Bytes relayed from clients (in) and to clients (out), open sessions included.",
    );
    for (database, (bytes_in, bytes_out)) in all.iter().zip(gateway.sessions.moved(&all)) {
        for (direction, moved) in [("in", bytes_in), ("out", bytes_out)] {
            let labels = [("database", &*database.name), ("direction", direction)];
            bytes.add(&labels, moved);
        }
    }
    let mut held = text.gauge(
        "dbgate_held_clients",
        "Clients that wait because no backend of their database is ready (hold).",
    );
    for database in &all {
        let held_now = counted(database, &unused).held_now();
        held.add(&[("database", &database.name)], held_now);
    }
    backends(text, &all);
    let mut connects = text.histogram(
        "dbgate_connect_duration_seconds",
        "Time to reach a backend, of sessions that reached one.",
    );
    for database in &all {
        let labels = [("database", &*database.name)];
        connects.add_counted(&labels, &counted(database, &unused).connects.read());
    }
}

fn backends(text: &mut Text, all: &[&Arc<Database>]) {
    let mut up = text.gauge(
        "dbgate_backend_up",
        "Whether a backend serves, by its checks and by sessions; 1 where nothing speaks against it.",
    );
    for database in all {
        for backend in database.backends() {
            let addr = backend.addr.to_string();
            let is_up = !matches!(backend.state, BackendState::Down | BackendState::Starting);
            let labels = [("database", &*database.name), ("backend", &*addr)];
            up.add(&labels, u8::from(is_up));
        }
    }
    let mut took = text.gauge(
        "dbgate_backend_check_duration_seconds",
        "Duration of the last check of a backend, where checks are made.",
    );
    for database in all {
        if database.checks().is_empty() {
            continue;
        }
        for backend in database.backends() {
            let addr = backend.addr.to_string();
            let labels = [("database", &*database.name), ("backend", &*addr)];
            let last = backend.seen.and_then(|seen| seen.last);
            took.add(&labels, last.map_or(0.0, |(_, took)| took.as_secs_f64()));
        }
    }
}

fn counted<'a>(database: &'a Database, unused: &'a Live) -> &'a Live {
    database.counted().map_or(unused, |live| live)
}

fn listeners(text: &mut Text, gateway: &Gateway, listeners: &[Arc<Listener>]) {
    let counts = gateway.rejects.counts();
    let mut rejects = text.counter(
        "dbgate_rejects_total",
        "Sessions that ended before they reached a backend, by reason.",
    );
    for listener in listeners {
        let kept =
            |reason: &&CloseReason| reason.is_reject() && **reason != CloseReason::NothingSent;
        for reason in CloseReason::ALL.iter().filter(kept) {
            let labels = [("listener", &*listener.name), ("reason", reason.as_str())];
            let count = counts.get(&(listener.name.clone(), *reason));
            rejects.add(&labels, count.copied().unwrap_or(0));
        }
    }
    let empty = gateway.rejects.empty();
    let mut connects = text.counter(
        "dbgate_empty_connects_total",
        "Clients that sent nothing and left: checks whether the port is open, mostly.",
    );
    for listener in listeners {
        let count = empty.get(&listener.name).copied().unwrap_or(0);
        connects.add(&[("listener", &*listener.name)], count);
    }
    let mut handshakes = text.histogram(
        "dbgate_handshake_duration_seconds",
        "Time from accept until the database was chosen and the client's TLS was up, of sessions that came so far.",
    );
    for listener in listeners {
        let labels = [("listener", &*listener.name)];
        handshakes.add_counted(&labels, &listener.handshakes.read());
    }
}

/// Names are those of the configuration's sections, so that a database cannot take the gateway's.
fn certificates(text: &mut Text, gateway: &Gateway) {
    let snapshot = gateway.store.snapshot();
    let mut ends: BTreeMap<String, i64> = BTreeMap::new();
    if let Some(tls) = &snapshot.gateway_tls {
        ends.insert("tls".to_owned(), tls.not_after);
    }
    for database in snapshot.databases.iter() {
        if let Some(tls) = &database.server_tls
            && database.spec.tls.client().is_some_and(|c| c.cert.is_some())
        {
            ends.insert(format!("database.{}", database.name), tls.not_after);
        }
    }
    let mut expiry = text.gauge(
        "dbgate_certificate_expiry_timestamp_seconds",
        "When a certificate that clients are shown expires; name is the section of the configuration, tls or database.NAME.",
    );
    for (name, end) in &ends {
        expiry.add(&[("name", name)], end);
    }
}

fn process(text: &mut Text, gateway: &Gateway) {
    let limits = &gateway.settings.load().limits;
    let started = gateway.started_at.duration_since(UNIX_EPOCH);
    text.gauge(
        "dbgate_config_last_reload_successful",
        "Whether the configuration, when it was last read, could be put in force.",
    )
    .add(
        &[],
        u8::from(gateway.last_reload_ok.load(Ordering::Relaxed)),
    );
    text.gauge("dbgate_build_info", "Always 1; which dbgate this is.")
        .add(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.gauge("dbgate_sessions_limit", "limits.max_sessions.")
        .add(&[], limits.max_sessions);
    text.gauge(
        "dbgate_handshakes_active",
        "Clients in their handshake, and those that wait for their turn.",
    )
    .add(&[], gateway.handshakes.open());
    text.gauge("dbgate_handshakes_limit", "limits.max_handshakes.")
        .add(&[], limits.max_handshakes);
    text.counter(
        "dbgate_access_log_lost_total",
        "Lines of the access log that were lost.",
    )
    .add(&[], gateway.access_log.lost());
    text.gauge(
        "process_start_time_seconds",
        "When this process started, in seconds since 1970.",
    )
    .add(&[], started.unwrap_or_default().as_secs_f64());
}
