//! One accepted connection, and what all connections of a listener share.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::history::History;
use crate::probe::active::Host;
use crate::probe::tap::Recording;
use crate::protocol::Protocol;

/// Mode of a listener.
#[derive(Clone, Debug)]
pub enum Mode {
    /// The alert of a gateway that does not know the name.
    Refuse,
    /// A throwaway certificate for the name asked for.
    Certify,
    /// Whatever the server at this address says.
    Forward(Host, u16),
}

/// Settings of a listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Protocol; with MySQL and MariaDB the listener greets first.
    pub hint: Option<Protocol>,
    /// The answer to clients.
    pub mode: Mode,
    /// Timeout for the client's part of a handshake.
    pub timeout: Duration,
}

/// State that all connections of a listener share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) history: Mutex<History>,
    pub(super) clients: AtomicU64,
}

/// One connection that was accepted.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) id: u64,
    pub(super) client: SocketAddr,
    pub(super) server: Option<SocketAddr>,
    pub(super) accepted: Instant,
    pub(super) began: SystemTime,
    pub(super) recording: Recording,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            history: Mutex::default(),
            clients: AtomicU64::new(0),
        })
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    pub(super) fn new(shared: &Arc<Shared>, tcp: &TcpStream, client: SocketAddr) -> Self {
        Self {
            shared: shared.clone(),
            id: shared.clients.fetch_add(1, Ordering::Relaxed) + 1,
            client: SocketAddr::new(client.ip().to_canonical(), client.port()),
            server: tcp.local_addr().ok(),
            accepted: Instant::now(),
            began: SystemTime::now(),
            recording: Recording::start(),
        }
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.client.ip()
    }
}
