//! Changes since the last refresh of a caller, cut into lines.
//!
//! A session that has not changed costs one look into a table; nothing is built for it.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;
use std::vec::IntoIter;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use crate::control::answer::{
    self, BackendRow, DatabaseRow, RejectCount, RejectRow, SessionRow, Totals, Update,
};
use crate::control::{events, reads};
use crate::gateway::Gateway;
use crate::route::Database;
use crate::route::database::ExposureState;
use crate::sessions::{BackendUse, LiveSession};
use crate::stats::{CloseReason, Event, RejectedRow};

/// Whole rows in a line, of each kind: a few hundred bytes each.
const ROWS: usize = 256;

/// Bare numbers in a line, of each kind: some ten bytes each.
const NUMBERS: usize = 8192;

/// Events in one refresh; of more, the newest.
const EVENTS: usize = ROWS;

/// A session as a caller knows it.
struct Known {
    bytes: (u64, u64),
    state: &'static str,
    /// The refresh in which it was seen last.
    refresh: u64,
}

/// A session's id, and its bytes in and out.
type Moved = (u64, u64, u64);

/// Bytes from and to clients.
type Bytes = (u64, u64);

/// Everything that one caller has been sent.
pub struct Watcher {
    refresh: u64,
    sessions: HashMap<u64, Known>,
    databases: BTreeMap<Arc<str>, DatabaseRow>,
    /// Of databases that are gone.
    past: Bytes,
    rejects: u64,
    reject_counts: BTreeMap<(Arc<str>, CloseReason), u64>,
    changes: Vec<Event>,
    events: broadcast::Receiver<Event>,
}

impl Watcher {
    /// A caller that has been sent nothing yet.
    #[must_use]
    pub fn new(gateway: &Gateway) -> Self {
        let (changes, events) = gateway.events.follow_with_changes();
        Self {
            refresh: 0,
            sessions: HashMap::new(),
            databases: BTreeMap::new(),
            past: (0, 0),
            rejects: 0,
            reject_counts: BTreeMap::new(),
            changes,
            events,
        }
    }

    /// Changes since the refresh before; counts them as sent.
    pub fn refresh(&mut self, gateway: &Gateway) -> Refresh {
        self.refresh += 1;
        let snapshot = gateway.store.snapshot();
        let (sessions, moved) = self.sessions(gateway);
        let closed = self.closed();
        let mut databases = Vec::new();
        let all = snapshot.by_name();
        let totals = gateway.sessions.moved(&all);
        let uses = gateway.sessions.by_backend(&all);
        for ((database, bytes), uses) in all.into_iter().zip(totals).zip(uses) {
            databases.extend(self.database(database, bytes, &uses));
        }
        let gone = self.gone(|name| snapshot.databases.contains_key(name));
        let (rejects, seen) = gateway.rejects.since(self.rejects);
        self.rejects = seen;
        let (events, events_missed) = self.events();
        let uptime = gateway.started.elapsed().as_millis();
        let uptime_ms = u64::try_from(uptime).unwrap_or(u64::MAX);
        let bytes = self.databases.values().fold(self.past, |sum, row| {
            (sum.0 + row.bytes_in, sum.1 + row.bytes_out)
        });
        let head = Update {
            uptime_ms,
            first: self.refresh == 1,
            totals: Some(Totals {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                ts: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
                revision: snapshot.revision,
                sessions: u64::try_from(gateway.sessions.len()).unwrap_or(u64::MAX),
                sessions_total: gateway.sessions_total.load(Ordering::Relaxed),
                accepted: gateway.accepted(),
                handshakes: u64::try_from(gateway.handshakes.open()).unwrap_or(u64::MAX),
                rejects: gateway.rejects.total(),
                bytes_in: bytes.0,
                bytes_out: bytes.1,
            }),
            gone,
            reject_counts: self.reject_counts(gateway),
            events,
            events_missed,
            ..Update::default()
        };
        Refresh {
            head: Some(head),
            uptime_ms,
            sessions: sessions.into_iter(),
            moved: moved.into_iter(),
            closed: closed.into_iter(),
            databases: databases.into_iter(),
            rejects: rejects.into_iter(),
        }
    }

