//! The state directory: what `ctl` changed, kept over restarts and crashes.
//!
//! Not here: what the changes mean ([`crate::route::overlay`]). Everything blocks; callers on an
//! async runtime have to expect a disk's time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::route::Overlay;

/// The layout of [`FILE`]. A gateway that needs another layout counts on and reads both.
const VERSION: u64 = 1;

/// The file that holds the overlay.
const FILE: &str = "exposures.json";

/// What [`FILE`] is while it is being written. One left behind by a crash is overwritten.
const UNFINISHED: &str = "exposures.json.new";

/// Locked for as long as a gateway uses the directory; the file itself is empty.
const LOCK: &str = "lock";

/// Why the state directory cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// The directory or its lock cannot be made.
    #[error("cannot use the state directory {}: {source}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
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
        /// Why.
        source: io::Error,
    },
    /// The file of exposures holds something else. It is left as it is.
    #[error(
        "{} is damaged ({what}): repair it, or move it away to start without the exposures made by ctl",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// A directory that this process alone keeps its state in, until dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

#[derive(Serialize)]
struct Kept<'a> {
    version: u64,
    #[serde(flatten)]
    overlay: &'a Overlay,
}

impl StateDir {
    /// Takes the directory for this process, making it (mode 0700) where it is missing.
    ///
    /// # Errors
    /// It cannot be made or written, or another process has it.
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
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(failed)?;
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
            _lock: lock,
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was saved last; nothing where nothing was.
    ///
    /// # Errors
    /// The file cannot be read or understood. It is not touched.
    pub fn load(&self) -> Result<Overlay, StateError> {
        let path = self.path.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Overlay::default()),
            Err(source) => return Err(StateError::Read { path, source }),
        };
        understand(&text).map_err(|what| StateError::Damaged { path, what })
    }

    /// Keeps an overlay: once this returns it survives a crash of the machine, and before that
    /// the one kept last does.
    ///
    /// # Errors
    /// The directory cannot be written; what was kept last is still there.
    pub fn save(&self, overlay: &Overlay) -> io::Result<()> {
        self.write(overlay)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.path.display())))
    }

    fn write(&self, overlay: &Overlay) -> io::Result<()> {
        let kept = Kept {
            version: VERSION,
            overlay,
        };
        let mut text = serde_json::to_vec_pretty(&kept)?;
        text.push(b'\n');
        let unfinished = self.path.join(UNFINISHED);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.path.join(FILE))?;
        // The rename itself is on disk only once the directory is.
        File::open(&self.path)?.sync_all()
    }
}

fn understand(text: &[u8]) -> Result<Overlay, String> {
    let mut value: Value = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let version = value.as_object_mut().and_then(|map| map.remove("version"));
    match version.as_ref().and_then(Value::as_u64) {
        Some(VERSION) => serde_json::from_value(value).map_err(|e| e.to_string()),
        Some(newer) if newer > VERSION => {
            Err(format!("version {newer} was written by a newer dbgate"))
        }
        _ => Err("it has no version".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cert::scratch::Scratch;

    fn overlay() -> Overlay {
        serde_json::from_str(
            r#"{
                "databases": {"pg9": {"protocol": "postgres", "backends": ["10.0.0.9:5432"]}},
                "exposed": {"pg9": {"*.example": {}}},
                "hidden": {"pg1": ["a.example"]}
            }"#,
        )
        .unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_saved_is_there_for_the_next_process() {
        let scratch = Scratch::new();
        let path = scratch.path().join("a/state");
        let dir = StateDir::open(&path).unwrap();
        assert_eq!(dir.load().unwrap(), Overlay::default());
        dir.save(&overlay()).unwrap();
        assert_eq!(dir.load().unwrap(), overlay());
        drop(dir);
        assert_eq!(StateDir::open(&path).unwrap().load().unwrap(), overlay());
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join(FILE)), 0o600);
    }

    #[test]
    fn a_directory_has_one_user() {
        let scratch = Scratch::new();
        let dir = StateDir::open(scratch.path()).unwrap();
        let error = StateDir::open(scratch.path()).unwrap_err();
        assert!(matches!(error, StateError::InUse { .. }), "{error}");
        drop(dir);
        StateDir::open(scratch.path()).unwrap();
    }

    #[test]
    fn an_interrupted_save_leaves_the_one_before() {
        let scratch = Scratch::new();
        let dir = StateDir::open(scratch.path()).unwrap();
        dir.save(&overlay()).unwrap();
        fs::write(scratch.path().join(UNFINISHED), "{\"vers").unwrap();
        assert_eq!(dir.load().unwrap(), overlay());
        dir.save(&Overlay::default()).unwrap();
        assert_eq!(dir.load().unwrap(), Overlay::default());
        assert!(!scratch.path().join(UNFINISHED).exists());
    }

    #[test]
    fn a_damaged_file_is_told_and_left_alone() {
        let scratch = Scratch::new();
        let dir = StateDir::open(scratch.path()).unwrap();
        let file = scratch.path().join(FILE);
        for (text, why) in [
            ("", "EOF"),
            ("{\"version\":1", "EOF"),
            ("[]", "no version"),
            ("{}", "no version"),
            ("{\"version\":2}", "newer dbgate"),
            ("{\"version\":1,\"hiden\":{}}", "hiden"),
            (
                "{\"version\":1,\"hidden\":{\"a\":[\"10.0.0.1\"]}}",
                "no host",
            ),
        ] {
            fs::write(&file, text).unwrap();
            let error = dir.load().unwrap_err().to_string();
            let told = [file.to_str().unwrap(), why, "move it away"];
            assert!(told.iter().all(|t| error.contains(t)), "{text}: {error}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let scratch = Scratch::new();
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        let error = StateDir::open(&file.join("state")).unwrap_err().to_string();
        assert!(error.contains(file.to_str().unwrap()), "{error}");
    }
}
