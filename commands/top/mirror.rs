//! A copy of the gateway's sessions, databases, rejects and events, kept up to date by its updates.
//!
//! Not here: what of it is shown, and how ([`super::app`], [`super::view`]).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};

use dbgate::control::answer::{Totals, Update};

use super::meter::{KEPT_MS, Meter, WINDOW_MS};
use super::row::{AnyRow, Id};
use super::tabs::Tab;
use super::tabs::backends::{self, Backend};
use super::tabs::databases::Database;
use super::tabs::events::Event;
use super::tabs::rejects::Reject;
use super::tabs::sessions::Session;

/// Rejects and events kept, of each.
const KEPT: usize = 1000;

/// A copy of the gateway's state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mirror {
    /// Milliseconds since the gateway's start, at the last refresh.
    pub(crate) now: u64,
    /// The same, at the refresh before.
    before: u64,
    /// Start of this mirror, by the same clock.
    since: u64,
    /// The gateway as a whole.
    pub(crate) totals: Totals,
    /// Its bytes over the last minute.
    pub(crate) traffic: Meter,
    /// Clients accepted.
    clients: Meter,
    sessions: HashMap<u64, Session>,
    databases: BTreeMap<String, Database>,
    backends: Vec<Backend>,
    /// Oldest first, as the next two.
    rejects: VecDeque<Reject>,
    events: VecDeque<Event>,
    events_seen: u64,
    /// Numbers of clients turned away, by listener and reason.
    reject_counts: BTreeMap<(String, String), (u64, Meter)>,
}

