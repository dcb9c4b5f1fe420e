//! The new sessions of one database, counted against its rates.
//!
//! Each rate is held by the generic cell rate algorithm (ITU-T I.371, Annex A): all that is known
//! of a bucket is the time at which it will be full again. A bucket that is full is as one that
//! was never touched, so it is forgotten.

use std::collections::HashMap;
use std::mem;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;

use super::limits::{Prefix, Rate, RateLimits, RateReached};

/// The most networks of a generation that are known. Of more, those that came first are forgotten
/// early: whoever has so many networks does not keep others out by them.
const MAX_NETWORKS: usize = 16 * 1024;

/// The part of a session that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Nothing.
    Nothing,
    /// Its network.
    Network,
    /// Its network, and the database.
    Whole,
}

/// The new sessions of one database.
#[derive(Debug, Default)]
pub struct NewSessions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    networks: Option<Networks>,
    database: Option<(Rate, Nanos)>,
}

/// A time since the start of the gateway, in nanoseconds.
type Nanos = u64;

impl NewSessions {
    /// Counts a new session of a client at `now`, a time since the start of the gateway. A rate
    /// that has changed begins anew.
    ///
    /// # Errors
    /// The rate that is reached; nothing is counted then.
    pub fn count(
        &self,
        limits: &RateLimits,
        client: IpAddr,
        now: Duration,
        counted: Counted,
    ) -> Result<(), RateReached> {
        let now = nanos(now);
        let mut state = self.state();
        let network = limits.network.map(|rate| {
            let networks = state.networks(rate, limits.prefix.unwrap_or_default(), now);
            let network = limits.network_of(client);
            let full = next(networks.full_at(&network), rate, now);
            full.map(|full| (network, full)).ok_or(RateReached::Network)
        });
        let network = network.transpose()?;
        let database = limits.database.map(|rate| {
            let full = next(state.database(rate), rate, now);
            full.map(|full| (rate, full)).ok_or(RateReached::Database)
        });
        let database = database.transpose()?;
        if counted != Counted::Nothing
            && let (Some((network, full)), Some(networks)) = (network, &mut state.networks)
        {
            networks.put(network, full, now);
        }
        if counted == Counted::Whole {
            state.database = database;
        }
        Ok(())
    }

    /// Counts a session of the database whose network was counted before.
    ///
    /// # Errors
    /// [`RateReached::Database`]; nothing is counted then.
    pub fn count_in_database(&self, rate: Rate, now: Duration) -> Result<(), RateReached> {
        let mut state = self.state();
        let full = next(state.database(rate), rate, nanos(now)).ok_or(RateReached::Database)?;
        state.database = Some((rate, full));
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The time at which the database's bucket is full again.
    fn database(&self, rate: Rate) -> Nanos {
        match self.database {
            Some((of, full)) if of == rate => full,
            _ => 0,
        }
    }

    fn networks(&mut self, rate: Rate, prefix: Prefix, now: Nanos) -> &mut Networks {
        if !matches!(&self.networks, Some(known) if known.rate == rate && known.prefix == prefix) {
            self.networks = None;
        }
        self.networks.get_or_insert_with(|| Networks {
            rate,
            prefix,
            since: now,
            current: HashMap::new(),
            previous: HashMap::new(),
        })
    }
}

/// The times at which the buckets of networks are full again, in two generations.
#[derive(Debug)]
struct Networks {
    rate: Rate,
    prefix: Prefix,
    /// The start of the current generation.
    since: Nanos,
    current: HashMap<IpNet, Nanos>,
    previous: HashMap<IpNet, Nanos>,
}

impl Networks {
    fn full_at(&self, network: &IpNet) -> Nanos {
        let known = self.current.get(network);
        known
            .or_else(|| self.previous.get(network))
            .copied()
            .unwrap_or(0)
    }

