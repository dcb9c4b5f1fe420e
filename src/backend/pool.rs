//! The backends of one database and the order in which a session tries them.
//!
//! Not here: health checks. A backend is only known to be failing by the sessions that it failed,
//! and it is still tried when its turn comes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::BackendAddr;

/// One address of a pool, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Backend<'a> {
    /// Where it listens.
    pub addr: &'a BackendAddr,
    /// Its place in the order declared, from 0.
    pub place: usize,
    state: Option<&'a AtomicU64>,
}

/// Since when a backend fails, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// The first of the failures in a row, in seconds of Unix time.
    pub since: u64,
    /// The last failure, a number of whoever reports it.
    pub why: u8,
}

impl Failing {
    /// In one word, so that sessions need no lock; 0 says that nothing fails.
    fn pack(self) -> u64 {
        (self.since << 9) | (u64::from(self.why) << 1) | 1
    }

    fn unpack(word: u64) -> Option<Self> {
        let why = u8::try_from((word >> 1) & 0xff).ok()?;
        let since = word >> 9;
        (word & 1 == 1).then_some(Self { since, why })
    }
}

impl Backend<'_> {
    /// Notes that it has answered, and tells whether that is news, so that trouble is logged once
    /// per change of state and not once per client.
    #[must_use]
    pub fn answered(&self) -> bool {
        self.state
            .is_some_and(|state| state.swap(0, Ordering::Relaxed) != 0)
    }

    /// Notes that it has failed for the reason `why` at `now`, in seconds of Unix time, and tells
    /// whether that is news.
    #[must_use]
    pub fn failed(&self, why: u8, now: u64) -> bool {
        let Some(state) = self.state else {
            return false;
        };
        let before = self.failing();
        let since = before.map_or(now, |failing| failing.since);
        state.store(Failing { since, why }.pack(), Ordering::Relaxed);
        before.is_none()
    }

    /// Why it fails, unless it has answered since.
    #[must_use]
    pub fn failing(&self) -> Option<Failing> {
        Failing::unpack(self.state?.load(Ordering::Relaxed))
    }
}

/// What is remembered of the backends of one database; their addresses are in its declaration.
#[derive(Debug)]
pub struct Pool {
    states: Box<[AtomicU64]>,
    turn: AtomicUsize,
}

impl Pool {
    /// A pool of so many backends.
    #[must_use]
    pub fn new(backends: usize) -> Self {
        let states = std::iter::repeat_with(AtomicU64::default);
        Self {
            states: states.take(backends).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// The place of the backend whose turn it is.
    pub fn turn(&self) -> usize {
        match self.states.len() {
            0 | 1 => 0,
            n => self.turn.fetch_add(1, Ordering::Relaxed) % n,
        }
    }

    /// The backend tried after `tried` others, where `turn` is the place of the first; `None` once
    /// each was tried.
    #[must_use]
    pub fn in_turn<'a>(
        &'a self,
        addrs: &'a [BackendAddr],
        turn: usize,
        tried: usize,
    ) -> Option<Backend<'a>> {
        let place = (turn + tried).checked_rem(addrs.len())?;
        let addr = addrs.get(place).filter(|_| tried < addrs.len())?;
        Some(Backend {
            addr,
            place,
            state: self.states.get(place),
        })
    }
}

/// Every one of these backends, in the order declared; without a pool nobody has dialled them.
pub fn backends<'a>(
    addrs: &'a [BackendAddr],
    pool: Option<&'a Pool>,
) -> impl Iterator<Item = Backend<'a>> {
    addrs.iter().enumerate().map(move |(place, addr)| Backend {
        addr,
        place,
        state: pool.and_then(|pool| pool.states.get(place)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_starts_one_further_and_sees_all() {
        let addrs = ["a:1", "b:1", "c:1"].map(|a| a.parse().unwrap());
        let (addrs, pool) = (&addrs[..], &Pool::new(addrs.len()));
        let round = || {
            let turn = pool.turn();
            let nth = move |tried| pool.in_turn(addrs, turn, tried);
            (0..).map_while(nth).map(|b| b.addr.to_string() + " ")
        };
        let rounds: Vec<String> = (0..4).map(|_| round().collect()).collect();
        assert!(Pool::new(0).in_turn(&[], 0, 0).is_none());
        assert_eq!(
            rounds,
            [
                "a:1 b:1 c:1 ",
                "b:1 c:1 a:1 ",
                "c:1 a:1 b:1 ",
                "a:1 b:1 c:1 "
            ]
        );
    }

    #[test]
    fn only_a_change_of_state_is_news() {
        let addrs = ["a:1".parse().unwrap()];
        let pool = Pool::new(1);
        let backend = backends(&addrs, Some(&pool)).next().unwrap();
        assert!(!backend.answered());
        assert!(backend.failed(3, 1000));
        assert!(!backend.failed(255, 2000));
        let failing = Failing {
            since: 1000,
            why: 255,
        };
        assert_eq!(backend.failing(), Some(failing));
        assert!(backend.answered());
        assert!(!backend.answered());
        assert_eq!(backend.failing(), None);
        let undialled = backends(&addrs, None).next().unwrap();
        assert!(!undialled.failed(0, 0) && undialled.failing().is_none());
    }
}
