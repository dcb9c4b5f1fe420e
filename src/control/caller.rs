//! The caller of a change: who it is by the kernel's word, and what it says of itself.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io::Read};

use tokio::net::unix::UCred;
use tokio::time::timeout;

use crate::author::Author;
use crate::service::user;

/// Time for the machine's directory of users to answer; it may be elsewhere on the network.
const LOOK_UP: Duration = Duration::from_secs(1);

/// Bytes of a command line that are read.
const MAX_COMMAND: u64 = 4096;

/// The origin of a change.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The author for the audit log, such as `uid=0 gid=0 pid=4711 user=root`, or `SIGHUP`.
    pub who: String,
    /// The author for events and `show`.
    pub author: Arc<Author>,
}

impl From<Author> for Caller {
    fn from(author: Author) -> Self {
        Self {
            who: author.to_string(),
            author: Arc::new(author),
        }
    }
}

/// The caller with these credentials by its numbers alone.
pub(super) fn numbers(cred: UCred) -> Author {
    Author {
        who: cred.uid().to_string(),
        uid: Some(cred.uid()),
        gid: Some(cred.gid()),
        pid: cred.pid(),
        ..Author::default()
    }
}

/// The same with its user's name and its command line, as far as they can be known in time.
pub(super) async fn named(cred: UCred) -> Author {
    // A look-up of a name may wait for another machine, and the control thread must not.
    let found = tokio::task::spawn_blocking(move || {
        let mut author = numbers(cred);
        if let Some(name) = user::name_of(cred.uid()) {
            author.who = name;
        }
        match cred.pid().and_then(|pid| command_line(pid, cred.uid())) {
            Some(command) => author.with_command(&command),
            None => author,
        }
    });
    match timeout(LOOK_UP, found).await {
        Ok(Ok(author)) => author,
        _ => numbers(cred),
    }
}

/// The command line of a process of this user.
///
/// All of it only for this program, whose arguments hold no secrets but in the query of a URL, which
/// is left out: those of another program may, so of that only the name is kept.
fn command_line(pid: i32, uid: u32) -> Option<String> {
    let dir = format!("/proc/{pid}");
    // Another user's process has the number by now.
    let owner = fs::metadata(&dir).ok()?.uid();
    if owner != uid {
        return None;
    }
    let file = fs::File::open(format!("{dir}/cmdline")).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_COMMAND).read_to_end(&mut bytes).ok()?;
    shown(&bytes)
}

/// A command line as the kernel has it, a NUL byte after each word.
fn shown(cmdline: &[u8]) -> Option<String> {
    let mut words = cmdline.split(|byte| *byte == 0);
    let program = Path::new(std::ffi::OsStr::from_bytes(words.next()?));
    let program = program.file_name()?.to_string_lossy().into_owned();
    if program != env!("CARGO_PKG_NAME") {
        // One that wrote over its words has them all in the first.
        return program.split_whitespace().next().map(ToOwned::to_owned);
    }
    let words = words.map(String::from_utf8_lossy);
    let words = words.filter(|word| !word.is_empty());
    Some(words.fold(program, |line, word| {
        let word = match word.split_once('?') {
            Some((before, _)) if before.contains("://") => format!("{before}?...").into(),
            _ => word,
        };
        // In quotes where a shell would need them.
        if word.contains(char::is_whitespace) {
            format!("{line} '{word}'")
        } else {
            format!("{line} {word}")
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_other_programs_stay_theirs() {
        for (cmdline, said) in [
            (
                &b"/usr/bin/dbgate\0ctl\0hide\0pg1\0--reason\0to be moved\0"[..],
                Some("dbgate ctl hide pg1 --reason 'to be moved'"),
            ),
            (
                b"dbgate\0ctl\0expose\0pg1\0--wake\0POST http://starter/pg1?token=s3cret\0",
                Some("dbgate ctl expose pg1 --wake 'POST http://starter/pg1?...'"),
            ),
            (
                b"/usr/bin/python3\0steer.py\0--token\0s3cret\0",
                Some("python3"),
            ),
            (b"steer: password=s3cret\0", Some("steer:")),
            (b"\0", None),
            (b"", None),
        ] {
            assert_eq!(shown(cmdline).as_deref(), said, "{cmdline:?}");
        }
    }

    #[test]
    fn this_process_has_a_command_line_of_its_own_user_only() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let uid = rustix::process::geteuid().as_raw();
        assert!(command_line(pid, uid).is_some());
        assert_eq!(command_line(pid, uid + 1), None);
    }
}
