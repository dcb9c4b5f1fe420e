//! The state directory: what `ctl` changed, kept over restarts and crashes.
//!
//! One file holds it, which each change writes anew. Where it has grown large, changes go into a
//! journal beside it, until that is as large as the file.
//!
//! Not here: what the changes mean ([`crate::route::runtime`]). Everything blocks; callers on an
//! async runtime have to expect a disk's time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::warn;

use super::journal::{self, Journal, Kept};
use super::syscalls;
use crate::file::own::{self, Sharing};
use crate::json;
use crate::route::admin::Admin;
use crate::route::runtime::{Lease, RuntimeEntry, RuntimeRecord};
use crate::route::spec::DatabaseSpec;
use crate::route::{Host, RuntimeChanges};

/// The layout of [`FILE`]. A gateway that needs another layout counts on and reads both.
///
/// 1 had no journal, and thereby no generation; 2 had no orders beside declarations and hosts. What
/// an earlier gateway wrote is written anew with the first change, so that none takes it for its own
/// and stumbles over it.
const VERSION: u64 = 3;

/// The file that holds the runtime changes.
const FILE: &str = "exposures.json";

/// The new [`FILE`] while it is being written. One left behind by a crash is removed.
const UNFINISHED: &str = "exposures.json.new";

/// The old [`FILE`], while a change may have to be taken back.
const BEFORE: &str = "exposures.json.old";

/// The changes since [`FILE`] was written.
const JOURNAL: &str = "exposures.journal";

/// The words for what a gateway starts without where [`FILE`] is moved away.
const WITHOUT_FILE: &str =
    ", and exposures.journal if it is there, to start without the exposures made by ctl";

/// The words for what a gateway starts without where [`JOURNAL`] is moved away.
const WITHOUT_JOURNAL: &str = " to start without what ctl did since exposures.json was written";

/// A file up to this size, in bytes, is written anew at each change.
const SMALL: u64 = 64 * 1024;

/// The largest [`FILE`], in bytes: room for half a million databases.
const MAX_SIZE: u64 = 256 * 1024 * 1024;

/// The largest [`JOURNAL`], in bytes: it ends with the change that made it larger than the file.
const MAX_JOURNAL: u64 = 2 * MAX_SIZE;

/// Locked for as long as a gateway uses the directory; the file itself is empty.
const LOCK: &str = "lock";

/// The reason why the state directory cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// The directory or its lock cannot be made.
    #[error("cannot use the state directory {}: {source}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "another dbgate uses the state directory {}: stop it, or name another directory with --state-dir",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file of exposures cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The file of exposures holds something else. It is left as it is.
    #[error(
        "{} is damaged ({what}): repair it, or move it away{without}",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        what: String,
        /// The words for what a gateway then starts without.
        without: &'static str,
    },
}

/// A directory that this process alone keeps its state in, until dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    files: Mutex<Files>,
    _lock: File,
}

/// The state of the two files.
#[derive(Debug, Default)]
struct Files {
    /// The number of times that [`FILE`] was written.
    generation: u64,
    /// Its size in bytes.
    size: u64,
    /// The changes since then.
    journal: Option<Journal>,
}

/// The layout of [`FILE`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    version: u64,
    #[serde(default)]
    generation: u64,
    #[serde(default)]
    databases: BTreeMap<Arc<str>, DatabaseSpec>,
    #[serde(default)]
    exposed: BTreeMap<Arc<str>, BTreeMap<Host, Lease>>,
    #[serde(default)]
    hidden: BTreeMap<Arc<str>, BTreeSet<Host>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    admin: BTreeMap<Arc<str>, Arc<Admin>>,
}

