//! Files that the gateway writes for itself, in directories that no other user may change.
//!
//! Whoever may write in such a directory, or has made it first, could put a link or a file of
//! their own there, and have it followed, served or believed by root.
//!
//! Source: open(2) `O_EXCL`, `O_NOFOLLOW`; inode(7), "the sticky bit".

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Write permission of the group and of all others.
const OTHERS_WRITE: u32 = 0o022;

/// The sticky bit: in the directory, each may remove and rename their own files only.
const STICKY: u32 = 0o1000;

/// Whose a directory may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Only this process's user, or root, may write there.
    None,
    /// Others may, as in `/tmp`, but cannot touch what is not theirs.
    Sticky,
}

/// Looks whether a directory is this user's or root's and cannot be changed by anybody else.
///
/// # Errors
/// Others could change what is there, and what to do about it; or it cannot be looked at.
pub fn check_directory(path: &Path, sharing: Sharing) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let link = fs::symlink_metadata(path)?;
    if link.is_symlink() {
        check_owner("the link", path, &link)?;
    }
    let found = fs::metadata(path)?;
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    check_owner("the directory", path, &found)?;
    let sticky = found.mode() & STICKY != 0 && sharing == Sharing::Sticky;
    if found.mode() & OTHERS_WRITE != 0 && !sticky {
        let path = path.display();
        return Err(denied(format!(
            "others can write in the directory {path} (mode {:03o}): chmod go-w {path}, or name \
             one that is dbgate's alone",
            found.mode() & 0o777
        )));
    }
    Ok(())
}

/// Opens a file to read it that only this user and root can have written; never follows a
/// link, never waits.
///
/// # Errors
/// It cannot be opened, is not a regular file, belongs to another user or may be written by
/// others.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true))
}

/// As [`open`], to write.
///
/// # Errors
/// As [`open`].
pub fn open_to_write(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().write(true))
}

/// As [`open_to_write`], making the file (mode 0600) where it is missing.
///
/// # Errors
/// As [`open`].
pub fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    open_with(
        path,
        options.write(true).create(true).truncate(false).mode(0o600),
    )
}

/// Reads what [`open`] opens, up to `max` bytes.
///
/// # Errors
/// As [`open`], and when it is larger.
pub fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    super::read_file(open(path)?, max)
}

/// Makes a file that was not there, in the place of one that may be; `mode` holds from its first
/// byte.
///
/// # Errors
/// It cannot be made, or the one that is there not be removed.
pub fn create(path: &Path, mode: u32) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}

fn open_with(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = options.custom_flags(flags.bits().cast_signed()).open(path);
    let file = match opened {
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(super::not_regular("a symbolic link"));
        }
        opened => super::regular(opened)?,
    };
    let found = file.metadata()?;
    check_owner("the file", path, &found)?;
    if found.mode() & OTHERS_WRITE != 0 {
        return Err(denied(format!(
            "others can write it (mode {:03o}), so it may be theirs: chmod go-w it if it is not, \
             or remove it",
            found.mode() & 0o777
        )));
    }
    Ok(file)
}

fn check_owner(what: &str, path: &Path, found: &Metadata) -> io::Result<()> {
    let (owner, own) = (found.uid(), rustix::process::geteuid().as_raw());
    if owner == own || owner == 0 {
        return Ok(());
    }
    Err(denied(format!(
        "{what} {} belongs to another user (uid {owner}, and dbgate is uid {own}): name \
         another place, or run dbgate as that user",
        path.display()
    )))
}

fn denied(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, words)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;
    use crate::cert::scratch::Scratch;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn a_directory_that_others_can_change_is_refused() {
        let scratch = Scratch::new();
        let dir = scratch.path().join("dir");
        fs::create_dir(&dir).unwrap();
        for (bits, sharing, told) in [
            (0o700, Sharing::None, None),
            (0o755, Sharing::None, None),
            (
                0o775,
                Sharing::None,
                Some("others can write in the directory"),
            ),
            (0o702, Sharing::Sticky, Some("(mode 702): chmod go-w ")),
            (
                0o1777,
                Sharing::None,
                Some("others can write in the directory"),
            ),
            (0o1777, Sharing::Sticky, None),
        ] {
            mode(&dir, bits);
            let checked = check_directory(&dir, sharing).map_err(|e| e.to_string());
            match told {
                None => assert_eq!(checked, Ok(()), "{bits:o}"),
                Some(words) => assert!(checked.unwrap_err().contains(words), "{bits:o}"),
            }
        }
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(check_directory(&file, Sharing::None).is_err());
        assert!(check_directory(&scratch.path().join("none"), Sharing::None).is_err());
    }

    #[test]
    fn what_belongs_to_another_user_is_refused() {
        if !is_root() {
            // Only root can give a file away.
            return;
        }
        let scratch = Scratch::new();
        let (dir, file) = (scratch.path().join("dir"), scratch.path().join("file"));
        fs::create_dir(&dir).unwrap();
        fs::write(&file, "text").unwrap();
        mode(&file, 0o600);
        for path in [&dir, &file] {
            chown(path, Some(65534), None).unwrap();
        }
        let told = check_directory(&dir, Sharing::Sticky).unwrap_err();
        assert!(
            told.to_string()
                .contains("belongs to another user (uid 65534"),
            "{told}"
        );
        let told = read(&file, 100).unwrap_err();
        assert!(
            told.to_string()
                .contains("belongs to another user (uid 65534"),
            "{told}"
        );
        // A link may be turned to another place by whoever owns it.
        let link = scratch.path().join("link");
        symlink(scratch.path(), &link).unwrap();
        check_directory(&link, Sharing::None).unwrap();
        std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
        let told = check_directory(&link, Sharing::None).unwrap_err();
        assert!(told.to_string().contains("the link "), "{told}");
    }

    #[test]
    fn links_pipes_and_files_that_others_write_are_not_opened() {
        let scratch = Scratch::new();
        let at = |name: &str| scratch.path().join(name);
        fs::write(at("file"), "text").unwrap();
        symlink("file", at("link")).unwrap();
        let bits = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), fifo, bits, 0).unwrap();
        mode(&at("file"), 0o644);
        assert_eq!(read(&at("file"), 100).unwrap(), b"text");
        for (name, words) in [
            ("link", "it is a symbolic link, not a regular file"),
            ("fifo", "not a regular file"),
            (".", "directory"),
        ] {
            for opened in [
                open(&at(name)),
                open_to_write(&at(name)),
                open_or_create(&at(name)),
            ] {
                let told = opened.unwrap_err().to_string();
                assert!(told.contains(words), "{name}: {told}");
            }
        }
        mode(&at("file"), 0o666);
        let told = read(&at("file"), 100).unwrap_err().to_string();
        assert!(told.contains("others can write it (mode 666)"), "{told}");
    }

    #[test]
    fn a_new_file_is_never_written_through_what_was_there() {
        let scratch = Scratch::new();
        let (kept, new) = (scratch.path().join("kept"), scratch.path().join("new"));
        fs::write(&kept, "kept").unwrap();
        symlink(&kept, &new).unwrap();
        create(&new, 0o600).unwrap();
        assert_eq!(fs::read(&kept).unwrap(), b"kept");
        let found = fs::symlink_metadata(&new).unwrap();
        assert!(found.is_file(), "{found:?}");
        fs::remove_file(&new).unwrap();
        fs::create_dir(&new).unwrap();
        assert!(create(&new, 0o600).is_err());
    }
}
