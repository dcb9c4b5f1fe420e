//! The client network that counts as one source: an IPv4 address, or the /64 network of an IPv6
//! address, of which any single host has all the addresses it likes.

use std::net::{IpAddr, Ipv6Addr};

/// The first address of the network that `client` counts with.
#[must_use]
pub fn source(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_source_and_an_ipv4_address_another() {
        for (client, counted_as) in [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            let client: IpAddr = client.parse().unwrap();
            assert_eq!(source(client).to_string(), counted_as);
        }
    }
}
