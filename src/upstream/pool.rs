//! The backends of one database and the order in which a session tries them.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec;

use super::balance::{Balance, Balancing, MAX_WEIGHT, distance};
use super::{BackendAddr, Backends, Checked, CheckedState, Member};

/// The members of one database's pool, in the order declared, and whose turn it is.
#[derive(Debug)]
pub struct Pool {
    members: Box<[Arc<Member>]>,
    /// What is known of each by checks; empty where none are made.
    checks: Box<[Arc<Checked>]>,
    /// With [`Balance::RoundRobin`]: the turns that each member is behind the others, by place; empty
    /// before the first.
    credits: Mutex<Vec<i64>>,
}

impl Pool {
    /// Creates a pool of the backends of these addresses, and the checks of each, if there are any.
    #[must_use]
    pub fn new(backends: &Backends, addrs: &[BackendAddr], checks: Box<[Arc<Checked>]>) -> Self {
        let members = addrs.iter().map(|addr| backends.get_or_create(addr));
        Self {
            members: members.map(Member::new).collect(),
            checks,
            credits: Mutex::default(),
        }
    }

    /// Creates a pool of the backends of these addresses, which takes over those members that are
    /// in this pool, and their turns.
    #[must_use]
    pub fn with(
        &self,
        backends: &Backends,
        addrs: &[BackendAddr],
        checks: Box<[Arc<Checked>]>,
    ) -> Self {
        let credits = self.credits();
        let credit = |place| credits.get(place).copied().unwrap_or(0);
        let mut left: Vec<_> = self.members.iter().enumerate().collect();
        let members = addrs.iter().map(|addr| {
            // An address that is listed twice is two members.
            match left.iter().position(|(_, member)| member.addr() == addr) {
                Some(at) => {
                    let (place, member) = left.remove(at);
                    (member.clone(), credit(place))
                }
                None => (Member::new(backends.get_or_create(addr)), 0),
            }
        });
        let (members, credits): (Vec<_>, Vec<_>) = members.unzip();
        Self {
            members: members.into(),
            checks,
            credits: Mutex::new(credits),
        }
    }

    /// The members, in the order declared.
    #[must_use]
    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// True if it is checked in this way.
    #[must_use]
    pub fn is_checked_by(&self, checks: &[Arc<Checked>]) -> bool {
        self.checks
            .iter()
            .map(Arc::as_ptr)
            .eq(checks.iter().map(Arc::as_ptr))
    }

    /// What is known of each by checks, in the order declared; empty where none are made.
    #[must_use]
    pub fn checks(&self) -> &[Arc<Checked>] {
        &self.checks
    }

    /// What is known by checks of the member at this place.
    #[must_use]
    pub fn check(&self, place: usize) -> Option<&Arc<Checked>> {
        self.checks.get(place)
    }

    /// The members as the next session tries them, without those at the places that are `drained`:
    /// those that serve, by the rule, those that are starting, then those that fail. Of these one
    /// comes first where it is to be tried again at `now`, in seconds of Unix time; asked for only
    /// if that matters.
    ///
    /// Those that checks call down are not among them, with two exceptions, since it may be the
    /// check that is broken: those whose sessions are answered all the same, and where nothing else
    /// is left, one session now and then.
    #[must_use]
    pub fn candidates(
        self: &Arc<Self>,
        balancing: Balancing<'_>,
        client: IpAddr,
        drained: impl Fn(usize) -> bool,
        now: fn() -> u64,
    ) -> Candidates {
        let (first, rest) = match &*self.members {
            [] => (None, Vec::new()),
            [_] if self.checks.is_empty() => ((!drained(0)).then_some(0), Vec::new()),
            _ => (None, self.order(balancing, client, drained, now)),
        };
        Candidates {
            pool: self.clone(),
            first,
            rest: rest.into_iter(),
        }
    }

