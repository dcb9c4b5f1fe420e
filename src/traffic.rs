//! Bytes of sessions that have ended, in parts.
//!
//! Whoever keeps the live sessions divides them into the same parts, and adds and reads a part
//! while it holds that part of them: so the sum of live and ended sessions never falls.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many parts there are.
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
