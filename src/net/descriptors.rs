//! File descriptors that are reserved, so that the control socket, monitoring, a reload, look-ups
//! of names and the journal still get one when sessions have taken all others.
//!
//! The system assigns the lowest free number. So a session's socket whose number is among the last
//! of the limit means that all below are taken; no count has to be kept.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// First reserved number; none is reserved until [`reserve`] is called.
static FIRST: AtomicI32 = AtomicI32::new(RawFd::MAX);

/// Share of the other descriptors that is not for new clients, one in so many: sessions need
/// another descriptor for their backend, and more to splice.
const BACKEND_SHARE: RawFd = 8;

/// Descriptors that the process needs in addition to its sessions.
const OWN: u64 = 200;

/// The limit on open files of this process.
fn limit() -> u64 {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Number of sessions that the limit on open files leaves room for, two descriptors each; under a
/// very low limit half of all are for sessions.
#[must_use]
pub fn sessions() -> usize {
    let limit = limit();
    let fit = (limit.saturating_sub(OWN) / 2).max(limit / 4);
    usize::try_from(fit).unwrap_or(usize::MAX).max(1)
}

/// Reserves the last `count` descriptors, and at most a quarter of all.
pub fn reserve(count: u64) {
    let limit = limit();
    let first = limit - count.min(limit / 4);
    FIRST.store(
        RawFd::try_from(first).unwrap_or(RawFd::MAX),
        Ordering::Relaxed,
    );
}

/// Fails, as if the system had no more descriptors, if this one is reserved: a session must close
/// it.
///
/// # Errors
/// `EMFILE`.
pub fn check(descriptor: &impl AsRawFd) -> io::Result<()> {
    if descriptor.as_raw_fd() < FIRST.load(Ordering::Relaxed) {
        return Ok(());
    }
    Err(Errno::MFILE.into())
}

/// Returns true if a client that was accepted with this descriptor may be served.
pub fn may_serve(client: &impl AsRawFd) -> bool {
    let first = FIRST.load(Ordering::Relaxed);
    client.as_raw_fd() < first - first / BACKEND_SHARE
}

/// Returns true if the next client would get a descriptor with which it may be served. Costs two
/// system calls; any open descriptor will do as `any`.
pub fn has_room(any: &impl AsFd) -> bool {
    fcntl_dupfd_cloexec(any, 0).is_ok_and(|copy| may_serve(&copy))
}

/// Returns true if an error means that this machine has run out of descriptors or memory, and not
/// that the peer is at fault.
#[must_use]
pub fn is_exhaustion(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    // Of these only ENOMEM has a stable ErrorKind.
    matches!(
        number,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}
