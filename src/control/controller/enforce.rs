//! Sessions that the rules of their databases no longer let in (`enforce = "now"`).

use std::sync::Arc;

use super::Controller;
use crate::route::Database;
use crate::sessions::LiveSession;
use crate::stats::CloseReason;

impl Controller {
    /// The live sessions that their databases do not let in any more, of those databases only that
    /// close such sessions. `find` gives a database by name, as it is now or would be.
    pub(super) fn not_admitted<'a>(
        &self,
        find: impl Fn(&str) -> Option<&'a Arc<Database>>,
    ) -> Vec<Arc<LiveSession>> {
        self.gateway.sessions.select(|entry| {
            let database = find(&entry.database.name);
            let strict = database.filter(|database| database.spec.access.ends_sessions());
            strict.is_some_and(|database| {
                !database.admits(entry.client.ip()) || self.has_lost_its_network(entry, database)
            })
        })
    }

    /// True for a session that came by `networks` of its database, which has that network no more.
    fn has_lost_its_network(&self, entry: &LiveSession, database: &Database) -> bool {
        let client = entry.client.ip();
        let within = |database: &Database| {
            let networks = &database.spec.access.networks;
            networks.iter().any(|network| network.contains(client))
        };
        let is_default = || {
            let listeners = self.reloader.listeners();
            let of = listeners.iter().find(|l| l.name == entry.listener);
            of.is_some_and(|l| l.settings.load().default.as_deref() == Some(&*database.name))
        };
        entry.host().is_none() && within(&entry.database) && !within(database) && !is_default()
    }

    /// Closes them.
    pub(super) fn close_not_admitted(sessions: &[Arc<LiveSession>]) {
        for entry in sessions {
            entry.cut(CloseReason::NoLongerAllowed);
        }
    }
}
