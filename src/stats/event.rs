//! Events of sessions and routes, emitted to followers.
//!
//! A follower that is too slow misses events and gets their number; no session waits for it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use tokio::sync::broadcast;

use super::Record;
use super::record::{rfc3339, rfc3339_optional};
use super::rejects::Reject;
use crate::author::Author;

/// Events kept for a follower that is behind.
const BACKLOG: usize = 1024;

/// Changes of the gateway kept for those who come later.
const CHANGES: usize = 100;

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

    /// Follows from now on.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Event> {
        self.followers.subscribe()
    }
}
