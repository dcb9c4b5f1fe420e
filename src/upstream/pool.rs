//! The backends of one database and the order in which a session tries them.
//!
//! Not here: health checks. A backend is only known to be failing by the sessions that it failed,
//! and it is still tried when its turn comes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::BackendAddr;
use crate::traffic::{Bytes, Traffic};

/// One address of a pool, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Backend<'a> {
    /// Where it listens.
    pub addr: &'a BackendAddr,
    /// Its place in the order declared, from 0.
    pub place: usize,
    known: Option<&'a Arc<Known>>,
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
        self.known
            .is_some_and(|known| known.state.swap(0, Ordering::Relaxed) != 0)
    }

    /// Notes that it has failed for the reason `why` at `now`, in seconds of Unix time, and tells
    /// whether that is news.
    #[must_use]
    pub fn failed(&self, why: u8, now: u64) -> bool {
        let Some(known) = self.known else {
            return false;
        };
        let before = self.failing();
        let since = before.map_or(now, |failing| failing.since);
        let state = Failing { since, why }.pack();
        known.state.store(state, Ordering::Relaxed);
        before.is_none()
    }

    /// Why it fails, unless it has answered since.
    #[must_use]
    pub fn failing(&self) -> Option<Failing> {
        Failing::unpack(self.known?.state.load(Ordering::Relaxed))
    }
}

/// What is remembered of one backend for as long as it is declared.
#[derive(Debug, Default)]
pub struct Known {
    /// Whether and why it fails, packed.
    state: AtomicU64,
    /// Made at the end of its first session.
    ended: OnceLock<Box<Traffic>>,
}

impl Known {
    /// Adds the bytes of a session of this part that has left it.
    pub fn add_ended(&self, part: usize, bytes: Bytes) {
        if bytes != (0, 0) {
            self.ended.get_or_init(Box::default).add(part, bytes);
        }
    }

    /// The bytes of the sessions of this part that have left it.
    #[must_use]
    pub fn ended(&self, part: usize) -> Bytes {
        self.ended.get().map_or((0, 0), |ended| ended.part(part))
    }
}

/// What is remembered of the backends of one database; their addresses are in its declaration.
#[derive(Debug)]
pub struct Pool {
    known: Box<[Arc<Known>]>,
    turn: AtomicUsize,
}

impl Pool {
    /// A pool of so many backends.
    #[must_use]
    pub fn new(backends: usize) -> Self {
        let known = std::iter::repeat_with(Arc::default);
        Self {
            known: known.take(backends).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// A pool of the backends of `addrs`, which remembers those that were in this one as `before`.
    #[must_use]
    pub fn changed(&self, before: &[BackendAddr], addrs: &[BackendAddr]) -> Self {
        let known = addrs.iter().enumerate().map(|(place, addr)| {
            // One that is listed twice is two.
            let nth = addrs.iter().take(place).filter(|a| *a == addr).count();
            let mut before = before.iter().zip(&self.known).filter(|(a, _)| *a == addr);
            before
                .nth(nth)
                .map(|(_, known)| known.clone())
                .unwrap_or_default()
        });
        Self {
            known: known.collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// What is remembered of each backend, in the order declared.
    #[must_use]
    pub fn known(&self) -> &[Arc<Known>] {
        &self.known
    }

    /// The place of the backend whose turn it is.
    pub fn turn(&self) -> usize {
        match self.known.len() {
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
            known: self.known.get(place),
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
        known: pool.and_then(|pool| pool.known.get(place)),
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

    #[test]
    fn a_backend_is_remembered_by_its_address() {
        let [a, b, c] = ["a:1", "b:1", "c:1"].map(|a| a.parse::<BackendAddr>().unwrap());
        let before = [a, b.clone()];
        let pool = Pool::new(2);
        let second = backends(&before, Some(&pool)).nth(1).unwrap();
        assert!(second.failed(3, 1000));
        pool.known()[1].add_ended(3, (1, 2));
        let now = [b, c];
        let pool = pool.changed(&before, &now);
        let failing: Vec<bool> = backends(&now, Some(&pool))
            .map(|backend| backend.failing().is_some())
            .collect();
        assert_eq!(failing, [true, false]);
        let ended: Vec<Bytes> = pool.known().iter().map(|known| known.ended(3)).collect();
        assert_eq!(ended, [(1, 2), (0, 0)]);
    }
}
