//! The last clients that were turned away, and how many there were for each reason.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use super::record::rfc3339;
use super::{CloseReason, Detail};
use crate::per_ip::counted_as;

/// Rows kept for `ctl rejects`.
pub const KEPT: usize = 1000;

/// One client turned away.
#[derive(Clone, Debug, Serialize)]
pub struct Reject {
    /// The session's id.
    pub id: u64,
    /// Time of the refusal.
    #[serde(serialize_with = "rfc3339")]
    pub ts: SystemTime,
    /// The client's address.
    pub client: SocketAddr,
    /// The listener's name.
    pub listener: Arc<str>,
    /// Protocol of the client, as far as known.
    pub protocol: Option<&'static str>,
    /// The reason of the refusal.
    pub reason: CloseReason,
    /// The server name it sent, normalised or escaped.
    pub sni: Option<Box<str>>,
    /// `none`, `ip`, `invalid`, `ok`; empty before a ClientHello was read.
    pub sni_status: Option<&'static str>,
    /// A sentence for people.
    pub detail: Detail,
    /// A step for the operator, where one is known.
    pub remedy: Option<&'static str>,
}

impl Reject {
    /// True where the client sent nothing: a port check, or a scanner.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reason == CloseReason::NothingSent
    }
}

/// Equal rejects: clients of one network, turned away for one reason under one name.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The last of them, under the id of the first.
    #[serde(flatten)]
    pub reject: Reject,
    /// Number of them.
    pub count: u64,
    /// Time of the first.
    #[serde(serialize_with = "rfc3339")]
    pub first: SystemTime,
    /// Time of the last.
    #[serde(serialize_with = "rfc3339")]
    pub last: SystemTime,
}

/// The fields that equal rejects share.
type Key = (IpAddr, CloseReason, Option<Box<str>>);

fn key(reject: &Reject) -> Key {
    (
        counted_as(reject.client.ip()),
        reject.reason,
        reject.sni.clone(),
    )
}

#[derive(Debug, Default)]
struct Inner {
    /// By the order of their last reject, counted from 0.
    rows: BTreeMap<u64, Arc<Row>>,
    places: HashMap<Key, u64>,
    next: u64,
    counts: BTreeMap<(Arc<str>, CloseReason), u64>,
    empty: BTreeMap<Arc<str>, u64>,
}

/// Keeps the last [`KEPT`] rows of equal rejects; counts all. Listeners and reasons are few, so the
/// counts are bounded whatever clients send.
///
/// Clients that sent nothing are mostly checks whether the port is open: they are only counted,
/// apart from the others.
#[derive(Debug, Default)]
pub struct Rejects(Mutex<Inner>);

impl Rejects {
    /// Adds one.
    pub fn add(&self, reject: &Reject) {
        let key = key(reject);
        let mut inner = self.lock();
        let inner = &mut *inner;
        if reject.is_empty() {
            *inner.empty.entry(reject.listener.clone()).or_default() += 1;
            return;
        }
        *inner
            .counts
            .entry((reject.listener.clone(), reject.reason))
            .or_default() += 1;
        let known = inner.places.insert(key, inner.next);
        let known = known.and_then(|place| inner.rows.remove(&place));
        let mut row = Row {
            reject: reject.clone(),
            count: 1,
            first: reject.ts,
            last: reject.ts,
        };
        if let Some(known) = known {
            row.reject.id = known.reject.id;
            row.count += known.count;
            row.first = known.first;
        }
        inner.rows.insert(inner.next, Arc::new(row));
        inner.next += 1;
        if inner.rows.len() > KEPT
            && let Some((_, oldest)) = inner.rows.pop_first()
        {
            inner.places.remove(&self::key(&oldest.reject));
        }
    }

    /// The last rows, the one with the newest reject at the end.
    #[must_use]
    pub fn last(&self) -> Vec<Arc<Row>> {
        self.since(0).0
    }

