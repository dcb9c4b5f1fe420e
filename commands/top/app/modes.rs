//! Keys while a filter is typed or a question is open.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::{App, InputMode, KeyOutcome};
use crate::top::dialog::{Dialog, Operation};
use crate::top::mirror::Mirror;
use crate::top::row::Id;
use crate::top::tabs::Tab;

/// The longest filter, in characters.
const LONGEST_FILTER: usize = 200;

impl App {
    pub(super) fn ask(&mut self, operation: impl Fn(&Mirror, Tab, &Id) -> Option<Operation>) {
        if self.read_only {
            self.message = Some(("read-only: nothing can be changed here".to_owned(), true));
            return;
        }
        if matches!(self.tab, Tab::Rejects | Tab::Events) {
            let text = format!("nothing to kill or drain on the tab {}", self.tab.title());
            self.message = Some((text, true));
            return;
        }
        let Some(id) = self.tab_state().selected.clone() else {
            self.message = Some(("select a row first: j, k or the arrows".to_owned(), true));
            return;
        };
        match operation(&self.live, self.tab, &id) {
            None => self.message = Some(("that is gone".to_owned(), true)),
            Some(operation) => {
                self.mode = InputMode::Dialog(Dialog {
                    operation,
                    marked: false,
                });
            }
        }
    }

    pub(super) fn answer(&mut self, mut dialog: Dialog, key: KeyEvent) -> KeyOutcome {
        let agreed = match key.code {
            KeyCode::Char('y' | 'Y') => true,
            KeyCode::Enter => dialog.marked,
            KeyCode::Left | KeyCode::Right | KeyCode::Tab | KeyCode::BackTab => {
                dialog.marked = !dialog.marked;
                self.mode = InputMode::Dialog(dialog);
                return KeyOutcome::Nothing;
            }
            KeyCode::Esc | KeyCode::Char('n' | 'N' | 'q') => false,
            // Nothing else answers a question, nor makes it go away.
            _ => {
                self.mode = InputMode::Dialog(dialog);
                return KeyOutcome::Nothing;
            }
        };
        if !agreed {
            self.message = Some(("nothing done".to_owned(), false));
            return KeyOutcome::Nothing;
        }
        if let Some(request) = dialog.operation.request(&self.live) {
            return KeyOutcome::Ask(request);
        }
        self.message = Some(("nothing to do: no session there".to_owned(), false));
        KeyOutcome::Nothing
    }

    pub(super) fn type_filter(&mut self, before: String, key: KeyEvent, control: bool) {
        let mut filter = self.tab_state().filter.clone();
        match key.code {
            KeyCode::Enter => return,
            KeyCode::Esc => return self.set_filter(before),
            KeyCode::Char('u') if control => filter.clear(),
            KeyCode::Char('w') if control => {
                let kept = filter.trim_end().rfind(' ').map_or(0, |at| at + 1);
                filter.truncate(kept);
            }
            KeyCode::Backspace => {
                filter.pop();
            }
            KeyCode::Char(c)
                if !control && !c.is_control() && filter.chars().count() < LONGEST_FILTER =>
            {
                filter.push(c);
            }
            _ => {}
        }
        self.set_filter(filter);
        self.mode = InputMode::Filter(before);
    }
}