    fn order(
        &self,
        balancing: Balancing<'_>,
        client: IpAddr,
        drained: impl Fn(usize) -> bool,
        now: fn() -> u64,
    ) -> Vec<usize> {
        let (mut serving, mut failing) = (Vec::with_capacity(self.members.len()), Vec::new());
        let (mut starting, mut down) = (Vec::new(), Vec::new());
        let mut again = None;
        for (place, member) in self.members.iter().enumerate() {
            if drained(place) {
                continue;
            }
            let check = self.check(place);
            let failure = member.failure_beside(check.map(|check| &**check));
            let state = check.map_or(CheckedState::Unchecked, |check| check.state());
            if state == CheckedState::Down {
                let is_contradicted = check.is_some_and(|check| check.is_contradicted());
                if failure.is_none() && is_contradicted {
                    starting.push(place);
                } else {
                    down.push(place);
                }
            } else if failure.is_none() {
                let ready = match state {
                    CheckedState::Starting => &mut starting,
                    _ => &mut serving,
                };
                ready.push(place);
            } else if again.is_none() && member.take_retry(now()) {
                again = Some(place);
            } else {
                failing.push(place);
            }
        }
        self.arrange(&mut serving, balancing, client);
        self.arrange(&mut starting, balancing, client);
        self.arrange(&mut failing, balancing, client);
        let mut order: Vec<_> = again.into_iter().collect();
        order.append(&mut serving);
        order.append(&mut starting);
        order.append(&mut failing);
        if order.is_empty() {
            let due = |place: &usize| {
                let member = self.members.get(*place);
                member.is_some_and(|member| member.take_retry(now()))
            };
            order.extend(down.into_iter().find(due));
        }
        order
    }

    /// Brings the members at these places into the order in which a session tries them.
    fn arrange(&self, places: &mut [usize], balancing: Balancing<'_>, client: IpAddr) {
        let weight = |place: usize| balancing.weight(place);
        match balancing.balance {
            Balance::First => {}
            Balance::RoundRobin => {
                let first = self.take_turn(places, balancing);
                places.rotate_left(first);
            }
            Balance::LeastSessions => places.sort_by_cached_key(|&place| {
                // In millionths, the largest weight: no two loads look alike that are not.
                let sessions = self
                    .members
                    .get(place)
                    .map_or(0, |member| member.sessions());
                u64::from(sessions) * u64::from(MAX_WEIGHT) / u64::from(weight(place))
            }),
            Balance::SourceIp => {
                let distance = |&place: &usize| match self.members.get(place) {
                    Some(member) => distance(client, member.addr(), weight(place)),
                    None => f64::INFINITY,
                };
                let mut by_distance: Vec<_> = places.iter().map(|p| (distance(p), *p)).collect();
                by_distance.sort_by(|(one, _), (other, _)| one.total_cmp(other));
                for (place, (_, sorted)) in places.iter_mut().zip(by_distance) {
                    *place = sorted;
                }
            }
        }
    }

    /// Gives the turn to one of the members at these places, and returns its index among them.
    ///
    /// Source: the smooth weighted round robin of nginx. Each gains its weight, the first of those
    /// that have most loses what all have gained.
    fn take_turn(&self, places: &[usize], balancing: Balancing<'_>) -> usize {
        if places.len() < 2 {
            return 0;
        }
        let mut credits = self.credits();
        credits.resize(self.members.len(), 0);
        let (mut total, mut most) = (0, None);
        for (index, &place) in places.iter().enumerate() {
            let gain = i64::from(balancing.weight(place));
            total += gain;
            let Some(credit) = credits.get_mut(place) else {
                continue;
            };
            *credit += gain;
            if most.is_none_or(|(_, _, before)| *credit > before) {
                most = Some((index, place, *credit));
            }
        }
        let (index, place, _) = most.unwrap_or_default();
        if let Some(credit) = credits.get_mut(place) {
            *credit -= total;
        }
        index
    }

    fn credits(&self) -> MutexGuard<'_, Vec<i64>> {
        self.credits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The members of a pool in the order in which one session tries them, each once.
#[derive(Debug)]
pub struct Candidates {
    pool: Arc<Pool>,
    /// The only one.
    first: Option<usize>,
    rest: vec::IntoIter<usize>,
}

impl Iterator for Candidates {
    /// A member and its place in the order declared, from 0.
    type Item = (usize, Arc<Member>);

