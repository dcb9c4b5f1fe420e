//! Bytes that may be read from a client, granted in steps by whoever bounds them over all clients.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A count of the bytes read from one client, and of those that may be read.
///
/// A [`Buffered`](super::Buffered) stream with an allowance reads no further once that is used up:
/// it is pending without a waker. Whoever polls it has to look at [`Self::is_exhausted`], grant
/// more and poll again.
#[derive(Debug)]
pub struct ReadAllowance {
    read: AtomicUsize,
    granted: AtomicUsize,
    exhausted: AtomicBool,
}

impl ReadAllowance {
    /// An allowance of `granted` bytes.
    #[must_use]
    pub fn new(granted: usize) -> Self {
        Self {
            read: AtomicUsize::new(0),
            granted: AtomicUsize::new(granted),
            exhausted: AtomicBool::new(false),
        }
    }

    /// True after a read that was not begun because nothing was left.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// Raises the allowance to `total` bytes since the beginning.
    pub fn grant(&self, total: usize) {
        self.granted.fetch_max(total, Ordering::Relaxed);
        self.exhausted.store(false, Ordering::Relaxed);
    }

    /// Bytes that may be read now; with 0 the reader waits.
    pub(super) fn left(&self) -> usize {
        let granted = self.granted.load(Ordering::Relaxed);
        let left = granted.saturating_sub(self.read.load(Ordering::Relaxed));
        self.exhausted.store(left == 0, Ordering::Relaxed);
        left
    }

    /// Counts bytes that were read.
    pub(super) fn count(&self, n: usize) {
        self.read.fetch_add(n, Ordering::Relaxed);
    }
}
