//! The backends of one database and the order in which a session tries them.
//!
//! Not here: health checks. A backend is only known to be failing by the dials that failed, and
//! it is still tried when its turn comes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::BackendAddr;

/// One address and whether the last dial to it failed.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub addr: BackendAddr,
    /// Its place in the order declared, from 0.
    pub place: usize,
    failing: AtomicBool,
}

impl Backend {
    /// Notes how a dial ended and tells whether that is news, so that trouble is logged once per
    /// change of state and not once per client.
    pub fn report(&self, ok: bool) -> bool {
        self.failing.swap(!ok, Ordering::Relaxed) == ok
    }

    /// Whether the last dial failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }
}

/// All backends of one database, taken in turn.
#[derive(Debug)]
pub struct Pool {
    backends: Box<[Backend]>,
    turn: AtomicUsize,
}

impl Pool {
    /// A pool of these addresses, in the order given.
    pub fn new(addrs: impl IntoIterator<Item = BackendAddr>) -> Self {
        Self {
            backends: addrs
                .into_iter()
                .enumerate()
                .map(|(place, addr)| Backend {
                    addr,
                    place,
                    failing: AtomicBool::new(false),
                })
                .collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Every backend once, beginning with the one whose turn it is.
    pub fn in_turn(&self) -> impl Iterator<Item = &Backend> {
        let start = match self.backends.len() {
            0 | 1 => 0,
            n => self.turn.fetch_add(1, Ordering::Relaxed) % n,
        };
        let (before, from) = self.backends.split_at(start);
        from.iter().chain(before)
    }

    /// Every backend, in the order declared.
    pub fn iter(&self) -> impl Iterator<Item = &Backend> {
        self.backends.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_starts_one_further_and_sees_all() {
        let pool = Pool::new(["a:1", "b:1", "c:1"].map(|a| a.parse().unwrap()));
        let rounds: Vec<String> = (0..4)
            .map(|_| pool.in_turn().map(|b| b.addr.to_string() + " ").collect())
            .collect();
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
        let pool = Pool::new(["a:1".parse().unwrap()]);
        let backend = pool.iter().next().unwrap();
        let news: Vec<bool> = [true, false, false, true, true]
            .map(|ok| backend.report(ok))
            .to_vec();
        assert_eq!(news, [false, true, false, true, false]);
    }
}
