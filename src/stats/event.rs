//! Events: what happens, told to those who follow.
//!
//! Followers that are too slow miss events and are told how many; nobody waits for them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use tokio::sync::broadcast;

use super::Record;
use super::record::rfc3339;
use super::rejects::Reject;

/// Events kept for a follower that is behind.
const BACKLOG: usize = 1024;

/// Changes of the gateway kept for those who come later.
const CHANGES: usize = 100;

/// Something that happened, one JSON object each.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A session reached its backend.
    SessionOpened {
        /// When.
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
    /// A host leads to a database now.
    Exposed {
        /// When.
        #[serde(serialize_with = "rfc3339")]
        ts: SystemTime,
        /// The revision since then.
        revision: u64,
        /// The database.
        database: String,
        /// The host.
        host: String,
    },
    /// A host leads nowhere any more.
    Hidden {
        /// When.
        #[serde(serialize_with = "rfc3339")]
        ts: SystemTime,
        /// The revision since then.
        revision: u64,
        /// The database.
        database: String,
        /// The host.
        host: String,
    },
    /// The configuration was read again.
    Reload {
        /// When.
        #[serde(serialize_with = "rfc3339")]
        ts: SystemTime,
        /// Whether it is in force.
        ok: bool,
        /// The revision since then.
        revision: u64,
        /// What was wrong.
        problems: Vec<String>,
    },
}

/// The place where events are told and followed.
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
    /// Tells an event to all followers; builds it only if there is one.
    pub fn tell(&self, event: impl FnOnce() -> Event) {
        if self.followers.receiver_count() > 0 {
            // The last follower may leave in between; then nobody is left to tell.
            let _ = self.followers.send(event());
        }
    }

    /// Tells a change of the gateway itself, which is rare, and keeps it among the last ones.
    pub fn tell_change(&self, event: Event) {
        // Under the lock, so that nobody who begins to follow misses it or gets it twice.
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
