//! Listening sockets: one per address and thread, all threads on the same port.
//!
//! Options of accepted sockets are set on the listening one ([`super::socket_options`]).

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::socket_options::set_options;

/// Connections that the kernel queues until they are accepted.
const BACKLOG: i32 = 4096;

/// Binds `threads` sockets to the same address; clients are refused until [`listen`].
///
/// An `[::]` address takes IPv4 as well unless `v6_only`. With port 0 the system chooses one port
/// for all. `ours`: this process listens there already and is about to stop.
///
/// # Errors
/// The address is in use, also by another dbgate, or may not be bound.
pub fn bind(
    addr: SocketAddr,
    v6_only: bool,
    threads: usize,
    ours: bool,
) -> io::Result<Vec<TcpListener>> {
    // With SO_REUSEPORT a second gateway on the same port would silently take half of the
    // clients. Binding a socket without it first shows whether the port is in use.
    let bound = if ours {
        addr
    } else {
        let probe = socket(addr, v6_only, false)?;
        probe.bind(&addr.into())?;
        probe
            .local_addr()?
            .as_socket()
            .ok_or(io::ErrorKind::AddrNotAvailable)?
    };
    (0..threads)
        .map(|_| {
            let socket = socket(bound, v6_only, true)?;
            set_options(&SockRef::from(&socket))?;
            socket.bind(&bound.into())?;
            socket.set_nonblocking(true)?;
            Ok(socket.into())
        })
        .collect()
}

/// Begins to listen on a bound socket.
///
/// # Errors
/// Another process listens there since it was bound.
pub fn listen(socket: &TcpListener) -> io::Result<()> {
    SockRef::from(socket).listen(BACKLOG)
}

/// Returns true if an IPv6 wildcard address must not take IPv4, because another entry binds it.
#[must_use]
pub fn needs_v6_only(addr: SocketAddr, all: &[SocketAddr]) -> bool {
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, addr.port()));
    addr.is_ipv6() && addr.ip().is_unspecified() && addr.port() != 0 && all.contains(&v4)
}

/// Returns true if only one of the two addresses can be bound.
#[must_use]
pub fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let (a_ip, b_ip) = (a.ip().to_canonical(), b.ip().to_canonical());
    a.port() == b.port() && (a_ip == b_ip || a_ip.is_unspecified() || b_ip.is_unspecified())
}

fn socket(addr: SocketAddr, v6_only: bool, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    // Without it a restart would have to wait for connections of the previous process.
    socket.set_reuse_address(true)?;
    if shared {
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_a_port_and_another_process_cannot_bind_it() {
        let sockets = bind(SocketAddr::from(([127, 0, 0, 1], 0)), false, 3, false).unwrap();
        for socket in &sockets {
            listen(socket).unwrap();
        }
        let addr = sockets.first().unwrap().local_addr().unwrap();
        assert!(sockets.iter().all(|s| s.local_addr().unwrap() == addr));
        let error = bind(addr, false, 1, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_ipv4_mapped_address_is_the_ipv4_one() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (a, b, expected) in [
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
            ("[::ffff:0.0.0.0]:1", "127.0.0.1:1", true),
            ("[::ffff:127.0.0.1]:1", "127.0.0.2:1", false),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:2", false),
        ] {
            assert_eq!(overlap(addr(a), addr(b)), expected, "{a} {b}");
            assert_eq!(overlap(addr(b), addr(a)), expected, "{b} {a}");
        }
    }

    #[test]
    fn both_wildcards_of_one_port_are_kept_apart() {
        let v4: SocketAddr = "0.0.0.0:5432".parse().unwrap();
        let v6: SocketAddr = "[::]:5432".parse().unwrap();
        assert!(needs_v6_only(v6, &[v4, v6]));
        assert!(!needs_v6_only(v6, &[v6]));
        assert!(!needs_v6_only(v4, &[v4, v6]));
    }
}
