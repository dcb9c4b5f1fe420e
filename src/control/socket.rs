//! The control sockets: the one for operators, and the one for readers where there is one.
//!
//! Who may connect is decided by the mode and the group of each.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use crate::config::Control;
use crate::file::own::{self, Sharing};
use crate::service::user::group_id;

/// The rights of those who connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// May change the gateway.
    Operator,
    /// May look at it.
    Reader,
}

/// A bound control socket; the file goes when this does.
#[derive(Debug)]
pub struct ControlSocket {
    pub(super) listener: UnixListener,
    pub(super) role: Role,
    path: PathBuf,
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Binds the operators' socket; makes its directory, and removes a socket that nothing listens on.
///
/// # Errors
/// Another process listens there, or the place cannot be used; the error names the path.
pub fn bind(path: &Path, control: &Control) -> io::Result<ControlSocket> {
    // Readers who share the directory have to get into it.
    let directory = if control.read_only.is_some() {
        0o755
    } else {
        0o750
    };
    let rights = (control.mode, control.group.as_deref());
    bound(path, directory, rights, Role::Operator).map_err(|e| named(path, &e))
}

/// Binds the readers' socket, where the configuration has one; `operators` is the other one.
///
/// # Errors
/// As of [`bind`].
pub fn bind_read_only(operators: &Path, control: &Control) -> io::Result<Option<ControlSocket>> {
    let Some(socket) = &control.read_only else {
        return Ok(None);
    };
    let rights = (socket.mode, socket.group.as_deref());
    let bound = if socket.path == operators {
        Err(io::Error::other("it is the other control socket's path"))
    } else {
        bound(&socket.path, 0o755, rights, Role::Reader)
    };
    bound.map(Some).map_err(|e| named(&socket.path, &e))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn bound(
    path: &Path,
    directory: u32,
    (mode, group): (u32, Option<&str>),
    role: Role,
) -> io::Result<ControlSocket> {
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(directory)
            .create(dir)?;
    }
    // Whoever can write there could put another socket in the place of the one that steers the
    // gateway.
    let dir = path.parent().unwrap_or(Path::new("."));
    own::check_directory(dir, Sharing::Sticky)?;
    clear_stale(path)?;
    // No connection may come before mode and group are right.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    let socket = ControlSocket {
        listener: listener?,
        role,
        path: path.to_owned(),
    };
    if let Some(group) = group {
        chown(path, None, Some(group_id(group)?))?;
    }
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(socket)
}

fn clear_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(meta) if !meta.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "exists and is not a socket",
        )),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another dbgate listens there",
            )),
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
            Err(e) => Err(e),
        },
    }
}
