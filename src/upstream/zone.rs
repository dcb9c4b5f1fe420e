//! An IPv6 address of one link, with the interface of that link: `fe80::1%eth0`.
//!
//! The interface is looked up when the address is dialled ([`crate::net::zone`]), so it may appear
//! later. Source: RFC 4007 section 11.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Longest name of an interface, in bytes (`IFNAMSIZ` without its NUL).
const MAX_NAME: usize = 15;

/// An address and the name, or number, of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ZonedAddr {
    /// The address.
    pub ip: Ipv6Addr,
    /// The interface, as written.
    pub zone: Box<str>,
}

impl FromStr for ZonedAddr {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (ip, zone) = text.split_once('%').ok_or(())?;
        let legal = |byte: u8| byte.is_ascii_graphic() && !b"/%[]".contains(&byte);
        if zone.is_empty() || zone.len() > MAX_NAME || !zone.bytes().all(legal) {
            return Err(());
        }
        Ok(Self {
            ip: ip.parse().map_err(drop)?,
            zone: zone.into(),
        })
    }
}

impl fmt::Display for ZonedAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%{}", self.ip, self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_with_a_name_is_one() {
        for text in ["fe80::1%eth0", "fe80::1%br-12.100", "::1%1"] {
            assert_eq!(text.parse::<ZonedAddr>().unwrap().to_string(), text);
        }
        for bad in [
            "fe80::1",
            "fe80::1%",
            "fe80::1%a b",
            "fe80::1%a\u{1b}",
            "fe80::1%../x",
            "fe80::1%eth0%eth1",
            "fe80::1%sixteen-letters!",
            "10.0.0.1%eth0",
            "db%eth0",
        ] {
            assert_eq!(bad.parse::<ZonedAddr>(), Err(()), "{bad}");
        }
    }
}
