//! Events as text.

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
    let mut lines = Growing::default();
    for event in answer.events {
        page.out += &event_line(event.event, &mut lines);
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