    /// Sessions that are new or in another state, and those whose counters have moved.
    fn sessions(&mut self, gateway: &Gateway) -> (Vec<Arc<LiveSession>>, Vec<Moved>) {
        let refresh = self.refresh;
        let mut moved = Vec::new();
        let sessions = gateway.sessions.select(|entry| {
            let (bytes, state) = (entry.moved(), entry.state());
            let now = Known {
                bytes,
                state,
                refresh,
            };
            match self.sessions.entry(entry.id) {
                Slot::Vacant(slot) => {
                    slot.insert(now);
                    true
                }
                Slot::Occupied(mut slot) => {
                    let known = slot.insert(now);
                    if known.state != state {
                        return true;
                    }
                    if known.bytes != bytes {
                        moved.push((entry.id, bytes.0, bytes.1));
                    }
                    false
                }
            }
        });
        (sessions, moved)
    }

    /// Sessions that this refresh has not seen.
    fn closed(&mut self) -> Vec<u64> {
        let mut closed = Vec::new();
        self.sessions.retain(|id, known| {
            let there = known.refresh == self.refresh;
            if !there {
                closed.push(*id);
            }
            there
        });
        closed
    }

    /// The row of a database, if it has changed.
    fn database(
        &mut self,
        database: &Database,
        bytes: Bytes,
        uses: &[BackendUse],
    ) -> Option<DatabaseRow> {
        let known = self.databases.get(&database.name);
        let row = row(database, bytes, uses);
        if known == Some(&row) {
            return None;
        }
        self.databases.insert(database.name.clone(), row.clone());
        Some(row)
    }

    fn gone(&mut self, there: impl Fn(&str) -> bool) -> Vec<String> {
        let mut gone = Vec::new();
        let past = &mut self.past;
        self.databases.retain(|name, row| {
            let there = there(name);
            if !there {
                *past = (past.0 + row.bytes_in, past.1 + row.bytes_out);
                gone.push(name.to_string());
            }
            there
        });
        gone
    }

    fn reject_counts(&mut self, gateway: &Gateway) -> Vec<RejectCount> {
        let now = gateway.rejects.counts();
        let changed = now
            .iter()
            .filter(|(key, count)| self.reject_counts.get(*key) != Some(count))
            .map(|((listener, reason), count)| RejectCount {
                listener: listener.to_string(),
                reason: reason.to_string(),
                count: *count,
            })
            .collect();
        self.reject_counts = now;
        changed
    }

