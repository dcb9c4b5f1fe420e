//! The system calls that keep a change, one function each, so that a test can make any of them fail.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::file::own;

/// Makes a file that only its owner may read, in the place of any other.
pub(super) fn create(path: &Path) -> io::Result<File> {
    fault()?;
    own::create(path, 0o600)
}

/// Opens a directory, to be synced: a file that is new, or has a new name, is on disk only once its
/// directory is.
pub(super) fn directory(path: &Path) -> io::Result<File> {
    fault()?;
    File::open(path)
}

pub(super) fn write(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    fault()?;
    file.write_all(bytes)
}

pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    if let Err(fault) = fault() {
        // As a disk that is full: some of it is there.
        file.write_all_at(bytes.get(..bytes.len() / 2).unwrap_or_default(), offset)?;
        return Err(fault);
    }
    file.write_all_at(bytes, offset)
}

pub(super) fn sync(file: &File) -> io::Result<()> {
    fault()?;
    file.sync_all()
}

pub(super) fn sync_data(file: &File) -> io::Result<()> {
    fault()?;
    file.sync_data()
}

pub(super) fn set_len(file: &File, len: u64) -> io::Result<()> {
    fault()?;
    file.set_len(len)
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fault()?;
    fs::rename(from, to)
}

/// Gives a file a second name.
pub(super) fn link(from: &Path, to: &Path) -> io::Result<()> {
    fault()?;
    fs::hard_link(from, to)
}

/// Removes a file; one that is not there is removed.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fault()?;
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests it fails")]
fn fault() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
use faults::fault;

#[cfg(test)]
pub(super) mod faults {
    //! Faults of this thread's calls.

    use std::cell::Cell;
    use std::io;

    /// The calls that fail, counted from 0 since the plan was made, and their error.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Plan {
        pub(crate) first: u32,
        pub(crate) last: u32,
        pub(crate) errno: i32,
    }

    thread_local! {
        static PLAN: Cell<Option<Plan>> = const { Cell::new(None) };
        static CALLS: Cell<u32> = const { Cell::new(0) };
    }

    /// Lets calls fail while `act` runs; gives also how many calls it made.
    pub(crate) fn with<T>(plan: Plan, act: impl FnOnce() -> T) -> (T, u32) {
        PLAN.set(Some(plan));
        CALLS.set(0);
        let done = act();
        PLAN.set(None);
        (done, CALLS.get())
    }

    pub(crate) fn fault() -> io::Result<()> {
        let Some(plan) = PLAN.get() else {
            return Ok(());
        };
        let call = CALLS.replace(CALLS.get() + 1);
        if (plan.first..=plan.last).contains(&call) {
            return Err(io::Error::from_raw_os_error(plan.errno));
        }
        Ok(())
    }
}
