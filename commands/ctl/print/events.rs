//! Events as text: words for a terminal, JSON objects for a pipe.

use std::io::{self, IsTerminal};

use dbgate::control::answer::{Event, EventsAnswer};

use crate::ctl::page::Page;
use crate::table::{Column, Growing, text};
use crate::top::tabs::events::Event as Row;

/// Events that are kept.
pub(super) fn events(answer: EventsAnswer) -> Page {
    let mut page = Page::default();
    if answer.events.is_empty() {
        page.remark("No events.");
    }
    let words = io::stdout().is_terminal();
    let mut lines = Growing::default();
    for event in answer.events {
        page.out += &if words {
            event_line(event.event, &mut lines)
        } else {
            // Only a map whose keys are not text could fail, and there is none.
            serde_json::to_string(&event).unwrap_or_default() + "\n"
        };
    }
    page
}

/// An event in words, on a line under those before.
pub(in crate::ctl) fn event_line(event: Event, lines: &mut Growing) -> String {
    const COLUMNS: &[Column<Row>] = &[
        Column::new("TIME", |e| text(&e.time)),
        Column::new("EVENT", |e| text(&e.kind)),
        Column::new("DATABASE", |e| text(&e.database)),
        Column::new("CLIENT", |e| text(&e.client)),
        Column::new("DETAIL", |e| text(&e.detail)),
    ];
    lines.line(&Row::new(0, event), COLUMNS, false)
}
