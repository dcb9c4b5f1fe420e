//! The live sessions: a list of them, what they have moved, and the means to cut or drain each.
//!
//! A session is here from the moment its database is chosen until it ends.

mod guard;
mod limits;
mod live;
mod view;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use guard::SessionGuard;
pub use limits::{LimitReached, SessionLimits};
pub use live::{LiveSession, RequestedHost};
pub use view::SessionView;

use crate::per_ip::PerIp;
use crate::route::Database;
use crate::route::database::Live;
use crate::traffic::{Bytes, PARTS};
use crate::upstream::Member;

/// Locks that the sessions are spread over, so that cores do not wait for each other.
const SHARDS: usize = PARTS;

/// Use of one backend by sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendUse {
    /// Live sessions.
    pub sessions: u32,
    /// Bytes from and to clients, by all sessions that there are and have been.
    pub moved: Bytes,
}

impl BackendUse {
    fn add(&mut self, (bytes_in, bytes_out): Bytes) {
        self.moved.0 += bytes_in;
        self.moved.1 += bytes_out;
    }
}

type Shard = HashMap<u64, Arc<LiveSession>>;

/// All live sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    shards: [Mutex<Shard>; SHARDS],
    count: AtomicUsize,
    /// Sessions that count towards the limits.
    counted: AtomicUsize,
    per_ip: PerIp,
}

impl Sessions {
    /// Adds a session whose database has just been chosen.
    #[must_use]
    pub fn enter(
        self: &Arc<Self>,
        id: u64,
        client: SocketAddr,
        listener: Arc<str>,
        accepted: Instant,
        database: Arc<Database>,
        requested: RequestedHost,
    ) -> SessionGuard {
        let entry = Arc::new(LiveSession::new(
            id, client, listener, accepted, database, requested,
        ));
        self.shard(id).insert(id, entry.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        SessionGuard {
            sessions: self.clone(),
            entry,
        }
    }

    /// The session with this id.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Arc<LiveSession>> {
        self.shard(id).get(&id).cloned()
    }

    /// All sessions for which `wanted` holds, by id.
    pub fn select(&self, mut wanted: impl FnMut(&LiveSession) -> bool) -> Vec<Arc<LiveSession>> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            found.extend(shard.values().filter(|e| wanted(e)).cloned());
        }
        found.sort_unstable_by_key(|e| e.id);
        found
    }

    /// Number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes from and to the clients of each of these databases, in their order, by all sessions
    /// that there are and have been. They never fall.
    #[must_use]
    pub fn moved(&self, databases: &[&Arc<Database>]) -> Vec<(u64, u64)> {
        let used = databases.iter().map(|database| database.counted());
        let used = used.enumerate();
        let used: Vec<_> = used.filter_map(|(at, live)| Some((at, live?))).collect();
        let places: HashMap<*const Live, usize> = used
            .iter()
            .map(|(place, live)| (Arc::as_ptr(live), *place))
            .collect();
        let mut totals = vec![(0, 0); databases.len()];
        let mut add = |place: usize, (bytes_in, bytes_out): (u64, u64)| {
            if let Some((of_in, of_out)) = totals.get_mut(place) {
                *of_in += bytes_in;
                *of_out += bytes_out;
            }
        };
        for (part, shard) in self.shards.iter().enumerate() {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for entry in shard.values() {
                if let Some(place) = places.get(&Arc::as_ptr(entry.database.live())) {
                    add(*place, entry.moved());
                }
            }
            for (place, live) in &used {
                add(*place, live.ended.part(part));
            }
        }
        totals
    }

    /// Use of each backend of each of these databases, in their order; nothing for those that no
    /// session has used. Bytes never fall.
    ///
    /// The bytes of a client go to several backends where the first do not answer, and count for
    /// each of them.
    #[must_use]
    pub fn by_backend(&self, databases: &[&Arc<Database>]) -> Vec<Vec<BackendUse>> {
        let mut uses: Vec<Vec<BackendUse>> = Vec::with_capacity(databases.len());
        let mut places: HashMap<*const Member, (usize, usize)> = HashMap::new();
        for (at, database) in databases.iter().enumerate() {
            let members = database.members().iter().map(Arc::as_ptr).enumerate();
            places.extend(members.map(|(place, member)| (member, (at, place))));
            uses.push(vec![BackendUse::default(); database.members().len()]);
        }
        for (part, shard) in self.shards.iter().enumerate() {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for entry in shard.values() {
                let place = entry.member().map(Arc::as_ptr);
                if let Some((at, place)) = place.and_then(|member| places.get(&member))
                    && let Some(used) = uses.get_mut(*at).and_then(|used| used.get_mut(*place))
                {
                    used.sessions += 1;
                    used.add(entry.moved());
                }
            }
            for (database, uses) in databases.iter().zip(&mut uses) {
                for (member, used) in database.members().iter().zip(uses) {
                    used.add(member.ended(part));
                }
            }
        }
        uses
    }

    fn shard(&self, id: u64) -> MutexGuard<'_, Shard> {
        #[expect(clippy::indexing_slicing, reason = "a remainder of the length")]
        self.shards[Self::part(id)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn part(id: u64) -> usize {
        // SHARDS is a power of two, so it makes no difference what a smaller usize cuts off.
        usize::try_from(id).unwrap_or(0) % SHARDS
    }
}

#[cfg(test)]
mod tests;