    /// The newest events, and how many more there were.
    fn events(&mut self) -> (Vec<answer::Event>, u64) {
        let mut missed = 0;
        let mut events = std::mem::take(&mut self.changes);
        loop {
            match self.events.try_recv() {
                Ok(Event::Rejected(_)) => {}
                Ok(event) => events.push(event),
                Err(TryRecvError::Lagged(count)) => missed += count,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let old = events.len().saturating_sub(EVENTS);
        missed += u64::try_from(old).unwrap_or(u64::MAX);
        let sent = events.iter().skip(old).map(events::answer).collect();
        (sent, missed)
    }
}

/// One refresh as lines.
pub struct Refresh {
    head: Option<Update>,
    uptime_ms: u64,
    sessions: IntoIter<Arc<LiveSession>>,
    moved: IntoIter<Moved>,
    closed: IntoIter<u64>,
    databases: IntoIter<DatabaseRow>,
    rejects: IntoIter<Arc<RejectedRow>>,
}

impl Refresh {
    fn is_sent(&self) -> bool {
        self.head.is_none()
            && self.sessions.len() == 0
            && self.moved.len() == 0
            && self.closed.len() == 0
            && self.databases.len() == 0
            && self.rejects.len() == 0
    }
}

impl Iterator for Refresh {
    type Item = Update;

    fn next(&mut self) -> Option<Update> {
        if self.is_sent() {
            return None;
        }
        let mut update = self.head.take().unwrap_or_else(|| Update {
            uptime_ms: self.uptime_ms,
            ..Update::default()
        });
        update.databases = self.databases.by_ref().take(ROWS).collect();
        update.sessions = self
            .sessions
            .by_ref()
            .take(ROWS)
            .map(|e| session(&e))
            .collect();
        update.moved = self.moved.by_ref().take(NUMBERS).collect();
        update.closed = self.closed.by_ref().take(NUMBERS).collect();
        update.rejects = self
            .rejects
            .by_ref()
            .take(ROWS)
            .map(|r| reject(&r))
            .collect();
        update.more = !self.is_sent();
        Some(update)
    }
}

fn session(entry: &LiveSession) -> SessionRow {
    let view = entry.view();
    SessionRow {
        id: view.id,
        database: view.database,
        host: view.host,
        sni: entry.requested.other().map(ToOwned::to_owned),
        client: view.client.to_string(),
        user_cert: view.user_cert,
        listener: view.listener,
        protocol: view.protocol.to_owned(),
        tls: view.tls.as_str().to_owned(),
        backend: view.backend.map(|b| b.to_string()),
        declared: entry.declared().map(ToString::to_string),
        bytes_in: view.bytes_in,
        bytes_out: view.bytes_out,
        age_ms: view.age_ms,
        state: view.state.to_owned(),
    }
}

fn reject(row: &RejectedRow) -> RejectRow {
    let reject = &row.reject;
    let time = |time| humantime::format_rfc3339_millis(time).to_string();
    RejectRow {
        id: reject.id,
        ts: time(reject.ts),
        count: row.count,
        first: time(row.first),
        client: reject.client.to_string(),
        listener: reject.listener.to_string(),
        protocol: reject.protocol.map(ToOwned::to_owned),
        reason: reject.reason.to_string(),
        sni: reject.sni.as_deref().map(ToOwned::to_owned),
        sni_status: reject.sni_status.map(ToOwned::to_owned),
        detail: reject.detail.to_string(),
        remedy: reject.remedy.map(ToOwned::to_owned),
    }
}

fn row(database: &Database, bytes: Bytes, uses: &[BackendUse]) -> DatabaseRow {
    let hosts = |state: &ExposureState| -> Vec<String> {
        let exposures = database.exposures.iter().filter(|e| e.state == *state);
        exposures.map(|e| e.host.to_string()).collect()
    };
    let backends = database.backends().enumerate().map(|(place, view)| {
        let at = uses.get(place).copied().unwrap_or_default();
        let row = reads::backend(database, place, &view, at);
        BackendRow {
            address: row.address,
            state: row.state,
            since: row.since,
            reason: match (row.reason, row.detail) {
                (Some(reason), Some(detail)) => Some(format!("{reason}: {detail}")),
                (reason, _) => reason,
            },
            last_check: row.last_check,
            check_ms: row.check_ms,
            sessions: at.sessions,
            bytes_in: at.moved.0,
            bytes_out: at.moved.1,
        }
    });
    DatabaseRow {
        name: database.name.to_string(),
        state: database.state().as_str().to_owned(),
        protocol: database.spec.protocol.to_string(),
        tls: database.spec.tls.as_str().to_owned(),
        hosts: hosts(&ExposureState::Active),
        hidden: hosts(&ExposureState::Hidden),
        shadowed: hosts(&ExposureState::Shadowed),
        backends: backends.collect(),
        sessions: database.sessions(),
        max_sessions: database.spec.max_sessions.map(u32::from),
        origin: database.origin.as_str().to_owned(),
        bytes_in: bytes.0,
        bytes_out: bytes.1,
    }
}
