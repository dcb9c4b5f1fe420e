//! The table of a tab: as many columns as there is room for, as many rows as there are lines.

use ratatui::layout::Rect;

use super::paint::{Paint, Tone, fit, line_of, width};
use crate::top::app::App;
use crate::top::row::{AnyRow, HIDDEN, Head, Id};
use crate::top::tabs::Tab;

/// Draws the table of the tab that is looked at.
pub(super) fn draw(paint: &mut Paint, area: Rect, app: &App) {
    let mut area = area;
    if app.tab == Tab::Rejects && area.height > 3 {
        reasons(paint, line_of(area, 0), app);
        area.y += 1;
        area.height -= 1;
    }
    if area.is_empty() {
        return;
    }
    let heads = app.tab.heads();
    let state = app.tab_state();
    let height = area.height - 1;
    let first = first_row(
        state.at,
        state.selected.is_some(),
        state.order.len(),
        height.into(),
    );
    let ids = state.order.iter().skip(first).take(height.into());
    let rows: Vec<(&Id, &dyn AnyRow)> = ids
        .filter_map(|id| Some((id, app.mirror().row(app.tab, id)?)))
        .collect();
    let columns = columns(&heads, area.width, |column| {
        let widths = rows.iter().map(|(_, row)| width(&row.value(column).show()));
        u16::try_from(widths.max().unwrap_or(0)).unwrap_or(u16::MAX)
    });
    titles(paint, line_of(area, 0), app, &heads, &columns);
    if state.order.is_empty() {
        let text = match (app.mirror().count(app.tab), state.filter.is_empty()) {
            (0, _) => format!("no {}", app.tab.name()),
            (_, _) => "nothing here meets the filter".to_owned(),
        };
        paint.put(line_of(area, 1), &text, Tone::Normal);
        return;
    }
    for (line, (id, row)) in (1..).zip(rows) {
        let place = line_of(area, line);
        for column in &columns {
            let text = row.value(column.number).show();
            let at = column.place(place);
            let tone = tone(column.head.name, &text);
            if column.head.number {
                paint.put_right(at, &text, tone);
            } else {
                paint.put(at, &text, tone);
            }
        }
        if state.selected.as_ref() == Some(id) {
            paint.mark(place);
        }
    }
}

/// The first row to show, so that the selected one is in the middle where it can be.
fn first_row(at: usize, selected: bool, rows: usize, height: usize) -> usize {
    if !selected {
        return 0;
    }
    at.saturating_sub(height / 2)
        .min(rows.saturating_sub(height))
}

/// A column that is shown.
struct Shown {
    number: usize,
    head: Head,
    x: u16,
    width: u16,
}

impl Shown {
    fn place(&self, line: Rect) -> Rect {
        Rect {
            x: line.x + self.x,
            width: self.width,
            ..line
        }
    }
}

/// The columns that fit at their usual width, by priority, in their order. Of the room that
/// names do not `need` now, and of what is left, those get some that need more.
fn columns(heads: &[Head], room: u16, need: impl Fn(usize) -> u16) -> Vec<Shown> {
    let gap = if room < 100 { 1 } else { 2 };
    let mut by_priority: Vec<(usize, &Head)> = heads
        .iter()
        .enumerate()
        .filter(|(_, head)| head.priority != HIDDEN)
        .collect();
    by_priority.sort_by_key(|(_, head)| head.priority);
    let mut used = 0;
    let mut chosen: Vec<(usize, Head, u16)> = Vec::new();
    for (number, head) in by_priority {
        let more = head.width + if chosen.is_empty() { 0 } else { gap };
        if used + more <= room {
            used += more;
            chosen.push((number, *head, head.width));
        } else if chosen.is_empty() {
            chosen.push((number, *head, room));
            used = room;
        }
    }
    chosen.sort_by_key(|(number, _, _)| *number);
    let mut left = room - used;
    let mut wanted: Vec<u16> = Vec::new();
    for (number, head, width) in &mut chosen {
        // The arrow of the sorted column has to fit too.
        let title = u16::try_from(head.title.len()).unwrap_or(0) + 1;
        let want = need(*number).max(title).min(head.widest);
        if !head.number && want < *width {
            left += *width - want;
            *width = want;
        }
        wanted.push(want);
    }
    let mut hungry: Vec<_> = chosen.iter_mut().zip(wanted).collect();
    hungry.sort_by_key(|((_, head, _), _)| head.priority);
    for ((_, _, width), want) in hungry {
        let more = want.saturating_sub(*width).min(left);
        *width += more;
        left -= more;
    }
    let mut x = 0;
    let mut shown = Vec::new();
    for (number, head, width) in chosen {
        shown.push(Shown {
            number,
            head,
            x,
            width,
        });
        x += width + gap;
    }
    shown
}

fn titles(paint: &mut Paint, line: Rect, app: &App, heads: &[Head], columns: &[Shown]) {
    let state = app.tab_state();
    let arrow = if state.down { '▼' } else { '▲' };
    for column in columns {
        let at = column.place(line);
        let sorted = column.number == state.sort;
        let tone = if sorted { Tone::Chosen } else { Tone::Strong };
        let title = column.head.title;
        match (column.head.number, sorted) {
            (true, true) => paint.put_right(at, &format!("{arrow}{title}"), tone),
            (true, false) => paint.put_right(at, title, tone),
            (false, true) => {
                let text = format!("{}{arrow}", fit(title, usize::from(at.width) - 1));
                paint.put(at, &text, tone);
            }
            (false, false) => {
                paint.put(at, title, tone);
            }
        }
    }
    // Sorted by a column for which there is no room.
    if columns.iter().all(|column| column.number != state.sort)
        && let Some(head) = heads.get(state.sort)
        && line.width > 40
    {
        paint.put_right(line, &format!(" {arrow}{}", head.title), Tone::Chosen);
    }
}

/// Numbers of clients turned away by reason.
fn reasons(paint: &mut Paint, line: Rect, app: &App) {
    let reasons = app.mirror().reasons();
    let mut texts = vec![("last minute:".to_owned(), Tone::Strong)];
    texts.extend(
        reasons.iter().map(|(reason, minute, all)| {
            (format!("{reason} {minute} ({all} in all)"), Tone::Normal)
        }),
    );
    if reasons.is_empty() {
        texts.push(("nobody was turned away".to_owned(), Tone::Normal));
    }
    paint.put_all(line, &texts);
}

/// Words that are to be looked at.
fn tone(column: &str, text: &str) -> Tone {
    match (column, text) {
        ("state", "draining" | "drained" | "hidden" | "connecting" | "starting")
        | ("event", "rejected" | "missed") => Tone::Warn,
        ("state", "down" | "gone") | ("event", "backend_down") => Tone::Bad,
        _ => Tone::Normal,
    }
}
