//! Events of sessions and routes, emitted to followers.
//!
//! A follower that is too slow misses events and gets their number; no session waits for it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use super::record::{rfc3339, rfc3339_optional};
use super::rejects::Reject;
use super::{CloseReason, Record};
use crate::author::Author;

/// Events kept for a follower that is behind.
const BACKLOG: usize = 1024;

/// Changes of the gateway kept for those who come later.
const CHANGES: usize = 1000;

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Sessions opened and closed.
    Session,
    /// Clients turned away.
    Reject,
    /// Databases exposed, hidden, deleted, drained, resumed.
    Database,
    /// Backends that fail and return.
    Backend,
    /// Certificates and lists that were read again.
    Certificate,
    /// The configuration read again.
    Reload,
    /// A new process that takes over.
    Upgrade,
    /// Operations on the control socket that change no route.
    Control,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Session,
        Self::Reject,
        Self::Database,
        Self::Backend,
        Self::Certificate,
        Self::Reload,
        Self::Upgrade,
        Self::Control,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Reject => "reject",
            Self::Database => "database",
            Self::Backend => "backend",
            Self::Certificate => "certificate",
            Self::Reload => "reload",
            Self::Upgrade => "upgrade",
            Self::Control => "control",
        }
    }
}

/// One event, as a JSON object.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A session reached its backend.
    SessionOpened {
        /// Time of the event.
        #[serde(serialize_with = "rfc3339")]
        ts: SystemTime,
        /// The session.
        id: u64,
        /// Its database.
        database: Arc<str>,
        /// The client's address.
        client: SocketAddr,
        /// The backend's address.
        backend: SocketAddr,
    },
    /// A session that had reached its backend ended.
    SessionClosed(Arc<Record>),
    /// A client was turned away.
    Rejected(Arc<Reject>),
    /// A host routes to a database from now on.
    Exposed {
        /// Time of the event.
        #[serde(serialize_with = "rfc3339")]
        ts: SystemTime,
        /// The revision since then.
        revision: u64,
        /// The database.
        database: String,
        /// The host.
        host: String,
        /// The operator, or what ended a lease.
        by: Arc<Author>,
    },
    /// A host no longer routes to its database.
    Hidden {
        /// Time of the event.
        #[serde(serialize_with = "rfc3339")]
        ts: SystemTime,
        /// The revision since then.
        revision: u64,
        /// The database.
        database: String,
        /// The host.
        host: String,
        /// The operator, or what ended a lease.
        by: Arc<Author>,
    },
    /// The configuration was read again.
    Reload {
        /// Time of the event.
        #[serde(serialize_with = "rfc3339")]
        ts: SystemTime,
        /// True if it is in force.
        ok: bool,
        /// The revision since then.
        revision: u64,
        /// Problems found in it.
        problems: Vec<String>,
        /// The operator, or the signal.
        by: Arc<Author>,
    },
    /// A database, or a backend of it, takes no new sessions.
    Drained(Arc<Operation>),
    /// It takes new sessions again.
    Resumed(Arc<Operation>),
    /// What `ctl` made of a database is removed.
    Deleted(Arc<Operation>),
    /// Sessions were closed by `ctl kill`.
    Killed(Arc<Operation>),
    /// A backend serves again.
    BackendUp(Arc<BackendChange>),
    /// A backend does not serve.
    BackendDown(Arc<BackendChange>),
    /// A file of certificates or revocation lists holds something else, which is in force for new
    /// sessions.
    Certificate {
        /// Time of the event.
        #[serde(serialize_with = "rfc3339")]
        ts: SystemTime,
        /// The revision since then.
        revision: u64,
        /// The section that names it, `tls` or `database.NAME`; the first of several.
        section: String,
        /// The number of further keys that name it.
        more: usize,
        /// The file.
        file: String,
        /// Its content: `certificate`, `authorities` or `revocation_lists`.
        content: &'static str,
        /// Names that the certificate is for; of authorities their subjects.
        subject_names: Vec<String>,
        /// The end of the certificate, of authorities that of the first to end.
        #[serde(serialize_with = "rfc3339_optional")]
        not_after: Option<SystemTime>,
        /// The fingerprint before, SHA-256 in hexadecimal: of the certificate, or of the file where
        /// it holds several.
        old_fingerprint: String,
        /// The fingerprint now.
        new_fingerprint: String,
    },
    /// Changed files of certificates, keys or lists cannot be used, or can be again.
    CertificateFault(Arc<CertificateFault>),
}

