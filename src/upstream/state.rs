//! The state of a backend in a database, by its checks and by its sessions.

use super::{BackendAddr, CheckFailure, CheckedState, Failure, Pool, Seen};

/// The state of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    /// It answers checks.
    Up,
    /// It does not answer checks, or did not serve the last session.
    Down,
    /// It answers checks again, but not often enough yet.
    Starting,
    /// It takes no new sessions.
    Draining,
    /// Nothing speaks against it.
    Unchecked,
}

impl BackendState {
    /// The word for tables, JSON and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Starting => "starting",
            Self::Draining => "draining",
            Self::Unchecked => "unchecked",
        }
    }
}

/// A backend of a database as it is now.
#[derive(Clone, Debug)]
pub struct BackendView<'a> {
    /// Its address as declared.
    pub addr: &'a BackendAddr,
    /// Its state, drains left aside.
    pub state: BackendState,
    /// What speaks against it.
    pub fault: Option<Fault>,
    /// What checks have found; `None` where none are made.
    pub seen: Option<Seen>,
}

/// What speaks against a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Sessions that it did not serve.
    Sessions(Failure),
    /// Checks that failed.
    Checks(CheckFailure),
}

impl Fault {
    /// The number of its reason.
    #[must_use]
    pub fn reason(&self) -> u8 {
        match self {
            Self::Sessions(failure) => failure.reason,
            Self::Checks(failure) => failure.reason,
        }
    }
}

impl<'a> BackendView<'a> {
    /// A backend that no session has used yet and that is not checked.
    #[must_use]
    pub fn unused(addr: &'a BackendAddr, failure: Option<Failure>) -> Self {
        Self {
            addr,
            state: match failure {
                Some(_) => BackendState::Down,
                None => BackendState::Unchecked,
            },
            fault: failure.map(Fault::Sessions),
            seen: None,
        }
    }

    /// Time since when it is in its state, in milliseconds of Unix time; `None` if that is not known.
    #[must_use]
    pub fn since(&self) -> Option<u64> {
        match &self.fault {
            Some(Fault::Sessions(failure)) => Some(failure.since * 1000),
            _ => Some(self.seen.as_ref()?.since).filter(|since| *since > 0),
        }
    }
}

impl Pool {
    /// The backend at this place, of this address.
    #[must_use]
    pub fn view<'a>(&self, place: usize, addr: &'a BackendAddr) -> BackendView<'a> {
        let check = self.check(place);
        let member = self.members().get(place);
        let failure = member.and_then(|m| m.failure_beside(check.map(|check| &**check)));
        let Some(check) = check else {
            return BackendView::unused(addr, failure);
        };
        let seen = check.seen();
        let by_sessions = failure.map(Fault::Sessions);
        let by_checks = seen.failure.clone().map(Fault::Checks);
        let (state, fault) = match seen.state {
            // Sessions are what counts: it is the check that is broken.
            CheckedState::Down if failure.is_none() && check.is_contradicted() => {
                (BackendState::Up, by_checks)
            }
            CheckedState::Down => (BackendState::Down, by_checks),
            CheckedState::Starting => (BackendState::Starting, by_checks),
            _ if failure.is_some() => (BackendState::Down, by_sessions),
            CheckedState::Up => (BackendState::Up, by_checks),
            CheckedState::Unchecked => (BackendState::Unchecked, None),
        };
        BackendView {
            addr,
            state,
            fault,
            seen: Some(seen),
        }
    }
}
