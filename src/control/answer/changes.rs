//! Answers to changes: `expose`, `hide`, `delete`, `kill`, `drain`.

use serde::{Deserialize, Serialize};

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
    /// Sessions that came by hosts which lead elsewhere now.
    pub sessions: u64,
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
    /// False if nothing of it was exposed.
    pub changed: bool,
    /// True if nothing was done.
    pub dry_run: bool,
    /// The revision of the routes.
    pub revision: u64,
    /// Hosts that no longer lead to the database.
    pub hosts: Vec<String>,
    /// Those of them that lead nowhere now, and are refused.
    pub refused: Vec<String>,
    /// True if `ctl` had made the database, and it is gone with its last host.
    pub removed: bool,
    /// Remarks.
    pub notes: Vec<String>,
    /// Fate of the running sessions: `drain`, `keep` or `kill`.
    pub running: String,
    /// Time that they get, if they are drained.
    pub drain_ms: Option<u64>,
    /// Their number.
    pub sessions: u64,
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
    /// Their number.
    pub sessions: u64,
}

/// The answer to `kill`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KillAnswer {
    /// Number of sessions closed.
    pub killed: u64,
    /// Ids that no session has.
    #[serde(default)]
    pub missing: Vec<u64>,
}

/// The answer to `drain`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DrainAnswer {
    /// The database.
    pub database: String,
    /// Number of its sessions.
    pub sessions: u64,
    /// Time that they get.
    pub drain_ms: u64,
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
