//! Every field of the selected row, and its traffic over the last minute.

use ratatui::layout::Rect;

use super::paint::{Paint, Tone, bars, line_of, right_of};
use crate::table::{size, span};
use crate::top::app::App;
use crate::top::meter::{KEPT_MS, as_f64};
use crate::top::row::AnyRow;
use crate::top::value::whole;

/// The width of a field with its name, at least.
const FIELD: u16 = 29;

/// The width of a field's name.
const NAME: u16 = 11;

/// The fields of a row as lines: short ones side by side, long ones below over the whole width.
struct Layout {
    across: u16,
    /// Lines of the short ones.
    lines: usize,
    short: Vec<(&'static str, String)>,
    /// Name and text, cut into lines.
    long: Vec<(&'static str, Vec<String>)>,
}

impl Layout {
    fn of(row: &dyn AnyRow, width: u16) -> Self {
        let across = (width / FIELD).clamp(1, 3);
        let room = usize::from((width / across).saturating_sub(NAME + 1));
        let fields = row.fields().into_iter().map(|(head, value)| {
            let name = match head.name {
                "in" => "in/s",
                "out" => "out/s",
                name => name,
            };
            (name, value.show())
        });
        let (short, long): (Vec<_>, Vec<_>) =
            fields.partition(|(_, text)| super::paint::width(text) <= room);
        let whole = usize::from(width.saturating_sub(NAME)).max(1);
        let long = long.into_iter().map(|(name, text)| {
            let chars: Vec<char> = text.chars().collect();
            let lines = chars.chunks(whole).map(|line| line.iter().collect());
            (name, lines.collect())
        });
        Self {
            across,
            lines: short.len().div_ceil(across.into()),
            short,
            long: long.collect(),
        }
    }

    fn height(&self) -> u16 {
        let long: usize = self.long.iter().map(|(_, lines)| lines.len()).sum();
        u16::try_from(self.lines + long).unwrap_or(u16::MAX)
    }
}

/// Lines that the pane takes of an area: all of it where the table would be too small.
pub(super) fn height(app: &App, area: Rect) -> u16 {
    let lines = app
        .selected()
        .map_or(1, |row| Layout::of(row, area.width).height());
    // The title, and the bars.
    let wanted = lines.saturating_add(2);
    if area.height.saturating_sub(wanted) < 4 {
        area.height
    } else {
        wanted
    }
}

/// Draws the pane.
pub(super) fn draw(paint: &mut Paint, area: Rect, app: &App) {
    let state = app.tab_state();
    let Some(row) = app.selected() else {
        paint.put(area, &rule("gone", area.width), Tone::Strong);
        paint.put(line_of(area, 1), "what was selected is gone", Tone::Normal);
        return;
    };
    let title = app.tab.title().trim_end_matches('s');
    paint.put(area, &rule(title, area.width), Tone::Strong);
    let layout = Layout::of(row, area.width);
    let width = area.width / layout.across;
    for (number, (name, text)) in layout.short.iter().enumerate() {
        let lines = layout.lines.max(1);
        let line = u16::try_from(number % lines).unwrap_or(u16::MAX);
        let column = u16::try_from(number / lines).unwrap_or(0);
        let place = right_of(line_of(area, line.saturating_add(1)), column * width);
        field(paint, place, name, text);
    }
    let mut line = u16::try_from(layout.lines).unwrap_or(u16::MAX);
    for (name, texts) in &layout.long {
        let mut name = *name;
        for text in texts {
            line = line.saturating_add(1);
            field(paint, line_of(area, line), name, text);
            name = "";
        }
    }
    let meter = state
        .selected
        .as_ref()
        .and_then(|id| app.mirror().meter(app.tab, id));
    if let Some(meter) = meter {
        let bars = line_of(area, line.saturating_add(1));
        traffic(paint, bars, meter.history(app.mirror().now, slots(area)));
    }
}

fn field(paint: &mut Paint, place: Rect, name: &str, text: &str) {
    let head = Rect {
        width: place.width.min(NAME - 1),
        ..place
    };
    paint.put(head, name, Tone::Strong);
    paint.put(right_of(place, NAME), text, Tone::Normal);
}

/// Bars of a direction for which there is room beside the words.
fn slots(area: Rect) -> usize {
    usize::from(area.width / 2).saturating_sub(26).clamp(10, 60)
}

fn traffic(paint: &mut Paint, line: Rect, (of_in, of_out): (Vec<u64>, Vec<u64>)) {
    let half = line.width / 2;
    let places = [
        Rect {
            width: half,
            ..line
        },
        right_of(line, half),
    ];
    for ((place, word), history) in places.into_iter().zip(["in ", "out "]).zip([of_in, of_out]) {
        let each = as_f64(KEPT_MS) / 1000.0 / as_f64(u64::try_from(history.len()).unwrap_or(1));
        let peak = as_f64(history.iter().copied().max().unwrap_or(0)) / each;
        let word_width = paint.put(place, word, Tone::Strong);
        let place = right_of(place, word_width);
        let bars_width = paint.put(place, &bars(&history), Tone::Normal);
        let words = format!(" {} peak {}/s", span(KEPT_MS), size(whole(peak)));
        paint.put(right_of(place, bars_width), &words, Tone::Normal);
    }
}

fn rule(title: &str, width: u16) -> String {
    let head = format!("─ {title} ");
    let rest = usize::from(width).saturating_sub(head.chars().count());
    head + &"─".repeat(rest)
}
