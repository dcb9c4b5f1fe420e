//! Users and groups of this machine, and the change of the whole process from root to a user for
//! good: ids, groups and capabilities.
//!
//! Source: credentials(7), capabilities(7), prctl(2) `PR_SET_NO_NEW_PRIVS`.

use std::ffi::CString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::unistd::{self, Gid, Group, Uid, User};
use rustix::fs::{Mode, OFlags};
use rustix::thread::{CapabilitySet, CapabilitySets};
use thiserror::Error;

/// File of the first port that needs no privilege (Linux).
const UNPRIVILEGED_PORTS: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// Its default.
const DEFAULT_UNPRIVILEGED_PORT: u16 = 1024;

/// Error of changing the process to a user.
#[derive(Debug, Error)]
pub enum UserError {
    /// The process is not root.
    #[error(
        "--user {wanted} needs root, but this is {}: leave it out, or start as root",
        running_as()
    )]
    NotRoot {
        /// As on the command line.
        wanted: String,
    },
    /// There is no such user.
    #[error("there is no user {0} on this machine")]
    NoUser(String),
    /// The group cannot be found.
    #[error(transparent)]
    Group(io::Error),
    /// The user is a number without an entry, so its group is unknown.
    #[error(
        "user {0} has no entry on this machine, and so no group: name one as well, as in {0}:{0}"
    )]
    NoGroupOf(Uid),
    /// The user is root, so no privilege would be dropped.
    #[error("{0} is root: name a user that has no privileges")]
    IsRoot(String),
    /// A directory cannot be made for the user.
    #[error("cannot make the directory {} for user {user}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The user.
        user: String,
        /// The cause.
        source: io::Error,
    },
    /// The system refused a step.
    #[error("cannot become user {user}: {step}: {source}")]
    Refused {
        /// The user.
        user: String,
        /// The step.
        step: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The process could become root again and must not go on.
    #[error("became user {0}, but could be root again; not started")]
    StillRoot(String),
}

/// A user of this machine, and the groups it is in.
#[derive(Clone, Debug)]
pub struct Account {
    name: String,
    uid: Uid,
    gid: Gid,
    /// Name by which further groups are found; `None` for a bare number.
    member: Option<CString>,
}

impl Account {
    /// Finds the account of `NAME[:GROUP]`; both may be numbers.
    ///
    /// # Errors
    /// This process is not root, there is no such account, or it is root itself.
    pub fn find(text: &str) -> Result<Self, UserError> {
        if !rustix::process::geteuid().is_root() {
            return Err(UserError::NotRoot {
                wanted: text.to_owned(),
            });
        }
        let (name, group) = match text.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (text, None),
        };
        let group = group.map(group_id).transpose().map_err(UserError::Group)?;
        let group = group.map(Gid::from_raw);
        let number = name.parse().ok().map(Uid::from_raw);
        let entry = match number {
            Some(uid) => User::from_uid(uid),
            None => User::from_name(name),
        };
        let account = match (entry.ok().flatten(), number) {
            (Some(user), _) => Self {
                uid: user.uid,
                gid: group.unwrap_or(user.gid),
                member: CString::new(user.name.as_str()).ok(),
                name: user.name,
            },
            (None, Some(uid)) => Self {
                name: uid.to_string(),
                uid,
                gid: group.ok_or(UserError::NoGroupOf(uid))?,
                member: None,
            },
            (None, None) => return Err(UserError::NoUser(name.to_owned())),
        };
        if account.uid.is_root() {
            return Err(UserError::IsRoot(account.name));
        }
        Ok(account)
    }

    /// Makes a directory for this user, unless it exists.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn directory(&self, path: &Path, mode: u32) -> Result<(), UserError> {
        self.make(path, mode)
            .map_err(|source| UserError::Directory {
                path: path.to_owned(),
                user: self.name.clone(),
                source,
            })
    }

    fn make(&self, path: &Path, mode: u32) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(mode).create(path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(e) => return Err(e),
        }
        // Another user who may write in the parent could have replaced it with a link.
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())?;
        // The umask may have removed bits.
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode))?;
        std::os::unix::fs::fchown(&dir, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
    }

    /// Changes the whole process to this user and drops all privileges. Call it before the process
    /// starts a thread.
    ///
    /// # Errors
    /// The system refuses a step. The process must end then, since it may be partly changed.
    pub fn assume(&self) -> Result<(), UserError> {
        self.step("supplementary groups", || match &self.member {
            Some(name) => unistd::initgroups(name, self.gid),
            None => unistd::setgroups(&[self.gid]),
        })?;
        self.step("group id", || {
            unistd::setresgid(self.gid, self.gid, self.gid)
        })?;
        self.step("user id", || {
            unistd::setresuid(self.uid, self.uid, self.uid)
        })?;
        // Those that exec passes on outlive a change of the user id.
        self.step("capabilities", || {
            let none = CapabilitySet::empty();
            rustix::thread::set_capabilities(
                None,
                CapabilitySets {
                    effective: none,
                    permitted: none,
                    inheritable: none,
                },
            )
        })?;
        self.step("no_new_privs", || rustix::thread::set_no_new_privs(true))?;
        let root = Uid::from_raw(0);
        if unistd::setresuid(root, root, root).is_ok() || Uid::effective() != self.uid {
            return Err(UserError::StillRoot(self.name.clone()));
        }
        Ok(())
    }

    fn step<E: Into<io::Error>>(
        &self,
        step: &'static str,
        take: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), UserError> {
        take().map_err(|source| UserError::Refused {
            user: self.name.clone(),
            step,
            source: source.into(),
        })
    }
}

