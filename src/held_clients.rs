//! The clients of one database that wait because none of its backends is ready: their number, which
//! one of them tries for all, and the word that a backend is ready.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Notify};

/// The clients of one database that wait.
#[derive(Debug, Default)]
pub struct HeldClients {
    count: AtomicU32,
    /// Held by the one client that tries for all.
    pub turn: Mutex<Turn>,
    /// Notified when that client has reached a backend.
    pub ready: Notify,
}

/// The state that goes from one client that tries for all to the next.
#[derive(Debug, Default)]
pub struct Turn {
    /// The pause before the next attempt.
    pub pause: Duration,
    /// Time of the last call by `wake`.
    pub woken: Option<Instant>,
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
}
