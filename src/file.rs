//! Reading the files that people name: regular ones only, opened without waiting, up to a bound.
//!
//! Opening a fifo would block, and `/dev/zero` has no end; the gateway must survive both.
//!
//! Not here: what is in them; the gateway's own files ([`own`]). Source: open(2).

pub mod own;

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Reads a whole regular file of at most `max` bytes; symbolic links are followed.
///
/// # Errors
/// It cannot be opened or read, is something else than a regular file, or is larger.
pub fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_file(open(path)?, max)
}

fn read_file(file: File, max: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > max {
        return Err(too_large(max));
    }
    read_from(file, max, length)
}

/// As [`read`], for text.
///
/// # Errors
/// As [`read`], and `InvalidData` where it is not UTF-8.
pub fn read_text(path: &Path, max: u64) -> io::Result<String> {
    String::from_utf8(read(path, max)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Opens a regular file for reading, without waiting for the other end of anything else.
///
/// # Errors
/// It cannot be opened, or is something else than a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    let open = |flags: OFlags| {
        let flags = (flags | OFlags::NOCTTY).bits().cast_signed();
        OpenOptions::new().read(true).custom_flags(flags).open(path)
    };
    let opened = match open(OFlags::NONBLOCK) {
        // Only a regular file can have a lease (fcntl(2), F_SETLEASE), and the system takes it
        // back from a holder that keeps it for too long.
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => open(OFlags::empty()),
        opened => opened,
    };
    regular(opened)
}

/// The opened file, if it is a regular one.
fn regular(opened: io::Result<File>) -> io::Result<File> {
    let file = match opened {
        Ok(file) => file,
        // The answer of sockets, of devices without a driver, and of pipes without a reader.
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            return Err(not_regular("a socket, a device or a pipe"));
        }
        Err(e) => return Err(e),
    };
    match kind(file.metadata()?.file_type()) {
        None => Ok(file),
        Some(kind) => Err(not_regular(kind)),
    }
}

/// Reads to the end of what is open already, up to `max` bytes.
///
/// # Errors
/// It cannot be read, or there is more.
pub fn read_all(source: impl Read, max: u64) -> io::Result<Vec<u8>> {
    read_from(source, max, 0)
}

fn read_from(source: impl Read, max: u64, expected: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(expected.min(max)).unwrap_or_default());
    source.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > max) {
        return Err(too_large(max));
    }
    Ok(bytes)
}

/// The word for what is not a regular file.
fn kind(found: FileType) -> Option<&'static str> {
    Some(match found {
        found if found.is_file() => return None,
        found if found.is_dir() => "a directory",
        found if found.is_fifo() => "a pipe",
        found if found.is_socket() => "a socket",
        _ => "a device",
    })
}

fn not_regular(kind: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {kind}, not a regular file"),
    )
}

fn too_large(max: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("it is larger than {} MiB", max >> 20),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::cert::scratch::Scratch;

    const MAX: u64 = 1 << 20;

    #[test]
    fn only_regular_files_are_read() {
        let scratch = Scratch::new();
        let at = |name: &str| scratch.path().join(name);
        fs::write(at("text"), "text").unwrap();
        std::os::unix::fs::symlink("text", at("link")).unwrap();
        assert_eq!(read(&at("text"), MAX).unwrap(), b"text");
        assert_eq!(read(&at("link"), MAX).unwrap(), b"text");

        let fifo = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), fifo, mode, 0).unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        for (path, words) in [
            (at("fifo"), "it is a pipe, not a regular file"),
            (
                at("socket"),
                "it is a socket, a device or a pipe, not a regular file",
            ),
            (at("."), "it is a directory, not a regular file"),
            ("/dev/zero".into(), "it is a device, not a regular file"),
        ] {
            assert_eq!(read(&path, MAX).unwrap_err().to_string(), words);
        }
        let missing = read(&at("none"), MAX).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn nothing_is_read_beyond_the_bound() {
        let scratch = Scratch::new();
        let path = scratch.path().join("sparse");
        File::create(&path).unwrap().set_len(MAX).unwrap();
        assert_eq!(read(&path, MAX).unwrap().len(), 1 << 20);
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let words = "it is larger than 1 MiB";
        assert_eq!(read(&path, MAX).unwrap_err().to_string(), words);
        // A source that tells no length before it is read.
        let endless = read_all(io::repeat(0), MAX).unwrap_err();
        assert_eq!(endless.to_string(), words);
    }

    #[test]
    fn text_is_utf8() {
        let scratch = Scratch::new();
        let path = scratch.path().join("text");
        fs::write(&path, [0xff, b'a']).unwrap();
        let error = read_text(&path, MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
