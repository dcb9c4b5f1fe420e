//! The last lines, and the boxes over the table: questions and help.

use ratatui::layout::Rect;

use super::paint::{Paint, Tone, line_of, middle, right_of, width};
use crate::top::app::{App, InputMode};
use crate::top::dialog::Dialog;
use crate::top::keys::{FILTERS, HELP};

/// The width of the keys in the help.
const KEYS: u16 = 15;

/// The filter, and the keys or what was done last.
pub(super) fn footer(paint: &mut Paint, area: Rect, app: &App, filter: bool) {
    if filter && area.height > 1 {
        filter_line(paint, line_of(area, 0), app);
    }
    let last = line_of(area, area.height.saturating_sub(1));
    match (&app.mode, &app.message) {
        // There may be room for one line only.
        (InputMode::Filter(_), _) if area.height == 1 => filter_line(paint, last, app),
        (InputMode::Filter(_), _) => {
            paint.put(
                last,
                "Enter keeps it, Esc takes it back, Ctrl-U empties it",
                Tone::Normal,
            );
        }
        (_, Some((text, bad))) => {
            let tone = if *bad { Tone::Bad } else { Tone::Chosen };
            paint.put(last, text, tone);
        }
        _ => hints(paint, last, app),
    }
}

fn filter_line(paint: &mut Paint, line: Rect, app: &App) {
    let typing = matches!(app.mode, InputMode::Filter(_));
    let state = app.tab_state();
    let mark = if typing { "_" } else { "" };
    let text = format!("filter: {}{mark}", state.filter);
    let used = paint.put(line, &text, Tone::Chosen);
    let rest = right_of(line, used + 2);
    if let Some(error) = &app.filter_error {
        paint.put(rest, error, Tone::Bad);
    } else {
        let all = app.mirror().count(app.tab);
        let text = format!("{} of {all}", state.order.len());
        paint.put(rest, &text, Tone::Normal);
    }
}

fn hints(paint: &mut Paint, line: Rect, app: &App) {
    let mut hints = vec!["? help", "q quit", "/ filter", "s sort", "Enter details"];
    if !app.read_only {
        hints.extend(["K kill", "d drain"]);
    }
    hints.extend(["Space pause", "f sessions of it"]);
    let hints: Vec<_> = hints
        .into_iter()
        .map(|hint| (hint.to_owned(), Tone::Normal))
        .collect();
    paint.put_all(line, &hints);
}

/// A question over the table.
pub(super) fn dialog(paint: &mut Paint, area: Rect, app: &App, dialog: &Dialog) {
    let lines = dialog.operation.question(app.live());
    let widest = lines
        .iter()
        .map(|line| width(line))
        .max()
        .unwrap_or(0)
        .max(30);
    let wide = u16::try_from(widest).unwrap_or(u16::MAX).saturating_add(4);
    let high = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .saturating_add(4);
    let inner = paint.frame(middle(area, wide, high), dialog.operation.verb());
    for (number, line) in (0..).zip(&lines) {
        let tone = if number == 0 {
            Tone::Strong
        } else {
            Tone::Normal
        };
        paint.put(line_of(inner, number), line, tone);
    }
    let buttons = line_of(inner, inner.height.saturating_sub(1));
    let button = |marked: bool, text: &str| {
        if marked {
            (format!("[ {text} ]"), Tone::Marked)
        } else {
            (format!("  {text}  "), Tone::Normal)
        }
    };
    let texts = [
        button(!dialog.marked, "Cancel"),
        button(dialog.marked, dialog.operation.verb()),
        ("(y/n)".to_owned(), Tone::Normal),
    ];
    paint.put_all(buttons, &texts);
}

/// All keys.
pub(super) fn help(paint: &mut Paint, area: Rect, app: &App) {
    let keys: Vec<(&str, &str)> = HELP
        .iter()
        .filter(|(_, _, changes)| !(*changes && app.read_only))
        .map(|(keys, what, _)| (*keys, *what))
        .collect();
    let count = u16::try_from(keys.len() + FILTERS.len()).unwrap_or(u16::MAX) + 3;
    let small = area.height < count + 2 || area.width < 64;
    let inner = if small {
        // No box, no terms of filters: the keys are what is needed.
        paint.clear(area)
    } else {
        paint.frame(middle(area, 64, count + 2), "dbgate top: keys")
    };
    let mut number = 0;
    for (keys, what) in &keys {
        let line = line_of(inner, number);
        paint.put(line, keys, Tone::Chosen);
        paint.put(right_of(line, KEYS), what, Tone::Normal);
        number += 1;
    }
    if small {
        return;
    }
    number += 1;
    paint.put(line_of(inner, number), "Filters", Tone::Strong);
    for (term, what) in FILTERS {
        number += 1;
        let line = line_of(inner, number);
        paint.put(line, term, Tone::Chosen);
        paint.put(right_of(line, 31), what, Tone::Normal);
    }
}
