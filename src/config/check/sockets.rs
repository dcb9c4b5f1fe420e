//! The places and groups of the control sockets, looked at without touching them.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::process::{getegid, geteuid};

use super::Check;
use crate::config::settings::Control;
use crate::file::own::{self, Sharing};
use crate::service::user::{group_id, running_as};

/// The longest path of a Unix socket, in bytes (unix(7): `sun_path` with its NUL).
const MAX_PATH: usize = 107;

impl Check<'_, '_> {
    pub(super) fn sockets(&self, control: &Control) {
        if let Some(path) = &control.socket {
            self.place("socket", path);
        }
        self.group("group", control.group.as_deref());
        if let Some(read_only) = &control.read_only {
            self.place("read_only_socket", &read_only.path);
            self.group("read_only_group", read_only.group.as_deref());
        }
    }

    fn place(&self, key: &str, path: &Path) {
        if let Some(fault) = fault(path) {
            self.fail(&["control"], key, fault);
        }
    }

    fn group(&self, key: &str, group: Option<&str>) {
        let Some(group) = group else { return };
        match group_id(group) {
            Err(error) => self.fail(&["control"], key, error.to_string()),
            Ok(gid) if may_give(gid) => {}
            Ok(_) => self.warn(
                &["control"],
                key,
                format!(
                    "{} is no member of the group {group}, to which only a member or root can give the socket",
                    running_as()
                ),
            ),
        }
    }
}

/// True if this process can give a file to the group.
fn may_give(gid: u32) -> bool {
    let member =
        || rustix::process::getgroups().is_ok_and(|all| all.iter().any(|g| g.as_raw() == gid));
    geteuid().is_root() || getegid().as_raw() == gid || member()
}

/// The reason why no socket can be bound there.
fn fault(path: &Path) -> Option<String> {
    let length = path.as_os_str().len();
    if length > MAX_PATH {
        return Some(format!(
            "the path of a socket has at most {MAX_PATH} bytes, and this one has {length}"
        ));
    }
    if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        return Some(format!("{} exists and is not a socket", path.display()));
    }
    let dir = path.parent()?;
    let Ok(found) = fs::metadata(dir) else {
        // The gateway makes it, below what is there.
        let above = dir.ancestors().find(|above| fs::metadata(above).is_ok())?;
        return (!above.is_dir()).then(|| format!("{} is not a directory", above.display()));
    };
    if !found.is_dir() {
        return Some(format!("{} is not a directory", dir.display()));
    }
    // Another user's directory may be that of the gateway, which looks at it as that user.
    let known = [0, geteuid().as_raw()].contains(&found.uid());
    let checked = known.then(|| own::check_directory(dir, Sharing::Sticky));
    Some(checked?.err()?.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use super::*;
    use crate::cert::scratch::Scratch;

    #[test]
    fn a_place_is_good_or_the_reason_is_told() {
        let scratch = Scratch::new();
        let at = |name: &str| scratch.path().join(name);
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o755)).unwrap();
        fs::write(at("file"), "").unwrap();
        let _gateway = UnixListener::bind(at("running")).unwrap();
        fs::create_dir(at("open")).unwrap();
        fs::set_permissions(at("open"), Permissions::from_mode(0o777)).unwrap();
        for (path, told) in [
            (at("new"), None),
            (at("running"), None),
            (at("no/such/new"), None),
            (at("file"), Some("file exists and is not a socket")),
            (at("file/new"), Some("file is not a directory")),
            (at("file/below/new"), Some("file is not a directory")),
            (at("open/new"), Some("others can write in the directory")),
            (PathBuf::from(format!("/{}", "x".repeat(106))), None),
            (
                PathBuf::from(format!("/{}", "x".repeat(107))),
                Some("at most 107 bytes, and this one has 108"),
            ),
        ] {
            let found = fault(&path);
            match told {
                None => assert_eq!(found, None, "{}", path.display()),
                Some(words) => assert!(found.unwrap().contains(words), "{}", path.display()),
            }
        }
    }
}
