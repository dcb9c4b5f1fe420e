//! The clients of one database that wait because none of its backends is ready: their number, whose
//! turn it is to try, and the word that a backend is ready.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The shortest pause before an attempt; it doubles with each.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause before an attempt.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The clients of one database that wait.
#[derive(Debug, Default)]
pub struct HeldClients {
    count: AtomicU32,
    /// Held by the client that tries next.
    pub turn: tokio::sync::Mutex<()>,
    /// Notified when a backend has answered one of them.
    pub ready: Notify,
    attempts: Mutex<Attempts>,
}

/// The attempts since a backend was ready last.
#[derive(Debug, Default)]
struct Attempts {
    ready: Option<Instant>,
    pause: Duration,
    woken: Option<Instant>,
}

impl HeldClients {
    /// Counts one more, unless `max` wait, until the result is dropped.
    #[must_use]
    pub fn enter(&self, max: u32) -> Option<HeldClient<'_>> {
        let more = |n: u32| (n < max).then(|| n + 1);
        self.count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(HeldClient(self))
    }

    /// The number that wait now.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Notes that a backend has answered one of them, and lets the others try at once.
    pub fn release(&self) {
        *self.attempts() = Attempts {
            ready: Some(Instant::now()),
            ..Attempts::default()
        };
        self.ready.notify_waiters();
    }

    /// The pause before the next attempt of a client that failed at `failed`; `None` if a backend
    /// has been ready since.
    #[must_use]
    pub fn pause_after(&self, failed: Instant) -> Option<Duration> {
        let mut attempts = self.attempts();
        if attempts.ready.is_some_and(|ready| ready > failed) {
            return None;
        }
        attempts.pause = (attempts.pause * 2).clamp(MIN_PAUSE, MAX_PAUSE);
        Some(attempts.pause)
    }

    /// True if the database is to be woken: that was not done since a backend was ready last, or
    /// `again` ago.
    #[must_use]
    pub fn wake(&self, again: Duration) -> bool {
        let mut attempts = self.attempts();
        let due = attempts.woken.is_none_or(|woken| woken.elapsed() >= again);
        if due {
            attempts.woken = Some(Instant::now());
        }
        due
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that waits.
#[derive(Debug)]
pub struct HeldClient<'a>(&'a HeldClients);

impl Drop for HeldClient<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_wait_and_no_more() {
        let held = HeldClients::default();
        let (first, second) = (held.enter(2), held.enter(2));
        assert!(first.is_some() && second.is_some() && held.enter(2).is_none());
        drop(first);
        assert_eq!(held.count(), 1);
        assert!(held.enter(2).is_some());
    }

    #[test]
    fn attempts_become_rare_until_a_backend_is_ready() {
        let held = HeldClients::default();
        let failed = Instant::now();
        let pauses = || [(); 6].map(|()| held.pause_after(failed).map(|p| p.as_millis()));
        let rare = [100, 200, 400, 800, 1000, 1000].map(Some);
        assert_eq!(pauses(), rare);
        assert!(held.wake(MAX_PAUSE) && !held.wake(MAX_PAUSE) && held.wake(Duration::ZERO));
        held.release();
        assert_eq!(held.pause_after(failed), None, "it failed before that");
        let failed = Instant::now();
        assert_eq!(held.pause_after(failed), Some(MIN_PAUSE));
        assert!(held.wake(MAX_PAUSE), "another outage");
    }
}
