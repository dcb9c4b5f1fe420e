//! Limits of the number of sessions: in all, of one database, and of one client network.

use std::sync::atomic::Ordering;

use super::SessionGuard;

/// Limits of the number of sessions.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionLimits {
    /// In all.
    pub all: usize,
    /// In all, from one source.
    pub per_ip: Option<u32>,
    /// Of the database.
    pub database: Option<u32>,
    /// Of the database, from one source.
    pub database_per_ip: Option<u32>,
}

/// The limit of sessions that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// The gateway's.
    Gateway,
    /// The gateway's for one source.
    GatewayPerIp,
    /// The database's.
    Database,
    /// The database's for one source.
    DatabasePerIp,
}

impl SessionGuard {
    /// Counts the session towards the limits, once, until it ends.
    ///
    /// # Errors
    /// The limit that is reached; nothing is counted then.
    pub fn count(&self, limits: SessionLimits) -> Result<(), LimitReached> {
        let Self { sessions, entry } = self;
        let client = entry.client.ip();
        let live = entry.database.live();
        let more = |n: usize| (n < limits.all).then_some(n + 1);
        let all = &sessions.counted;
        if all
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_err()
        {
            return Err(LimitReached::Gateway);
        }
        if !sessions.per_ip.enter(client, limits.per_ip) {
            all.fetch_sub(1, Ordering::Relaxed);
            return Err(LimitReached::GatewayPerIp);
        }
        let full = if live.per_ip().enter(client, limits.database_per_ip) {
            if live.enter(limits.database) {
                entry.counted.store(true, Ordering::Relaxed);
                return Ok(());
            }
            live.per_ip().leave(client);
            LimitReached::Database
        } else {
            LimitReached::DatabasePerIp
        };
        sessions.per_ip.leave(client);
        all.fetch_sub(1, Ordering::Relaxed);
        Err(full)
    }

    /// The limit that [`Self::count`] would find reached now, if any.
    #[must_use]
    pub fn full(&self, limits: SessionLimits) -> Option<LimitReached> {
        let Self { sessions, entry } = self;
        let client = entry.client.ip();
        let reached = |count: u32, limit: Option<u32>| limit.is_some_and(|limit| count >= limit);
        let live = entry.database.live();
        if sessions.counted.load(Ordering::Relaxed) >= limits.all {
            Some(LimitReached::Gateway)
        } else if reached(sessions.per_ip.count(client), limits.per_ip) {
            Some(LimitReached::GatewayPerIp)
        } else if reached(live.per_ip().count(client), limits.database_per_ip) {
            Some(LimitReached::DatabasePerIp)
        } else {
            reached(live.sessions(), limits.database).then_some(LimitReached::Database)
        }
    }
}
