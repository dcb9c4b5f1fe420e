//! The choice among the backends of one database that are ready.
//!
//! Not here: which are ready ([`super::pool`]).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::BackendAddr;
use crate::text::serde_by_text;

/// The largest weight.
pub(super) const MAX_WEIGHT: u32 = 1_000_000;

/// The rule by which a session is given a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The first that is ready, in the order declared.
    #[default]
    First,
    /// Each in turn, in proportion to the weights.
    RoundRobin,
    /// The one with the fewest sessions for its weight.
    LeastSessions,
    /// Always the same one for the same client, as long as that is ready.
    SourceIp,
}

impl Balance {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::First,
        Self::RoundRobin,
        Self::LeastSessions,
        Self::SourceIp,
    ];

    /// The word used in the configuration and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::RoundRobin => "round-robin",
            Self::LeastSessions => "least-sessions",
            Self::SourceIp => "source-ip",
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Balance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|rule| rule.as_str() == text);
        found.ok_or_else(|| {
            format!("\"{text}\" is no rule: use first, round-robin, least-sessions or source-ip")
        })
    }
}

serde_by_text!(Balance);

/// A rule, and the weights of the backends that it chooses among.
#[derive(Clone, Copy, Debug, Default)]
pub struct Balancing<'a> {
    /// The rule.
    pub balance: Balance,
    /// A weight for each backend, in the order declared; none where all have the same.
    pub weights: &'a [u32],
}

impl Balancing<'_> {
    /// The weight of the backend at this place in the order declared.
    #[must_use]
    pub fn weight(self, place: usize) -> u32 {
        self.weights.get(place).copied().unwrap_or(1)
    }
}

/// The order in which a client prefers an address to others: the smaller, the better. A change of
/// the list moves only the clients of the address that went, and to one that is new only those that
/// it gets.
///
/// The same in every gateway of this and later versions. Source: weighted rendezvous hashing,
/// Thaler and Ravishankar 1998, with the logarithmic method.
pub(super) fn distance(client: IpAddr, addr: &BackendAddr, weight: u32) -> f64 {
    let mut hash = Fnv::new();
    match client {
        IpAddr::V4(ip) => hash.add(&ip.octets()),
        // One host has all addresses of its /64.
        IpAddr::V6(ip) => hash.add(ip.octets().get(..8).unwrap_or_default()),
    }
    hash.add(addr.to_string().as_bytes());
    // 32 bits: exact as a fraction, and never 0 or 1.
    let high = u32::try_from(hash.finish() >> 32).unwrap_or(u32::MAX);
    let fraction = (f64::from(high) + 0.5) / 4_294_967_296.0;
    -fraction.ln() / f64::from(weight)
}

/// FNV-1a, with the finish of `SplitMix64`, since FNV leaves the high bits of short inputs alike.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn nearest(client: u32, addrs: &[(&str, u32)]) -> String {
        let client = Ipv4Addr::from(client).into();
        let distance = |(addr, weight): &(&str, u32)| {
            let addr: BackendAddr = addr.parse().unwrap();
            distance(client, &addr, *weight)
        };
        let nearest = addrs
            .iter()
            .min_by(|one, other| distance(one).total_cmp(&distance(other)));
        nearest.unwrap().0.to_owned()
    }

    #[test]
    fn clients_spread_by_weight_and_move_only_from_what_goes() {
        let all = [("a:1", 1), ("b:1", 1), ("c:1", 2)];
        let clients = (0..4000).map(|n: u32| 0x0a00_0000 + n);
        let before: Vec<_> = clients.clone().map(|c| nearest(c, &all)).collect();
        for (addr, weight) in all {
            let share = before.iter().filter(|b| *b == addr).count();
            let expected = usize::try_from(weight).unwrap() * 1000;
            assert!(share.abs_diff(expected) < 120, "{addr}: {share}");
        }
        let after: Vec<_> = clients.map(|c| nearest(c, &all[1..])).collect();
        for (before, after) in before.iter().zip(&after) {
            assert!(before == "a:1" || before == after, "{before} {after}");
        }
    }

    #[test]
    fn a_client_of_ipv6_counts_by_its_network_and_the_hash_never_changes() {
        let addr: BackendAddr = "10.0.0.5:5432".parse().unwrap();
        let distance = |ip: &str| distance(ip.parse().unwrap(), &addr, 1).to_bits();
        assert_eq!(distance("2001:db8::1"), distance("2001:db8::2:3:4:5"));
        assert_ne!(distance("2001:db8::1"), distance("2001:db8:0:1::1"));
        let known = format!(
            "{:.6}",
            super::distance("10.0.0.1".parse().unwrap(), &addr, 1)
        );
        assert_eq!(known, "0.400338");
    }
}
