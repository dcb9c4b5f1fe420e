//! The last clients that were turned away, and how many there were for each reason.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use super::record::rfc3339;
use super::{CloseReason, Detail};

/// Rejects kept for `ctl rejects`.
pub const KEPT: usize = 1000;

/// One client turned away.
#[derive(Clone, Debug, Serialize)]
pub struct Reject {
    /// The session's id.
    pub id: u64,
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// The client's address.
    pub client: SocketAddr,
    /// Where it came in.
    pub listener: Arc<str>,
    /// What it spoke, as far as known.
    pub protocol: Option<&'static str>,
    /// Why it was turned away.
    pub reason: CloseReason,
    /// The server name it sent, normalised or escaped.
    pub sni: Option<Box<str>>,
    /// `none`, `ip`, `invalid`, `ok`; empty before a ClientHello was read.
    pub sni_status: Option<&'static str>,
    /// A sentence for people.
    pub detail: Detail,
}

#[derive(Debug, Default)]
struct Inner {
    last: VecDeque<Arc<Reject>>,
    counts: BTreeMap<(Arc<str>, CloseReason), u64>,
}

/// Keeps the last [`KEPT`] rejects; counts all. Listeners and reasons are few, so the counts are
/// bounded whatever clients send.
#[derive(Debug, Default)]
pub struct Rejects(Mutex<Inner>);

impl Rejects {
    /// Adds one.
    pub fn add(&self, reject: Arc<Reject>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *inner
            .counts
            .entry((reject.listener.clone(), reject.reason))
            .or_default() += 1;
        if inner.last.len() == KEPT {
            inner.last.pop_front();
        }
        inner.last.push_back(reject);
    }

    /// The last ones, oldest first.
    #[must_use]
    pub fn last(&self) -> Vec<Arc<Reject>> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last.iter().cloned().collect()
    }

    /// Those since there were `seen` in all, as far as they are kept, oldest first, and how many
    /// there are now.
    #[must_use]
    pub fn since(&self, seen: u64) -> (Vec<Arc<Reject>>, u64) {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total: u64 = inner.counts.values().sum();
        let new = usize::try_from(total.saturating_sub(seen)).unwrap_or(usize::MAX);
        let known = inner.last.len().saturating_sub(new);
        (inner.last.iter().skip(known).cloned().collect(), total)
    }

    /// How many there were, by listener and reason.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(Arc<str>, CloseReason), u64> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.counts.clone()
    }

    /// How many there were in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.counts.values().sum()
    }
}
