//! A network of a rule, such as those of `allow` and `deny`.
//!
//! A socket on `[::]` sees an IPv4 client as `::ffff:a.b.c.d`. Clients are known by their IPv4
//! address wherever they came in, so a network in that form is taken as the IPv4 network that it
//! means.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use crate::text::serde_by_text;

/// Bits of an IPv4-mapped IPv6 address before the IPv4 address in it (RFC 4291, section 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// A network in its one form: IPv4, or IPv6 that is not IPv4-mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpNet);

impl Network {
    /// True if an address is in it, in either form; `::/0` holds IPv6 only.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }

    /// The network of an address with a prefix of this length; `None` where no such prefix is.
    #[must_use]
    pub fn of(ip: IpAddr, length: u8) -> Option<Self> {
        let net = IpNet::new(ip.to_canonical(), length).ok()?;
        Some(Self(net.trunc()))
    }

    /// The same without what stands behind the prefix.
    #[must_use]
    pub fn trunc(&self) -> Self {
        Self(self.0.trunc())
    }

    /// The length of its prefix.
    #[must_use]
    pub fn prefix_len(&self) -> u8 {
        self.0.prefix_len()
    }
}

impl From<IpAddr> for Network {
    /// The network of one address.
    fn from(ip: IpAddr) -> Self {
        Self(ip.to_canonical().into())
    }
}

impl TryFrom<IpNet> for Network {
    type Error = String;

    /// # Errors
    /// The address is IPv4-mapped and the prefix shorter than its fixed part: the network is far
    /// larger than whoever wrote it meant.
    fn try_from(net: IpNet) -> Result<Self, String> {
        let IpNet::V6(v6) = net else {
            return Ok(Self(net));
        };
        let Some(v4) = v6.addr().to_ipv4_mapped() else {
            return Ok(Self(net));
        };
        let bits = v6.prefix_len().checked_sub(MAPPED_PREFIX);
        if let Some(v4) = bits.and_then(|bits| Ipv4Net::new(v4, bits).ok()) {
            return Ok(Self(v4.into()));
        }
        let remedy = match Ipv4Net::new(v4, v6.prefix_len()) {
            Ok(v4) => format!("write \"{v4}\""),
            Err(_) => format!(
                "write an IPv4 network, as in \"{v4}/32\", or \"{}/0\" for all of IPv6",
                Ipv6Addr::UNSPECIFIED
            ),
        };
        Err(format!(
            "\"{net}\" is an IPv4-mapped address with a prefix shorter than /{MAPPED_PREFIX}, which is not an IPv4 network: {remedy}"
        ))
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let net: IpNet = text.parse().map_err(|_| match text.parse::<IpAddr>() {
            Ok(ip) => format!(
                "\"{text}\" is an address, not a network: write \"{}\"",
                Self::from(ip)
            ),
            Err(_) => format!(
                "\"{}\" is not a network: write it as in \"203.0.113.0/24\"",
                text.escape_default()
            ),
        })?;
        net.try_into()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

serde_by_text!(Network);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::{Just, Strategy, any};
    use proptest::{prop_assert_eq, prop_oneof, proptest};

    use super::*;

    #[test]
    fn a_network_is_known_by_its_one_form() {
        for (text, form) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:a00:0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:10.0.0.5/128", "10.0.0.5/32"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            // Not mapped: the deprecated form (RFC 4291, section 2.5.5.1) is never seen of a client.
            ("::10.0.0.0/104", "::a00:0/104"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), form, "{text}");
        }
    }

    #[test]
    fn an_invalid_network_says_why_and_what_to_write() {
        for (text, words) in [
            ("::ffff:10.0.0.0/24", "write \"10.0.0.0/24\""),
            ("::ffff:10.0.0.0/95", "as in \"10.0.0.0/32\", or \"::/0\""),
            ("::ffff:10.0.0.1", "write \"10.0.0.1/32\""),
            ("10.0.0.1", "write \"10.0.0.1/32\""),
            ("10.0.0.0/33", "is not a network"),
            ("a\u{1b}b", "a\\u{1b}b"),
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    /// Addresses of both families, and IPv4 ones in their mapped form, close to one another.
    fn some_address() -> impl Strategy<Value = IpAddr> {
        let near = prop_oneof![Just(0x0a00_0000_u32), any::<u32>()];
        let v4 = (near, 0..4_u32).prop_map(|(base, low)| Ipv4Addr::from(base | low));
        prop_oneof![
            v4.clone().prop_map(IpAddr::from),
            v4.prop_map(|v4| v4.to_ipv6_mapped().into()),
            any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into()),
            (0..4_u128).prop_map(|bits| Ipv6Addr::from(bits).into()),
        ]
    }

    fn bits(ip: IpAddr) -> (bool, u128) {
        match ip {
            IpAddr::V4(v4) => (true, u128::from(u32::from(v4)) << 96),
            IpAddr::V6(v6) => (false, u128::from(v6)),
        }
    }

    proptest! {
        /// Whatever form rule and client have: they match where both have the same family in their
        /// normal form and begin with the same bits.
        #[test]
        fn matching_is_that_of_normal_forms(
            rule in some_address(),
            prefix in 0..=128_u8,
            client in some_address(),
        ) {
            let prefix = if rule.is_ipv4() { prefix % 33 } else { prefix };
            let Ok(network) = format!("{rule}/{prefix}").parse::<Network>() else {
                let mapped = matches!(rule, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
                assert!(mapped && prefix < MAPPED_PREFIX, "{rule}/{prefix} is refused");
                return Ok(());
            };
            let normal = rule.to_canonical();
            let prefix = if rule.is_ipv6() && normal.is_ipv4() { prefix - MAPPED_PREFIX } else { prefix };
            let ((family, net), (client_family, address)) = (bits(normal), bits(client.to_canonical()));
            let differing = (net ^ address).leading_zeros();
            let matches = family == client_family && differing >= u32::from(prefix);
            prop_assert_eq!(network.contains(client), matches);
            prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
        }
    }
}
