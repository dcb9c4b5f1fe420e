//! The state of `top`: the mirror of the gateway, the open tab, and the effect of keys and
//! messages.
//!
//! Pure: it neither reads a clock nor touches a terminal or a socket, and drawing it changes
//! nothing.

mod modes;
mod state;

use std::time::{Duration, SystemTime};

use dbgate::control::answer::{KillAnswer, Update};
use dbgate::control::error::CommandError;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub(crate) use state::{InputMode, KeyOutcome, LinkState, TabState};

use super::dialog::{Operation, database_of, drained};
use super::filter::{Filter, column};
use super::input::Answer;
use super::keys::{self, Action};
use super::mirror::Mirror;
use super::row::{AnyRow, HIDDEN, Id};
use super::tabs::Tab;
use crate::table::{count, time};

/// Rows that a page key moves by, whatever the height.
const PAGE: usize = 10;

/// Everything that a screen shows.
#[derive(Clone, Debug)]
pub(crate) struct App {
    live: Mirror,
    /// The mirror at the moment of the pause.
    frozen: Option<(SystemTime, Box<Mirror>)>,
    /// The open tab.
    pub(crate) tab: Tab,
    tab_states: [TabState; Tab::ALL.len()],
    /// True while every field of the selected row is shown.
    pub(crate) details: bool,
    /// The target of keys: the table, the filter or a dialog.
    pub(crate) mode: InputMode,
    /// The problem with the filter, if it is invalid.
    pub(crate) filter_error: Option<String>,
    /// The state of the connection.
    pub(crate) link: LinkState,
    /// The result of the last operation, and true if it failed.
    pub(crate) message: Option<(String, bool)>,
    /// True if operations are switched off.
    pub(crate) read_only: bool,
    /// The time of day.
    pub(crate) now: SystemTime,
}

impl App {
    /// Nothing known yet.
    pub(crate) fn new(read_only: bool, now: SystemTime) -> Self {
        let tab_states = Tab::ALL.map(|tab| {
            let heads = tab.heads();
            let sort = column(tab.first_sort(), &heads).unwrap_or(0);
            TabState {
                sort,
                down: largest_first(tab, sort),
                ..TabState::default()
            }
        });
        Self {
            live: Mirror::default(),
            frozen: None,
            tab: Tab::Sessions,
            tab_states,
            details: false,
            mode: InputMode::Normal,
            filter_error: None,
            link: LinkState::Up,
            message: None,
            read_only,
            now,
        }
    }

    /// Sorts the open tab: `COLUMN`, `COLUMN:asc` or `COLUMN:desc`.
    ///
    /// # Errors
    /// There is no such column.
    pub(crate) fn sort_by(&mut self, by: &str) -> Result<(), String> {
        let (name, direction) = match by.split_once(':') {
            None => (by, None),
            Some((name, direction)) => (name, Some(direction)),
        };
        let sort = column(name, &self.tab.heads())?;
        let down = match direction {
            None => largest_first(self.tab, sort),
            Some("asc") => false,
            Some("desc") => true,
            Some(other) => return Err(format!("invalid order \"{other}\": use asc or desc")),
        };
        let state = self.tab_state_mut();
        (state.sort, state.down) = (sort, down);
        self.list();
        Ok(())
    }

    /// Filters the open tab.
    ///
    /// # Errors
    /// The filter is invalid.
    pub(crate) fn filter_by(&mut self, filter: &str) -> Result<(), String> {
        let parsed = Filter::parse(filter, &self.tab.heads())?;
        let state = self.tab_state_mut();
        state.parsed = parsed;
        filter.clone_into(&mut state.filter);
        self.list();
        Ok(())
    }

    /// Opens a tab.
    pub(crate) fn open_tab(&mut self, tab: Tab) {
        self.tab = tab;
        self.details = false;
        self.filter_error = None;
        self.list();
    }

    /// The mirror that is shown: frozen while paused.
    pub(crate) fn mirror(&self) -> &Mirror {
        self.frozen
            .as_ref()
            .map_or(&self.live, |(_, mirror)| mirror)
    }

    /// The mirror as of now, paused or not: what an operation would hit.
    pub(crate) fn live(&self) -> &Mirror {
        &self.live
    }