impl StateDir {
    /// Takes the directory for this process, making it (mode 0700) where it is missing.
    ///
    /// # Errors
    /// It cannot be made or written, others could change what is in it, or another process has it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::Open {
            path: path.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        own::check_directory(path, Sharing::None).map_err(failed)?;
        let lock = own::open_or_create(&path.join(LOCK)).map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| {
            if errno == rustix::io::Errno::WOULDBLOCK {
                StateError::InUse {
                    path: path.to_owned(),
                }
            } else {
                failed(errno.into())
            }
        })?;
        Ok(Self {
            path: path.to_owned(),
            files: Mutex::default(),
            _lock: lock,
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The runtime changes that were saved last; none if nothing was saved. Call it before the first
    /// save.
    ///
    /// # Errors
    /// A file cannot be read or understood. Neither is touched.
    pub fn load(&self) -> Result<RuntimeChanges, StateError> {
        let mut files = self.files();
        *files = Files::default();
        let mut runtime = RuntimeChanges::default();
        let path = self.path.join(FILE);
        match own::read(&path, MAX_SIZE) {
            Ok(text) => {
                let whole = understand(&text).map_err(|what| StateError::Damaged {
                    path,
                    what,
                    without: WITHOUT_FILE,
                })?;
                files.generation = whole.generation;
                let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
                files.size = if whole.version == VERSION { size } else { 0 };
                runtime = RuntimeChanges::from(RuntimeRecord {
                    databases: whole.databases,
                    exposed: whole.exposed,
                    hidden: whole.hidden,
                    ended: BTreeMap::new(),
                    admin: whole.admin,
                });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(StateError::Read { path, source }),
        }
        let path = self.path.join(JOURNAL);
        match Journal::replay(&path, MAX_JOURNAL, files.generation, &mut runtime) {
            Ok(journal) => files.journal = journal,
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                let what = e.to_string();
                return Err(StateError::Damaged {
                    path,
                    what,
                    without: WITHOUT_JOURNAL,
                });
            }
            Err(source) => return Err(StateError::Read { path, source }),
        }
        // As for the journal: what is confirmed from here on must not be lost to a power cut.
        syscalls::directory(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(|source| StateError::Read {
                path: self.path.clone(),
                source,
            })?;
        Ok(runtime)
    }

    /// Keeps a change, which has made `runtime` of what it was before: once this returns it
    /// survives a crash of the machine, and before that what was kept last does.
    ///
    /// One that can neither be written nor taken back counts as kept, with a warning
    /// in the log: it is what the next process will find.
    ///
    /// # Errors
    /// The directory cannot be written; what was kept last is still there.
    pub fn save(
        &self,
        change: &BTreeMap<&str, RuntimeEntry>,
        runtime: &RuntimeChanges,
    ) -> io::Result<()> {
        let kept = self
            .keep(change, runtime)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.path.display())))?;
        if let Kept::Unsynced(error) = kept {
            warn!(
                directory = %self.path.display(),
                %error,
                "a change is made, but may be lost if the machine loses power: the disk did not take it, and it cannot be taken back"
            );
        }
        Ok(())
    }

    fn keep(
        &self,
        change: &BTreeMap<&str, RuntimeEntry>,
        runtime: &RuntimeChanges,
    ) -> io::Result<Kept> {
        let mut files = self.files();
        let Files {
            generation,
            size,
            journal,
        } = &mut *files;
        // A file of the first layout has no generation to which a journal could belong to.
        if *generation > 0 && *size > SMALL && journal.as_ref().map_or(0, Journal::len) <= *size {
            let line = journal::line(change)?;
            if let Some(journal) = journal {
                return journal.append(&line);
            }
            return self.begin_journal(*generation, &line, journal);
        }
        // Should writing fail half way, it is not known to which file the journal belongs: the next
        // change then writes it anew, too.
        *generation += 1;
        *journal = None;
        *size = 0;
        let kept;
        (*size, kept) = self.write(*generation, runtime)?;
        // Of no use any more, and of no harm if it stays: it belongs to the file before.
        let _ = syscalls::remove(&self.path.join(JOURNAL));
        Ok(kept)
    }

    /// Begins the journal with a change.
    fn begin_journal(
        &self,
        generation: u64,
        line: &[u8],
        journal: &mut Option<Journal>,
    ) -> io::Result<Kept> {
        // Opened first: it must not fail for want of a descriptor when there is something to undo.
        let directory = syscalls::directory(&self.path)?;
        let path = self.path.join(JOURNAL);
        let begun = Journal::begin(&path, generation, line);
        let error = match begun.and_then(|begun| syscalls::sync(&directory).map(|()| begun)) {
            Ok(begun) => {
                *journal = Some(begun);
                return Ok(Kept::Synced);
            }
            Err(error) => error,
        };
        // Whoever reads it after a crash must not find what was refused.
        if syscalls::remove(&path).is_err() && syscalls::create(&path).is_err() {
            *journal = Journal::replay(
                &path,
                MAX_JOURNAL,
                generation,
                &mut RuntimeChanges::default(),
            )?;
            if fs::read(&path)?.ends_with(line) {
                return Ok(Kept::Unsynced(error));
            }
        }
        let _ = syscalls::sync(&directory);
        Err(error)
    }

    /// Writes the file anew and gives its size.
    fn write(&self, generation: u64, runtime: &RuntimeChanges) -> io::Result<(u64, Kept)> {
        let RuntimeRecord {
            databases,
            exposed,
            hidden,
            ended: _,
            admin,
        } = runtime.lasting();
        let mut text = serde_json::to_vec_pretty(&Whole {
            version: VERSION,
            generation,
            databases,
            exposed,
            hidden,
            admin,
        })?;
        text.push(b'\n');
        if u64::try_from(text.len()).is_ok_and(|size| size > MAX_SIZE) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let [file, unfinished, before] =
            [FILE, UNFINISHED, BEFORE].map(|name| self.path.join(name));
        let new = syscalls::create(&unfinished)?;
        syscalls::write(&new, &text)?;
        syscalls::sync(&new)?;
        // Opened before the rename: it must not fail for want of a descriptor after it.
        let directory = syscalls::directory(&self.path)?;
        let was_there = file.exists();
        if was_there {
            syscalls::remove(&before)?;
            syscalls::link(&file, &before)?;
        }
        syscalls::rename(&unfinished, &file)?;
        let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let Err(error) = syscalls::sync(&directory) else {
            let _ = syscalls::remove(&before);
            return Ok((size, Kept::Synced));
        };
        // Whoever reads it after a crash must not find what was refused.
        let undone = if was_there {
            syscalls::rename(&before, &file)
        } else {
            syscalls::remove(&file)
        };
        if undone.is_err() {
            return Ok((size, Kept::Unsynced(error)));
        }
        let _ = syscalls::sync(&directory);
        Err(error)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn understand(text: &[u8]) -> Result<Whole, String> {
    #[derive(Deserialize)]
    struct Version {
        version: Option<u64>,
    }
    let Version { version } = json::from_slice(text).map_err(|e| e.to_string())?;
    match version {
        Some(1..=VERSION) => json::from_slice(text).map_err(|e| e.to_string()),
        Some(newer) if newer > VERSION => {
            Err(format!("version {newer} was written by a newer dbgate"))
        }
        _ => Err("it has no version".to_owned()),
    }
}

#[cfg(test)]
mod tests;