impl Event {
    /// Its time.
    #[must_use]
    pub fn ts(&self) -> SystemTime {
        match self {
            Self::SessionOpened { ts, .. }
            | Self::Exposed { ts, .. }
            | Self::Hidden { ts, .. }
            | Self::Reload { ts, .. }
            | Self::Certificate { ts, .. } => *ts,
            Self::SessionClosed(record) => record.ts,
            Self::Rejected(reject) => reject.ts,
            Self::Drained(of) | Self::Resumed(of) | Self::Deleted(of) | Self::Killed(of) => of.ts,
            Self::CertificateFault(fault) => fault.ts,
            Self::BackendUp(of) | Self::BackendDown(of) => of.ts,
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::SessionOpened { .. } | Self::SessionClosed(_) => EventKind::Session,
            Self::Rejected(_) => EventKind::Reject,
            Self::Exposed { .. }
            | Self::Hidden { .. }
            | Self::Drained(_)
            | Self::Resumed(_)
            | Self::Deleted(_) => EventKind::Database,
            Self::Certificate { .. } | Self::CertificateFault(_) => EventKind::Certificate,
            Self::Reload { .. } => EventKind::Reload,
            Self::Killed(_) => EventKind::Control,
            Self::BackendUp(_) | Self::BackendDown(_) => EventKind::Backend,
        }
    }
}

/// Files that were changed and cannot be used together; what they held before stays in force.
#[derive(Debug, Serialize)]
pub struct CertificateFault {
    /// Time of the event.
    #[serde(serialize_with = "rfc3339")]
    pub ts: SystemTime,
    /// The files.
    pub files: Vec<String>,
    /// What is wrong with them; absent once they can be used again.
    pub error: Option<String>,
}

/// An operation on a database, or on sessions.
#[derive(Debug, Serialize)]
pub struct Operation {
    /// Time of the event.
    #[serde(serialize_with = "rfc3339")]
    pub ts: SystemTime,
    /// The revision since then.
    pub revision: u64,
    /// The database, where it is about one.
    pub database: Option<String>,
    /// Its backend, where it is about one.
    pub backend: Option<String>,
    /// Number of sessions that it touches.
    pub sessions: u64,
    /// Time at which they end, if they do.
    pub ends: Option<String>,
    /// The operator, and the reason.
    pub by: Arc<Author>,
}

/// A backend that serves or does not, from now on.
#[derive(Debug, Serialize)]
pub struct BackendChange {
    /// Time of the event.
    #[serde(serialize_with = "rfc3339")]
    pub ts: SystemTime,
    /// Its address as declared.
    pub backend: String,
    /// The databases that it is about.
    pub databases: Vec<String>,
    /// What has found out: `check` or `session`.
    pub by: &'static str,
    /// The reason, where it does not serve.
    pub reason: Option<CloseReason>,
    /// The reason as a sentence.
    pub detail: Option<String>,
}

/// The channel of events, and the last changes of the gateway.
#[derive(Debug)]
pub struct Events {
    followers: broadcast::Sender<Event>,
    changes: Mutex<VecDeque<Event>>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            followers: broadcast::Sender::new(BACKLOG),
            changes: Mutex::default(),
        }
    }
}

impl Events {
    /// Emits an event to all followers; it is built only if there is one.
    pub fn emit(&self, event: impl FnOnce() -> Event) {
        if self.followers.receiver_count() > 0 {
            // The last follower may leave in between.
            let _ = self.followers.send(event());
        }
    }

    /// Emits a change of the gateway itself, which is rare, and keeps it among the last ones.
    pub fn emit_change(&self, event: Event) {
        // Under the lock, so that a new follower neither misses it nor gets it twice.
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.len() == CHANGES {
            changes.pop_front();
        }
        changes.push_back(event.clone());
        let _ = self.followers.send(event);
    }

    /// The last changes, oldest first, and all events from now on.
    #[must_use]
    pub fn follow_with_changes(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        (
            changes.iter().cloned().collect(),
            self.followers.subscribe(),
        )
    }

    /// The last changes, oldest first.
    #[must_use]
    pub fn changes(&self) -> Vec<Event> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.iter().cloned().collect()
    }
}
