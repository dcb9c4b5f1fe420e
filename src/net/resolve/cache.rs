//! The last answer for one name, and how long it is used.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::LookupError;

/// Ages up to which cached answers are used.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheTimes {
    /// An answer is used without asking again.
    pub(super) fresh: Duration,
    /// A failure is returned without asking again.
    pub(super) failed: Duration,
    /// A query that takes longer counts as unanswered where there is a stale answer.
    pub(super) silent: Duration,
    /// An answer is used while the resolver is silent.
    pub(super) stale: Duration,
}

/// The addresses of one answer, shared by the sessions that use it.
#[derive(Debug)]
pub(super) struct Addresses {
    /// In the system's order of preference.
    list: Box<[IpAddr]>,
    turn: AtomicUsize,
}

impl Addresses {
    pub(super) fn new(list: Box<[IpAddr]>) -> Arc<Self> {
        Arc::new(Self {
            list,
            turn: AtomicUsize::new(0),
        })
    }

    /// Returns the addresses for the next session.
    ///
    /// Those of a family take turns at being first, as they do in the answers of a DNS server
    /// (RFC 1794) that no cache holds back. Which family comes first is left to the system.
    pub(super) fn next(&self, port: u16) -> Vec<SocketAddr> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let addresses = self.list.iter().map(|ip| SocketAddr::new(*ip, port));
        let mut addresses: Vec<_> = addresses.collect();
        for family in addresses.chunk_by_mut(|a, b| a.is_ipv4() == b.is_ipv4()) {
            // A chunk is never empty.
            family.rotate_left(turn.checked_rem(family.len()).unwrap_or(0));
        }
        addresses
    }
}

pub(super) type Answer = Result<Arc<Addresses>, LookupError>;

/// The cached answer of one name.
#[derive(Default)]
pub(super) struct Entry {
    addresses: Option<(Instant, Arc<Addresses>)>,
    marked_stale: bool,
    failed: Option<(Instant, LookupError)>,
}

impl Entry {
    /// The addresses that are used without asking.
    pub(super) fn fresh(&self, times: CacheTimes) -> Option<Arc<Addresses>> {
        self.younger(times.fresh).filter(|_| !self.marked_stale)
    }

    /// The addresses that are used while the resolver is silent.
    pub(super) fn stale(&self, times: CacheTimes) -> Option<Arc<Addresses>> {
        self.younger(times.stale)
    }

    /// A failure that is too recent to ask again.
    pub(super) fn failed(&self, times: CacheTimes) -> Option<LookupError> {
        let (at, error) = self.failed?;
        (at.elapsed() < times.failed).then_some(error)
    }

    fn younger(&self, age: Duration) -> Option<Arc<Addresses>> {
        let (at, addresses) = self.addresses.as_ref()?;
        (at.elapsed() < age).then(|| addresses.clone())
    }

    /// Stores an answer. A name that is unknown now has its addresses forgotten.
    pub(super) fn store(&mut self, answer: &Answer) {
        let now = Instant::now();
        match answer {
            Ok(addresses) => {
                *self = Self {
                    addresses: Some((now, addresses.clone())),
                    ..Self::default()
                };
            }
            Err(error) => {
                self.failed = Some((now, *error));
                if *error == LookupError::Unknown {
                    self.addresses = None;
                }
            }
        }
    }

    /// Makes the addresses stale before their time.
    pub(super) fn mark_stale(&mut self) {
        self.marked_stale = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_begins_with_the_next_address_of_a_family() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let ips = ["fd00::1", "fd00::2", "10.0.0.1", "10.0.0.2", "10.0.0.3"].map(ip);
        let addresses = Addresses::new(ips.into());
        let next = || {
            let addresses = addresses.next(5432);
            assert!(addresses.iter().all(|addr| addr.port() == 5432));
            let last = |ip: IpAddr| ip.to_string().pop().unwrap();
            addresses.iter().map(|a| last(a.ip())).collect::<String>()
        };
        let sessions = [(); 4].map(|()| next());
        assert_eq!(sessions, ["12123", "21231", "12312", "21123"]);
    }
}
