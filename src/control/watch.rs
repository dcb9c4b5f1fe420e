//! What a `watch` request subscribes to: everything that `top` shows, first as it is, then what
//! has changed.
//!
//! The answer `{"id":1,"ok":true,"interval_ms":1000}` is followed by lines
//! `{"id":1,"event":{"event":"update",…}}`, each an [`Update`]. A refresh is one or more of them,
//! all but the last with `"more":true`; the first refresh begins with `"first":true` and holds
//! all there is. A line is bounded in rows. The next refresh is made only when the caller has
//! taken the one before: one that reads slowly gets fewer refreshes, and nothing piles up.
//!
//! Not here: finding out what has changed ([`Watcher`]).

mod changes;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

pub use changes::{Refresh, Watcher};

use crate::gateway::Gateway;

/// One line of a subscription. What is empty is left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Update {
    /// Milliseconds since the gateway's start, the same in all lines of a refresh: the clock for
    /// rates and ages.
    pub uptime_ms: u64,
    /// Whatever was known before is to be forgotten.
    #[serde(skip_serializing_if = "is_false")]
    pub first: bool,
    /// The refresh goes on in the next line.
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
    /// Rows of clients turned away that are new or have grown, as `ctl rejects` tells them; those that were pushed out
    /// of the last 1,000 before they could be told are only counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejects: Vec<RejectRow>,
    /// How many were turned away since the start, where that has changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reject_counts: Vec<RejectCount>,
    /// What else happened, as `ctl events` tells it, without rejects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Value>,
    /// Events that were too many to be told.
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
    pub time: String,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of `ctl list` of that name")]
pub struct DatabaseRow {
    pub name: String,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendRow {
    /// Its address as declared.
    pub addr: String,
    /// `ok` or `failing`.
    pub state: String,
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

/// How many clients a listener turned away for a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "each is the column of `ctl rejects -o wide` of that name"
)]
pub struct RejectCount {
    pub listener: String,
    pub reason: String,
    pub count: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a Value,
    event: Tagged<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Tagged<'a> {
    Update(&'a Update),
}

/// Sends refreshes until the caller is gone.
pub(super) async fn serve(
    id: Value,
    gateway: Arc<Gateway>,
    every: Duration,
    answers: mpsc::Sender<String>,
) {
    let mut watcher = Watcher::new(&gateway);
    let mut ticks = interval(every);
    // After a slow caller the pause begins anew: no refreshes in a row to catch up.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = answers.closed() => return,
        }
        for update in watcher.refresh(&gateway) {
            let line = Line {
                id: &id,
                event: Tagged::Update(&update),
            };
            let Ok(line) = serde_json::to_string(&line) else {
                return;
            };
            // All places, not one: no line waits while another of this subscription is made.
            let Ok(mut places) = answers.reserve_many(answers.max_capacity()).await else {
                return;
            };
            if let Some(place) = places.next() {
                place.send(line);
            }
        }
    }
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
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests;
