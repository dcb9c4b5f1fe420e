//! Limits of the number of sessions: in all, of one database, and of one client network.

use std::sync::atomic::Ordering;

use super::SessionGuard;

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionLimits {
    /// In all.
    pub all: usize,
    /// In all, from one source.
    pub per_source: Option<u32>,
    /// Of the database.
    pub database: Option<u32>,
    /// Of the database, from one source.
    pub database_per_source: Option<u32>,
}

/// Which limit of sessions is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// The gateway's.
    Gateway,
    /// The gateway's for one source.
    GatewaySource,
    /// The database's.
    Database,
    /// The database's for one source.
    DatabaseSource,
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
        if !sessions.per_source.enter(client, limits.per_source) {
            all.fetch_sub(1, Ordering::Relaxed);
            return Err(LimitReached::GatewaySource);
        }
        let full = if live.sources().enter(client, limits.database_per_source) {
            if live.enter(limits.database) {
                entry.counted.store(true, Ordering::Relaxed);
                return Ok(());
            }
            live.sources().leave(client);
            LimitReached::Database
        } else {
            LimitReached::DatabaseSource
        };
        sessions.per_source.leave(client);
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
        } else if reached(sessions.per_source.count(client), limits.per_source) {
            Some(LimitReached::GatewaySource)
        } else if reached(live.sources().count(client), limits.database_per_source) {
            Some(LimitReached::DatabaseSource)
        } else {
            reached(live.sessions(), limits.database).then_some(LimitReached::Database)
        }
    }
}
