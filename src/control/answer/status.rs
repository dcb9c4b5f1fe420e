//! The answer to `status`.

use serde::{Deserialize, Serialize};

use super::event::CertificateFault;
use super::update::is_zero;
use crate::author::Author;

/// The answer to `status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusAnswer {
    /// The gateway's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Time since its start.
    pub uptime_ms: u64,
    /// The revision of the routes.
    pub revision: u64,
    /// Number of databases.
    pub databases: u64,
    /// Number of hosts that lead to one.
    pub hosts: u64,
    /// Number of live sessions.
    pub sessions: u64,
    /// Sessions that reached a backend since the start.
    pub sessions_total: u64,
    /// Handshakes under way.
    pub handshakes: u64,
    /// Lines of the access log that could not be written.
    pub log_lines_lost: u64,
    /// Clients turned away since the start.
    pub rejects: u64,
    /// Clients that sent nothing.
    pub empty_connects: u64,
    /// The configuration file.
    pub config: Option<String>,
    /// The address of the metrics.
    pub metrics: Option<String>,
    /// The listeners, in the order of the configuration.
    pub listeners: Vec<ListenerStatus>,
    /// The last time that the configuration was read again.
    pub last_reload: Option<ReloadDetails>,
    /// Changed files of certificates that cannot be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate_faults: Vec<CertificateFault>,
    /// Number of further ones.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_certificate_faults: u64,
    /// The gateway's end, while it waits for sessions.
    pub stopping: Option<StoppingDetails>,
    /// Remarks about conflicts.
    pub notes: Vec<String>,
}

/// A reading of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReloadDetails {
    /// Time.
    pub ts: String,
    /// True if it is in force.
    pub ok: bool,
    /// The revision since then.
    pub revision: u64,
    /// Problems, if it is not.
    pub problems: Vec<String>,
    /// Number of further problems.
    pub more_problems: u64,
    /// The operator, or the signal.
    pub by: Author,
}

/// A gateway that is stopping.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoppingDetails {
    /// Time at which it began.
    pub since: String,
    /// Time at which sessions are closed that still run.
    pub deadline: String,
    /// Their number now.
    pub sessions: u64,
}

/// A listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub bind: Vec<String>,
    /// The protocol.
    pub protocol: String,
    /// The database of clients without a known name.
    pub default: Option<String>,
}
