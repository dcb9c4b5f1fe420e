//! Listener that shows what a client really sends, and how it reacts to an answer.
//!
//! Three ways to answer ([`Mode`]): refuse the name as the gateway refuses one that it does not
//! know, show a certificate made up on the spot, or pass everything on to a real server. What was
//! said is recorded and judged as everywhere in [`super`]; this module adds what only the one who
//! answered can know: how long the client took to react, what became of an encrypted alert, and
//! how a connection follows the one before it ([`history`]).
//!
//! Not here: printing, and any secret of a client. Only the kind of its messages is reported.

mod certify;
mod client_report;
mod connection;
mod first_message;
mod forward;
pub mod history;
mod reaction;
mod respond;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

pub use client_report::ClientReport;
pub use connection::{Mode, Settings};
pub use reaction::{Reaction, Trust};

use connection::{Connection, Shared};

/// The most clients served at a time; further ones wait in the kernel's queue.
const MAX_CLIENTS: usize = 64;

/// Time for a refused client to come back before [`serve_once`] ends.
const COME_BACK: Duration = Duration::from_secs(1);

/// The pause after an accept that failed, so that a lasting failure does not fill a core.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves clients for as long as it is polled, and sends a report on each to `reports`.
///
/// A forwarded connection is reported twice: after its handshake, and at its end.
pub async fn serve(socket: TcpListener, settings: Settings, reports: mpsc::Sender<ClientReport>) {
    let shared = Shared::new(settings);
    let permits = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        let (tcp, client) = accept(&socket).await;
        let connection = Connection::new(&shared, &tcp, client);
        let reports = reports.clone();
        tokio::spawn(async move {
            serve_connection(connection, tcp, reports).await;
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
    let shared = Shared::new(settings);
    let (tcp, first) = accept(&socket).await;
    let mut clients = JoinSet::new();
    let connection = Connection::new(&shared, &tcp, first);
    clients.spawn(serve_connection(connection, tcp, reports.clone()));
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
            // Other clients are refused.
            (tcp, client) = accept(&socket) => if client.ip() == first.ip() {
                let connection = Connection::new(&shared, &tcp, client);
                clients.spawn(serve_connection(connection, tcp, reports));
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

/// Serves the client to its end; whether it was refused, so that it may come back.
async fn serve_connection(
    connection: Connection,
    tcp: TcpStream,
    reports: mpsc::Sender<ClientReport>,
) -> bool {
    let report = match &connection.shared.settings.mode {
        Mode::Forward(host, port) => {
            forward::forward(&connection, tcp, host, *port, &reports).await
        }
        Mode::Refuse | Mode::Certify => respond::respond(&connection, tcp).await,
    };
    let refused = report.was_refused();
    // The receiver is gone when the command is about to end.
    let _ = reports.send(report).await;
    refused
}

/// Waits for a client; errors of one that is gone again are ignored.
async fn accept(socket: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match socket.accept().await {
            Ok((tcp, client)) => {
                // Delayed segments would make the recorded times wrong.
                let _ = tcp.set_nodelay(true);
                return (tcp, client);
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
