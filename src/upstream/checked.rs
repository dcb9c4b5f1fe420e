//! What checks have found of a backend: its state, since when and why.
//!
//! Source: HAProxy configuration manual, "rise", "fall" and "fastinter".

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::check::{Check, Timing};

/// A backend that is checked, and what is known of it.
///
/// Times are milliseconds of Unix time.
#[derive(Debug)]
pub struct Checked {
    /// The question.
    pub check: Arc<Check>,
    /// Its rhythm.
    pub timing: Timing,
    seen: Mutex<Seen>,
    /// Time at which a session was answered last.
    answered: AtomicU64,
}

/// The state of a backend by its checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckedState {
    /// No check has ended yet.
    #[default]
    Unchecked,
    /// It answers.
    Up,
    /// It answers again, but not often enough yet.
    Starting,
    /// It does not answer.
    Down,
}

/// What checks have found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The state.
    pub state: CheckedState,
    /// Time since when; 0 before the first check.
    pub since: u64,
    /// The failure of the last check, if it failed.
    pub failure: Option<CheckFailure>,
    /// Time of the first of the failures in a row of which that is the last.
    pub failing_since: u64,
    /// Time at which the last check ended, and how long it took.
    pub last: Option<(u64, Duration)>,
    /// Checks in a row that speak against the state.
    against: u32,
}

/// The failure of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckFailure {
    /// Its reason: a number that only the caller knows the meaning of.
    pub reason: u8,
    /// A sentence that is safe to print.
    pub detail: Arc<str>,
}

impl Seen {
    /// Adds the result of a check that ended at `now`; true if the state is another then.
    ///
    /// The first check decides alone.
    fn add(&mut self, result: Result<(), CheckFailure>, timing: &Timing, now: u64) -> bool {
        let good = result.is_ok();
        match &result {
            Err(_) if self.failure.is_none() => self.failing_since = now,
            _ => {}
        }
        self.failure = result.err();
        let is_for = match self.state {
            CheckedState::Unchecked => false,
            CheckedState::Up | CheckedState::Starting => good,
            CheckedState::Down => !good,
        };
        self.against = match self.state {
            // Successes, here: they lead up.
            CheckedState::Starting if good => self.against + 1,
            _ if is_for => 0,
            _ => self.against + 1,
        };
        let next = match self.state {
            CheckedState::Unchecked if good => CheckedState::Up,
            CheckedState::Unchecked => CheckedState::Down,
            CheckedState::Up if self.against >= timing.fall => CheckedState::Down,
            CheckedState::Starting if !good => CheckedState::Down,
            CheckedState::Starting | CheckedState::Down if good && self.against >= timing.rise => {
                CheckedState::Up
            }
            CheckedState::Down if good => CheckedState::Starting,
            same => same,
        };
        if next == self.state {
            return false;
        }
        if next != CheckedState::Starting {
            self.against = 0;
        }
        (self.state, self.since) = (next, now);
        true
    }

    /// True if the next check should come soon.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        self.state != CheckedState::Up || self.failure.is_some()
    }
}

