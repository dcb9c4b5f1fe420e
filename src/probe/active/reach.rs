//! Name resolution and TCP connect: both timed, each failure with its rule.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::target::Host;
use crate::net::descriptors::is_exhaustion;
use crate::net::socket_options::set_options;
use crate::net::zone;
use crate::probe::Finding;
use crate::probe::rules;

/// The most addresses of a name that are looked at.
const MAX_ADDRESSES: usize = 32;

/// The addresses of a host, at least one, in the resolver's order, and how long they took.
///
/// An address needs no lookup.
pub(in crate::probe) async fn resolve(
    host: &Host,
    port: u16,
    limit: Duration,
) -> Result<(Vec<SocketAddr>, Duration), Finding> {
    let name = match host {
        Host::Ip(ip) => return Ok((vec![SocketAddr::new(*ip, port)], Duration::ZERO)),
        Host::Zoned(addr) => {
            return match zone::resolve(addr, port) {
                Ok(address) => Ok((vec![address], Duration::ZERO)),
                Err(error) => Err(Finding::new(&rules::TCP_UNREACHABLE, error.to_string())),
            };
        }
        Host::Name(name) => name,
    };
    let start = Instant::now();
    let answer = timeout(limit, lookup_host((name.as_str(), port))).await;
    let failed = |why: String| Finding::new(&rules::DNS_FAILED, format!("{name}: {why}"));
    let mut addresses: Vec<SocketAddr> = match answer {
        Ok(Ok(found)) => found.take(MAX_ADDRESSES).collect(),
        Ok(Err(error)) => return Err(classify_lookup(name.as_str(), &error)),
        Err(_) => return Err(failed(format!("no answer within {limit:?}"))),
    };
    addresses.dedup();
    if addresses.is_empty() {
        return Err(failed("the resolver gave an empty answer".to_owned()));
    }
    Ok((addresses, start.elapsed()))
}

/// Classifies an error of `getaddrinfo`; the standard library passes its text on, not its number.
fn classify_lookup(name: &str, error: &io::Error) -> Finding {
    let words = error.to_string();
    let is = |fragment: &str| words.contains(fragment);
    // EAI_NONAME and EAI_NODATA in the words of glibc, musl and macOS.
    let no_such = is("Name or service not known")
        || is("No address associated with hostname")
        || is("Name does not resolve")
        || is("Name has no usable address")
        || is("nodename nor servname provided");
    let rule = if no_such {
        &rules::DNS_NO_SUCH_NAME
    } else {
        &rules::DNS_FAILED
    };
    let words = words.trim_start_matches("failed to lookup address information: ");
    Finding::new(rule, format!("{name}: {words}"))
}

/// Connects to one address, and says how long it took.
pub(in crate::probe) async fn connect(
    address: SocketAddr,
    limit: Duration,
) -> Result<(TcpStream, Duration), Finding> {
    let start = Instant::now();
    let connected = match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => set_options(&SockRef::from(&tcp)).map(|()| tcp),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            return Err(Finding::new(
                &rules::TCP_TIMEOUT,
                format!("{address}: no answer within {limit:?}"),
            ));
        }
    };
    match connected {
        Ok(tcp) => Ok((tcp, start.elapsed())),
        Err(error) => Err(classify_connect(address, &error)),
    }
}

fn classify_connect(address: SocketAddr, error: &io::Error) -> Finding {
    let rule = match error.kind() {
        _ if is_exhaustion(error) => &rules::TCP_FAILED,
        ErrorKind::ConnectionRefused => &rules::TCP_REFUSED,
        ErrorKind::TimedOut => &rules::TCP_TIMEOUT,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => &rules::TCP_RESET,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            &rules::TCP_UNREACHABLE
        }
        _ => &rules::TCP_FAILED,
    };
    Finding::new(rule, format!("{address}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn an_address_needs_no_resolver_and_a_closed_port_refuses() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = Host::Ip(Ipv4Addr::LOCALHOST.into());
        let (addresses, took) = resolve(&host, port, SOON).await.unwrap();
        assert_eq!((addresses.len(), took), (1, Duration::ZERO));
        connect(addresses[0], SOON).await.unwrap();
        drop(listener);
        let finding = connect(addresses[0], SOON).await.unwrap_err();
        assert_eq!(finding.rule.code, "tcp-refused", "{}", finding.detail);
    }

    #[test]
    fn errors_of_the_system_have_their_rules() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        for (errno, code) in [
            (rustix::io::Errno::CONNREFUSED, "tcp-refused"),
            (rustix::io::Errno::TIMEDOUT, "tcp-timeout"),
            (rustix::io::Errno::CONNRESET, "tcp-reset"),
            (rustix::io::Errno::HOSTUNREACH, "tcp-unreachable"),
            (rustix::io::Errno::NETUNREACH, "tcp-unreachable"),
            (rustix::io::Errno::MFILE, "tcp-failed"),
            (rustix::io::Errno::ACCESS, "tcp-failed"),
        ] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(classify_connect(address, &error).rule.code, code, "{error}");
        }
        for (words, code) in [
            (
                "failed to lookup address information: Name or service not known",
                "dns-no-such-name",
            ),
            (
                "failed to lookup address information: Temporary failure in name resolution",
                "dns-failed",
            ),
        ] {
            let error = io::Error::other(words);
            assert_eq!(
                classify_lookup("a.example", &error).rule.code,
                code,
                "{words}"
            );
        }
    }
}
