//! What monitoring asks for over HTTP: `/metrics`, `/healthz` and `/readyz`, on a socket of their
//! own that is served by the control thread.
//!
//! Not here: counting. Everything shown is kept by others and read when somebody asks.

mod collect;
mod http;
mod text;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::gateway::Gateway;
use crate::listeners::Listeners;

/// The address for monitoring cannot be bound.
#[derive(Debug, Error)]
#[error("metrics: cannot listen on {addr}: {source}")]
pub struct MetricsError {
    /// The address.
    pub addr: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// What an answer is made of.
struct Sources {
    gateway: Arc<Gateway>,
    listeners: Arc<Listeners>,
}

/// A socket that is being served, until it is dropped.
struct Served {
    configured: SocketAddr,
    actual: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The socket for monitoring, if there is one.
pub struct Metrics {
    sources: Arc<Sources>,
    served: Mutex<Option<Served>>,
}

/// A change that can no longer fail; dropped, it changes nothing.
pub struct Prepared<'a> {
    metrics: &'a Metrics,
    change: Change,
}

enum Change {
    Keep,
    Close,
    Open {
        configured: SocketAddr,
        actual: SocketAddr,
        listener: TcpListener,
    },
}

impl Metrics {
    /// Nothing is served yet.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, listeners: Arc<Listeners>) -> Self {
        Self {
            sources: Arc::new(Sources { gateway, listeners }),
            served: Mutex::new(None),
        }
    }

    /// The address as the system bound it; `None` where nothing is served.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.lock().as_ref().map(|served| served.actual)
    }

    /// Binds `wanted` unless it is bound already. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// It cannot be bound; nothing has changed.
    pub fn prepare(&self, wanted: Option<SocketAddr>) -> Result<Prepared<'_>, MetricsError> {
        let now = self.lock().as_ref().map(|served| served.configured);
        let change = match wanted {
            _ if now == wanted => Change::Keep,
            None => Change::Close,
            Some(addr) => bind(addr).map_err(|source| MetricsError { addr, source })?,
        };
        Ok(Prepared {
            metrics: self,
            change,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bind(configured: SocketAddr) -> io::Result<Change> {
    let socket = std::net::TcpListener::bind(configured)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket)?;
    Ok(Change::Open {
        configured,
        actual: listener.local_addr()?,
        listener,
    })
}

impl Prepared<'_> {
    /// Puts the change in force.
    pub fn commit(self) {
        let served = match self.change {
            Change::Keep => return,
            Change::Close => None,
            Change::Open {
                configured,
                actual,
                listener,
            } => Some(Served {
                configured,
                actual,
                task: tokio::spawn(http::serve(listener, self.metrics.sources.clone())),
            }),
        };
        *self.metrics.lock() = served;
    }
}
