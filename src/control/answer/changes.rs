//! Answers to changes: `expose`, `hide`, `delete`, `kill`, `drain`.

use serde::{Deserialize, Serialize};

/// The answer to a command on one database, or on several: then an answer for each, in the order
/// in which they were named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PerDatabase<A> {
    /// Of several.
    Several {
        /// An answer for each.
        databases: Vec<A>,
    },
    /// Of one.
    One(A),
}

impl<A> PerDatabase<A> {
    /// The answers of a command; there is at least one.
    #[must_use]
    pub fn new(mut answers: Vec<A>) -> Self {
        match (answers.pop(), answers.is_empty()) {
            (Some(one), true) => Self::One(one),
            (last, _) => {
                answers.extend(last);
                Self::Several { databases: answers }
            }
        }
    }

    /// The answers, one for each database.
    pub fn iter(&self) -> impl Iterator<Item = &A> {
        match self {
            Self::Several { databases } => databases.iter(),
            Self::One(one) => std::slice::from_ref(one).iter(),
        }
    }

    /// The same, to be completed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut A> {
        match self {
            Self::Several { databases } => databases.iter_mut(),
            Self::One(one) => std::slice::from_mut(one).iter_mut(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The answer to `expose`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExposeAnswer {
    /// The database.
    pub database: String,
    /// False if everything was as asked for before.
    pub changed: bool,
    /// True if nothing was done.
    pub dry_run: bool,
    /// The revision of the routes.
    pub revision: u64,
    /// Hosts that lead to the database; in a dry run, those asked for.
    pub hosts: Vec<String>,
    /// Settings that are others now, for new sessions, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// Sessions that were closed because `allow` and `deny` do not let them in any more.
    #[serde(skip_serializing_if = "is_zero")]
    pub closed: u64,
    /// Sessions that came by hosts which lead elsewhere now.
    pub sessions: u64,
    /// Time that they get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_ms: Option<u64>,
    /// Time at which they are closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// The command that takes the change back, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// Remarks.
    pub notes: Vec<String>,
    /// Backends that would not serve a session now.
    pub warnings: Vec<BackendWarning>,
}

/// A backend that would not serve a session now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendWarning {
    /// Its address as declared.
    pub backend: String,
    /// The reason with which a session would end.
    pub reason: String,
    /// The same as a sentence.
    pub detail: String,
    /// A remedy, where one is known.
    pub remedy: Option<String>,
}

/// The answer to `hide`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HideAnswer {
    /// The database.
    pub database: String,
    /// False if it was hidden before.
    pub changed: bool,
    /// True if nothing was done.
    pub dry_run: bool,
    /// The revision of the routes.
    pub revision: u64,
    /// Hosts that no longer lead to the database.
    pub hosts: Vec<String>,
    /// Those of them that lead nowhere now, and are refused.
    pub refused: Vec<String>,
    /// Remarks.
    pub notes: Vec<String>,
    /// Fate of the running sessions: `drain`, `keep` or `kill`.
    pub running: String,
    /// Time that they get, if they are drained.
    pub drain_ms: Option<u64>,
    /// Time at which they are closed, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// Number of sessions that it touches.
    pub sessions: u64,
    /// The command that takes the change back, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// The answer to `delete`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteAnswer {
    /// The database.
    pub database: String,
    /// False if there was nothing to delete.
    pub changed: bool,
    /// True if nothing was done.
    pub dry_run: bool,
    /// The revision of the routes.
    pub revision: u64,
    /// Hosts that are free now.
    pub hosts: Vec<String>,
    /// Fate of the running sessions: `drain`, `keep` or `kill`.
    pub running: String,
    /// Time that they get, if they are drained.
    pub drain_ms: Option<u64>,
    /// Time at which they are closed, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// Number of sessions that it touches.
    pub sessions: u64,
    /// The command that takes the change back, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// The answer to `kill`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KillAnswer {
    /// Number of sessions closed.
    pub killed: u64,
    /// Ids that no session has.
    #[serde(default)]
    pub missing: Vec<u64>,
    /// The command that keeps their clients out, where they may connect again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_out: Option<String>,
}

/// The answer to `drain` and to `resume`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrainAnswer {
    /// The database.
    pub database: String,
    /// Its backend, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// False if it was as asked for before.
    pub changed: bool,
    /// True if nothing was done.
    pub dry_run: bool,
    /// The revision of the routes.
    pub revision: u64,
    /// True if it takes no new sessions since then.
    pub drained: bool,
    /// The state of the database since then.
    pub state: String,
    /// Remarks.
    pub notes: Vec<String>,
    /// Fate of the running sessions: `drain` or `keep`.
    pub running: String,
    /// Time that they get, if they are drained.
    pub drain_ms: Option<u64>,
    /// Time at which they are closed, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// Number of sessions that it touches.
    pub sessions: u64,
    /// The command that takes the change back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// A host and its database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExposedHost {
    /// The database.
    pub database: String,
    /// The host.
    pub host: String,
}
