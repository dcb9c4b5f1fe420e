//! The backends of one database and the order in which a session tries them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::backend::FailureCell;
use super::{Backend, BackendAddr, Backends, Failure};
use crate::traffic::{Bytes, Traffic};

/// A backend in the pool of one database: what depends on the database's settings, such as TLS,
/// and what its sessions have moved.
#[derive(Debug)]
pub struct Member {
    backend: Arc<Backend>,
    /// Failures since the backend was reached.
    failure: FailureCell,
    /// Made at the end of the first session.
    ended: OnceLock<Box<Traffic>>,
}

impl Member {
    fn new(backend: Arc<Backend>) -> Arc<Self> {
        Arc::new(Self {
            backend,
            failure: FailureCell::default(),
            ended: OnceLock::new(),
        })
    }

    /// The backend's address.
    #[must_use]
    pub fn addr(&self) -> &BackendAddr {
        self.backend.addr()
    }

    /// The failure because of which the backend does not serve this database, unless it has since.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match (self.backend.failure(), self.failure.get()) {
            (Some(unreachable), Some(before)) => Some(Failure {
                since: unreachable.since.min(before.since),
                ..unreachable
            }),
            (unreachable, failure) => unreachable.or(failure),
        }
    }

    /// Records that the backend has answered a client, and returns whether it failed before, so
    /// that a change of state is logged once and not once per client.
    #[must_use]
    pub fn answered(&self) -> bool {
        let was_unreachable = self.backend.failure.clear();
        self.failure.clear() || was_unreachable
    }

    /// Records that the backend could not be reached at `now`, in seconds of Unix time: a failure
    /// for every database that names it. Returns whether it is the first in a row.
    #[must_use]
    pub fn unreachable(&self, reason: u8, now: u64) -> bool {
        let first = self.failure().is_none();
        let since = self.backend.failure().map_or(now, |before| before.since);
        self.backend.failure.set(Failure { since, reason });
        first
    }

    /// Records that the backend was reached at `now`, in seconds of Unix time, and did not serve
    /// this database. Returns whether it is the first failure in a row.
    #[must_use]
    pub fn failed(&self, reason: u8, now: u64) -> bool {
        let before = self.failure();
        let since = before.map_or(now, |before| before.since);
        self.failure.set(Failure { since, reason });
        self.backend.failure.clear();
        before.is_none()
    }

    /// Adds the bytes of a session of this part that has left the backend.
    pub fn add_ended(&self, part: usize, bytes: Bytes) {
        if bytes != (0, 0) {
            self.ended.get_or_init(Box::default).add(part, bytes);
        }
    }

    /// The bytes of the sessions of this part that have left the backend.
    #[must_use]
    pub fn ended(&self, part: usize) -> Bytes {
        self.ended.get().map_or((0, 0), |ended| ended.part(part))
    }
}

/// The members of one database's pool, in the order declared, and whose turn it is.
#[derive(Debug)]
pub struct Pool {
    members: Box<[Arc<Member>]>,
    turn: AtomicUsize,
}

