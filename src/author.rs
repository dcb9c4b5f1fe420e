//! Who made a change, and why: the same in the audit log, in events and in `ctl show`.
//!
//! Not here: finding it out ([`crate::control`]).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::wire;

/// The longest command line that is kept, in characters.
const MAX_COMMAND: usize = 300;

/// The longest reason that is kept, in characters.
pub const MAX_REASON: usize = 300;

/// Who made a change, and why.
///
/// Its texts come from callers: they are one line without control characters, of bounded length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Author {
    /// The user's name, or its number where it has none; `SIGHUP` and `ttl` for what nobody typed.
    pub who: String,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Its command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The reason that was given (`--reason`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Author {
    /// What makes a change without a caller: a signal, the end of a lease.
    #[must_use]
    pub fn own(what: &str) -> Self {
        Self {
            who: what.to_owned(),
            ..Self::default()
        }
    }

    /// The same with a command line.
    #[must_use]
    pub fn with_command(mut self, command: &str) -> Self {
        self.command = Some(wire::one_line(command, MAX_COMMAND));
        self
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.reason = Some(wire::one_line(reason, MAX_REASON));
        self
    }
}

impl fmt::Display for Author {
    /// As in the audit log: `uid=0 gid=0 pid=4711 user=root command="dbgate ctl hide pg1"`. Texts
    /// are quoted, so that none can pose as another field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(uid) = self.uid else {
            f.write_str(&self.who)?;
            return self.fmt_texts(f);
        };
        write!(f, "uid={uid}")?;
        if let Some(gid) = self.gid {
            write!(f, " gid={gid}")?;
        }
        match self.pid {
            Some(pid) => write!(f, " pid={pid}")?,
            None => f.write_str(" pid=-")?,
        }
        if self.who != uid.to_string() {
            write!(f, " user={}", self.who)?;
        }
        self.fmt_texts(f)
    }
}

impl Author {
    fn fmt_texts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(command) = &self.command {
            write!(f, " command={command:?}")?;
        }
        match &self.reason {
            Some(reason) => write!(f, " reason={reason:?}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_poses_as_another_field() {
        let author = Author {
            who: "alice".to_owned(),
            uid: Some(1000),
            gid: Some(100),
            pid: Some(7),
            ..Author::default()
        };
        let author = author
            .with_command("dbgate ctl hide x\" uid=0\n2026 INFO audit: who=root")
            .because("x".repeat(1000).as_str());
        let text = author.to_string();
        assert!(
            text.starts_with(
                "uid=1000 gid=100 pid=7 user=alice command=\"dbgate ctl hide x\\\" uid=0"
            ),
            "{text}"
        );
        assert!(!text.contains('\n'), "{text}");
        assert_eq!(author.reason.as_deref().map(str::len), Some(MAX_REASON));
        assert_eq!(Author::own("SIGHUP").to_string(), "SIGHUP");
    }
}