    /// The rows that are new or have grown since a call that gave this number, 0 for all, in the
    /// order of their newest rejects; and the number to ask with next.
    #[must_use]
    pub fn since(&self, seen: u64) -> (Vec<Arc<Row>>, u64) {
        let inner = self.lock();
        let new = inner.rows.range(seen..).map(|(_, row)| row.clone());
        (new.collect(), inner.next)
    }

    /// Number of rejects by listener and reason, without clients that sent nothing.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(Arc<str>, CloseReason), u64> {
        self.lock().counts.clone()
    }

    /// Number of clients that sent nothing, by listener.
    #[must_use]
    pub fn empty(&self) -> BTreeMap<Arc<str>, u64> {
        self.lock().empty.clone()
    }

    /// Number of all rejects, without clients that sent nothing.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lock().counts.values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn reject(id: u64, client: &str, reason: CloseReason, sni: Option<&str>) -> Reject {
        Reject {
            id,
            ts: UNIX_EPOCH + Duration::from_secs(id),
            client: client.parse().unwrap(),
            listener: "main".into(),
            protocol: None,
            reason,
            sni: sni.map(Into::into),
            sni_status: None,
            detail: Detail::default(),
            remedy: None,
        }
    }

    #[test]
    fn equal_rejects_are_one_row_and_empty_connects_none() {
        let rejects = Rejects::default();
        let unknown = CloseReason::UnknownHost;
        for (id, client, reason, sni) in [
            (1, "192.0.2.1:1", unknown, Some("a.example")),
            (2, "192.0.2.2:1", unknown, Some("a.example")),
            (3, "192.0.2.1:2", unknown, Some("b.example")),
            (4, "192.0.2.1:3", CloseReason::NoSni, None),
            (5, "[2001:db8::1]:1", unknown, None),
            (6, "[2001:db8::2]:1", unknown, None),
            (7, "192.0.2.1:4", unknown, Some("a.example")),
            (8, "192.0.2.1:5", CloseReason::NothingSent, None),
        ] {
            rejects.add(&reject(id, client, reason, sni));
        }
        let second = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let rows: Vec<_> = rejects
            .last()
            .iter()
            .map(|row| {
                let Row {
                    reject,
                    count,
                    first,
                    last,
                } = &**row;
                assert_eq!(reject.ts, *last);
                (
                    reject.id,
                    reject.client.to_string(),
                    *count,
                    second(*first),
                    second(*last),
                )
            })
            .collect();
        let told =
            |id, client: &str, count, first, last| (id, client.to_owned(), count, first, last);
        assert_eq!(
            rows,
            [
                told(2, "192.0.2.2:1", 1, 2, 2),
                told(3, "192.0.2.1:2", 1, 3, 3),
                told(4, "192.0.2.1:3", 1, 4, 4),
                told(5, "[2001:db8::2]:1", 2, 5, 6),
                told(1, "192.0.2.1:4", 2, 1, 7),
            ]
        );
        assert_eq!(rejects.total(), 7);
        assert_eq!(rejects.empty().values().sum::<u64>(), 1);
        let (_, seen) = rejects.since(0);
        assert!(rejects.since(seen).0.is_empty());
        rejects.add(&reject(9, "192.0.2.2:9", unknown, Some("a.example")));
        let (grown, _) = rejects.since(seen);
        assert_eq!((grown.len(), grown[0].count), (1, 2));
    }

    #[test]
    fn names_that_a_client_makes_up_push_out_only_what_is_older() {
        let rejects = Rejects::default();
        for id in 0..3 * KEPT as u64 {
            let name = format!("{id}.example");
            rejects.add(&reject(
                id,
                "192.0.2.1:1",
                CloseReason::UnknownHost,
                Some(&name),
            ));
        }
        let inner = rejects.lock();
        assert_eq!((inner.rows.len(), inner.places.len()), (KEPT, KEPT));
        let first = inner.rows.values().next().unwrap();
        assert_eq!(first.reject.id, 2 * KEPT as u64);
    }
}
