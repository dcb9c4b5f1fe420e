//! Parts of the state: a tab, the target of keys, the connection, the result of a key.

use std::time::SystemTime;

use crate::top::dialog::{Dialog, Request};
use crate::top::filter::Filter;
use crate::top::row::Id;

/// Order, filter and selection of a tab.
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
    /// Its place; the last one, if it is gone.
    pub(crate) at: usize,
    /// The rows that are shown, in order.
    pub(crate) order: Vec<Id>,
}

/// The target of keys.
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

/// The state of the connection to the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// Updates come in.
    #[default]
    Up,
    /// The connection is lost.
    Lost {
        /// Since when.
        since: SystemTime,
        /// The error.
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
