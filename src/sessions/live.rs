//! One live session: its state, its counters, and the request to end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::route::{Database, Host};
use crate::stats::CloseReason;
use crate::tls::Sni;
use crate::upstream::{BackendAddr, Counted, Member};

/// Not a reason's number: the session's end was not requested.
const NO_REASON: u8 = u8::MAX;

/// The backend of a session.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) address: SocketAddr,
    /// Its place in the order declared.
    pub(super) place: usize,
    /// The session's count there; gone once the session has ended.
    pub(super) counted: Option<Counted>,
}

/// One live session.
#[derive(Debug)]
pub struct LiveSession {
    /// Unique in this process.
    pub id: u64,
    /// The client's address.
    pub client: SocketAddr,
    /// The listener's name.
    pub listener: Arc<str>,
    /// The database it is for.
    pub database: Arc<Database>,
    /// The name that it asked for, and the host that matched.
    pub requested: RequestedHost,
    /// Time of accept.
    pub accepted: Instant,
    /// Bytes from the client to the backend.
    pub bytes_in: AtomicU64,
    /// Bytes from the backend to the client.
    pub bytes_out: AtomicU64,
    pub(super) backend: Mutex<Option<Connected>>,
    /// The certificate that its client showed.
    user_cert: OnceLock<Box<str>>,
    /// The drain that this session is under; 0 for none.
    drain: AtomicU64,
    /// True if the operator's drain that it is under ends it.
    ending: AtomicBool,
    pub(super) open: AtomicBool,
    held: AtomicBool,
    /// True once it counts towards the limits.
    pub(super) counted: AtomicBool,
    cut_reason: AtomicU8,
    cut: Notify,
}

impl LiveSession {
    pub(super) fn new(
        id: u64,
        client: SocketAddr,
        listener: Arc<str>,
        accepted: Instant,
        database: Arc<Database>,
        requested: RequestedHost,
    ) -> Self {
        Self {
            id,
            client,
            listener,
            database,
            requested,
            accepted,
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            backend: Mutex::new(None),
            user_cert: OnceLock::new(),
            drain: AtomicU64::new(0),
            ending: AtomicBool::new(false),
            open: AtomicBool::new(false),
            held: AtomicBool::new(false),
            counted: AtomicBool::new(false),
            cut_reason: AtomicU8::new(NO_REASON),
            cut: Notify::new(),
        }
    }

    /// Counts bytes of the client that went to the backend before the relay began.
    pub fn count_in(&self, bytes: u64) {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes from and to the client so far.
    #[must_use]
    pub fn moved(&self) -> (u64, u64) {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (read(&self.bytes_in), read(&self.bytes_out))
    }

    /// The backend's address, once connected.
    #[must_use]
    pub fn backend(&self) -> Option<SocketAddr> {
        self.connected().as_ref().map(|backend| backend.address)
    }

    /// Notes the certificate that the client showed: subject and fingerprint, safe to print.
    pub fn shown(&self, certificate: Box<str>) {
        let _ = self.user_cert.set(certificate);
    }

    /// The certificate that the client showed, where the gateway asked for one.
    #[must_use]
    pub fn user_cert(&self) -> Option<&str> {
        self.user_cert.get().map(AsRef::as_ref)
    }

    /// The backend as the database declares it, once connected; a name may have several
    /// addresses.
    #[must_use]
    pub fn declared(&self) -> Option<&BackendAddr> {
        let place = self.connected().as_ref()?.place;
        self.database.spec.backends.get(place)
    }

    /// The shared state of its backend, once connected.
    pub(super) fn member(&self) -> Option<&Arc<Member>> {
        let place = self.connected().as_ref()?.place;
        self.database.members().get(place)
    }

    pub(super) fn connected(&self) -> MutexGuard<'_, Option<Connected>> {
        self.backend.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `connecting`, `held`, `open` or `draining`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        let ends = self.drain() != 0 || self.is_ending();
        match (self.open.load(Ordering::Relaxed), ends) {
            (_, true) => "draining",
            (_, false) if self.held.load(Ordering::Relaxed) => "held",
            (true, false) => "open",
            (false, false) => "connecting",
        }
    }

    /// The host that matched; `None` where the client had no known name.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        let exposure = self.database.exposure(self.requested.exposure?)?;
        Some(&exposure.host)
    }

    /// Requests the end of the session; the first reason given stays.
    pub fn cut(&self, reason: CloseReason) {
        let _ = self.cut_reason.compare_exchange(
            NO_REASON,
            reason as u8,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        self.cut.notify_one();
    }

    /// Waits until the end is requested, and gives the reason.
    pub async fn wait_cut(&self) -> CloseReason {
        loop {
            self.cut.notified().await;
            if let Some(reason) = CloseReason::from_index(self.cut_reason.load(Ordering::Acquire)) {
                return reason;
            }
        }
    }

    /// Marks it as waiting because no backend is ready, or as not waiting any more.
    pub fn set_held(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    /// Marks it as draining under `drain`, or as not draining with 0.
    pub fn set_drain(&self, drain: u64) {
        self.drain.store(drain, Ordering::Relaxed);
    }

    /// Marks it as one that the drain of its database or backend ends, or not.
    pub fn set_ending(&self, ending: bool) {
        self.ending.store(ending, Ordering::Relaxed);
    }

    /// True if the drain of its database or backend ends it.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// The drain it is under; 0 for none.
    #[must_use]
    pub fn drain(&self) -> u64 {
        self.drain.load(Ordering::Relaxed)
    }
}

/// The server name of a client, and the host that it matched.
///
/// Most ask for the very name of a host, which is then kept once for all of them.
#[derive(Debug, Default)]
pub struct RequestedHost {
    /// Index of the database's exposure; `None` where the client had no known name.
    exposure: Option<u32>,
    /// `None` where nothing was sent, or the name of `host`.
    sni: Option<Box<Sni>>,
}

impl RequestedHost {
    /// A client that sent `sni`, which matched `host`, the exposure of that index.
    #[must_use]
    pub fn new(host: Option<(u32, &Host)>, sni: &Sni) -> Self {
        let known = match (host, sni) {
            (Some((_, Host::Exact(name))), Sni::Name(sent)) => name == sent,
            (_, Sni::None) => true,
            _ => false,
        };
        Self {
            exposure: host.map(|(place, _)| place),
            sni: (!known).then(|| Box::new(sni.clone())),
        }
    }

    /// The server name where it is not that of the host: a name in its normal form,
    /// all else escaped and capped.
    #[must_use]
    pub fn other(&self) -> Option<&str> {
        self.sni.as_ref()?.sent()
    }
}
