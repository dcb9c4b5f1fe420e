//! Listening sockets that exist before the configuration asks for them: passed on by a service
//! manager, or bound while the process was still root.
//!
//! Neither kind can be bound again, so both are kept until the process ends: a reload may drop a
//! listener and take it back.
//!
//! Not here: where they come from ([`crate::service`]).

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};

use socket2::SockRef;

use super::listen;
use super::socket_options::set_options;

/// All such sockets, by their address.
#[derive(Debug, Default)]
pub struct HeldSockets(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    addr: SocketAddr,
    v6_only: bool,
    /// Name given by the service manager; `None` for a socket that this process has bound.
    inherited: Option<String>,
    /// More than one where they share the port.
    sockets: Vec<TcpListener>,
}

impl HeldSockets {
    /// Takes over a listening socket that the service manager calls `name`.
    ///
    /// # Errors
    /// It does not listen, or refuses the options that sessions need.
    pub fn inherit(&mut self, socket: TcpListener, name: &str) -> io::Result<()> {
        let addr = socket.local_addr()?;
        let options = SockRef::from(&socket);
        if !options.is_listener()? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it does not listen: a socket unit must not have Accept=yes",
            ));
        }
        set_options(&options)?;
        socket.set_nonblocking(true)?;
        let v6_only = addr.is_ipv6() && addr.ip().is_unspecified() && options.only_v6()?;
        // ReusePort=yes and the same ListenStream= several times.
        match self.0.iter_mut().find(|entry| same(entry.addr, addr)) {
            Some(entry) => entry.sockets.push(socket),
            None => self.0.push(Entry {
                addr,
                v6_only,
                inherited: Some(name.to_owned()),
                sockets: vec![socket],
            }),
        }
        Ok(())
    }

    /// Binds `count` sockets to an address, unless one was inherited for it.
    ///
    /// # Errors
    /// As for [`listen::bind`].
    pub fn bind(&mut self, addr: SocketAddr, v6_only: bool, count: usize) -> io::Result<()> {
        if self.entry(addr).is_none() {
            self.0.push(Entry {
                addr,
                v6_only,
                inherited: None,
                sockets: listen::bind(addr, v6_only, count, false)?,
            });
        }
        Ok(())
    }

    /// Duplicates the sockets of an address: at least `count`, and each socket at least once.
    /// `None` where the address is not held and has to be bound.
    ///
    /// # Errors
    /// The socket takes other clients than the configuration wants, or descriptors have run out.
    pub fn lend(
        &self,
        addr: SocketAddr,
        v6_only: bool,
        count: usize,
    ) -> io::Result<Option<Vec<TcpListener>>> {
        let Some(entry) = self.entry(addr) else {
            return Ok(None);
        };
        if entry.v6_only != v6_only {
            let problem = match (&entry.inherited, v6_only) {
                (None, true) => {
                    "it was bound for IPv4 as well when the process was root: restart to change that"
                }
                (None, false) => {
                    "it was bound without IPv4 when the process was root: restart to change that"
                }
                (Some(_), true) => {
                    "the inherited socket takes IPv4 as well, which another listener binds: set BindIPv6Only=ipv6-only in the socket unit"
                }
                (Some(_), false) => {
                    "the inherited socket takes no IPv4: set BindIPv6Only=both in the socket unit"
                }
            };
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        entry
            .sockets
            .iter()
            .cycle()
            .take(count.max(entry.sockets.len()))
            .map(TcpListener::try_clone)
            .collect::<io::Result<_>>()
            .map(Some)
    }

    /// Stops listening on all addresses but those `in_use`.
    ///
    /// Only sockets that this process has bound stop, until they are lent again, so that clients
    /// are refused. Inherited ones go on listening: the service manager holds them too, and they
    /// collect clients for the next process.
    pub fn stop_listening_except(&self, in_use: &[SocketAddr]) {
        let own = |entry: &&Entry| entry.inherited.is_none();
        for socket in self.except(in_use).filter(own).flat_map(|e| &e.sockets) {
            // One that does not listen has nothing to stop.
            let _ = SockRef::from(socket).shutdown(Shutdown::Read);
        }
    }

    /// Inherited sockets that are not `in_use`, each as `ADDRESS (NAME)`.
    #[must_use]
    pub fn unused(&self, in_use: &[SocketAddr]) -> Vec<String> {
        self.except(in_use)
            .filter_map(|entry| {
                let name = entry.inherited.as_ref()?;
                Some(format!("{} ({name})", entry.addr))
            })
            .collect()
    }

    /// The inherited socket that prevents another from being bound to this address, as
    /// `ADDRESS (NAME)`.
    #[must_use]
    pub fn conflicting(&self, addr: SocketAddr) -> Option<String> {
        let entry = self
            .0
            .iter()
            .find(|entry| listen::overlap(entry.addr, addr))?;
        let name = entry.inherited.as_ref()?;
        Some(format!("{} ({name})", entry.addr))
    }

    fn except(&self, in_use: &[SocketAddr]) -> impl Iterator<Item = &Entry> {
        self.0
            .iter()
            .filter(|entry| !in_use.iter().any(|addr| same(*addr, entry.addr)))
    }

    fn entry(&self, addr: SocketAddr) -> Option<&Entry> {
        self.0.iter().find(|entry| same(entry.addr, addr))
    }
}

