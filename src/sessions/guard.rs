//! A session's entry among the live ones, removed when the session ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::live::Connected;
use super::{LiveSession, Sessions};
use crate::upstream::Counted;

/// A session's entry among the live ones, removed when dropped.
#[derive(Debug)]
pub struct SessionGuard {
    pub(super) sessions: Arc<Sessions>,
    pub(super) entry: Arc<LiveSession>,
}

impl SessionGuard {
    /// The session, which stays readable after it has ended.
    #[must_use]
    pub fn entry(&self) -> Arc<LiveSession> {
        self.entry.clone()
    }

    /// Says that the backend is connected and bytes flow: where, and which of those declared it
    /// is, counted from 0. Once more where the next backend takes the place of one that did not
    /// answer: what went to that one stays counted there.
    pub fn opened(&self, address: SocketAddr, place: usize, counted: Counted) {
        let entry = &self.entry;
        // Under the lock, so that no total falls meanwhile.
        let shard = self.sessions.shard(entry.id);
        if let Some(before) = entry.member() {
            before.add_ended(Sessions::part(entry.id), entry.moved());
        }
        *entry.connected() = Some(Connected {
            address,
            place,
            counted: Some(counted),
        });
        drop(shard);
        entry.open.store(true, Ordering::Relaxed);
    }
}

impl std::ops::Deref for SessionGuard {
    type Target = LiveSession;

    fn deref(&self) -> &LiveSession {
        &self.entry
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        let entry = &self.entry;
        let mut shard = self.sessions.shard(entry.id);
        shard.remove(&entry.id);
        // Under the lock, so that its bytes are counted once at any time.
        let live = entry.database.live();
        let (part, moved) = (Sessions::part(entry.id), entry.moved());
        live.ended.add(part, moved);
        if let Some(backend) = entry.member() {
            backend.add_ended(part, moved);
        }
        if let Some(backend) = &mut *entry.connected() {
            backend.counted = None;
        }
        drop(shard);
        self.sessions.count.fetch_sub(1, Ordering::Relaxed);
        if entry.counted.load(Ordering::Relaxed) {
            live.leave();
            live.per_ip().leave(entry.client.ip());
            self.sessions.per_ip.leave(entry.client.ip());
            self.sessions.counted.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
