//! Tables and values as text: columns two spaces apart, `-` for what is empty, nothing cut off, and
//! no character that a terminal would obey.

use std::fmt::Write as _;
use std::time::Duration;

use dbgate::wire::is_unseen;
use serde_json::Value;

/// A column of a table whose rows are of the type `R`.
pub(crate) struct Column<R> {
    header: &'static str,
    wide: bool,
    cell: fn(&R) -> String,
}

impl<R> Column<R> {
    /// A column of every table.
    pub(crate) const fn new(header: &'static str, cell: fn(&R) -> String) -> Self {
        Self {
            header,
            wide: false,
            cell,
        }
    }

    /// A column of wide tables only.
    pub(crate) const fn wide(header: &'static str, cell: fn(&R) -> String) -> Self {
        Self {
            header,
            wide: true,
            cell,
        }
    }
}

/// Sets `rows` under the headers of `columns`.
pub(crate) fn table<R>(rows: &[R], columns: &[Column<R>], wide: bool) -> String {
    let columns: Vec<&Column<R>> = columns.iter().filter(|c| wide || !c.wide).collect();
    let header = columns.iter().map(|c| c.header.to_owned()).collect();
    let mut lines: Vec<Vec<String>> = vec![header];
    for row in rows {
        lines.push(columns.iter().map(|c| escape(&(c.cell)(row))).collect());
    }
    align(&lines)
}

/// A table whose rows come one by one: a column is as wide as the widest cell so far.
#[derive(Default)]
pub(crate) struct Growing {
    widths: Vec<usize>,
}

impl Growing {
    /// The next row, under the headers if it is the first.
    pub(crate) fn line<R>(&mut self, row: &R, columns: &[Column<R>], wide: bool) -> String {
        let columns = columns.iter().filter(|c| wide || !c.wide);
        let (headers, cells): (Vec<_>, Vec<_>) = columns
            .map(|c| (c.header.to_owned(), escape(&(c.cell)(row))))
            .unzip();
        let lines = if self.widths.is_empty() {
            vec![headers, cells]
        } else {
            vec![cells]
        };
        widen(&mut self.widths, &lines);
        set(&lines, &self.widths)
    }
}

/// Sets names beside their values.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let lines: Vec<Vec<String>> = fields
        .iter()
        .map(|(name, value)| vec![escape(name), escape(value)])
        .collect();
    align(&lines)
}

/// Sets lines of cells under each other; the cells must be escaped.
pub(crate) fn align(lines: &[Vec<String>]) -> String {
    let mut widths = Vec::new();
    widen(&mut widths, lines);
    set(lines, &widths)
}

/// Makes columns as wide as these lines need.
fn widen(widths: &mut Vec<usize>, lines: &[Vec<String>]) {
    for line in lines {
        for (at, cell) in line.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(at) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
}

/// Lines of cells in columns of these widths.
fn set(lines: &[Vec<String>], widths: &[usize]) -> String {
    let mut text = String::new();
    for line in lines {
        let mut set = String::new();
        for (cell, width) in line.iter().zip(widths) {
            // Writing to a String cannot fail.
            let _ = write!(set, "{cell:width$}  ");
        }
        text.push_str(set.trim_end());
        text.push('\n');
    }
    text
}

/// A value that a cell can show.
pub(crate) trait Cell {
    /// The text of the cell; empty if there is nothing to show.
    fn cell(&self) -> String;
}

/// The text of a cell: `-` for what is empty.
pub(crate) fn text<T: Cell + ?Sized>(value: &T) -> String {
    let text = value.cell();
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

impl Cell for String {
    fn cell(&self) -> String {
        self.clone()
    }
}

impl Cell for u32 {
    fn cell(&self) -> String {
        self.to_string()
    }
}

impl Cell for u64 {
    fn cell(&self) -> String {
        self.to_string()
    }
}

impl<T: Cell> Cell for Option<T> {
    fn cell(&self) -> String {
        self.as_ref().map(Cell::cell).unwrap_or_default()
    }
}

impl<T: Cell> Cell for Vec<T> {
    fn cell(&self) -> String {
        let items: Vec<String> = self.iter().map(text).collect();
        items.join(", ")
    }
}

impl Cell for Value {
    fn cell(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::String(text) => text.clone(),
            Self::Array(items) => items.cell(),
            other => other.to_string(),
        }
    }
}

/// Bytes in powers of 1000: `812 B`, `1.2 MB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "B";
    for next in UNITS {
        if tenths < 10_000 {
            break;
        }
        tenths = (tenths + 500) / 1000;
        unit = next;
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// Milliseconds in at most two units: `850ms`, `3m12s`, `2d4h`.
pub(crate) fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    let (large, of_large, small, of_small) = match seconds {
        0 if millis > 0 => return format!("{millis}ms"),
        0..60 => return format!("{seconds}s"),
        60..3_600 => (seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => (seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => (seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    };
    if small == 0 {
        format!("{large}{of_large}")
    } else {
        format!("{large}{of_large}{small}{of_small}")
    }
}

/// The same for a duration.
pub(crate) fn time(duration: Duration) -> String {
    span(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// `1 session`, `2 sessions`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A line in which control characters, and those that turn the direction of text, are spelled
/// out: names and reasons may come from strangers.
pub(crate) fn escape(text: &str) -> String {
    spell(text, |_| false)
}

/// The same for several lines.
pub(crate) fn escape_lines(text: &str) -> String {
    spell(text, |c| c == '\n')
}

fn spell(text: &str, spared: impl Fn(char) -> bool) -> String {
    text.chars().fold(String::new(), |mut safe, c| {
        if is_unseen(c) && !spared(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row {
        name: String,
        port: Option<u32>,
        hosts: Vec<String>,
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let columns = [
            Column::new("NAME", |r: &Row| text(&r.name)),
            Column::wide("PORT", |r| text(&r.port)),
            Column::new("HOSTS", |r| text(&r.hosts)),
        ];
        let rows = [
            Row {
                name: "a-long-name".to_owned(),
                port: Some(1),
                hosts: vec!["x".to_owned(), "y".to_owned()],
            },
            Row {
                name: "b".to_owned(),
                port: None,
                hosts: Vec::new(),
            },
        ];
        assert_eq!(
            table(&rows, &columns, false),
            "NAME         HOSTS\na-long-name  x, y\nb            -\n"
        );
        assert_eq!(
            table(&rows, &columns, true),
            "NAME         PORT  HOSTS\na-long-name  1     x, y\nb            -     -\n"
        );
    }

    #[test]
    fn sizes() {
        for (bytes, said) in [
            (0, "0 B"),
            (812, "812 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_234, "1.2 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (1_200_000, "1.2 MB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(size(bytes), said, "{bytes}");
        }
    }

    #[test]
    fn spans() {
        for (millis, said) in [
            (0, "0s"),
            (850, "850ms"),
            (1_850, "1s"),
            (30_000, "30s"),
            (60_000, "1m"),
            (192_000, "3m12s"),
            (7_500_000, "2h5m"),
            (187_200_000, "2d4h"),
        ] {
            assert_eq!(span(millis), said, "{millis}");
        }
    }

    #[test]
    fn a_terminal_obeys_nothing_in_it() {
        assert_eq!(
            escape("a\u{1b}[2J\u{9b}31m\u{202e}\nb\u{fc}"),
            "a\\u{1b}[2J\\u{9b}31m\\u{202e}\\nb\u{fc}"
        );
        assert_eq!(escape_lines("a\nb\r"), "a\nb\\r");
    }
}
