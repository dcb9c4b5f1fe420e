//! The state of a database, and whether it takes new sessions.

use super::{Database, Exposure, ExposureState};
use crate::route::source::Origin;
use crate::upstream::{BackendState, BackendView};

/// The state of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// Clients reach it.
    Open,
    /// No host leads to it.
    Hidden,
    /// It takes no new sessions, and has some.
    Draining,
    /// It takes no new sessions, and has none.
    Drained,
    /// No backend is ready.
    Down,
}

impl DatabaseState {
    /// The word for tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Hidden => "hidden",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Down => "down",
        }
    }
}

impl Database {
    /// True if the backend of this place, in the order declared, takes no new sessions.
    #[must_use]
    pub fn is_drained(&self, place: usize) -> bool {
        let Some(admin) = self.admin.as_ref().filter(|a| !a.backends.is_empty()) else {
            return false;
        };
        let addr = self.spec.backends.get(place);
        addr.is_some_and(|addr| admin.backends.contains_key(&addr.to_string()))
    }

    /// True if it takes no new sessions: it is drained, or each of its backends is.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        let Some(admin) = &self.admin else {
            return false;
        };
        let backends = self.spec.backends.len();
        admin.drain.is_some() || backends > 0 && (0..backends).all(|place| self.is_drained(place))
    }

    /// The state of the backend of this place, in the order declared.
    #[must_use]
    pub fn backend_state(&self, place: usize, backend: &BackendView<'_>) -> BackendState {
        if self.is_drained(place) {
            return BackendState::Draining;
        }
        backend.state
    }

    /// True if no backend is ready that takes new sessions.
    fn is_down(&self) -> bool {
        let mut backends = self.backends().enumerate();
        backends.all(|(place, backend)| {
            let state = self.backend_state(place, &backend);
            matches!(state, BackendState::Down | BackendState::Draining)
        })
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> DatabaseState {
        let of_ctl = self.origin == Origin::Runtime;
        let has_hidden = |e: &Exposure| e.state == ExposureState::Hidden;
        if self.active_hosts().next().is_none() && (of_ctl || self.exposures.iter().any(has_hidden))
        {
            DatabaseState::Hidden
        } else if self.is_draining() {
            if self.sessions() == 0 {
                DatabaseState::Drained
            } else {
                DatabaseState::Draining
            }
        } else if self.is_down() {
            DatabaseState::Down
        } else {
            DatabaseState::Open
        }
    }
}
