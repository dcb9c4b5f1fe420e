//! Connecting to a backend.
//!
//! Not here: the choice of a backend, timeouts, and the first bytes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::descriptors;
use super::resolve::{self, LookupError};
use super::socket_options::set_options;
use super::zone;
use crate::tls::ServerName;
use crate::upstream::BackendAddr;

/// Delay before the next address of a name is raced against the first (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Error of connecting to a backend.
#[derive(Debug, Error)]
pub enum DialError {
    /// Its name has no address.
    #[error("{0} does not resolve: {1}")]
    Name(ServerName, LookupError),
    /// No address accepted the connection; the error of the last one.
    #[error("{0}")]
    Connect(#[from] io::Error),
}

impl DialError {
    /// Returns true if this machine has run out of descriptors, memory or threads, and the peer is
    /// not at fault.
    #[must_use]
    pub fn is_exhaustion(&self) -> bool {
        match self {
            Self::Name(_, error) => *error == LookupError::NoThread,
            Self::Connect(error) => descriptors::is_exhaustion(error),
        }
    }
}

/// Connects to the first address of a backend that accepts, and returns it.
///
/// A name is looked up again every few seconds ([`super::resolve`]) and after no address accepted,
/// so a backend may move. The caller sets the deadline; `resolved` is set once the address is known.
///
/// # Errors
/// The last address's error, or that the name has no address.
pub async fn dial(
    backend: &BackendAddr,
    resolved: &mut bool,
) -> Result<(TcpStream, SocketAddr), DialError> {
    match backend {
        BackendAddr::Ip(ip, port) => {
            *resolved = true;
            Ok(connect(SocketAddr::new(*ip, *port)).await?)
        }
        BackendAddr::Zoned(addr, port) => {
            *resolved = true;
            Ok(connect(zone::resolve(addr, *port)?).await?)
        }
        BackendAddr::Name(name, port) => {
            let found = resolve::lookup(name, *port).await;
            let addrs = found.map_err(|error| DialError::Name(name.clone(), error))?;
            *resolved = true;
            // Stale, too, if the caller's deadline ends the attempt.
            let stale = StaleUnlessConnected(Some(name));
            let connected = first_of(name, addrs).await?;
            stale.disarm();
            Ok(connected)
        }
    }
}

/// Marks the cached addresses of a name as stale when dropped, unless its backend was reached.
struct StaleUnlessConnected<'a>(Option<&'a ServerName>);

impl StaleUnlessConnected<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for StaleUnlessConnected<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.0 {
            resolve::mark_stale(name);
        }
    }
}

/// Connects to the address that is ready first, each further one tried a little later than the
/// one before (RFC 8305 section 5, without its sorting), so that one that drops packets does not
/// take all of the time.
async fn first_of(
    name: &ServerName,
    addrs: Vec<SocketAddr>,
) -> io::Result<(TcpStream, SocketAddr)> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{name} has no address"));
    let mut waiting = addrs.into_iter();
    let mut attempts = JoinSet::new();
    loop {
        if let Some(addr) = waiting.next() {
            attempts.spawn(connect(addr));
        }
        let ended = if waiting.len() == 0 {
            attempts.join_next().await
        } else {
            match timeout(ATTEMPT_DELAY, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some(Ok(Ok(connected))) => return Ok(connected),
            Some(Ok(Err(e))) => last = e,
            // An attempt does not panic, and is aborted only when this returns.
            Some(Err(e)) => last = io::Error::other(e),
            None => return Err(last),
        }
    }
}

async fn connect(addr: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    descriptors::check(&socket)?;
    let tcp = socket.connect(addr).await?;
    set_options(&SockRef::from(&tcp))?;
    Ok((tcp, addr))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use socket2::{Domain, Socket, Type};

    use super::*;

    /// An address that does not answer: its queue is full, so the kernel drops packets.
    fn black_hole() -> (SocketAddr, Vec<Socket>) {
        let tcp = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let listener = tcp();
        listener
            .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
            .unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut sockets = vec![listener];
        for _ in 0..8 {
            let client = tcp();
            client.set_nonblocking(true).unwrap();
            let _ = client.connect(&addr);
            sockets.push(client);
        }
        (addr.as_socket().unwrap(), sockets)
    }

    #[tokio::test]
    async fn an_address_that_drops_packets_does_not_delay_the_next() {
        let (hole, _sockets) = black_hole();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let good = listener.local_addr().unwrap();
        let name = ServerName::parse("two.example").unwrap();
        // The kernel gives up on the first address after minutes.
        let reached = timeout(Duration::from_secs(30), first_of(&name, vec![hole, good])).await;
        assert_eq!(reached.unwrap().unwrap().1, good);
    }

    #[tokio::test]
    async fn an_address_of_a_link_is_reached_by_its_interface() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let by = |zone: &str| format!("[::1%{zone}]:{port}").parse().unwrap();
        let (_, addr) = dial(&by("lo"), &mut false).await.unwrap();
        assert_eq!((addr.ip(), addr.port()), ("::1".parse().unwrap(), port));
        let error = dial(&by("nowhere0"), &mut false).await.unwrap_err();
        assert!(error.to_string().contains("nowhere0"), "{error}");
    }

    #[tokio::test]
    async fn the_last_error_is_returned_when_no_address_answers() {
        let name = ServerName::parse("none.example").unwrap();
        let closed = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            listener.local_addr().unwrap()
        };
        let error = first_of(&name, vec![closed]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = first_of(&name, Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains("none.example"), "{error}");
    }
}
