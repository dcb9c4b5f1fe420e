//! Keys of the table, and their help.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::tabs::Tab;

/// The action of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Quit,
    Help,
    Tab(Tab),
    NextTab,
    PreviousTab,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Details,
    Back,
    Filter,
    SortNext,
    SortPrevious,
    SortTurn,
    Pause,
    Jump,
    Kill,
    Drain,
    Suspend,
    Redraw,
}

/// A line of the help: keys, what they do, whether they change anything at the gateway.
pub(crate) const HELP: &[(&str, &str, bool)] = &[
    ("1 to 5, Tab", "tabs", false),
    ("j k, arrows", "select a row", false),
    ("PgUp PgDn, g G", "a page, first, last", false),
    ("Enter", "every field of the row", false),
    ("f", "sessions of the row's database", false),
    ("/", "filter", false),
    ("s S, < >", "sort by the next column", false),
    ("r", "sort the other way round", false),
    ("Space", "pause the screen", false),
    ("Esc", "back; then no selection, no filter", false),
    ("K", "kill sessions", true),
    ("d", "drain or resume a database, a backend", true),
    ("Ctrl-L, Ctrl-Z", "draw anew, stop", false),
    ("q, Ctrl-C", "quit", false),
];

/// Terms of a filter, for the help.
pub(crate) const FILTERS: &[(&str, &str)] = &[
    ("word", "anywhere in the row"),
    ("sni:example", "the name a client asked for"),
    (
        "client:10.0.0. database:pg1",
        "in a column; all terms count",
    ),
    ("state:open !state:draining", "! turns a term round"),
    ("age>5m bytes_out>1MB in<10k", "numbers, sizes, spans"),
];

/// The action of a key while the table is shown.
pub(crate) fn action(key: KeyEvent) -> Option<Action> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Action::Quit),
            KeyCode::Char('z') => Some(Action::Suspend),
            KeyCode::Char('l') => Some(Action::Redraw),
            KeyCode::Char('d') => Some(Action::PageDown),
            KeyCode::Char('u') => Some(Action::PageUp),
            _ => None,
        };
    }
    Some(match key.code {
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => Action::Help,
        KeyCode::Char(digit @ '1'..='5') => {
            let number = usize::try_from(digit.to_digit(10)?).ok()?;
            Action::Tab(*Tab::ALL.get(number.checked_sub(1)?)?)
        }
        KeyCode::Tab | KeyCode::Right => Action::NextTab,
        KeyCode::BackTab | KeyCode::Left => Action::PreviousTab,
        KeyCode::Char('k') | KeyCode::Up => Action::Up,
        KeyCode::Char('j') | KeyCode::Down => Action::Down,
        KeyCode::PageUp => Action::PageUp,
        KeyCode::PageDown => Action::PageDown,
        KeyCode::Char('g') | KeyCode::Home => Action::First,
        KeyCode::Char('G') | KeyCode::End => Action::Last,
        KeyCode::Enter => Action::Details,
        KeyCode::Esc => Action::Back,
        KeyCode::Char('/') => Action::Filter,
        KeyCode::Char('s' | '>') => Action::SortNext,
        KeyCode::Char('S' | '<') => Action::SortPrevious,
        KeyCode::Char('r') => Action::SortTurn,
        KeyCode::Char(' ') => Action::Pause,
        KeyCode::Char('f') => Action::Jump,
        KeyCode::Char('K') => Action::Kill,
        KeyCode::Char('d') => Action::Drain,
        _ => return None,
    })
}
