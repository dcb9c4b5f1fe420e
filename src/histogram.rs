//! A histogram of durations in a few classes, counted by any number of threads at once.
//!
//! Not here: its text ([`crate::metrics`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper ends of the classes, ends included: from a machine next door to `timeouts.handshake`.
pub const BOUNDS: [Duration; 7] = [
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_millis(2_500),
    Duration::from_secs(10),
];

/// One class for each of [`BOUNDS`], and one for what took longer.
const CLASSES: usize = BOUNDS.len() + 1;

/// A count of durations, without allocations and locks.
#[derive(Debug, Default)]
pub struct Histogram {
    classes: [AtomicU64; CLASSES],
    micros: AtomicU64,
}

/// The counts of a [`Histogram`] at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// For each of [`BOUNDS`], the number of durations up to it.
    pub up_to: [u64; BOUNDS.len()],
    /// Number of durations.
    pub count: u64,
    /// Sum of all of them, to the microsecond.
    pub sum: Duration,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let class = BOUNDS.iter().take_while(|bound| took > **bound).count();
        if let Some(class) = self.classes.get(class) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The counts so far; a duration that is counted meanwhile may be in them in part.
    #[must_use]
    pub fn read(&self) -> Counted {
        let mut count = 0;
        let mut up_to = [0; BOUNDS.len()];
        let places = up_to.iter_mut().map(Some).chain([None]);
        for (class, place) in self.classes.iter().zip(places) {
            count += class.load(Ordering::Relaxed);
            if let Some(place) = place {
                *place = count;
            }
        }
        Counted {
            up_to,
            count,
            sum: Duration::from_micros(self.micros.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_its_class_and_all_above() {
        let histogram = Histogram::default();
        for millis in [0, 1, 2, 25, 26, 10_000, 10_001] {
            histogram.observe(Duration::from_millis(millis));
        }
        let counted = histogram.read();
        assert_eq!(counted.up_to, [2, 3, 4, 5, 5, 5, 6]);
        assert_eq!(counted.count, 7);
        assert_eq!(counted.sum, Duration::from_millis(20_055));
    }
}