    fn next(&mut self) -> Option<Self::Item> {
        let place = self.first.take().or_else(|| self.rest.next())?;
        Some((place, self.pool.members().get(place)?.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Failure;

    fn addrs(list: &str) -> Vec<BackendAddr> {
        let addrs = list.split_whitespace();
        addrs.map(|addr| addr.parse().unwrap()).collect()
    }

    fn pool(list: &str) -> Arc<Pool> {
        Arc::new(Pool::new(
            &Backends::default(),
            &addrs(list),
            Box::default(),
        ))
    }

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn by(balance: Balance, weights: &[u32]) -> Balancing<'_> {
        Balancing { balance, weights }
    }

    fn tried(pool: &Arc<Pool>, balancing: Balancing<'_>, now: fn() -> u64) -> String {
        let candidates = pool.candidates(balancing, CLIENT, |_| false, now);
        let tried: Vec<_> = candidates.map(|(_, m)| m.addr().to_string()).collect();
        tried.join(" ")
    }

    fn rounds(pool: &Arc<Pool>, balancing: Balancing<'_>) -> Vec<String> {
        (0..4).map(|_| tried(pool, balancing, || 0)).collect()
    }

    #[test]
    fn the_first_is_tried_first_and_turns_go_round() {
        let three = pool("a:1 b:1 c:1");
        assert_eq!(rounds(&three, Balancing::default()), ["a:1 b:1 c:1"; 4]);
        let in_turn = by(Balance::RoundRobin, &[]);
        let expected = ["a:1 b:1 c:1", "b:1 c:1 a:1", "c:1 a:1 b:1", "a:1 b:1 c:1"];
        assert_eq!(rounds(&three, in_turn), expected);
        let weighted = by(Balance::RoundRobin, &[3, 1]);
        let expected = ["a:1 b:1", "a:1 b:1", "b:1 a:1", "a:1 b:1"];
        assert_eq!(rounds(&pool("a:1 b:1"), weighted), expected);
        assert!(
            pool("")
                .candidates(in_turn, CLIENT, |_| false, || 0)
                .next()
                .is_none()
        );
    }

    #[test]
    fn the_fewest_sessions_for_its_weight() {
        let pool = pool("a:1 b:1 c:1");
        let fewest = by(Balance::LeastSessions, &[1, 1, 3]);
        let mut held = Vec::new();
        let mut chosen = String::new();
        for _ in 0..10 {
            let mut candidates = pool.candidates(fewest, CLIENT, |_| false, || 0);
            let (place, member) = candidates.next().unwrap();
            chosen += ["a", "b", "c"][place];
            held.push(member.count());
        }
        assert_eq!(chosen, "abcccabccc");
        drop(held);
        assert!(pool.members().iter().all(|member| member.sessions() == 0));
    }

    #[test]
    fn what_fails_comes_last_but_for_one_try_now_and_then() {
        let pool = pool("a:1 b:1 c:1");
        let rule = Balancing::default();
        assert!(pool.members()[0].failed(3, 1000));
        assert_eq!(tried(&pool, rule, || 1009), "b:1 c:1 a:1");
        assert_eq!(tried(&pool, rule, || 1010), "a:1 b:1 c:1");
        assert_eq!(tried(&pool, rule, || 1010), "b:1 c:1 a:1");
        assert_eq!(tried(&pool, rule, || 1020), "a:1 b:1 c:1");
        assert!(pool.members()[0].answered());
        assert_eq!(tried(&pool, rule, || 1020), "a:1 b:1 c:1");
        for member in pool.members() {
            let _ = member.failed(3, 2000);
        }
        assert_eq!(tried(&pool, rule, || 2001), "a:1 b:1 c:1", "as declared");
    }

    #[test]
    fn what_is_drained_is_not_tried_not_even_now_and_then() {
        let rule = Balancing::default();
        for (list, expected) in [("a:1", ""), ("a:1 b:1 c:1", "b:1 c:1")] {
            let pool = pool(list);
            assert!(pool.members()[0].failed(3, 1000));
            let candidates = pool.candidates(rule, CLIENT, |place| place == 0, || 9000);
            let tried: Vec<_> = candidates.map(|(_, m)| m.addr().to_string()).collect();
            assert_eq!(tried.join(" "), expected);
            assert_eq!(self::tried(&pool, rule, || 9000), list, "still due");
        }
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
        let one = Pool::new(&registry, &addrs("a:1 b:1"), Box::default());
        let other = Pool::new(&registry, &addrs("c:1 a:1"), Box::default());
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
        let pool = Pool::new(&registry, &addrs("a:1 b:1 b:1 c:1"), Box::default());
        let [_, b, twin, c] = pool.members() else {
            panic!("{pool:?}");
        };
        assert!(b.failed(3, 1000) && c.unreachable(3, 1000));
        twin.add_ended(3, (1, 2));
        let changed = pool.with(&registry, &addrs("d:1 c:1 b:1 b:1"), Box::default());
        let failing = changed.members().iter().map(|m| m.failure().is_some());
        assert_eq!(failing.collect::<Vec<_>>(), [false, true, true, false]);
        let ended = changed.members().iter().map(|m| m.ended(3));
        assert_eq!(ended.collect::<Vec<_>>(), [(0, 0), (0, 0), (0, 0), (1, 2)]);
        let in_turn = by(Balance::RoundRobin, &[]);
        let pool = self::pool("e:1 f:1 g:1");
        assert_eq!(tried(&pool, in_turn, || 0), "e:1 f:1 g:1");
        let changed = Arc::new(pool.with(&registry, &addrs("h:1 g:1 f:1"), Box::default()));
        assert_eq!(tried(&changed, in_turn, || 0), "g:1 f:1 h:1");
    }
}
