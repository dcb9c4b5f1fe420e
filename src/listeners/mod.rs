//! The bound listeners, the threads that accept on them, and their changes by a reload: an address
//! that stays keeps its sockets and the clients that wait in them.

pub mod workers;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::watch;
use tracing::error;

use workers::Workers;

use crate::config;
use crate::gateway::{Listener, ListenerSettings};
use crate::net::held::HeldSockets;
use crate::net::listen;

/// A listener's address that cannot be bound.
#[derive(Debug, Error)]
#[error(
    "listener {listener}: cannot listen on {addr}: {source}{}",
    hint(source)
)]
pub struct BindError {
    /// The listener.
    pub listener: String,
    /// The address.
    pub addr: SocketAddr,
    /// The cause.
    pub source: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another process has it (`ss -ltnp` shows which)",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE or root: `serve --user`, started as root, binds those of its configuration first, so restart dbgate for a new one"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

/// One bound address.
struct Bound {
    listener: Arc<Listener>,
    configured: SocketAddr,
    v6_only: bool,
    actual: SocketAddr,
    /// Dropped or set to true, it ends the accept loops.
    stop: watch::Sender<bool>,
}

/// All bound addresses.
pub struct Listeners {
    workers: Arc<Workers>,
    held: Arc<HeldSockets>,
    bound: Mutex<State>,
}

/// Locked for moments only: a readiness check must not wait for a reload that waits for a disk.
#[derive(Default)]
struct State {
    bound: Vec<Bound>,
    /// Nothing is accepted any more, also if a reload under way would add listeners.
    stopped: bool,
}

/// New sockets that are bound but do not listen yet.
struct NewSockets {
    listener: Arc<Listener>,
    configured: SocketAddr,
    v6_only: bool,
    actual: SocketAddr,
    sockets: Vec<std::net::TcpListener>,
}

/// A change of the listeners that can no longer fail. It takes effect by [`Prepared::commit`].
pub struct Prepared<'a> {
    listeners: &'a Listeners,
    new: Vec<NewSockets>,
    settings: Vec<(Arc<Listener>, ListenerSettings)>,
    wanted: Vec<(Arc<str>, SocketAddr, bool)>,
}

impl Listeners {
    /// Creates an empty set of listeners. Addresses that are `held` are not bound anew.
    #[must_use]
    pub fn new(workers: Arc<Workers>, held: Arc<HeldSockets>) -> Self {
        Self {
            workers,
            held,
            bound: Mutex::default(),
        }
    }

