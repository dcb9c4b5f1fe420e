//! The log in text form: one line for each event, whatever it quotes.
//!
//! `tracing` escapes what a terminal obeys in the values of fields, but lets line ends through,
//! and an error that quotes a peer may hold one.

use std::io::{self, Write};

use dbgate::wire::is_unseen;

/// A writer that is given one event at a time, with the line end behind it.
pub(super) struct Lines<W> {
    out: W,
    /// True if the events are coloured.
    colours: bool,
}

impl<W: Write> Lines<W> {
    /// Writes to `out`; the sequences that set colours are left in if `colours`.
    pub(super) fn new(out: W, colours: bool) -> Self {
        Self { out, colours }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        if line.contains(is_unseen) {
            self.out
                .write_all(one_line(line, self.colours).as_bytes())?;
        } else {
            self.out.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The line with its end, and with everything else spelled out that is not seen.
fn one_line(line: &str, colours: bool) -> String {
    let mut safe = String::with_capacity(line.len() + 1);
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let taken = match colour(rest) {
            Some(sequence) if colours => {
                safe.push_str(sequence);
                sequence.len()
            }
            _ if is_unseen(c) => {
                safe.extend(c.escape_unicode());
                c.len_utf8()
            }
            _ => {
                safe.push(c);
                c.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    safe.push('\n');
    safe
}

/// The sequence at the beginning that sets colours and weight (ECMA-48, SGR), if there is one.
fn colour(text: &str) -> Option<&str> {
    let body = text.strip_prefix("\u{1b}[")?;
    let length = body.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    let end = "\u{1b}[".len() + length + "m".len();
    body.get(length..)?
        .starts_with('m')
        .then(|| text.get(..end))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(event: &str, colours: bool) -> String {
        let mut out = Vec::new();
        Lines::new(&mut out, colours)
            .write_all(event.as_bytes())
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_is_one_line() {
        for (event, line) in [
            ("INFO ready ü\n", "INFO ready ü\n"),
            (
                "WARN a\nb=\u{1b}[2J\u{9b}m\n",
                "WARN a\\u{a}b=\\u{1b}[2J\\u{9b}m\n",
            ),
            ("WARN \u{1b}[31ma\u{202e}\n", "WARN \\u{1b}[31ma\\u{202e}\n"),
        ] {
            assert_eq!(written(event, false), line);
        }
        assert_eq!(
            written("\u{1b}[1;31mWARN\u{1b}[0m a\nb\u{1b}[2J\u{1b}[3\n", true),
            "\u{1b}[1;31mWARN\u{1b}[0m a\\u{a}b\\u{1b}[2J\\u{1b}[3\n"
        );
    }
}
