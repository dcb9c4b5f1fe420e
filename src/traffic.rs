//! Bytes of sessions that have ended, in parts.
//!
//! The live sessions are kept in the same parts, and a part here is added to and read under the lock
//! of that part there: so the sum of live and ended sessions never falls.

use std::sync::atomic::{AtomicU64, Ordering};

/// Number of parts.
pub const PARTS: usize = 16;

/// Bytes from and to clients.
pub type Bytes = (u64, u64);

/// Bytes from and to the clients of sessions that have ended.
#[derive(Debug, Default)]
pub struct Traffic([(AtomicU64, AtomicU64); PARTS]);

impl Traffic {
    /// Adds the bytes of a session of this part.
    pub fn add(&self, part: usize, (bytes_in, bytes_out): Bytes) {
        if let Some((of_in, of_out)) = self.0.get(part) {
            of_in.fetch_add(bytes_in, Ordering::Relaxed);
            of_out.fetch_add(bytes_out, Ordering::Relaxed);
        }
    }

    /// The bytes of the sessions of this part.
    #[must_use]
    pub fn part(&self, part: usize) -> Bytes {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        self.0
            .get(part)
            .map_or((0, 0), |(of_in, of_out)| (read(of_in), read(of_out)))
    }
}
