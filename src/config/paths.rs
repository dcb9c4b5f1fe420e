//! Default places: the configuration file, the control socket, the state
//! directory.
//!
//! Source: XDG Base Directory Specification; systemd.exec(5), `RuntimeDirectory=` and
//! `StateDirectory=`.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The configuration that is read where none is named: `./dbgate.toml`, else
/// `/etc/dbgate/dbgate.toml`, else none.
#[must_use]
pub fn search() -> Option<PathBuf> {
    ["dbgate.toml", "/etc/dbgate/dbgate.toml"]
        .into_iter()
        .map(PathBuf::from)
        // One that cannot be looked at is taken, so that reading it says why.
        .find(|path| path.try_exists().unwrap_or(true))
}

/// The control socket, where neither configuration nor command line names one.
#[must_use]
pub fn default_socket() -> PathBuf {
    socket(|name| env::var_os(name), uid())
}

/// The directory of what has to survive a restart, where the command line names none.
#[must_use]
pub fn default_state_dir() -> PathBuf {
    state_dir(|name| env::var_os(name), uid())
}

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn socket(var: impl Fn(&str) -> Option<OsString>, uid: u32) -> PathBuf {
    let dir = match (from_systemd(var("RUNTIME_DIRECTORY")), uid) {
        (Some(dir), _) => dir,
        (None, 0) => "/run/dbgate".into(),
        (None, _) => match absolute(var("XDG_RUNTIME_DIR")) {
            Some(base) => base.join("dbgate"),
            None => format!("/tmp/dbgate-{uid}").into(),
        },
    };
    dir.join("control.sock")
}

fn state_dir(var: impl Fn(&str) -> Option<OsString>, uid: u32) -> PathBuf {
    if let Some(dir) = from_systemd(var("STATE_DIRECTORY")) {
        return dir;
    }
    let of_user = || {
        absolute(var("XDG_STATE_HOME"))
            .or_else(|| Some(absolute(var("HOME"))?.join(".local/state")))
            .map(|base| base.join("dbgate"))
    };
    // A user without a home keeps nothing under /tmp, where others could have put it first.
    (uid != 0)
        .then(of_user)
        .flatten()
        .unwrap_or_else(|| "/var/lib/dbgate".into())
}

/// systemd joins several directories by colons; the first one is ours.
fn from_systemd(value: Option<OsString>) -> Option<PathBuf> {
    let first = env::split_paths(&value?).next()?;
    absolute(Some(first.into_os_string()))
}

/// The specification has relative paths ignored.
fn absolute(value: Option<OsString>) -> Option<PathBuf> {
    value
        .map(PathBuf::from)
        .filter(|path| Path::is_absolute(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(vars: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| {
            let (_, value) = vars.iter().find(|(key, _)| *key == name)?;
            Some(value.into())
        }
    }

    #[test]
    fn the_socket_is_where_the_user_may_make_one() {
        let user = [("XDG_RUNTIME_DIR", "/run/user/7")];
        let service = [("RUNTIME_DIRECTORY", "/run/gate:/run/other"), user[0]];
        for (vars, uid, path) in [
            (&user[..], 0, "/run/dbgate/control.sock"),
            (&user[..], 7, "/run/user/7/dbgate/control.sock"),
            (
                &[("XDG_RUNTIME_DIR", "run")],
                7,
                "/tmp/dbgate-7/control.sock",
            ),
            (&[], 7, "/tmp/dbgate-7/control.sock"),
            (&service, 7, "/run/gate/control.sock"),
            (&service, 0, "/run/gate/control.sock"),
        ] {
            assert_eq!(socket(with(vars), uid), Path::new(path), "{vars:?} {uid}");
        }
    }

    #[test]
    fn the_state_is_where_the_user_keeps_such() {
        let home = ("HOME", "/home/ann");
        for (vars, uid, path) in [
            (&[home][..], 0, "/var/lib/dbgate"),
            (&[home], 7, "/home/ann/.local/state/dbgate"),
            (&[home, ("XDG_STATE_HOME", "/state")], 7, "/state/dbgate"),
            (
                &[home, ("XDG_STATE_HOME", "")],
                7,
                "/home/ann/.local/state/dbgate",
            ),
            (&[], 7, "/var/lib/dbgate"),
            (
                &[home, ("STATE_DIRECTORY", "/var/lib/gate:/b")],
                7,
                "/var/lib/gate",
            ),
        ] {
            assert_eq!(
                state_dir(with(vars), uid),
                Path::new(path),
                "{vars:?} {uid}"
            );
        }
    }
}