    /// The state of the open tab.
    pub(crate) fn tab_state(&self) -> &TabState {
        let [sessions, databases, backends, rejects, events] = &self.tab_states;
        match self.tab {
            Tab::Sessions => sessions,
            Tab::Databases => databases,
            Tab::Backends => backends,
            Tab::Rejects => rejects,
            Tab::Events => events,
        }
    }

    fn tab_state_mut(&mut self) -> &mut TabState {
        let [sessions, databases, backends, rejects, events] = &mut self.tab_states;
        match self.tab {
            Tab::Sessions => sessions,
            Tab::Databases => databases,
            Tab::Backends => backends,
            Tab::Rejects => rejects,
            Tab::Events => events,
        }
    }

    /// The row that is selected, if it is still there.
    pub(crate) fn selected(&self) -> Option<&dyn AnyRow> {
        let id = self.tab_state().selected.as_ref()?;
        self.mirror().row(self.tab, id)
    }

    /// Time since the screen was paused.
    pub(crate) fn paused(&self) -> Option<Duration> {
        let (since, _) = self.frozen.as_ref()?;
        Some(self.now.duration_since(*since).unwrap_or_default())
    }

    /// Applies an update; true if there is something new to show.
    pub(crate) fn apply(&mut self, update: Update) -> bool {
        if !self.live.apply(update) {
            return false;
        }
        if self.frozen.is_none() {
            self.list();
        }
        true
    }

    /// Takes in the gateway's answer to a request.
    pub(crate) fn answered(&mut self, answer: Result<Answer, CommandError>) {
        self.message = Some(match answer {
            Ok(Answer::Killed(KillAnswer { killed, .. })) => {
                (format!("killed {}", count(killed, "session")), false)
            }
            Ok(Answer::Draining(answer)) => {
                let what = drained(&answer.database, answer.backend.as_deref());
                let them = count(answer.sessions, "session");
                let go = if answer.sessions == 1 { "goes" } else { "go" };
                let text = if answer.drained {
                    format!("{what} takes no new sessions; {them} {go} on")
                } else {
                    format!("{what} takes new sessions again")
                };
                (text, false)
            }
            Err(error) => (error.message, true),
        });
    }

    /// The gateway cannot be reached any more.
    pub(crate) fn lost(&mut self, why: String) {
        let since = match &self.link {
            LinkState::Lost { since, .. } => *since,
            LinkState::Up => self.now,
        };
        self.link = LinkState::Lost { since, why };
    }

    /// The gateway is back.
    pub(crate) fn back(&mut self) {
        if let LinkState::Lost { since, .. } = self.link {
            let gone = self.now.duration_since(since).unwrap_or_default();
            let text = format!("the gateway is back after {}", time(gone));
            self.message = Some((text, false));
            self.link = LinkState::Up;
        }
    }

    /// A request could not be sent.
    pub(crate) fn unsent(&mut self, why: &str) {
        self.message = Some((format!("not done: {why}"), true));
    }

