//! Updates as `watch` streams them: everything that `top` shows.

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::reads::RejectCount;

/// One line of a subscription. What is empty is left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Update {
    /// Time since the gateway's start, the same in all lines of a refresh: the clock for rates and
    /// ages.
    pub uptime_ms: u64,
    /// The first line of a subscription: a caller forgets all it knew.
    #[serde(skip_serializing_if = "is_false")]
    pub first: bool,
    /// True if the refresh goes on in the next line.
    #[serde(skip_serializing_if = "is_false")]
    pub more: bool,
    /// The gateway as a whole; in the first line of each refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// Sessions that are new, or in another state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionRow>,
    /// Sessions whose counters have moved: id, bytes in, bytes out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<(u64, u64, u64)>,
    /// Ids of sessions that have ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<u64>,
    /// Databases that are new or different.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseRow>,
    /// Names of databases that are no longer there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
    /// Rows of clients turned away that are new or have grown; those that left the last 1,000
    /// before they could be sent are only counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejects: Vec<RejectRow>,
    /// Numbers of clients turned away since the start, where they have changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reject_counts: Vec<RejectCount>,
    /// Events other than rejects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// Number of events that were too many to be sent.
    #[serde(skip_serializing_if = "is_zero")]
    pub events_missed: u64,
}

/// The gateway as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The time of day, RFC 3339 in UTC, of this refresh.
    pub ts: String,
    /// The revision of its routes.
    pub revision: u64,
    /// Live sessions.
    pub sessions: u64,
    /// Sessions that reached a backend since the start.
    pub sessions_total: u64,
    /// Clients accepted since the start: handshakes begun.
    pub accepted: u64,
    /// Handshakes under way.
    pub handshakes: u64,
    /// Clients turned away since the start.
    pub rejects: u64,
    /// Bytes from clients since the start.
    pub bytes_in: u64,
    /// Bytes to clients since the start.
    pub bytes_out: u64,
}

/// A session: the fields of `ctl sessions`, and the backend as it was declared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "each is the column of `ctl sessions` of that name"
)]
pub struct SessionRow {
    pub id: u64,
    pub database: String,
    pub host: Option<String>,
    /// The server name that the client sent, where it is not that of `host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    pub client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_cert: Option<String>,
    pub listener: String,
    pub protocol: String,
    pub tls: String,
    pub backend: Option<String>,
    /// The backend as declared, such as `db.internal:5432`.
    pub declared: Option<String>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub age_ms: u64,
    pub state: String,
}

/// A database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of `ctl list` of that name")]
pub struct DatabaseRow {
    pub name: String,
    pub state: String,
    pub protocol: String,
    pub tls: String,
    pub hosts: Vec<String>,
    pub hidden: Vec<String>,
    pub shadowed: Vec<String>,
    pub backends: Vec<BackendRow>,
    pub sessions: u32,
    pub max_sessions: Option<u32>,
    pub origin: String,
    /// Bytes from its clients since the start.
    pub bytes_in: u64,
    /// Bytes to its clients since the start.
    pub bytes_out: u64,
}

/// A backend of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendRow {
    /// Its address as declared.
    pub address: String,
    /// `up`, `down`, `starting`, `draining` or `unchecked`.
    pub state: String,
    /// Time since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The reason of the last failure, in words where a check has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Time at which the last check ended; absent where none are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_check: Option<String>,
    /// Its duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_ms: Option<f64>,
    /// Sessions there now.
    pub sessions: u32,
    /// Bytes from clients since the start.
    pub bytes_in: u64,
    /// Bytes to clients since the start.
    pub bytes_out: u64,
}

/// A client turned away: the fields of `ctl rejects`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "each is the column of `ctl rejects` of that name"
)]
pub struct RejectRow {
    pub id: u64,
    pub ts: String,
    pub count: u64,
    pub first: String,
    pub client: String,
    pub listener: String,
    pub protocol: Option<String>,
    pub reason: String,
    pub sni: Option<String>,
    pub sni_status: Option<String>,
    pub detail: String,
    pub remedy: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}
