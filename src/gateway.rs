//! State shared by all sessions and the control side: routes, settings, live sessions, counters.
//!
//! Not here: threads, sockets and files ([`crate::process`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::access_log::AccessLog;
use crate::admission::Handshakes;
use crate::config::{Limits, ProxyProtocol, Timeouts};
use crate::histogram::Histogram;
use crate::protocol::ListenerProtocol;
use crate::route::Store;
use crate::sessions::Sessions;
use crate::stats::{Events, Rejects};

/// The settings that a session reads when it starts; a reload replaces them for new sessions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Limits.
    pub limits: Limits,
    /// True if the access log is written.
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
    /// Word for clients that are held: the state of a backend has changed.
    pub backend_changed: watch::Sender<()>,
    /// Clients turned away.
    pub rejects: Rejects,
    /// Events, for followers.
    pub events: Events,
    /// Clients whose handshake is under way.
    pub handshakes: Arc<Handshakes>,
    /// Connections of proxies that have not said yet which client they bring.
    pub proxied: Arc<Handshakes>,
    /// Access log of ended sessions.
    pub access_log: AccessLog,
    /// Start of the process.
    pub started: Instant,
    /// Start of the process, in calendar time.
    pub started_at: SystemTime,
    /// Sessions that reached a backend since then.
    pub sessions_total: AtomicU64,
    /// True if the configuration that was read last could be applied.
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
            backend_changed: watch::Sender::new(()),
            rejects: Rejects::default(),
            events: Events::default(),
            handshakes: Arc::default(),
            proxied: Arc::default(),
            access_log,
            started: Instant::now(),
            started_at: SystemTime::now(),
            sessions_total: AtomicU64::new(0),
            last_reload_ok: AtomicBool::new(true),
            next_id: AtomicU64::new(1),
        }
    }

    /// Returns an id that no other session of this process has.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Number of clients accepted so far, each of which has an id.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed) - 1
    }
}

impl Listener {
    /// Creates a listener that accepts no clients yet.
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
    /// Settings that can change while it is bound.
    pub settings: ArcSwap<ListenerSettings>,
    /// Duration of completed handshakes.
    pub handshakes: Histogram,
    /// Number of accept loops that take clients now.
    pub accepting: AtomicUsize,
}

/// Settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Protocol that clients may begin with.
    pub protocol: ListenerProtocol,
    /// Database of clients without a known name.
    pub default: Option<String>,
    /// Who may say by the PROXY protocol which client it brings.
    pub proxy_protocol: Option<ProxyProtocol>,
}
