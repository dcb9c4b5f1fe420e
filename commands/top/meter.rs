//! Rates of counters: their values over the last minute, rates over a window of them.
//!
//! Time is the gateway's own, in milliseconds since its start; nothing here asks a clock.

use std::collections::VecDeque;

/// The window of rates, in milliseconds; the screen says so.
pub(crate) const WINDOW_MS: u64 = 10_000;

/// Time for which values are kept, in milliseconds.
pub(crate) const KEPT_MS: u64 = 60_000;

/// The most values kept: enough for one a second and the silence before it, whatever the
/// interval.
const VALUES: usize = 128;

/// A pair of counters (in and out) and their recent past.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    values: VecDeque<(u64, u64, u64)>,
}

impl Meter {
    /// Records the counters at `now`. A counter that went back has begun anew.
    pub(crate) fn record(&mut self, now: u64, (a, b): (u64, u64)) {
        match self.values.back_mut() {
            Some(last) if a < last.1 || b < last.2 => {
                self.values.clear();
            }
            Some(last) if last.0 == now => {
                *last = (now, a, b);
                return;
            }
            _ => {}
        }
        // One value before the kept time stays: it is what the counters were at its beginning.
        while self.values.len() >= VALUES
            || self
                .values
                .get(1)
                .is_some_and(|second| second.0 + KEPT_MS <= now)
        {
            self.values.pop_front();
        }
        self.values.push_back((now, a, b));
    }

    /// The same for counters that are only sent when they move: until `before`, the last refresh,
    /// they had not.
    pub(crate) fn record_move(&mut self, before: u64, now: u64, values: (u64, u64)) {
        if let Some(&(at, a, b)) = self.values.back()
            && at < before
        {
            self.record(before, (a, b));
        }
        self.record(now, values);
    }

    /// True if nothing has been recorded yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The counters at `time`, or the earliest known.
    fn at(&self, time: u64) -> Option<(u64, u64, u64)> {
        let before = self.values.iter().rev().find(|value| value.0 <= time);
        before.or(self.values.front()).copied()
    }

    /// Both counters' increase a second over the last `window` milliseconds before `now`, or over
    /// the time known if that is less.
    pub(crate) fn rates(&self, now: u64, window: u64) -> (f64, f64) {
        let start = now.saturating_sub(window);
        let (Some(from), Some(to)) = (self.at(start), self.values.back()) else {
            return (0.0, 0.0);
        };
        let known = now.saturating_sub(from.0.max(start));
        if known == 0 {
            return (0.0, 0.0);
        }
        let rate = |a: u64, b: u64| as_f64(b - a) * 1000.0 / as_f64(known);
        (rate(from.1, to.1), rate(from.2, to.2))
    }

    /// Both counters' increase over the last `window` milliseconds before `now`.
    pub(crate) fn increase(&self, now: u64, window: u64) -> (u64, u64) {
        match (self.at(now.saturating_sub(window)), self.values.back()) {
            (Some(from), Some(to)) => (to.1 - from.1, to.2 - from.2),
            _ => (0, 0),
        }
    }

    /// True if anything was recorded within the window before `now`.
    pub(crate) fn is_moving(&self, now: u64) -> bool {
        self.values
            .back()
            .is_some_and(|last| last.0 + WINDOW_MS > now)
    }

    /// Both counters' increase in each of the last `slots` pieces of the last minute before
    /// `now`, the latest last.
    pub(crate) fn history(&self, now: u64, slots: usize) -> (Vec<u64>, Vec<u64>) {
        let (mut a, mut b) = (vec![0; slots], vec![0; slots]);
        let pieces = u64::try_from(slots).unwrap_or(1).max(1);
        let start = now.saturating_sub(KEPT_MS);
        for (from, to) in self.values.iter().zip(self.values.iter().skip(1)) {
            if to.0 <= start || to.0 > now {
                continue;
            }
            // Spread over the time in which it came.
            let piece = |time: u64| time.saturating_sub(start + 1) * pieces / KEPT_MS;
            let (first, last) = (piece(from.0 + 1), piece(to.0));
            let shares = last - first + 1;
            for place in first..=last {
                let place = usize::try_from(place).unwrap_or(0);
                for (slots, step) in [(&mut a, to.1 - from.1), (&mut b, to.2 - from.2)] {
                    if let Some(slot) = slots.get_mut(place) {
                        *slot += step / shares;
                    }
                }
            }
        }
        (a, b)
    }
}

/// A count as a number to divide by; what is lost beyond 2^53 is not seen on a screen.
#[expect(clippy::cast_precision_loss, reason = "shown in three digits")]
pub(crate) fn as_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_over_the_window_or_what_is_known_of_it() {
        let mut meter = Meter::default();
        assert_eq!(meter.rates(0, WINDOW_MS), (0.0, 0.0));
        meter.record(1_000, (100, 0));
        assert_eq!(meter.rates(1_000, WINDOW_MS), (0.0, 0.0));
        meter.record(3_000, (300, 50));
        assert_eq!(meter.rates(3_000, WINDOW_MS), (100.0, 25.0));
        // Nothing moves any more: the rate fades as the window passes, and is nothing then.
        assert_eq!(meter.rates(11_000, WINDOW_MS), (20.0, 5.0));
        assert_eq!(meter.rates(13_000, WINDOW_MS), (0.0, 0.0));
        assert!(!meter.is_moving(13_000));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut meter = Meter::default();
        for second in 0..1000 {
            meter.record(second * 100, (second, second));
        }
        assert_eq!(meter.values.len(), VALUES);
        for second in 100..300 {
            meter.record(second * 1000, (second * 10, second * 20));
        }
        assert!(meter.values.len() <= 62, "{}", meter.values.len());
        let (a, b) = meter.history(299_000, 60);
        assert_eq!((a, b), (vec![10; 60], vec![20; 60]));
    }

    #[test]
    fn a_burst_after_silence_is_no_slow_stream() {
        let mut meter = Meter::default();
        meter.record(1_000, (0, 0));
        meter.record_move(59_000, 60_000, (600, 60));
        let (a, _) = meter.history(60_000, 60);
        assert_eq!((a[58], a[59]), (0, 600));
        meter.record(62_000, (1_600, 60));
        let (a, _) = meter.history(62_000, 60);
        assert_eq!(a[57..], [600, 500, 500]);
    }

    #[test]
    fn a_counter_that_goes_back_begins_anew() {
        let mut meter = Meter::default();
        meter.record(1_000, (500, 500));
        meter.record(2_000, (5, 5));
        assert_eq!(meter.rates(2_000, WINDOW_MS), (0.0, 0.0));
    }
}