impl Mirror {
    /// Applies an update; true if it was the last line of a refresh.
    pub(crate) fn apply(&mut self, update: Update) -> bool {
        if update.first {
            *self = Self {
                now: update.uptime_ms,
                before: update.uptime_ms,
                since: update.uptime_ms,
                ..Self::default()
            };
        }
        let now = update.uptime_ms;
        let fresh = self.since != now;
        if self.now != now {
            self.before = self.now;
            self.now = now;
        }
        let times = (self.before, now);
        if let Some(totals) = update.totals {
            self.traffic
                .record(now, (totals.bytes_in, totals.bytes_out));
            self.clients.record(now, (totals.accepted, 0));
            self.totals = totals;
        }
        for row in update.sessions {
            match self.sessions.get_mut(&row.id) {
                Some(session) => session.replace(row, times),
                None => {
                    self.sessions.insert(row.id, Session::new(row, now, fresh));
                }
            }
        }
        for (id, bytes_in, bytes_out) in update.moved {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.count((bytes_in, bytes_out), times);
            }
        }
        for id in update.closed {
            self.sessions.remove(&id);
        }
        for row in update.databases {
            if let Some(database) = self.databases.get_mut(&row.name) {
                database.replace(row, times);
            } else {
                let name = row.name.clone();
                self.databases.insert(name, Database::new(row, now));
            }
        }
        for name in update.gone {
            self.databases.remove(&name);
        }
        for event in update.events {
            let event = Event::new(self.events_seen, event);
            self.happened(event);
        }
        if update.events_missed > 0 {
            let time = self.events.back().map(Event::time).unwrap_or_default();
            let event = Event::missed(self.events_seen, time, update.events_missed);
            self.happened(event);
        }
        for row in update.rejects {
            let reject = Reject::from(row);
            // Those from before are on their own tab.
            if fresh {
                let event = Event::rejected(self.events_seen, &reject);
                self.happened(event);
            }
            // One that has grown moves to the end, as at the gateway.
            self.rejects.retain(|known| known.row.id != reject.row.id);
            keep(&mut self.rejects, reject);
        }
        for row in update.reject_counts {
            let key = (row.listener, row.reason);
            let (count, meter) = self.reject_counts.entry(key).or_default();
            *count = row.count;
            // One that is new had been nothing until the refresh before.
            if fresh && meter.is_empty() {
                meter.record(self.since, (0, 0));
            }
            if fresh {
                meter.record_move(self.before, now, (row.count, 0));
            }
        }
        if !fresh && !update.more {
            self.look_back();
        }
        if !update.more {
            self.advance_to();
        }
        !update.more
    }

    /// Dates the rejects from before the first refresh, so that the last minute is known at once.
    fn look_back(&mut self) {
        let time = |text: &str| humantime::parse_rfc3339(text).ok();
        let Some(sent) = time(&self.totals.ts) else {
            return;
        };
        let mut recent: BTreeMap<(String, String), BTreeMap<u64, u64>> = BTreeMap::new();
        for reject in &self.rejects {
            let ago = time(&reject.row.ts).map(|at| sent.duration_since(at).unwrap_or_default());
            let Some(ago) = ago.and_then(|ago| u64::try_from(ago.as_millis()).ok()) else {
                continue;
            };
            if ago < KEPT_MS {
                // The number of new ones in a longer row is not known.
                let began = time(&reject.row.first).and_then(|at| sent.duration_since(at).ok());
                let recent_row = began.is_some_and(|ago| ago.as_millis() < u128::from(KEPT_MS));
                let new = if recent_row { reject.row.count } else { 1 };
                // To the second, or one meter could not hold them.
                let at = self.now.saturating_sub(ago / 1000 * 1000);
                let key = (reject.row.listener.clone(), reject.row.reason.clone());
                *recent.entry(key).or_default().entry(at).or_default() += new;
            }
        }
        for (key, (count, meter)) in &mut self.reject_counts {
            let by_time = recent.remove(key).unwrap_or_default();
            let mut so_far = count.saturating_sub(by_time.values().sum());
            meter.record(self.now.saturating_sub(KEPT_MS), (so_far, 0));
            for (at, new) in by_time {
                so_far += new;
                meter.record(at, (so_far, 0));
            }
        }
    }

    fn happened(&mut self, event: Event) {
        self.events_seen += 1;
        keep(&mut self.events, event);
    }

    /// Brings everything that depends on the time up to it.
    fn advance_to(&mut self) {
        let now = self.now;
        self.sessions.values_mut().for_each(|s| s.advance_to(now));
        self.databases.values_mut().for_each(|d| d.advance_to(now));
        self.backends = backends::gather(self.databases.values(), self.sessions.values(), now);
    }

    /// The window of the rates, in milliseconds: shorter than usual in the beginning.
    pub(crate) fn window(&self) -> u64 {
        // To a tenth of a second: the gateway's clock ticks on while it gathers.
        (self.now - self.since).next_multiple_of(100).min(WINDOW_MS)
    }

    /// Bytes a second, from and to clients.
    pub(crate) fn rates(&self) -> (f64, f64) {
        self.traffic.rates(self.now, WINDOW_MS)
    }

    /// Clients that began a handshake, a second.
    pub(crate) fn handshakes(&self) -> f64 {
        self.clients.rates(self.now, WINDOW_MS).0
    }

    /// Clients turned away in the last minute.
    pub(crate) fn rejects_a_minute(&self) -> u64 {
        self.reasons().iter().map(|(_, minute, _)| minute).sum()
    }

    /// Reasons of rejects: how many in the last minute, and how many since the start; the most
    /// first.
    pub(crate) fn reasons(&self) -> Vec<(&str, u64, u64)> {
        let mut reasons: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for ((_, reason), (count, meter)) in &self.reject_counts {
            let sum = reasons.entry(reason).or_default();
            sum.0 += meter.increase(self.now, KEPT_MS).0;
            sum.1 += count;
        }
        let mut reasons: Vec<_> = reasons
            .into_iter()
            .map(|(reason, (minute, all))| (reason, minute, all))
            .collect();
        reasons.sort_by_key(|(reason, minute, all)| (Reverse(*minute), Reverse(*all), *reason));
        reasons
    }

    /// The number of rows of a tab.
    pub(crate) fn count(&self, tab: Tab) -> usize {
        match tab {
            Tab::Sessions => self.sessions.len(),
            Tab::Databases => self.databases.len(),
            Tab::Backends => self.backends.len(),
            Tab::Rejects => self.rejects.len(),
            Tab::Events => self.events.len(),
        }
    }

    /// The rows of a tab, in no order.
    pub(crate) fn rows(&self, tab: Tab) -> Box<dyn Iterator<Item = &dyn AnyRow> + '_> {
        match tab {
            Tab::Sessions => Box::new(self.sessions.values().map(|row| row as &dyn AnyRow)),
            Tab::Databases => Box::new(self.databases.values().map(|row| row as &dyn AnyRow)),
            Tab::Backends => Box::new(self.backends.iter().map(|row| row as &dyn AnyRow)),
            Tab::Rejects => Box::new(self.rejects.iter().map(|row| row as &dyn AnyRow)),
            Tab::Events => Box::new(self.events.iter().map(|row| row as &dyn AnyRow)),
        }
    }

    /// One row.
    pub(crate) fn row(&self, tab: Tab, id: &Id) -> Option<&dyn AnyRow> {
        match (tab, id) {
            (Tab::Sessions, Id::Number(id)) => self.sessions.get(id).map(|row| row as &dyn AnyRow),
            (Tab::Databases, Id::Name(name)) => {
                self.databases.get(&**name).map(|row| row as &dyn AnyRow)
            }
            _ => self.rows(tab).find(|row| row.key() == *id),
        }
    }

    /// A live session.
    pub(crate) fn session(&self, id: u64) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// All live sessions.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// True if a database takes no new sessions.
    pub(crate) fn is_drained(&self, name: &str) -> bool {
        let database = self.databases.get(name);
        database.is_some_and(|d| matches!(d.row.state.as_str(), "draining" | "drained"))
    }

    /// Number of databases of which no backend is ready.
    pub(crate) fn databases_down(&self) -> usize {
        let databases = self.databases.values();
        databases.filter(|d| d.row.state == "down").count()
    }

    /// A backend.
    pub(crate) fn backend(&self, id: &Id) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.key() == *id)
    }

    /// The bytes of a row over the last minute, where they are known.
    pub(crate) fn meter(&self, tab: Tab, id: &Id) -> Option<&Meter> {
        match (tab, id) {
            (Tab::Sessions, Id::Number(id)) => self.sessions.get(id).map(|s| &s.meter),
            (Tab::Databases, Id::Name(name)) => self.databases.get(&**name).map(|d| &d.meter),
            _ => None,
        }
    }
}

fn keep<T>(last: &mut VecDeque<T>, new: T) {
    if last.len() == KEPT {
        last.pop_front();
    }
    last.push_back(new);
}