/// Compares two addresses; an IPv4-mapped one is the IPv4 address.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && a.ip().to_canonical() == b.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn listening(addr: &str) -> TcpListener {
        TcpListener::bind(addr).unwrap()
    }

    #[test]
    fn an_inherited_socket_serves_every_thread() {
        let mut held = HeldSockets::default();
        let socket = listening("127.0.0.1:0");
        let addr = socket.local_addr().unwrap();
        held.inherit(socket, "main").unwrap();
        let lent = held.lend(addr, false, 3).unwrap().unwrap();
        assert_eq!(lent.len(), 3);
        let client = TcpStream::connect(addr).unwrap();
        // Non-blocking: the connection is there, since connect has returned.
        let (_, from) = lent[2].accept().unwrap();
        assert_eq!(from, client.local_addr().unwrap());
        assert_eq!(
            lent[0].accept().unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        let other = SocketAddr::new(addr.ip(), addr.port() ^ 1);
        assert!(held.lend(other, false, 1).unwrap().is_none());

        // Dropped by a reload, it still collects clients, and can be lent again.
        drop(lent);
        held.stop_listening_except(&[]);
        let late = TcpStream::connect(addr).unwrap();
        let lent = held.lend(addr, false, 1).unwrap().unwrap();
        let (_, from) = lent[0].accept().unwrap();
        assert_eq!(from, late.local_addr().unwrap());
    }

    #[test]
    fn several_sockets_of_one_address_are_all_lent() {
        let mut held = HeldSockets::default();
        let sockets = listen::bind(SocketAddr::from(([127, 0, 0, 1], 0)), false, 3, false).unwrap();
        let addr = sockets[0].local_addr().unwrap();
        for socket in sockets {
            listen::listen(&socket).unwrap();
            held.inherit(socket, "main").unwrap();
        }
        assert_eq!(held.lend(addr, false, 1).unwrap().unwrap().len(), 3);
        assert_eq!(held.lend(addr, false, 5).unwrap().unwrap().len(), 5);
        assert_eq!(held.unused(&[]), [format!("{addr} (main)")]);
        assert_eq!(held.unused(&[addr]), [""; 0]);
    }

    #[test]
    fn a_socket_bound_here_refuses_clients_while_it_is_not_lent() {
        let mut held = HeldSockets::default();
        let addr = {
            let free = listening("127.0.0.1:0");
            free.local_addr().unwrap()
        };
        held.bind(addr, false, 2).unwrap();
        assert_eq!(held.unused(&[]), [""; 0]);
        for _ in 0..2 {
            assert!(TcpStream::connect(addr).is_err());
            let lent = held.lend(addr, false, 2).unwrap().unwrap();
            for socket in &lent {
                listen::listen(socket).unwrap();
            }
            TcpStream::connect(addr).unwrap();
            held.stop_listening_except(&[addr]);
            TcpStream::connect(addr).unwrap();
            drop(lent);
            held.stop_listening_except(&[]);
        }
    }

    #[test]
    fn families_have_to_match_the_configuration() {
        let mut held = HeldSockets::default();
        let socket = listening("[::]:0");
        let addr = socket.local_addr().unwrap();
        held.inherit(socket, "main").unwrap();
        assert!(held.lend(addr, false, 1).unwrap().is_some());
        let error = held.lend(addr, true, 1).unwrap_err().to_string();
        assert!(error.contains("BindIPv6Only=ipv6-only"), "{error}");
    }

    #[test]
    fn a_socket_that_does_not_listen_is_refused() {
        let listener = listening("127.0.0.1:0");
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let connection = TcpListener::from(std::os::fd::OwnedFd::from(client));
        let error = HeldSockets::default()
            .inherit(connection, "main")
            .unwrap_err();
        assert!(error.to_string().contains("Accept=yes"), "{error}");
    }

    #[test]
    fn one_address_can_be_written_in_two_ways() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(same(addr("[::ffff:10.0.0.1]:5432"), addr("10.0.0.1:5432")));
        assert!(!same(addr("10.0.0.1:5432"), addr("10.0.0.1:5433")));
        assert!(!same(addr("0.0.0.0:5432"), addr("[::]:5432")));
    }
}
