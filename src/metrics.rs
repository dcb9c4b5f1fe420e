//! The HTTP endpoints for monitoring, `/metrics`, `/healthz` and `/readyz`, on one socket that the
//! control thread serves.
//!
//! Not here: counting. Every value is kept elsewhere and read at a request.

mod collect;
mod http;
mod page;
mod text;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tracing::error;

use self::page::Pages;
use crate::gateway::Gateway;
use crate::listeners::Listeners;
use crate::net::held::HeldSockets;
use crate::net::listen;

/// The address for monitoring cannot be bound.
#[derive(Debug, Error)]
#[error("metrics: cannot listen on {addr}: {source}")]
pub struct MetricsError {
    /// The address.
    pub addr: SocketAddr,
    /// The system's error.
    pub source: io::Error,
}

/// Sources of the values on a page.
struct Sources {
    gateway: Arc<Gateway>,
    listeners: Arc<Listeners>,
    pages: Arc<Pages>,
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
    held: Arc<HeldSockets>,
    served: Mutex<Option<Served>>,
}

/// A change that can no longer fail; dropped, it changes nothing.
pub struct Prepared<'a> {
    metrics: &'a Metrics,
    change: SocketChange,
}

/// The change of the socket that a configuration asks for.
enum SocketChange {
    Keep,
    Close,
    Open {
        configured: SocketAddr,
        actual: SocketAddr,
        socket: std::net::TcpListener,
    },
}

impl Metrics {
    /// Nothing is served yet. Where the address is `held`, it is lent and not bound.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, listeners: Arc<Listeners>, held: Arc<HeldSockets>) -> Self {
        Self {
            sources: Arc::new(Sources {
                gateway,
                listeners,
                pages: Arc::default(),
            }),
            held,
            served: Mutex::new(None),
        }
    }

    /// The address as the system bound it; `None` where nothing is served.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.lock().as_ref().map(|served| served.actual)
    }

    /// Binds `wanted` unless it is bound already; it may overlap the address that is served now.
    ///
    /// # Errors
    /// It cannot be bound; nothing has changed.
    pub fn prepare(&self, wanted: Option<SocketAddr>) -> Result<Prepared<'_>, MetricsError> {
        let served = self.lock();
        let now = served.as_ref().map(|served| served.configured);
        let change = match wanted {
            _ if now == wanted => SocketChange::Keep,
            None => SocketChange::Close,
            Some(addr) => {
                let ours = |served: &Served| listen::overlap(served.actual, addr);
                bind(addr, served.as_ref().is_some_and(ours), &self.held)
                    .map_err(|source| MetricsError { addr, source })?
            }
        };
        drop(served);
        Ok(Prepared {
            metrics: self,
            change,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bind(configured: SocketAddr, ours: bool, held: &HeldSockets) -> io::Result<SocketChange> {
    let sockets = match held.lend(configured, false, 1)? {
        Some(sockets) => sockets,
        None => listen::bind(configured, false, 1, ours)?,
    };
    let mut sockets = sockets.into_iter();
    let socket = sockets.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    if sockets.next().is_some() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the service manager passes several sockets for it, and one is served here",
        ));
    }
    Ok(SocketChange::Open {
        configured,
        actual: socket.local_addr()?,
        socket,
    })
}

impl Prepared<'_> {
    /// Puts the change in force. Call it inside a tokio runtime.
    pub fn commit(self) {
        let served = match self.change {
            SocketChange::Keep => return,
            SocketChange::Close => None,
            SocketChange::Open {
                configured,
                actual,
                socket,
            } => {
                let listening =
                    listen::listen(&socket).and_then(|()| TcpListener::from_std(socket));
                let sources = self.metrics.sources.clone();
                match listening {
                    Ok(listener) => Some(Served {
                        configured,
                        actual,
                        task: tokio::spawn(http::serve(
                            listener,
                            sources,
                            http::Timeouts::default(),
                        )),
                    }),
                    Err(error) => {
                        error!(addr = %actual, %error, "cannot serve metrics");
                        None
                    }
                }
            }
        };
        *self.metrics.lock() = served;
    }
}
