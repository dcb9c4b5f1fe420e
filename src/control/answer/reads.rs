//! Answers to questions: `list`, `show`, `explain`, `sessions`, `rejects`, `export`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::event::CertificateFault;
use crate::author::Author;

/// The answer to `list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListAnswer {
    /// The revision of the routes.
    pub revision: u64,
    /// All databases, by name.
    pub databases: Vec<DatabaseSummary>,
    /// Remarks about conflicts.
    pub notes: Vec<String>,
}

/// A database in a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DatabaseSummary {
    /// Its name.
    pub name: String,
    /// `open`, `hidden`, `draining`, `drained` or `down`.
    pub state: String,
    /// The protocol that it speaks.
    pub protocol: String,
    /// The TLS mode.
    pub tls: String,
    /// Hosts that lead to it.
    pub hosts: Vec<String>,
    /// Hosts of the configuration that `ctl` hid.
    pub hidden: Vec<String>,
    /// Hosts that another database has.
    pub shadowed: Vec<String>,
    /// Addresses of the backends, as declared.
    pub backends: Vec<String>,
    /// Number of sessions.
    pub sessions: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Most sessions at a time.
    pub max_sessions: Option<u32>,
    /// Most sessions at a time for one client network.
    pub max_sessions_per_ip: Option<u32>,
    /// Networks that may connect; all if empty.
    pub allow: Vec<String>,
    /// Networks that may not.
    pub deny: Vec<String>,
    /// `config` or `runtime`.
    pub origin: String,
}

/// The answer to `show`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShowAnswer {
    /// The database.
    pub database: DatabaseDetails,
}

/// A database in full.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DatabaseDetails {
    /// Its name.
    pub name: String,
    /// `open`, `hidden`, `draining`, `drained` or `down`.
    pub state: String,
    /// `config` or `runtime`.
    pub origin: String,
    /// The drains in force, of all of it and of its backends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drains: Vec<DrainDetails>,
    /// The reason of the last change of its hosts or settings, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonDetails>,
    /// Its keys as in the configuration.
    pub settings: Map<String, Value>,
    /// Its hosts.
    pub exposures: Vec<ExposureDetails>,
    /// Its backends.
    pub backends: Vec<BackendDetails>,
    /// The certificate shown to clients, where the gateway ends their TLS.
    pub certificate: Option<CertificateDetails>,
    /// Changed files of it that cannot be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate_faults: Vec<CertificateFault>,
    /// Number of sessions.
    pub sessions: u64,
}

impl DatabaseDetails {
    /// The protocol that it speaks.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.settings.get("protocol")?.as_str()
    }
}

/// A drain in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrainDetails {
    /// The backend, where it is of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Time since when no new sessions come in.
    pub since: String,
    /// Time at which those that still run then are closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// The operator, and the reason.
    pub by: Author,
}

/// The reason of a change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReasonDetails {
    /// The command.
    pub change: String,
    /// Time of the change.
    pub ts: String,
    /// The operator, and the reason.
    pub by: Author,
}

/// A host of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExposureDetails {
    /// The host.
    pub host: String,
    /// `config` or `runtime`.
    pub origin: String,
    /// `active`, `hidden` or `shadowed`.
    pub state: String,
    /// True if it ends with the gateway.
    pub ephemeral: bool,
    /// Time at which it ends by itself.
    pub expires: Option<String>,
}

/// A backend of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendDetails {
    /// Its address as declared.
    pub address: String,
    /// `up`, `down`, `starting`, `draining` or `unchecked`.
    pub state: String,
    /// Time since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The reason of the last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The words of the last check, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Its remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Its share beside others.
    pub weight: u32,
    /// Time at which the last check ended; absent where none are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_check: Option<String>,
    /// Its duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_ms: Option<f64>,
    /// Number of sessions there.
    pub sessions: u32,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}

/// A certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateDetails {
    /// The end of its validity.
    pub not_after: String,
}

/// The answer to `explain`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExplainAnswer {
    /// The host asked for.
    pub host: String,
    /// The listener.
    pub listener: String,
    /// The database that the host leads to.
    pub database: Option<String>,
    /// True if a client is let in.
    pub admitted: bool,
    /// The reason of the refusal, if it is not.
    pub reason: Option<String>,
    /// Steps of the decision, a sentence each.
    pub walk: Vec<String>,
    /// The database in a row.
    pub summary: Option<DatabaseSummary>,
}

/// The answer to `sessions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionsAnswer {
    /// Live sessions.
    pub sessions: Vec<SessionSummary>,
}

/// A live session in a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionSummary {
    /// Unique in one process.
    pub id: u64,
    /// Its database.
    pub database: String,
    /// The host that led there.
    pub host: Option<String>,
    /// The server name that the client sent, normalised or escaped.
    pub sni: Option<String>,
    /// The client's address.
    pub client: String,
    /// Subject and SHA-256 fingerprint of the client's certificate.
    pub user_cert: Option<String>,
    /// The listener.
    pub listener: String,
    /// The protocol.
    pub protocol: String,
    /// The TLS mode.
    pub tls: String,
    /// The backend's address, once connected.
    pub backend: Option<String>,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// Time since it was accepted.
    pub age_ms: u64,
    /// `connecting`, `open` or `draining`.
    pub state: String,
}

/// The answer to `rejects`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RejectsAnswer {
    /// The last rows of equal rejects, the latest at the end.
    pub rejects: Vec<RejectGroup>,
    /// Numbers of all rejects since the start.
    pub counts: Vec<RejectCount>,
}

/// A client turned away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reject {
    /// The session's id.
    pub id: u64,
    /// Time.
    pub ts: String,
    /// The client's address.
    pub client: String,
    /// The listener.
    pub listener: String,
    /// The protocol, as far as known.
    pub protocol: Option<String>,
    /// The reason.
    pub reason: String,
    /// The server name that the client sent, normalised or escaped.
    pub sni: Option<String>,
    /// `none`, `ip`, `invalid` or `ok`, once a `ClientHello` was read.
    pub sni_status: Option<String>,
    /// The reason as a sentence.
    pub detail: String,
    /// A remedy, where one is known.
    pub remedy: Option<String>,
}

/// Equal rejects in a row: the last of them under the id of the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RejectGroup {
    /// The last of them.
    #[serde(flatten)]
    pub reject: Reject,
    /// Their number.
    pub count: u64,
    /// Time of the first.
    pub first: String,
    /// Time of the last.
    pub last: String,
}

/// Number of clients that a listener turned away for a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RejectCount {
    /// The listener.
    pub listener: String,
    /// The reason.
    pub reason: String,
    /// The number, since the start.
    pub count: u64,
}

/// The answer to `export`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportAnswer {
    /// The running databases and hosts, as a configuration.
    pub toml: String,
}
