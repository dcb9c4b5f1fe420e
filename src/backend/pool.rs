//! The backends of one database and the order in which a session tries them.
//!
//! Not here: health checks. A backend is only known to be failing by the dials that failed, and
//! it is still tried when its turn comes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::BackendAddr;

/// One address of a pool, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Backend<'a> {
    /// Where it listens.
    pub addr: &'a BackendAddr,
    /// Its place in the order declared, from 0.
    pub place: usize,
    failing: Option<&'a AtomicBool>,
}

impl Backend<'_> {
    /// Notes how a dial ended and tells whether that is news, so that trouble is logged once per
    /// change of state and not once per client.
    #[must_use]
    pub fn report(&self, ok: bool) -> bool {
        self.failing
            .is_some_and(|failing| failing.swap(!ok, Ordering::Relaxed) == ok)
    }

    /// Whether the last dial failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing
            .is_some_and(|failing| failing.load(Ordering::Relaxed))
    }
}

/// What is remembered of the backends of one database; their addresses are in its declaration.
#[derive(Debug)]
pub struct Pool {
    failing: Box<[AtomicBool]>,
    turn: AtomicUsize,
}

impl Pool {
    /// A pool of so many backends.
    #[must_use]
    pub fn new(backends: usize) -> Self {
        let failing = std::iter::repeat_with(AtomicBool::default);
        Self {
            failing: failing.take(backends).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// The place of the backend whose turn it is.
    pub fn turn(&self) -> usize {
        match self.failing.len() {
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
            failing: self.failing.get(place),
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
        failing: pool.and_then(|pool| pool.failing.get(place)),
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
        let news: Vec<bool> = [true, false, false, true, true]
            .map(|ok| backend.report(ok))
            .to_vec();
        assert_eq!(news, [false, true, false, true, false]);
        assert!(!backends(&addrs, None).any(|backend| backend.is_failing()));
    }
}