    fn put(&mut self, network: IpNet, full: Nanos, now: Nanos) {
        // A bucket is full again at most `per` after it was touched: those of a generation that
        // has ended so long ago all are.
        let old = now.saturating_sub(self.since) >= nanos(self.rate.per());
        if old || self.current.len() >= MAX_NETWORKS {
            self.previous = mem::take(&mut self.current);
            self.since = now;
        }
        self.current.insert(network, full);
    }
}

/// The time at which a bucket is full again that gives one more at `now`; `None` where it cannot.
fn next(full: Nanos, rate: Rate, now: Nanos) -> Option<Nanos> {
    let after = full.max(now).saturating_add(nanos(rate.interval()));
    (after <= now.saturating_add(nanos(rate.per()))).then_some(after)
}

fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn limits(text: &str) -> RateLimits {
        text.parse().unwrap()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The number that come in of `tries` at this time.
    fn enter(sessions: &NewSessions, of: &str, client: IpAddr, at: u64, tries: u32) -> usize {
        let count = |_: &u32| {
            sessions
                .count(&limits(of), client, ms(at), Counted::Whole)
                .is_ok()
        };
        (0..tries).filter(count).count()
    }

    #[test]
    fn so_many_come_at_once_and_then_one_by_one() {
        let sessions = NewSessions::default();
        let enter = |client, at, tries| enter(&sessions, "network=10/s", client, at, tries);
        assert_eq!(enter(CLIENT, 5, 20), 10);
        assert_eq!(enter(OTHER, 5, 20), 10, "another network has its own");
        assert_eq!(
            enter(CLIENT, 104, 20),
            0,
            "its tenth of a second is not over"
        );
        assert_eq!(
            enter(CLIENT, 105, 20),
            1,
            "those that were refused do not count"
        );
        assert_eq!(enter(CLIENT, 400, 20), 2);
        assert_eq!(
            enter(CLIENT, 60_000, 20),
            10,
            "never more than that at once"
        );
    }

    #[test]
    fn both_rates_are_held_and_a_refused_session_counts_in_neither() {
        let sessions = NewSessions::default();
        let of = "network=2/s,database=3/s";
        assert_eq!(enter(&sessions, of, CLIENT, 0, 5), 2);
        let reached = |client, at| sessions.count(&limits(of), client, ms(at), Counted::Whole);
        assert_eq!(reached(CLIENT, 0), Err(RateReached::Network));
        assert_eq!(enter(&sessions, of, OTHER, 0, 5), 1);
        assert_eq!(reached(OTHER, 0), Err(RateReached::Database));
        assert_eq!(enter(&sessions, of, OTHER, 334, 5), 1, "it had one left");
    }

    #[test]
    fn only_what_is_asked_for_is_counted() {
        let sessions = NewSessions::default();
        let limits = limits("network=2/s,database=1/s");
        let count = |counted| sessions.count(&limits, CLIENT, ms(0), counted);
        for counted in [
            Counted::Nothing,
            Counted::Nothing,
            Counted::Network,
            Counted::Network,
        ] {
            assert_eq!(count(counted), Ok(()));
        }
        assert_eq!(count(Counted::Nothing), Err(RateReached::Network));
        let rate = "1/s".parse().unwrap();
        assert_eq!(sessions.count_in_database(rate, ms(0)), Ok(()));
        let full = sessions.count_in_database(rate, ms(999));
        assert_eq!(full, Err(RateReached::Database));
        assert_eq!(sessions.count_in_database(rate, ms(1000)), Ok(()));
    }

    #[test]
    fn a_rate_that_has_changed_begins_anew_and_the_other_goes_on() {
        let sessions = NewSessions::default();
        assert_eq!(
            enter(&sessions, "network=2/h,database=9/h", CLIENT, 0, 5),
            2
        );
        assert_eq!(
            enter(&sessions, "network=2/h,database=8/h", CLIENT, 1, 5),
            0
        );
        assert_eq!(
            enter(&sessions, "network=3/h,database=8/h", CLIENT, 2, 5),
            3
        );
        assert_eq!(
            enter(
                &sessions,
                "network=3/h,prefix=24/64,database=8/h",
                OTHER,
                3,
                5
            ),
            3
        );
        assert_eq!(enter(&sessions, "database=8/h", OTHER, 4, 9), 2);
    }

    #[test]
    fn the_networks_that_are_known_are_bounded_and_forgotten_when_they_may() {
        let sessions = NewSessions::default();
        let client = |n: u32| {
            let [a, b, c, d] = n.to_be_bytes();
            let high = u16::from_be_bytes([a, b]);
            IpAddr::V6(Ipv6Addr::new(
                0x2001,
                0xdb8,
                high,
                u16::from_be_bytes([c, d]),
                0,
                0,
                0,
                1,
            ))
        };
        let known = || {
            let state = sessions.state();
            let networks = state.networks.as_ref().unwrap();
            networks.current.len() + networks.previous.len()
        };
        for n in 0..100_000 {
            assert_eq!(enter(&sessions, "network=1/m", client(n), 0, 1), 1);
            assert!(known() <= 2 * MAX_NETWORKS);
        }
        assert_eq!(enter(&sessions, "network=1/m", client(99_999), 1, 1), 0);
        for at in [60_000, 120_000] {
            enter(&sessions, "network=1/m", CLIENT, at, 1);
        }
        assert_eq!(known(), 2, "one of each generation");
    }

    proptest! {
        /// No window of time sees more than what may come at once and what the time has brought.
        #[test]
        fn no_window_sees_more_than_the_rate(
            steps in prop::collection::vec(0u64..400, 1..200),
            per_second in 1u32..20,
        ) {
            let sessions = NewSessions::default();
            let of = format!("network={per_second}/s");
            let (mut at, mut came) = (0, Vec::new());
            for step in steps {
                at += step;
                if enter(&sessions, &of, CLIENT, at, 1) == 1 {
                    came.push(at);
                }
            }
            for (first, start) in came.iter().enumerate() {
                for (last, end) in came.iter().enumerate().skip(first) {
                    let most = u64::from(per_second) * (1000 + end - start) / 1000;
                    prop_assert!(u64::try_from(last - first + 1).unwrap() <= most);
                }
            }
        }
    }
}
