//! What all sessions and the control side share: routes, settings, live sessions, counters.
//!
//! Not here: threads, sockets and files ([`crate::runtime`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;

use crate::access_log::AccessLog;
use crate::admission::Handshakes;
use crate::config::{Limits, ListenerProtocol, Timeouts};
use crate::histogram::Histogram;
use crate::route::Store;
use crate::sessions::Sessions;
use crate::stats::{Events, Rejects};

/// The settings that a session reads when it starts; a reload replaces them for new sessions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How many there may be.
    pub limits: Limits,
    /// Whether the access log is written.
    pub access: bool,
}

/// One gateway.
pub struct Gateway {
    /// Routes.
    pub store: Store,
    /// Settings.
    pub settings: ArcSwap<Settings>,
    /// Live sessions.
    pub sessions: Arc<Sessions>,
    /// Clients turned away.
    pub rejects: Rejects,
    /// What happens, for followers.
    pub events: Events,
    /// Clients whose handshake is under way.
    pub handshakes: Arc<Handshakes>,
    /// Where ended sessions are written.
    pub access_log: AccessLog,
    /// When it started.
    pub started: Instant,
    /// When it started, on the calendar.
    pub started_at: SystemTime,
    /// Sessions that reached a backend since then.
    pub sessions_total: AtomicU64,
    /// Whether the configuration, when it was last read, could be put in force.
    pub last_reload_ok: AtomicBool,
    next_id: AtomicU64,
}

impl Gateway {
    /// A gateway without listeners.
    #[must_use]
    pub fn new(store: Store, settings: Settings, access_log: AccessLog) -> Self {
        Self {
            store,
            settings: ArcSwap::from_pointee(settings),
            sessions: Arc::default(),
            rejects: Rejects::default(),
            events: Events::default(),
            handshakes: Arc::default(),
            access_log,
            started: Instant::now(),
            started_at: SystemTime::now(),
            sessions_total: AtomicU64::new(0),
            last_reload_ok: AtomicBool::new(true),
            next_id: AtomicU64::new(1),
        }
    }

    /// An id that no other session of this process has.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Clients accepted so far: each has got an id.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed) - 1
    }
}

impl Listener {
    /// A listener on which nobody accepts yet.
    #[must_use]
    pub fn new(name: Arc<str>, settings: ListenerSettings) -> Self {
        Self {
            name,
            settings: ArcSwap::from_pointee(settings),
            handshakes: Histogram::default(),
            accepting: AtomicUsize::new(0),
        }
    }
}

/// A named address where clients arrive.
#[derive(Debug)]
pub struct Listener {
    /// Its name.
    pub name: Arc<str>,
    /// What may be changed without binding anew.
    pub settings: ArcSwap<ListenerSettings>,
    /// How long handshakes took that were brought to an end.
    pub handshakes: Histogram,
    /// How many accept loops take clients now.
    pub accepting: AtomicUsize,
}

/// What a listener does with its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// What clients may begin with.
    pub protocol: ListenerProtocol,
    /// The database of clients that come without a known name.
    pub default: Option<String>,
}
