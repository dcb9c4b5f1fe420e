//! Answers about differences between the gateway and its files: `diff` and `reload`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::changes::{ExposedHost, is_zero};

/// The answer to `diff`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiffAnswer {
    /// Changes made by `ctl`, then differences from the files.
    pub differences: Vec<DifferenceRow>,
    /// Number of further databases that differ.
    pub more_databases: u64,
    /// Sessions that a reload would end.
    pub sessions: u64,
    /// Time that they would get.
    pub drain_ms: u64,
}

/// One difference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DifferenceRow {
    /// `runtime` (made by `ctl`) or `file`.
    pub kind: String,
    /// The database, if it is about one.
    pub database: Option<String>,
    /// A sentence on what differs.
    pub what: String,
    /// The section of the configuration.
    pub section: String,
    /// The key in it.
    pub key: Option<String>,
    /// The value in force.
    pub running: Value,
    /// The value in the file.
    pub file: Value,
    /// The effect of a reload on it.
    pub effect: String,
}

/// The answer to `reload`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReloadAnswer {
    /// The revision of the routes.
    pub revision: u64,
    /// False if everything is as before.
    pub changed: bool,
    /// Differences from before.
    pub changes: Vec<DifferenceRow>,
    /// Number of further databases that changed.
    pub more_databases: u64,
    /// Hosts that lead to a database now.
    pub exposed: Vec<ExposedHost>,
    /// Hosts that no longer do.
    pub withdrawn: Vec<ExposedHost>,
    /// Sessions that were closed because `allow` and `deny` do not let them in any more.
    #[serde(skip_serializing_if = "is_zero")]
    pub closed: u64,
    /// Sessions that end because their database or host is gone.
    pub sessions: u64,
    /// Time that they get.
    pub drain_ms: u64,
    /// The file that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Warnings about the configuration.
    pub warnings: Vec<String>,
    /// Remarks.
    pub notes: Vec<String>,
}
