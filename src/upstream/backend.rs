//! Backends, one for each address, shared by all databases that name it.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BackendAddr, Checks};

/// Entries up to which [`Backends`] does not look for those that nothing names any more.
const PRUNE_ABOVE: usize = 64;

/// An address, and the failure to reach it if there is one.
///
/// There may be very many, so it is small.
#[derive(Debug)]
pub struct Backend {
    addr: BackendAddr,
    pub(super) failure: FailureCell,
}

impl Backend {
    /// Its address.
    #[must_use]
    pub fn addr(&self) -> &BackendAddr {
        &self.addr
    }

    /// The failure to reach it, unless it has been reached since.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.failure.get()
    }
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Time of the first, in seconds of Unix time.
    pub since: u64,
    /// Reason of the last: a number that only the caller knows the meaning of.
    pub reason: u8,
}

/// A failure or none, read and written without a lock.
#[derive(Debug, Default)]
pub(super) struct FailureCell(AtomicU64);

impl FailureCell {
    pub(super) fn get(&self) -> Option<Failure> {
        let word = self.0.load(Ordering::Relaxed);
        let reason = u8::try_from((word >> 1) & 0xff).ok()?;
        let since = word >> 9;
        (word & 1 == 1).then_some(Failure { since, reason })
    }

    pub(super) fn set(&self, failure: Failure) {
        let word = (failure.since << 9) | (u64::from(failure.reason) << 1) | 1;
        self.0.store(word, Ordering::Relaxed);
    }

    /// Clears it and returns whether there was one.
    pub(super) fn clear(&self) -> bool {
        self.0.swap(0, Ordering::Relaxed) != 0
    }
}

/// The backends of all databases that have had a session, by address.
///
/// An entry that only this registry holds is as good as gone: its state is not handed out again,
/// and its memory is freed once there are twice as many entries as after the last search.
#[derive(Debug, Default)]
pub struct Backends {
    entries: Mutex<Entries>,
    /// Those that are checked.
    pub checks: Checks,
}

impl Backends {
    /// The backend of this address: the one that is held already, or else a new one.
    #[must_use]
    pub fn get_or_create(&self, addr: &BackendAddr) -> Arc<Backend> {
        let mut entries = self.entries();
        if let Some(entry) = entries.by_addr.get(addr)
            && entry.is_held()
        {
            return entry.0.clone();
        }
        if entries.by_addr.len() >= entries.prune_at.max(PRUNE_ABOVE) {
            entries.prune();
        }
        let backend = Arc::new(Backend {
            addr: addr.clone(),
            failure: FailureCell::default(),
        });
        entries.by_addr.replace(ByAddr(backend.clone()));
        backend
    }

    /// The failure to reach an address, if a backend of it is held and fails.
    #[must_use]
    pub fn failure(&self, addr: &BackendAddr) -> Option<Failure> {
        let entries = self.entries();
        entries
            .by_addr
            .get(addr)
            .filter(|e| e.is_held())?
            .0
            .failure()
    }

    /// Drops the entries that nothing else holds.
    pub fn prune(&self) {
        self.entries().prune();
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Entries {
    by_addr: HashSet<ByAddr>,
    /// Number of entries at which a new one makes the registry search them.
    prune_at: usize,
}

impl Entries {
    fn prune(&mut self) {
        self.by_addr.retain(ByAddr::is_held);
        self.prune_at = 2 * self.by_addr.len();
        self.by_addr.shrink_to(self.prune_at);
    }
}

#[derive(Debug)]
struct ByAddr(Arc<Backend>);

impl ByAddr {
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl Borrow<BackendAddr> for ByAddr {
    fn borrow(&self) -> &BackendAddr {
        &self.0.addr
    }
}

impl PartialEq for ByAddr {
    fn eq(&self, other: &Self) -> bool {
        self.0.addr == other.0.addr
    }
}

impl Eq for ByAddr {}

impl Hash for ByAddr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.addr.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_backend_for_as_long_as_it_is_held() {
        let backends = Backends::default();
        let (a, b) = ("a:1".parse().unwrap(), "b:1".parse().unwrap());
        let one = backends.get_or_create(&a);
        assert!(Arc::ptr_eq(&one, &backends.get_or_create(&a)));
        assert!(!Arc::ptr_eq(&one, &backends.get_or_create(&b)));
        let failure = Failure {
            since: 1000,
            reason: 255,
        };
        assert_eq!(backends.failure(&a), None);
        one.failure.set(failure);
        assert_eq!(backends.failure(&a), Some(failure));
        assert_eq!(backends.get_or_create(&a).failure(), Some(failure));
        drop(one);
        assert_eq!(backends.failure(&a), None);
        assert_eq!(backends.get_or_create(&a).failure(), None);
    }

    #[test]
    fn the_registry_does_not_grow_with_what_is_gone() {
        let backends = Backends::default();
        let kept = backends.get_or_create(&"kept:1".parse().unwrap());
        for port in 1..=10_000 {
            let addr = format!("10.0.0.5:{port}").parse().unwrap();
            let _ = backends.get_or_create(&addr);
        }
        assert!(backends.entries().by_addr.len() <= PRUNE_ABOVE + 1);
        assert!(Arc::ptr_eq(&kept, &backends.get_or_create(kept.addr())));
        drop(kept);
        backends.prune();
        assert!(backends.entries().by_addr.is_empty());
    }

    #[test]
    fn a_backend_takes_48_bytes_with_its_counts() {
        let counts = 2 * size_of::<usize>();
        assert!(counts + size_of::<Backend>() <= 48);
    }
}
