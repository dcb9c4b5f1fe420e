//! Sinks of the access log: standard output, a file, the journal.
//!
//! Source: open(2); systemd's "Native Journal Protocol".

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use thiserror::Error;

use super::line::{journal, line};
use crate::config::{AccessTo, Log, LogFormat};
use crate::stats::Record;

/// Bytes that are collected before they are written at the latest.
const BATCH: usize = 64 * 1024;

/// The permissions of a file that did not exist.
const MODE: u32 = 0o640;

/// The access log cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file.
    #[error("access log {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The journal's socket.
    #[error("access log: the journal does not listen on {}: {source}", path.display())]
    Journal {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Standard output.
    #[error("access log: standard output: {0}")]
    Stdout(io::Error),
    /// The thread that writes.
    #[error("access log: {0}")]
    Thread(io::Error),
}

/// Records that could not be written.
#[derive(Debug)]
pub struct FlushError {
    /// Number of records.
    pub lost: usize,
    /// The error of the last of them.
    pub source: io::Error,
}

/// An open place for records, and those that are not written yet.
pub struct Sink {
    format: LogFormat,
    batch: Vec<u8>,
    target: Target,
}

enum Target {
    Bytes {
        file: File,
        /// True where the last write left the beginning of a line whose rest is lost.
        torn: bool,
    },
    Journal {
        socket: UnixDatagram,
        path: PathBuf,
        /// Offset of the end of each datagram in the batch.
        ends: Vec<usize>,
    },
}

impl Sink {
    /// Opens what the configuration names; `None` where it wants no access log.
    ///
    /// # Errors
    /// It is not there, or may not be written.
    pub fn open(log: &Log) -> Result<Option<Self>, OpenError> {
        if !log.access {
            return Ok(None);
        }
        let target = match &log.access_to {
            AccessTo::Stdout => Target::bytes(stdout().map_err(OpenError::Stdout)?),
            AccessTo::File(path) => {
                Target::bytes(file(path).map_err(|source| OpenError::File {
                    path: path.clone(),
                    source,
                })?)
            }
            AccessTo::Journal(path) => Target::Journal {
                socket: datagrams(path).map_err(|source| OpenError::Journal {
                    path: path.clone(),
                    source,
                })?,
                path: path.clone(),
                ends: Vec::new(),
            },
        };
        Ok(Some(Self {
            format: log.format,
            batch: Vec::new(),
            target,
        }))
    }

    /// Adds a record to what is to be written.
    pub fn add(&mut self, record: &Record) {
        match &mut self.target {
            Target::Bytes { .. } => {
                let line = line(record, self.format);
                self.batch.extend_from_slice(line.as_bytes());
            }
            Target::Journal { ends, .. } => {
                self.batch.extend(journal(record, self.format));
                ends.push(self.batch.len());
            }
        }
    }

    /// True if it is time to write.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.batch.len() >= BATCH
    }

    /// Writes all that was added; blocks while the reader does not read.
    ///
    /// # Errors
    /// Number of the records that could not be written and are lost, and the error.
    pub fn flush(&mut self) -> Result<(), FlushError> {
        let flushed = match &mut self.target {
            Target::Bytes { file, torn } => write_lines(file, torn, &self.batch),
            Target::Journal { socket, path, ends } => {
                let sent = send_each(socket, path, &self.batch, ends);
                ends.clear();
                sent
            }
        };
        self.batch.clear();
        flushed
    }
}

impl Target {
    fn bytes(file: File) -> Self {
        Self::Bytes { file, torn: false }
    }
}

/// Standard output without a buffer.
fn stdout() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

fn file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        // Opening a pipe without a reader would block.
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

/// A socket for datagrams, after a check that something listens at `path`. It is not connected
/// to it: the journal may be restarted.
fn datagrams(path: &Path) -> io::Result<UnixDatagram> {
    UnixDatagram::unbound()?.connect(path)?;
    UnixDatagram::unbound()
}

fn write_lines(file: &mut impl Write, torn: &mut bool, lines: &[u8]) -> Result<(), FlushError> {
    let mut rest = lines;
    if *torn {
        // What a full disk left of a line must not become the beginning of the next.
        match file.write_all(b"\n") {
            Ok(()) => *torn = false,
            Err(source) => return Err(failed(rest, source)),
        }
    }
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(failed(rest, io::ErrorKind::WriteZero.into())),
            Ok(n) => {
                let (written, left) = rest.split_at_checked(n).unwrap_or((rest, &[]));
                *torn = !written.ends_with(b"\n");
                rest = left;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(failed(rest, source)),
        }
    }
    Ok(())
}

fn failed(rest: &[u8], source: io::Error) -> FlushError {
    FlushError {
        lost: rest.split(|byte| *byte == b'\n').count() - 1,
        source,
    }
}

fn send_each(
    socket: &UnixDatagram,
    path: &Path,
    batch: &[u8],
    ends: &[usize],
) -> Result<(), FlushError> {
    let mut failure = None;
    let (mut start, mut lost) = (0, 0);
    for &end in ends {
        let datagram = batch.get(start..end).unwrap_or_default();
        start = end;
        if let Err(error) = socket.send_to(datagram, path) {
            lost += 1;
            failure = Some(error);
        }
    }
    failure.map_or(Ok(()), |source| Err(FlushError { lost, source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes at a time and no more in all.
    struct Disk {
        room: usize,
        holds: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = self.room.min(bytes.len()).min(5);
            if n == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= n;
            self.holds.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_tears_no_later_line() {
        let mut disk = Disk {
            room: 13,
            holds: Vec::new(),
        };
        let mut torn = false;
        let error = write_lines(&mut disk, &mut torn, b"first\nsecond\nthird\n").unwrap_err();
        assert_eq!((error.lost, torn), (1, false), "{:?}", disk.holds);
        disk.room = 3;
        let error = write_lines(&mut disk, &mut torn, b"fourth\n").unwrap_err();
        assert_eq!((error.lost, torn), (1, true));
        let error = write_lines(&mut disk, &mut torn, b"fifth\nsixth\n").unwrap_err();
        assert_eq!((error.lost, torn), (2, true));
        disk.room = 100;
        write_lines(&mut disk, &mut torn, b"seventh\n").unwrap();
        let holds = String::from_utf8(disk.holds).unwrap();
        assert_eq!(holds, "first\nsecond\nfou\nseventh\n");
    }
}