impl Checked {
    /// What is known.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> CheckedState {
        self.lock().state
    }

    /// True if its checks fail and sessions are answered all the same: then the check is what is
    /// broken.
    #[must_use]
    pub fn is_contradicted(&self) -> bool {
        let seen = self.lock();
        seen.failure.is_some() && self.answered.load(Ordering::Relaxed) > seen.failing_since
    }

    /// Time since when it is up without a break; `None` if it is not.
    #[must_use]
    pub fn up_since(&self) -> Option<u64> {
        let seen = self.lock();
        (seen.state == CheckedState::Up).then_some(seen.since)
    }

    /// Adds the result of a check that ended at `now`; what is known then, if the state is another.
    #[must_use]
    pub fn add(&self, result: Result<(), CheckFailure>, now: u64, took: Duration) -> Option<Seen> {
        let mut seen = self.lock();
        let changed = seen.add(result, &self.timing, now);
        seen.last = Some((now, took));
        changed.then(|| seen.clone())
    }

    /// Notes that a session was answered at `now`.
    pub fn answered(&self, now: u64) {
        self.answered.store(now, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All backends that are checked.
///
/// An entry lives as long as a database holds it.
#[derive(Debug, Default)]
pub struct Checks(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_check: HashMap<Arc<Check>, Vec<Weak<Checked>>>,
    /// Those that nobody has taken yet.
    new: Vec<Weak<Checked>>,
    waiting: Option<Waker>,
    /// Number of entries at which a new one makes the registry search them.
    prune_at: usize,
}

/// Entries up to which [`Checks`] does not look for those that nothing holds any more.
const PRUNE_ABOVE: usize = 64;

impl Checks {
    /// The backend of this check: the one that is held already, or else a new one. With another
    /// rhythm than before it begins with what is known.
    #[must_use]
    pub fn get_or_create(&self, check: Check, timing: Timing) -> Arc<Checked> {
        let mut entries = self.entries();
        let (mut key, mut before) = (None, None);
        if let Some((known, held)) = entries.by_check.get_key_value(&check) {
            for held in held.iter().filter_map(Weak::upgrade) {
                if held.timing == timing {
                    return held;
                }
                before = Some(held);
            }
            key = Some(known.clone());
        }
        if entries.by_check.len() >= entries.prune_at.max(PRUNE_ABOVE) {
            entries.prune();
        }
        let check = key.unwrap_or_else(|| Arc::new(check));
        let (seen, answered) = before.map_or_else(Default::default, |before| {
            (before.seen(), before.answered.load(Ordering::Relaxed))
        });
        let checked = Arc::new(Checked {
            check: check.clone(),
            timing,
            seen: Mutex::new(seen),
            answered: AtomicU64::new(answered),
        });
        let held = entries.by_check.entry(check).or_default();
        held.retain(|held| held.strong_count() > 0);
        held.push(Arc::downgrade(&checked));
        entries.new.push(Arc::downgrade(&checked));
        if let Some(waiting) = entries.waiting.take() {
            waiting.wake();
        }
        checked
    }

    /// Waits for new ones, and takes them. One caller waits at a time.
    pub async fn next(&self) -> Vec<Weak<Checked>> {
        poll_fn(|context| {
            let mut entries = self.entries();
            if entries.new.is_empty() {
                entries.waiting = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(std::mem::take(&mut entries.new))
        })
        .await
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn prune(&mut self) {
        self.by_check.retain(|_, held| {
            held.retain(|held| held.strong_count() > 0);
            !held.is_empty()
        });
        self.new.retain(|new| new.strong_count() > 0);
        self.prune_at = 2 * self.by_check.len();
        self.by_check.shrink_to(self.prune_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Speak;

    fn check(port: u16) -> Check {
        Check {
            addr: format!("10.0.0.5:{port}").parse().unwrap(),
            speak: Some(Speak::Tcp),
            http: None,
            proxy: None,
        }
    }

    fn fails() -> Result<(), CheckFailure> {
        Err(CheckFailure {
            reason: 3,
            detail: "refused".into(),
        })
    }

    /// The states after each check: `+` succeeds, `-` fails.
    fn states(timing: Timing, checks: &str) -> String {
        let checked = Checks::default().get_or_create(check(1), timing);
        let mut states = String::new();
        for (at, result) in (1..).zip(checks.chars()) {
            let before = checked.state();
            let result = if result == '+' { Ok(()) } else { fails() };
            let changed = checked.add(result, at, Duration::ZERO);
            assert_eq!(changed.is_some(), checked.state() != before);
            states.push(match checked.state() {
                CheckedState::Unchecked => '?',
                CheckedState::Up => 'u',
                CheckedState::Starting => 's',
                CheckedState::Down => 'd',
            });
        }
        states
    }

    #[test]
    fn the_first_check_decides_and_then_so_many_in_a_row() {
        let timing = Timing::default();
        for (checks, expected) in [
            ("+--+---", "uuuuuud"),
            ("-+-++", "dsdsu"),
            ("---+--++", "dddsddsu"),
        ] {
            assert_eq!(states(timing, checks), expected, "{checks}");
        }
        let long = Timing { rise: 4, ..timing };
        assert_eq!(states(long, "-+++-++++"), "dsssdsssu");
        let short = Timing {
            rise: 1,
            fall: 1,
            ..timing
        };
        assert_eq!(states(short, "+-+-"), "udud");
    }

    #[test]
    fn sessions_that_are_answered_contradict_checks_that_fail() {
        let checked = Checks::default().get_or_create(check(1), Timing::default());
        let mut at = 10;
        let mut add = |result| {
            at += 10;
            let _ = checked.add(result, at, Duration::ZERO);
        };
        add(Ok(()));
        checked.answered(25);
        add(fails());
        assert!(!checked.is_contradicted(), "answered before that");
        add(fails());
        checked.answered(45);
        add(fails());
        assert_eq!(checked.state(), CheckedState::Down);
        assert!(checked.is_contradicted());
        add(Ok(()));
        assert!(!checked.is_contradicted());
        add(fails());
        assert!(!checked.is_contradicted(), "a new row of failures");
    }

    #[test]
    fn those_that_ask_the_same_share_the_answer_for_as_long_as_one_holds_it() {
        let checks = Checks::default();
        let timing = Timing::default();
        let one = checks.get_or_create(check(1), timing);
        assert!(Arc::ptr_eq(&one, &checks.get_or_create(check(1), timing)));
        assert!(one.add(Ok(()), 7, Duration::ZERO).is_some());
        let rarely = Timing {
            interval: Duration::from_secs(60),
            ..timing
        };
        let other = checks.get_or_create(check(1), rarely);
        assert!(!Arc::ptr_eq(&one, &other));
        assert_eq!(other.seen(), one.seen(), "what is known stays known");
        drop((one, other));
        let again = checks.get_or_create(check(1), timing);
        assert_eq!(again.state(), CheckedState::Unchecked);
        for port in 1..=10_000 {
            drop(checks.get_or_create(check(port), timing));
        }
        let entries = checks.entries();
        assert!(entries.by_check.len() <= PRUNE_ABOVE + 2);
        assert!(entries.new.len() <= 2 * PRUNE_ABOVE + 4);
    }
}
