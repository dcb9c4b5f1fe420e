//! The stream of a `watch` request: everything that `top` shows, first as it is, then what has
//! changed.
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

use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

pub use changes::{Refresh, Watcher};

use super::answer::{Update, event_line};
use crate::gateway::Gateway;

/// An update with its kind.
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
            let line = event_line(&id, &Tagged::Update(&update));
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

#[cfg(test)]
mod tests;
