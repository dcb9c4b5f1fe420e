//! Descriptors that are kept back from sessions, so that whoever wants to look or to change
//! something still gets one when clients have taken all others: the control socket, monitoring, a
//! reload, look-ups of names, the journal.
//!
//! The system gives out the lowest number that is free. So a socket of a session whose number is
//! among the last ones of the limit says that all below are taken; no count has to be kept.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// The first number that is kept back; until [`reserve`] is called there is none.
static FIRST: AtomicI32 = AtomicI32::new(RawFd::MAX);

/// The part of all others that is kept back from new clients, one in so many: those who are in
/// already need another descriptor for their backend, and more to relay fast.
const BACKEND_SHARE: RawFd = 8;

/// Keeps back the last `count` of `limit` descriptors, and at most a quarter of them.
pub fn reserve(count: u64, limit: u64) {
    let first = limit - count.min(limit / 4);
    FIRST.store(
        RawFd::try_from(first).unwrap_or(RawFd::MAX),
        Ordering::Relaxed,
    );
}

/// Fails, as the system does that has no more descriptors, if this one is kept back: whoever has
/// opened it for a session has to close it.
///
/// # Errors
/// `EMFILE`.
pub fn check(descriptor: &impl AsRawFd) -> io::Result<()> {
    if descriptor.as_raw_fd() < FIRST.load(Ordering::Relaxed) {
        return Ok(());
    }
    Err(Errno::MFILE.into())
}

/// Whether a client that was accepted with this descriptor may be served.
pub fn may_serve(client: &impl AsRawFd) -> bool {
    let first = FIRST.load(Ordering::Relaxed);
    client.as_raw_fd() < first - first / BACKEND_SHARE
}

/// Whether a client would get a descriptor with which it may be served. It costs two system calls;
/// any open descriptor will do to ask.
pub fn has_room(any: &impl AsFd) -> bool {
    fcntl_dupfd_cloexec(any, 0).is_ok_and(|copy| may_serve(&copy))
}

/// Whether an error says that this machine has run out of descriptors or memory, and not that the
/// peer is at fault.
#[must_use]
pub fn is_exhaustion(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    // Of these only ENOMEM has a stable ErrorKind.
    matches!(
        number,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}