    /// Handles a key.
    pub(crate) fn key(&mut self, key: KeyEvent) -> KeyOutcome {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            return KeyOutcome::Quit;
        }
        match std::mem::take(&mut self.mode) {
            InputMode::Help => KeyOutcome::Nothing,
            InputMode::Dialog(dialog) => self.answer(dialog, key),
            InputMode::Filter(before) => {
                self.type_filter(before, key, control);
                KeyOutcome::Nothing
            }
            InputMode::Normal => match keys::action(key) {
                Some(action) => self.act(action),
                None => KeyOutcome::Nothing,
            },
        }
    }

    fn act(&mut self, action: Action) -> KeyOutcome {
        self.message = None;
        let (at, end) = (self.tab_state().at, self.tab_state().order.len());
        let none = self.tab_state().selected.is_none();
        match action {
            Action::Quit => return KeyOutcome::Quit,
            Action::Suspend => return KeyOutcome::Suspend,
            Action::Redraw => return KeyOutcome::Redraw,
            Action::Help => self.mode = InputMode::Help,
            Action::Tab(tab) => self.open_tab(tab),
            Action::NextTab => self.open_tab(self.tab.beside(1)),
            Action::PreviousTab => self.open_tab(self.tab.beside(Tab::ALL.len() - 1)),
            Action::Up => self.select(at.saturating_sub(1)),
            Action::Down => self.select(if none { at } else { at + 1 }),
            Action::PageUp => self.select(at.saturating_sub(PAGE)),
            Action::PageDown => self.select(at + PAGE),
            Action::First => self.select(0),
            Action::Last => self.select(end),
            Action::Details => {
                if none {
                    self.select(at);
                }
                self.details = !self.details && self.tab_state().selected.is_some();
            }
            Action::Back => self.step_back(),
            Action::Filter => self.mode = InputMode::Filter(self.tab_state().filter.clone()),
            Action::SortNext => self.sort_beside(1),
            Action::SortPrevious => self.sort_beside(self.tab.heads().len() - 1),
            Action::SortTurn => {
                let state = self.tab_state_mut();
                state.down = !state.down;
                self.list();
            }
            Action::Pause => match self.frozen.take() {
                None => self.frozen = Some((self.now, Box::new(self.live.clone()))),
                Some(_) => self.list(),
            },
            Action::Jump => self.jump(),
            Action::Kill => self.ask(Operation::kill),
            Action::Drain => self.ask(Operation::drain),
        }
        KeyOutcome::Nothing
    }

    fn select(&mut self, at: usize) {
        let state = self.tab_state_mut();
        state.at = at.min(state.order.len().saturating_sub(1));
        state.selected = state.order.get(state.at).cloned();
    }

    /// Closes the details, else clears the selection, else the filter.
    fn step_back(&mut self) {
        if self.details {
            self.details = false;
        } else if self.tab_state().selected.is_some() {
            self.tab_state_mut().selected = None;
            self.tab_state_mut().at = 0;
        } else {
            self.set_filter(String::new());
        }
    }

    fn sort_beside(&mut self, steps: usize) {
        let heads = self.tab.heads();
        let mut sort = self.tab_state().sort;
        // At least the columns by which tabs are sorted at first are shown.
        for _ in 0..heads.len() {
            sort = (sort + steps) % heads.len();
            if heads.get(sort).is_some_and(|head| head.priority != HIDDEN) {
                break;
            }
        }
        let down = largest_first(self.tab, sort);
        let state = self.tab_state_mut();
        (state.sort, state.down) = (sort, down);
        self.list();
    }

    fn jump(&mut self) {
        let Some(database) = self.selected().and_then(database_of) else {
            self.message = Some(("select a row with a database first".to_owned(), true));
            return;
        };
        self.open_tab(Tab::Sessions);
        self.set_filter(format!("database:{database}"));
    }

    /// Sets the filter as typed; while it is invalid the filter before stays in force.
    fn set_filter(&mut self, filter: String) {
        self.filter_error = self.filter_by(&filter).err();
        self.tab_state_mut().filter = filter;
    }

    /// Puts the rows of the tab in order.
    fn list(&mut self) {
        let heads = self.tab.heads().len();
        let state = self.tab_state();
        let mut rows: Vec<&dyn AnyRow> = self.mirror().rows(self.tab).collect();
        if !state.parsed.is_empty() {
            rows.retain(|row| state.parsed.matches(*row, heads));
        }
        let (sort, down) = (state.sort, state.down);
        rows.sort_unstable_by(|a, b| {
            let order = a.value(sort).compare(b.value(sort));
            let order = order.then_with(|| a.key().cmp(&b.key()));
            if down { order.reverse() } else { order }
        });
        let order: Vec<Id> = rows.iter().map(|row| row.key()).collect();
        let state = self.tab_state_mut();
        state.order = order;
        // A row that is gone is not selected any more: the next key must not hit its neighbour.
        state.selected = state.selected.take().filter(|id| {
            let place = state.order.iter().position(|other| other == id);
            state.at = place.unwrap_or(state.at);
            place.is_some()
        });
        state.at = state.at.min(state.order.len().saturating_sub(1));
    }
}

/// True for columns that are sorted largest (or latest) first by default.
fn largest_first(tab: Tab, column: usize) -> bool {
    tab.heads()
        .get(column)
        .is_some_and(|head| head.number || head.name == "time")
}

#[cfg(test)]
mod tests;