/// The id of a group, from its name or its number. A name is looked up by the system's library,
/// so groups of LDAP are found too.
///
/// # Errors
/// There is no such group, or the look-up failed.
pub fn group_id(group: &str) -> io::Result<u32> {
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    match Group::from_name(group) {
        Ok(Some(entry)) => Ok(entry.gid.as_raw()),
        Ok(None) => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no group {group} on this machine"),
        )),
        Err(error) => Err(io::Error::other(format!(
            "cannot look up group {group}: {error}"
        ))),
    }
}

/// The name of a user, if it has one on this machine.
#[must_use]
pub fn name_of(uid: u32) -> Option<String> {
    let user = User::from_uid(Uid::from_raw(uid)).ok()?;
    user.map(|user| user.name)
}

/// User of this process, such as `user dbgate (uid 987)`.
#[must_use]
pub fn running_as() -> String {
    let uid = Uid::effective();
    match User::from_uid(uid) {
        Ok(Some(user)) => format!("user {} (uid {uid})", user.name),
        _ => format!("uid {uid}"),
    }
}

/// Adds the user of this process to a message that says "permission denied": an operator who tries
/// the same as root sees no error.
#[must_use]
pub fn with_user(message: &str) -> String {
    let denied = io::Error::from(rustix::io::Errno::ACCESS).to_string();
    if message.contains(&denied) {
        format!("{message}; dbgate runs as {}", running_as())
    } else {
        message.to_owned()
    }
}

/// Returns true if a port can be bound by root only (or with `CAP_NET_BIND_SERVICE`).
#[must_use]
pub fn is_privileged(port: u16) -> bool {
    let first = fs::read_to_string(UNPRIVILEGED_PORTS)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(DEFAULT_UNPRIVILEGED_PORT);
    port != 0 && port < first
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::cert::scratch::Scratch;

    fn root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn accounts_are_found_by_name_and_by_number() {
        if !root() {
            let error = Account::find("nobody").unwrap_err().to_string();
            assert!(error.contains("needs root"), "{error}");
            return;
        }
        let nobody = Account::find("nobody").unwrap();
        assert_eq!(nobody.uid.as_raw(), 65534);
        let numbers = Account::find("65534:12345").unwrap();
        assert_eq!((numbers.name.as_str(), numbers.uid), ("nobody", nobody.uid));
        assert_eq!(numbers.gid.as_raw(), 12345);
        let stranger = Account::find("4000000:4000001").unwrap();
        assert_eq!(stranger.member, None);
        for (text, why) in [
            ("4000000", "no group: name one as well, as in 4000000"),
            ("no-such-user", "no user no-such-user"),
            ("nobody:no-such-group", "no group no-such-group"),
            ("", "no user"),
            ("root", "is root"),
            ("0", "is root"),
        ] {
            let error = Account::find(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn groups_are_found_by_name_and_by_number() {
        assert_eq!(group_id("root").unwrap(), 0);
        assert_eq!(group_id("4000000").unwrap(), 4_000_000);
        let error = group_id("no-such-group").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(
            error.to_string().contains("no group no-such-group"),
            "{error}"
        );
    }

    #[test]
    fn a_directory_is_made_once_and_given_to_the_user() {
        if !root() {
            return;
        }
        let scratch = Scratch::new();
        let nobody = Account::find("nobody").unwrap();
        let path = scratch.path().join("a/b");
        nobody.directory(&path, 0o750).unwrap();
        let (dir, parent) = (
            fs::metadata(&path).unwrap(),
            fs::metadata(path.parent().unwrap()).unwrap(),
        );
        assert_eq!((dir.uid(), dir.mode() & 0o777), (65534, 0o750));
        assert_eq!(parent.uid(), 0);
        // A directory that exists keeps its owner and mode.
        nobody.directory(path.parent().unwrap(), 0o700).unwrap();
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().uid(), 0);
        let error = nobody
            .directory(Path::new("/proc/none/here"), 0o700)
            .unwrap_err();
        assert!(error.to_string().contains("/proc/none/here"), "{error}");
    }

    #[test]
    fn a_permission_error_names_the_user() {
        let denied = "cannot read /k: Permission denied (os error 13)";
        let told = with_user(denied);
        assert!(
            told.starts_with(denied) && told.contains("dbgate runs as "),
            "{told}"
        );
        assert_eq!(
            with_user("cannot read /k: no such file"),
            "cannot read /k: no such file"
        );
    }

    #[test]
    fn no_free_port_is_privileged() {
        assert!(!is_privileged(0));
        assert!(!is_privileged(u16::MAX));
    }
}
