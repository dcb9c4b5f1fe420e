//! Clients that were turned away: as they are, and as they come.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::time;
use crate::control::answer::{RejectCount, RejectGroup, RejectsAnswer, event_line};
use crate::control::events;
use crate::control::params::RejectsParams;
use crate::gateway::Gateway;
use crate::stats::{EventKind, RejectedRow};
use crate::tls::ServerName;

/// Interval at which rows that are new or have grown are sent: what a scanner does in between is
/// one row.
const INTERVAL: Duration = Duration::from_millis(250);

/// The last rows that are asked for, and the counts of all.
pub(in crate::control) fn rejects(gateway: &Gateway, asked: &RejectsParams) -> RejectsAnswer {
    let counts = gateway.rejects.counts();
    let counts = counts.iter();
    RejectsAnswer {
        rejects: wanted(&gateway.rejects.last(), asked, SystemTime::now()).collect(),
        counts: counts
            .map(|((listener, reason), count)| RejectCount {
                listener: listener.to_string(),
                reason: reason.to_string(),
                count: *count,
            })
            .collect(),
    }
}

/// A row as an event.
#[derive(Serialize)]
struct Rejected {
    kind: EventKind,
    event: &'static str,
    #[serde(flatten)]
    row: RejectGroup,
}

/// Sends the last rows that are asked for, then those that are new or have grown, until the caller
/// is gone.
pub(in crate::control) async fn follow(
    id: Value,
    gateway: Arc<Gateway>,
    asked: RejectsParams,
    answers: mpsc::Sender<String>,
) {
    let began = SystemTime::now();
    let mut seen = 0;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = answers.closed() => return,
        }
        let (rows, next) = gateway.rejects.since(seen);
        seen = next;
        for row in wanted(&rows, &asked, began) {
            let line = event_line(
                &id,
                &Rejected {
                    kind: EventKind::Reject,
                    event: "rejected",
                    row,
                },
            );
            if answers.send(line).await.is_err() {
                return;
            }
        }
    }
}

/// The rows that are asked for at this time.
fn wanted<'a>(
    rows: &'a [Arc<RejectedRow>],
    asked: &'a RejectsParams,
    now: SystemTime,
) -> impl Iterator<Item = RejectGroup> + 'a {
    let since = asked
        .since_ms
        .and_then(|ms| now.checked_sub(Duration::from_millis(ms)));
    rows.iter()
        .filter(move |row| since.is_none_or(|since| row.last >= since) && is_wanted(row, asked))
        .map(|row| RejectGroup {
            reject: events::reject(&row.reject),
            count: row.count,
            first: time(row.first),
            last: time(row.last),
        })
}

fn is_wanted(row: &RejectedRow, asked: &RejectsParams) -> bool {
    let reject = &row.reject;
    let client = reject.client.ip();
    let from = asked.client;
    from.is_none_or(|network| network.contains(client))
        && asked.host.as_ref().is_none_or(|host| {
            let name = reject.sni.as_deref();
            let name = name.and_then(|name| ServerName::typed(name).ok());
            name.is_some_and(|name| host.matches(&name))
        })
}
