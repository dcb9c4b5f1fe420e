//! The address of a backend as an operator writes it: `10.0.0.5:5432`, `[fd00::5]:5432`,
//! `[fe80::1%eth0]:5432` or `db.internal:5432`. A name is looked up again every few seconds,
//! an interface at each dial, so both may move.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::zone::ZonedAddr;
use crate::text::serde_by_text;
use crate::tls::ServerName;

/// Host and port of one database server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BackendAddr {
    /// A literal address; one that is IPv4-mapped is the IPv4 address.
    Ip(IpAddr, u16),
    /// A literal address on the link of an interface.
    Zoned(Box<ZonedAddr>, u16),
    /// A DNS name.
    Name(ServerName, u16),
}

impl BackendAddr {
    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(_, port) | Self::Zoned(_, port) | Self::Name(_, port) => *port,
        }
    }

    /// The same host at another port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        let mut other = self.clone();
        match &mut other {
            Self::Ip(_, own) | Self::Zoned(_, own) | Self::Name(_, own) => *own = port,
        }
        other
    }
}

impl fmt::Display for BackendAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip), port) => write!(f, "{ip}:{port}"),
            Self::Ip(IpAddr::V6(ip), port) => write!(f, "[{ip}]:{port}"),
            Self::Zoned(addr, port) => write!(f, "[{addr}]:{port}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

impl FromStr for BackendAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "invalid backend address \"{text}\": write HOST:PORT, as in 10.0.0.5:5432, db.internal:5432 or [fd00::5]:5432"
            )
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let port: u16 = port.parse().map_err(|_| expected())?;
        if port == 0 {
            return Err(format!(
                "invalid backend address \"{text}\": port 0 cannot be dialled"
            ));
        }
        if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            if v6.contains('%') {
                let addr = v6.parse().map_err(|()| {
                    format!(
                        "\"{text}\" names no interface: write the address, % and the interface, as in [fe80::1%eth0]:5432"
                    )
                })?;
                return Ok(Self::Zoned(Box::new(addr), port));
            }
            let ip: Ipv6Addr = v6.parse().map_err(|_| expected())?;
            return Ok(Self::Ip(IpAddr::V6(ip).to_canonical(), port));
        }
        if let Ok(ip) = host.parse::<IpAddr>() {
            return match ip {
                IpAddr::V4(_) => Ok(Self::Ip(ip, port)),
                IpAddr::V6(_) => Err(format!(
                    "\"{text}\": write an IPv6 address in brackets, as in [fd00::5]:5432"
                )),
            };
        }
        let name = ServerName::typed(host).map_err(|e| format!("{}: {e}", expected()))?;
        Ok(Self::Name(name, port))
    }
}

serde_by_text!(BackendAddr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_to_write_one() {
        for text in [
            "10.0.0.5:5432",
            "[fd00::5]:5432",
            "[fe80::1%eth0]:5432",
            "db.internal:5432",
        ] {
            assert_eq!(text.parse::<BackendAddr>().unwrap().to_string(), text);
        }
        let name: BackendAddr = "b\u{fc}cher.example:5432".parse().unwrap();
        assert_eq!(name.to_string(), "xn--bcher-kva.example:5432");
        assert!(std::mem::size_of::<BackendAddr>() <= 24);
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_one() {
        let addr: BackendAddr = "[::ffff:10.0.0.5]:5432".parse().unwrap();
        assert_eq!(addr.to_string(), "10.0.0.5:5432");
    }

    #[test]
    fn errors_name_the_invalid_address() {
        for bad in [
            "10.0.0.5",
            "db:port",
            ":5432",
            "fd00::5:5432",
            "db:0",
            "db:70000",
            "[fe80::1%]:5432",
            "[db%eth0]:5432",
        ] {
            let error = bad.parse::<BackendAddr>().unwrap_err();
            assert!(error.contains(bad), "{bad}: {error}");
        }
    }
}
