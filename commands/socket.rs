//! The control socket: its path, and an explanation where it cannot be reached.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use dbgate::config;
use dbgate::control::client::CONNECT_TIMEOUT;
use rustix::process::{getegid, geteuid, getgroups};

/// The socket of a gateway that runs as a system service.
const OF_SERVICE: &str = "/run/dbgate/control.sock";

/// The socket as `serve` would choose it here.
pub(crate) fn find() -> PathBuf {
    config::search()
        .and_then(|file| config::load(&file).config?.control.socket)
        .unwrap_or_else(config::default_socket)
}

/// The socket of those who may look and not touch, where the configuration has one.
fn of_readers() -> Option<PathBuf> {
    let control = config::load(&config::search()?).config?.control;
    Some(control.read_only?.path)
}

/// An explanation of an `error` of connecting to `path`, and remedies, a line each.
pub(crate) fn explain(path: &Path, error: &io::Error) -> (String, String) {
    let text = format!(
        "no gateway can be reached at {}\n  {}",
        path.display(),
        reason(path, error)
    );
    if error.kind() == ErrorKind::PermissionDenied
        && let Some(readers) = of_readers().filter(|readers| readers != path && readers.exists())
    {
        let readers = readers.display();
        let hint = format!("To look and change nothing there is another one: --socket {readers}");
        return (text, hint);
    }
    let elsewhere = Path::new(OF_SERVICE);
    let runs = if path != elsewhere && fs::metadata(elsewhere).is_ok() {
        format!("There is a socket at {OF_SERVICE}: try --socket {OF_SERVICE}")
    } else {
        "Does it run? `dbgate serve` starts one, `systemctl status dbgate` shows the service."
            .to_owned()
    };
    let named = "Does it listen elsewhere? Name its socket with --socket PATH or DBGATE_SOCKET.";
    (text, format!("{runs}\n{named}"))
}

fn reason(path: &Path, error: &io::Error) -> String {
    if error.kind() == ErrorKind::InvalidInput {
        return format!("This cannot be a socket's path: {error}.");
    }
    match fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            match path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
                Some(dir) if !dir.exists() => {
                    format!(
                        "It does not exist, and neither does its directory {}.",
                        dir.display()
                    )
                }
                _ => "It does not exist.".to_owned(),
            }
        }
        Err(e) if e.kind() == ErrorKind::PermissionDenied => match closed_directory(path) {
            Some((dir, meta)) => format!(
                "You may not look into {}: it belongs to {}; {}.",
                dir.display(),
                owner(&meta),
                caller()
            ),
            None => format!("You may not look there: {}.", caller()),
        },
        Err(e) => format!("It cannot be looked at: {e}."),
        Ok(meta) if meta.is_dir() => "That is a directory, not a socket.".to_owned(),
        Ok(meta) if !meta.file_type().is_socket() => {
            "It exists, but it is not a socket.".to_owned()
        }
        Ok(meta) => match error.kind() {
            ErrorKind::ConnectionRefused => {
                "It exists, but nothing listens on it: the gateway that made it is gone.".to_owned()
            }
            ErrorKind::PermissionDenied => format!(
                "It exists, but you may not open it: it belongs to {}; {}.",
                owner(&meta),
                caller()
            ),
            ErrorKind::WouldBlock => format!(
                "It exists, but the connection was not accepted within {CONNECT_TIMEOUT:?}: the gateway is stopped or stuck, or too many callers wait."
            ),
            _ => format!("It exists, but: {error}."),
        },
    }
}

/// The first directory on the way to `path` that the caller may not enter.
fn closed_directory(path: &Path) -> Option<(&Path, Metadata)> {
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    way.windows(2).find_map(|step| match step {
        [dir, next] if fs::metadata(next).is_err() => Some((*dir, fs::metadata(dir).ok()?)),
        _ => None,
    })
}

fn owner(meta: &Metadata) -> String {
    format!(
        "uid {}, gid {}, mode {:04o}",
        meta.uid(),
        meta.gid(),
        meta.mode() & 0o7777
    )
}

fn caller() -> String {
    let mut groups: Vec<u32> = getgroups()
        .unwrap_or_default()
        .iter()
        .map(|g| g.as_raw())
        .collect();
    groups.insert(0, getegid().as_raw());
    groups.dedup();
    let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
    format!(
        "you are uid {}, gid {}",
        geteuid().as_raw(),
        groups.join(" ")
    )
}
