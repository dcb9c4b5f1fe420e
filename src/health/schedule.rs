//! The order of checks in time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::upstream::Checked;

/// The checks to come.
pub(super) struct Schedule {
    begin: Instant,
    due: BinaryHeap<Due>,
}

/// A check to come.
struct Due {
    at: Instant,
    checked: Weak<Checked>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl Schedule {
    pub(super) fn new(begin: Instant) -> Self {
        Self {
            begin,
            due: BinaryHeap::new(),
        }
    }

    /// Adds backends that have not been checked yet: they are at once.
    pub(super) fn add(&mut self, new: Vec<Weak<Checked>>, now: Instant) {
        let new = new.into_iter();
        self.due.extend(new.map(|checked| Due { at: now, checked }));
    }

    /// The time of the next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.peek().map(|due| due.at)
    }

    /// Takes those that are due, `most` at most.
    pub(super) fn due(&mut self, now: Instant, most: usize) -> Vec<Arc<Checked>> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(due) = self.due.peek()
            && due.at <= now
        {
            // Those that no database has any more go here.
            taken.extend(self.due.pop().and_then(|due| due.checked.upgrade()));
        }
        taken
    }

    /// Adds one whose check began at `began` and has ended now.
    pub(super) fn again(&mut self, checked: &Arc<Checked>, began: Instant, now: Instant) {
        let at = if checked.seen().is_unsettled() {
            began + checked.timing.fast_interval
        } else {
            self.slot(checked, began)
        };
        self.due.push(Due {
            at: at.max(now),
            checked: Arc::downgrade(checked),
        });
    }

    /// The next of the times at which this one is checked while it is up: its own, so that checks
    /// are spread over the interval.
    fn slot(&self, checked: &Checked, after: Instant) -> Instant {
        let interval = checked.timing.interval;
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&*checked.check);
        let offset =
            interval.mul_f64(f64::from(u32::try_from(hash >> 32).unwrap_or(0)) / 4_294_967_296.0);
        let since = after.saturating_duration_since(self.begin + offset);
        let rounds = since.as_nanos() / interval.as_nanos().max(1);
        let passed = u64::try_from((rounds + 1) * interval.as_nanos()).unwrap_or(u64::MAX);
        let next = self.begin + offset + Duration::from_nanos(passed);
        // The first of them may be this very interval's.
        if next > after + interval {
            next - interval
        } else {
            next
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Check, Checks, Speak, Timing};

    fn checked(checks: &Checks, port: u16) -> Arc<Checked> {
        let check = Check {
            addr: format!("10.0.0.5:{port}").parse().unwrap(),
            speak: Some(Speak::Tcp),
            http: None,
            proxy: None,
        };
        checks.get_or_create(check, Timing::default())
    }

    #[test]
    fn checks_are_spread_over_the_interval_and_keep_their_place() {
        let checks = Checks::default();
        let begin = Instant::now();
        let mut schedule = Schedule::new(begin);
        let all: Vec<_> = (1..=100).map(|port| checked(&checks, port)).collect();
        schedule.add(all.iter().map(Arc::downgrade).collect(), begin);
        assert_eq!(schedule.due(begin, 60).len(), 60);
        assert_eq!(schedule.due(begin, 60).len(), 40, "the first at once");
        let interval = Timing::default().interval;
        let mut seconds = [0; 5];
        for one in &all {
            let _ = one.add(Ok(()), 1, Duration::ZERO);
            let first = schedule.slot(one, begin);
            assert!(
                first > begin && first <= begin + interval,
                "{:?}",
                first - begin
            );
            assert_eq!(schedule.slot(one, first), first + interval);
            let late = first + Duration::from_millis(10);
            assert_eq!(schedule.slot(one, late), first + interval);
            seconds[usize::try_from((first - begin).as_millis() / 1001).unwrap()] += 1;
        }
        assert!(seconds.iter().all(|count| *count > 8), "{seconds:?}");
    }

    #[test]
    fn what_is_not_plainly_up_is_asked_soon_and_what_is_gone_never() {
        let checks = Checks::default();
        let begin = Instant::now();
        let mut schedule = Schedule::new(begin);
        let (one, gone) = (checked(&checks, 1), checked(&checks, 2));
        schedule.again(&one, begin, begin);
        schedule.again(&gone, begin, begin);
        drop(gone);
        let soon = begin + Timing::default().fast_interval;
        assert_eq!(schedule.next(), Some(soon));
        assert!(schedule.due(begin, 9).is_empty());
        assert_eq!(schedule.due(soon, 9).len(), 1);
        assert_eq!(schedule.next(), None);
    }
}
