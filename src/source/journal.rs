//! The journal beside the file of exposures: what changed since that file was written, a line a
//! change, so that a change costs no more where very many databases were exposed before.
//!
//! The first line says to which writing of the file it belongs; once the file was written again, the
//! journal is of no use any more. A line is kept once it ends with a line feed and is on disk; what
//! a crash leaves behind that was never kept.
//!
//! Not here: when the file is written anew ([`super::state_dir`]).

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::syscalls;
use crate::file::own;
use crate::json;
use crate::route::runtime::{RuntimeChanges, RuntimeEntry};

/// The degree to which a change is kept.
#[derive(Debug)]
#[must_use]
pub(super) enum Kept {
    /// It is on disk.
    Synced,
    /// It is there for the next process, and could not be taken back; why the disk may not have it.
    Unsynced(io::Error),
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Bytes that are kept; what is behind them, if anything, is not.
    kept: u64,
    /// True if there may be something behind them.
    torn: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    generation: u64,
}

/// The new entries of the databases that a change was about.
type Line = BTreeMap<String, RuntimeEntry>;

impl Journal {
    /// Begins one, in the place of any other, whose first change is this. What it leaves behind where
    /// it fails is the caller's to undo.
    pub(super) fn begin(path: &Path, generation: u64, change: &[u8]) -> io::Result<Self> {
        let mut text = serde_json::to_vec(&Head { generation })?;
        text.push(b'\n');
        text.extend_from_slice(change);
        let file = syscalls::create(path)?;
        syscalls::write(&file, &text)?;
        syscalls::sync(&file)?;
        Ok(Self {
            file,
            kept: length(&text),
            torn: false,
        })
    }

    /// Adds the changes that a journal of this generation holds, of at most `max` bytes, to the
    /// runtime changes; `None` where there is none of it.
    ///
    /// # Errors
    /// Says which line is damaged, as `InvalidData`, or that the journal cannot be read, or not be
    /// brought to the disk.
    pub(super) fn replay(
        path: &Path,
        max: u64,
        generation: u64,
        runtime: &mut RuntimeChanges,
    ) -> io::Result<Option<Self>> {
        let text = match own::read(path, max) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let whole = whole_lines(&text);
        let mut lines = text.get(..whole).unwrap_or_default().split(|b| *b == b'\n');
        let damaged = |number: usize, what: &dyn std::fmt::Display| {
            io::Error::new(io::ErrorKind::InvalidData, format!("line {number}: {what}"))
        };
        let head = match lines.next() {
            None | Some([]) => {
                tell_cut_short(path, &text);
                return Ok(None);
            }
            Some(head) => json::from_slice::<Head>(head).map_err(|e| damaged(1, &e))?,
        };
        if head.generation > generation {
            let what = "it belongs to a later exposures.json than the one beside it";
            return Err(damaged(1, &what));
        }
        if head.generation < generation {
            return Ok(None);
        }
        for (number, line) in (2..).zip(lines).filter(|(_, line)| !line.is_empty()) {
            let line: Line = json::from_slice(line).map_err(|e| damaged(number, &e))?;
            for (name, entry) in line {
                runtime.put(&name, entry);
            }
        }
        tell_cut_short(path, text.get(whole..).unwrap_or_default());
        let file = own::open_to_write(path)?;
        // Whoever wrote it may have been killed before it was on disk; from here on it counts.
        file.sync_all()?;
        Ok(Some(Self {
            file,
            kept: u64::try_from(whole).unwrap_or(u64::MAX),
            torn: whole < text.len(),
        }))
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.kept
    }

    /// Keeps a change: once this returns it survives a crash of the machine, unless it is
    /// [`Kept::Unsynced`].
    ///
    /// # Errors
    /// The disk is full or broken; the change is not kept then, all before it are.
    pub(super) fn append(&mut self, change: &[u8]) -> io::Result<Kept> {
        if self.torn {
            syscalls::set_len(&self.file, self.kept)?;
            self.torn = false;
        }
        self.torn = true;
        // What is not written to its end has no line feed, and is not kept whatever comes.
        syscalls::write_at(&self.file, change, self.kept)?;
        let kept = match syscalls::sync_data(&self.file) {
            Ok(()) => Kept::Synced,
            // Whoever reads it after a crash must not find what was refused. A line with a zero is
            // none, either.
            Err(error) => match syscalls::set_len(&self.file, self.kept)
                .or_else(|_| syscalls::write_at(&self.file, b"\0", self.kept))
            {
                Ok(()) => {
                    let _ = syscalls::sync_data(&self.file);
                    return Err(error);
                }
                Err(_) => Kept::Unsynced(error),
            },
        };
        self.kept += length(change);
        self.torn = false;
        Ok(kept)
    }
}

/// The length of the lines that are whole.
///
/// A power cut may leave a file that has grown where what was written has not come to the disk:
/// zeros, which no line has, in the last line or in place of it.
fn whole_lines(text: &[u8]) -> usize {
    let end_of_last = |text: &[u8]| text.iter().rposition(|b| *b == b'\n');
    let Some(last) = end_of_last(text) else {
        return 0;
    };
    let before = text
        .get(..last)
        .and_then(end_of_last)
        .map_or(0, |at| at + 1);
    match text.get(before..last) {
        Some(line) if line.contains(&0) => before,
        _ => last + 1,
    }
}

/// Says that there is something behind the last whole line, to whom wonders about a change that is
/// not there, or has edited the file by hand.
fn tell_cut_short(path: &Path, rest: &[u8]) {
    if !rest.is_empty() {
        warn!(
            file = %path.display(),
            bytes = rest.len(),
            "the last line was cut short and is left out: the gateway ended while it wrote a change that it had not confirmed"
        );
    }
}

/// A change as a line.
pub(super) fn line(change: &BTreeMap<&str, RuntimeEntry>) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(change)?;
    line.push(b'\n');
    Ok(line)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
