//! A backend in the pool of one database.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::backend::FailureCell;
use super::{Backend, BackendAddr, Checked, Failure};
use crate::traffic::{Bytes, Traffic};

/// Time from a failure until one session tries the backend again, in seconds.
const RETRY_AFTER: u64 = 10;

/// A backend in the pool of one database: what depends on the database's settings, such as TLS,
/// and what its sessions have moved.
#[derive(Debug)]
pub struct Member {
    backend: Arc<Backend>,
    /// Failures since the backend was reached.
    failure: FailureCell,
    /// Unix time from which a session may try it again although it fails.
    retry_at: AtomicU64,
    /// Sessions that it serves, or that are being connected to it.
    sessions: AtomicU32,
    /// Made at the end of the first session.
    ended: OnceLock<Box<Traffic>>,
}

impl Member {
    pub(super) fn new(backend: Arc<Backend>) -> Arc<Self> {
        Arc::new(Self {
            backend,
            failure: FailureCell::default(),
            retry_at: AtomicU64::new(0),
            sessions: AtomicU32::new(0),
            ended: OnceLock::new(),
        })
    }

    /// The backend's address.
    #[must_use]
    pub fn addr(&self) -> &BackendAddr {
        self.backend.addr()
    }

    /// The failure because of which the backend does not serve this database, unless it has since.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match (self.backend.failure(), self.failure.get()) {
            (Some(unreachable), Some(before)) => Some(Failure {
                since: unreachable.since.min(before.since),
                ..unreachable
            }),
            (unreachable, failure) => unreachable.or(failure),
        }
    }

    /// The failure because of which sessions are not led to the backend: one that came after its
    /// checks called it up, where it is checked.
    #[must_use]
    pub fn failure_beside(&self, check: Option<&Checked>) -> Option<Failure> {
        let failure = self.failure()?;
        let last = self.retry_at.load(Ordering::Relaxed);
        let up_since = check.and_then(Checked::up_since);
        let is_mended = up_since.is_some_and(|ms| ms / 1000 >= last.saturating_sub(RETRY_AFTER));
        (!is_mended).then_some(failure)
    }

    /// Records that the backend has answered a client, and returns whether it failed before, so
    /// that a change of state is logged once and not once per client.
    #[must_use]
    pub fn answered(&self) -> bool {
        let was_unreachable = self.backend.failure.clear();
        self.failure.clear() || was_unreachable
    }

    /// Records that the backend could not be reached at `now`, in seconds of Unix time: a failure
    /// for every database that names it. Returns whether it is the first in a row.
    #[must_use]
    pub fn unreachable(&self, reason: u8, now: u64) -> bool {
        let first = self.failure().is_none();
        let since = self.backend.failure().map_or(now, |before| before.since);
        self.backend.failure.set(Failure { since, reason });
        self.retry_at.store(now + RETRY_AFTER, Ordering::Relaxed);
        first
    }

    /// Records that the backend was reached at `now`, in seconds of Unix time, and did not serve
    /// this database. Returns whether it is the first failure in a row.
    #[must_use]
    pub fn failed(&self, reason: u8, now: u64) -> bool {
        let before = self.failure();
        let since = before.map_or(now, |before| before.since);
        self.failure.set(Failure { since, reason });
        self.backend.failure.clear();
        self.retry_at.store(now + RETRY_AFTER, Ordering::Relaxed);
        before.is_none()
    }

    /// Takes the turn to try it again although it fails, at `now` in seconds of Unix time: one
    /// session has it every ten seconds until one is answered.
    pub(super) fn take_retry(&self, now: u64) -> bool {
        let due = |at| (at <= now).then_some(now + RETRY_AFTER);
        self.retry_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, due)
            .is_ok()
    }

    /// Sessions that it serves, or that are being connected to it.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Counts a session until the result is dropped.
    #[must_use]
    pub fn count(self: &Arc<Self>) -> Counted {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    /// Adds the bytes of a session of this part that has left the backend.
    pub fn add_ended(&self, part: usize, bytes: Bytes) {
        if bytes != (0, 0) {
            self.ended.get_or_init(Box::default).add(part, bytes);
        }
    }

    /// The bytes of the sessions of this part that have left the backend.
    #[must_use]
    pub fn ended(&self, part: usize) -> Bytes {
        self.ended.get().map_or((0, 0), |ended| ended.part(part))
    }
}

/// A session that counts at a backend, until this is dropped.
#[derive(Debug)]
pub struct Counted(Arc<Member>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}
