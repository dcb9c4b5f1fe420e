//! Counts per client address. All of a /64 network of IPv6 counts as one address, since any single
//! host has all the addresses in one that it likes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts by client network.
#[derive(Debug, Default)]
pub struct PerIp(Mutex<HashMap<IpAddr, u32>>);

impl PerIp {
    /// Counts one more of this client's network, unless it has `limit` of them.
    pub fn enter(&self, client: IpAddr, limit: Option<u32>) -> bool {
        let mut counts = self.lock();
        let count = counts.entry(counted_as(client)).or_default();
        if *count >= limit.unwrap_or(u32::MAX) {
            return false;
        }
        *count += 1;
        true
    }

    /// Counts one less.
    pub fn leave(&self, client: IpAddr) {
        let mut counts = self.lock();
        if let Some(count) = counts.get_mut(&counted_as(client)) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&counted_as(client));
            }
        }
    }

    /// The count of this client's network.
    #[must_use]
    pub fn count(&self, client: IpAddr) -> u32 {
        self.lock().get(&counted_as(client)).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first address of the network that `client` counts with.
#[must_use]
pub fn counted_as(client: IpAddr) -> IpAddr {
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
    fn a_network_is_counted_up_to_its_limit_and_forgotten_at_the_end() {
        let counts = PerIp::default();
        let [one, same, other] = ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(|ip| {
            let ip: IpAddr = ip.parse().unwrap();
            ip
        });
        assert!(counts.enter(one, Some(2)) && counts.enter(same, Some(2)));
        assert!(!counts.enter(one, Some(2)));
        assert!(counts.enter(other, Some(2)) && counts.enter(one, None));
        assert_eq!((counts.count(same), counts.count(other)), (3, 1));
        for client in [one, same, same, other] {
            counts.leave(client);
        }
        assert!(counts.lock().is_empty());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_an_ipv4_address_alone() {
        for (client, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            let client: IpAddr = client.parse().unwrap();
            assert_eq!(counted_as(client).to_string(), expected);
        }
    }
}
