//! Plays the server to find out what a client really sends, and how it takes the answer.
//!
//! Three ways to answer ([`Mode`]): refuse the name as the gateway refuses one that it does not
//! know, show a certificate made up on the spot, or pass everything on to a real server. What was
//! said is recorded and judged as everywhere in [`super`]; this module adds what only the one who
//! answered can know: how long the client took to react, what became of an encrypted alert, and
//! how a connection follows the one before it ([`history`]).
//!
//! Not here: printing, and any secret of a client. Of what it sends only the kind is told.

mod certify;
mod client_report;
mod first_message;
mod forward;
pub mod history;
mod respond;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::active::Host;
use super::hint::Hint;
use super::tap::Recording;

pub use client_report::{ClientReport, Reaction, Trust};
use history::History;

/// The most clients served at a time; further ones wait in the kernel's queue.
const MAX_CLIENTS: usize = 64;

/// How long a client that was refused gets to come back before [`serve_once`] is over.
const COME_BACK: Duration = Duration::from_secs(1);

/// The pause after an accept that failed, so that a lasting failure does not fill a core.
const PAUSE: Duration = Duration::from_millis(50);

/// What a client gets for an answer.
#[derive(Clone, Debug)]
pub enum Mode {
    /// The alert of a gateway that does not know the name.
    Refuse,
    /// A certificate that nobody can know, made for the name that was asked for.
    Certify,
    /// Whatever the server at this address says.
    Forward(Host, u16),
}

/// How clients are served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is spoken; with MySQL and MariaDB the listener greets first.
    pub hint: Hint,
    /// What is answered.
    pub mode: Mode,
    /// How long a client gets for its part of a handshake.
    pub timeout: Duration,
}

/// What all clients of a listener share.
struct Shared {
    settings: Settings,
    history: Mutex<History>,
    reports: mpsc::Sender<ClientReport>,
    clients: AtomicU64,
}

/// One connection that was accepted.
struct Connection {
    shared: Arc<Shared>,
    id: u64,
    client: SocketAddr,
    server: Option<SocketAddr>,
    accepted: Instant,
    began: SystemTime,
    recording: Recording,
}

impl Shared {
    fn new(settings: Settings, reports: mpsc::Sender<ClientReport>) -> Arc<Self> {
        Arc::new(Self {
            settings,
            history: Mutex::default(),
            reports,
            clients: AtomicU64::new(0),
        })
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn new(shared: &Arc<Shared>, tcp: &TcpStream, client: SocketAddr) -> Self {
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

    /// Serves the client to its end; whether it was refused, so that it may come back.
    async fn serve(self, tcp: TcpStream) -> bool {
        let client_report = match &self.shared.settings.mode {
            Mode::Forward(host, port) => forward::forward(&self, tcp, host, *port).await,
            Mode::Refuse | Mode::Certify => respond::respond(&self, tcp).await,
        };
        let refused = client_report.was_refused();
        // Nobody listens any more when the command is about to end.
        let _ = self.shared.reports.send(client_report).await;
        refused
    }

    fn ip(&self) -> IpAddr {
        self.client.ip()
    }
}

/// Serves clients for as long as it is polled, and sends what it heard of each to `client_report`.
///
/// A connection that is passed on is told of twice: when its handshake is over, and when it ends.
pub async fn serve(socket: TcpListener, settings: Settings, reports: mpsc::Sender<ClientReport>) {
    let shared = Shared::new(settings, reports);
    let permits = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        let (tcp, client) = accept(&socket).await;
        let connection = Connection::new(&shared, &tcp, client);
        tokio::spawn(async move {
            connection.serve(tcp).await;
            drop(permit);
        });
    }
}

/// Serves one client; if it is refused and comes back within a second, that as well.
pub async fn serve_once(
    socket: TcpListener,
    settings: Settings,
    reports: mpsc::Sender<ClientReport>,
) {
    let shared = Shared::new(settings, reports);
    let (tcp, first) = accept(&socket).await;
    let mut clients = JoinSet::new();
    clients.spawn(Connection::new(&shared, &tcp, first).serve(tcp));
    let mut until = None;
    loop {
        let over = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // Anybody else is not the one that is being looked at, and finds the door closed.
            (tcp, client) = accept(&socket) => if client.ip() == first.ip() {
                clients.spawn(Connection::new(&shared, &tcp, client).serve(tcp));
                break;
            },
            Some(ended) = clients.join_next() => match ended {
                Ok(true) => until = Some(Instant::now() + COME_BACK),
                Ok(false) | Err(_) => return,
            },
            () = over => return,
        }
    }
    while clients.join_next().await.is_some() {}
}

/// Waits for a client; what goes wrong with one that is gone again is no concern of the others.
async fn accept(socket: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match socket.accept().await {
            Ok((tcp, client)) => {
                // A recorder that waits for more bytes to come along would tell wrong times.
                let _ = tcp.set_nodelay(true);
                return (tcp, client);
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