impl Pool {
    /// Creates a pool of the backends of these addresses.
    #[must_use]
    pub fn new(backends: &Backends, addrs: &[BackendAddr]) -> Self {
        let members = addrs.iter().map(|addr| backends.get_or_create(addr));
        Self {
            members: members.map(Member::new).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Creates a pool of the backends of these addresses, which takes over the turn, and those
    /// members that are in this pool.
    #[must_use]
    pub fn with(&self, backends: &Backends, addrs: &[BackendAddr]) -> Self {
        let mut left: Vec<_> = self.members.iter().collect();
        let members = addrs.iter().map(|addr| {
            // An address that is listed twice is two members.
            match left.iter().position(|member| member.addr() == addr) {
                Some(at) => left.remove(at).clone(),
                None => Member::new(backends.get_or_create(addr)),
            }
        });
        Self {
            members: members.collect(),
            turn: AtomicUsize::new(self.turn.load(Ordering::Relaxed)),
        }
    }

    /// The members, in the order declared.
    #[must_use]
    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// The members as the next session tries them: round robin.
    #[must_use]
    pub fn candidates(self: &Arc<Self>) -> Candidates {
        let first = match self.members.len() {
            0 | 1 => 0,
            n => self.turn.fetch_add(1, Ordering::Relaxed) % n,
        };
        Candidates {
            pool: self.clone(),
            first,
            tried: 0,
        }
    }
}

/// The members of a pool in the order in which one session tries them, each once.
#[derive(Debug)]
pub struct Candidates {
    pool: Arc<Pool>,
    first: usize,
    tried: usize,
}

impl Iterator for Candidates {
    /// A member and its place in the order declared, from 0.
    type Item = (usize, Arc<Member>);

    fn next(&mut self) -> Option<Self::Item> {
        let members = self.pool.members();
        if self.tried >= members.len() {
            return None;
        }
        let place = (self.first + self.tried).checked_rem(members.len())?;
        self.tried += 1;
        Some((place, members.get(place)?.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(list: &str) -> Vec<BackendAddr> {
        let addrs = list.split_whitespace();
        addrs.map(|addr| addr.parse().unwrap()).collect()
    }

    fn pool(list: &str) -> Arc<Pool> {
        Arc::new(Pool::new(&Backends::default(), &addrs(list)))
    }

    #[test]
    fn each_session_starts_one_further_and_sees_all() {
        let pool = pool("a:1 b:1 c:1");
        let round = || -> String {
            let candidates = pool.candidates();
            candidates
                .map(|(_, m)| m.addr().to_string() + " ")
                .collect()
        };
        let rounds: Vec<String> = (0..4).map(|_| round()).collect();
        assert_eq!(
            rounds,
            [
                "a:1 b:1 c:1 ",
                "b:1 c:1 a:1 ",
                "c:1 a:1 b:1 ",
                "a:1 b:1 c:1 "
            ]
        );
        assert!(self::pool("").candidates().next().is_none());
    }

    #[test]
    fn only_a_change_of_state_is_news() {
        let pool = pool("a:1");
        let member = &pool.members()[0];
        let failure = |since, reason| Some(Failure { since, reason });
        assert!(!member.answered());
        assert!(member.unreachable(3, 1000));
        assert!(!member.unreachable(255, 2000));
        assert_eq!(member.failure(), failure(1000, 255));
        assert!(!member.failed(4, 3000));
        assert_eq!(member.failure(), failure(1000, 4));
        assert!(!member.unreachable(3, 4000));
        assert_eq!(member.failure(), failure(1000, 3));
        assert!(member.answered());
        assert!(!member.answered());
        assert_eq!(member.failure(), None);
        assert!(member.failed(4, 5000));
    }

    #[test]
    fn databases_share_what_is_known_of_an_address() {
        let registry = Backends::default();
        let one = Pool::new(&registry, &addrs("a:1 b:1"));
        let other = Pool::new(&registry, &addrs("c:1 a:1"));
        let (a_of_one, a_of_other) = (&one.members()[0], &other.members()[1]);
        assert!(a_of_one.unreachable(3, 1000));
        assert_eq!(a_of_other.failure(), a_of_one.failure());
        assert!(!a_of_other.unreachable(3, 2000), "known already");
        assert!(a_of_other.answered());
        assert_eq!(a_of_one.failure(), None);
        // A certificate that one database does not trust says nothing about the other.
        assert!(a_of_one.failed(7, 3000));
        assert_eq!(a_of_other.failure(), None);
        assert!(!a_of_other.answered());
        assert!(a_of_one.failure().is_some());
        // Bytes belong to the pair.
        a_of_one.add_ended(3, (1, 2));
        assert_eq!((a_of_one.ended(3), a_of_other.ended(3)), ((1, 2), (0, 0)));
    }

    #[test]
    fn another_list_keeps_what_is_known_of_its_addresses_and_the_turn() {
        let registry = Backends::default();
        let pool = Pool::new(&registry, &addrs("a:1 b:1 b:1 c:1"));
        let [_, b, twin, c] = pool.members() else {
            panic!("{pool:?}");
        };
        assert!(b.failed(3, 1000) && c.unreachable(3, 1000));
        twin.add_ended(3, (1, 2));
        let pool = Arc::new(pool);
        let _ = pool.candidates();
        let changed = Arc::new(pool.with(&registry, &addrs("d:1 c:1 b:1 b:1")));
        let failing = changed.members().iter().map(|m| m.failure().is_some());
        assert_eq!(failing.collect::<Vec<_>>(), [false, true, true, false]);
        let ended = changed.members().iter().map(|m| m.ended(3));
        assert_eq!(ended.collect::<Vec<_>>(), [(0, 0), (0, 0), (0, 0), (1, 2)]);
        let (place, first) = changed.candidates().next().unwrap();
        assert_eq!((place, first.addr().to_string()), (1, "c:1".into()));
    }
}