    /// Binds the new addresses of `configs`.
    ///
    /// # Errors
    /// An address cannot be bound; nothing has changed.
    pub fn prepare(&self, configs: &[config::ListenerSpec]) -> Result<Prepared<'_>, BindError> {
        let bound = &self.lock().bound;
        let all: Vec<SocketAddr> = configs.iter().flat_map(|l| l.bind.clone()).collect();
        let mut prepared = Prepared {
            listeners: self,
            new: Vec::new(),
            settings: Vec::new(),
            wanted: configs
                .iter()
                .flat_map(|l| l.bind.iter().map(|addr| (l.name.as_str().into(), *addr)))
                .map(|(name, addr)| (name, addr, listen::needs_v6_only(addr, &all)))
                .collect(),
        };
        for config in configs {
            let settings = ListenerSettings {
                protocol: config.protocol,
                default: config.default.clone(),
                proxy_protocol: config.proxy_protocol.clone(),
            };
            let listener = bound
                .iter()
                .find(|b| *b.listener.name == config.name)
                .map_or_else(
                    || Arc::new(Listener::new(config.name.as_str().into(), settings.clone())),
                    |b| b.listener.clone(),
                );
            for &addr in &config.bind {
                let v6_only = listen::needs_v6_only(addr, &all);
                let key = (listener.name.clone(), addr, v6_only);
                if !bound.iter().any(|b| b.key() == key) {
                    let count = self.workers.count();
                    let lent = self.held.lend(addr, v6_only, count);
                    let sockets = match lent {
                        Ok(Some(sockets)) => Ok(sockets),
                        Ok(None) => listen::bind(addr, v6_only, count, prepared.frees(bound, addr)),
                        Err(e) => Err(e),
                    };
                    let sockets = sockets
                        .map_err(|e| bind_error(config, addr, explain(e, addr, &self.held)))?;
                    let actual = sockets
                        .first()
                        .map_or(Ok(addr), std::net::TcpListener::local_addr)
                        .map_err(|e| bind_error(config, addr, e))?;
                    prepared.new.push(NewSockets {
                        listener: listener.clone(),
                        configured: addr,
                        v6_only,
                        actual,
                        sockets,
                    });
                }
            }
            prepared.settings.push((listener, settings));
        }
        Ok(prepared)
    }

    /// The listeners, in the order of the configuration.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Listener>> {
        let mut all: Vec<Arc<Listener>> = Vec::new();
        for bound in &self.lock().bound {
            if !all.iter().any(|l| Arc::ptr_eq(l, &bound.listener)) {
                all.push(bound.listener.clone());
            }
        }
        all
    }

    /// The addresses of a listener as the system bound them.
    #[must_use]
    pub fn addresses(&self, listener: &Arc<Listener>) -> Vec<SocketAddr> {
        self.lock()
            .bound
            .iter()
            .filter(|b| Arc::ptr_eq(&b.listener, listener))
            .map(|b| b.actual)
            .collect()
    }

    /// Stops accepting everywhere; sessions go on.
    pub fn stop_accepting(&self) {
        let mut all = self.lock();
        all.stopped = true;
        all.bound.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Explains "address in use" where an inherited socket of this process has the address.
fn explain(error: io::Error, addr: SocketAddr, held: &HeldSockets) -> io::Error {
    match held.conflicting(addr) {
        Some(socket) if error.kind() == io::ErrorKind::AddrInUse => io::Error::other(format!(
            "the inherited socket {socket} conflicts; change ListenStream= of its socket unit too"
        )),
        _ => error,
    }
}

fn bind_error(listener: &config::ListenerSpec, addr: SocketAddr, source: io::Error) -> BindError {
    BindError {
        listener: listener.name.clone(),
        addr,
        source,
    }
}

impl Bound {
    fn key(&self) -> (Arc<str>, SocketAddr, bool) {
        (self.listener.name.clone(), self.configured, self.v6_only)
    }
}

impl Prepared<'_> {
    /// Returns true if only listeners that this change removes conflict with the address.
    fn frees(&self, bound: &[Bound], addr: SocketAddr) -> bool {
        let mut in_the_way = bound
            .iter()
            .filter(|b| listen::overlap(b.actual, addr))
            .peekable();
        in_the_way.peek().is_some() && in_the_way.all(|b| !self.wanted.contains(&b.key()))
    }

    /// Applies the change: new addresses accept, removed ones stop.
    pub fn commit(self) {
        let mut all = self.listeners.lock();
        if all.stopped {
            return;
        }
        for (listener, settings) in self.settings {
            listener.settings.store(Arc::new(settings));
        }
        let wanted = self.wanted;
        all.bound.retain(|b| wanted.contains(&b.key()));
        for new in self.new {
            for socket in &new.sockets {
                if let Err(error) = listen::listen(socket) {
                    error!(listener = %new.listener.name, addr = %new.actual, %error, "cannot accept clients");
                }
            }
            let (stop, stopped) = watch::channel(false);
            self.listeners
                .workers
                .assign(&new.listener, new.sockets, &stopped);
            all.bound.push(Bound {
                listener: new.listener,
                configured: new.configured,
                v6_only: new.v6_only,
                actual: new.actual,
                stop,
            });
        }
        all.bound.sort_by_key(|b| {
            wanted
                .iter()
                .position(|w| *w == b.key())
                .unwrap_or(usize::MAX)
        });
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
