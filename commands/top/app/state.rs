//! The parts of the state: how a tab is looked at, what lies over it, what a key asks for.

use std::time::SystemTime;

use crate::top::dialog::{Dialog, Request};
use crate::top::filter::Filter;
use crate::top::row::Id;

/// How one tab is looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct TabState {
    /// The column that it is sorted by.
    pub(crate) sort: usize,
    /// Largest first.
    pub(crate) down: bool,
    /// The filter as typed.
    pub(crate) filter: String,
    pub(super) parsed: Filter,
    /// The selected row; it stays selected wherever sorting moves it.
    pub(crate) selected: Option<Id>,
    /// Where that is, or was.
    pub(crate) at: usize,
    /// The rows that are shown, in order.
    pub(crate) order: Vec<Id>,
}

/// What lies over the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum InputMode {
    /// Keys act on the table.
    #[default]
    Normal,
    /// The filter is being typed; as it was before.
    Filter(String),
    /// A question.
    Dialog(Dialog),
    /// The keys.
    Help,
}

/// Whether the gateway can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// It tells what changes.
    #[default]
    Up,
    /// It does not.
    Lost {
        /// Since when.
        since: SystemTime,
        /// What happened.
        why: String,
    },
}

/// Result of a key press, for the event loop.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum KeyOutcome {
    /// Nothing.
    Nothing,
    /// To end.
    Quit,
    /// To stop, as Ctrl-Z does.
    Suspend,
    /// To draw the whole screen anew.
    Redraw,
    /// To ask the gateway for something.
    Ask(Request),
}
