//! The text format of Prometheus.
//!
//! Source: Prometheus' "Exposition formats", version 0.0.4.

use std::fmt::{self, Display, Formatter, Write};

use hyper::body::Bytes;

use crate::histogram::{BOUNDS, Counted};

/// The media type of the text.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Names and values of labels.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Length of a piece of the text in bytes, give or take a line. The text of many databases is
/// large: in pieces it is never copied because it has grown, and is sent as it is.
const PIECE: usize = 64 * 1024;

/// Metrics as they are added, family by family.
#[derive(Default)]
pub(super) struct Text {
    pieces: Vec<Bytes>,
    last: String,
}

/// One family: metrics of one name, told apart by labels.
pub(super) struct Family<'t> {
    text: &'t mut Text,
    name: &'static str,
}

impl Text {
    /// A value that only grows.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// A value that goes up and down.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// Durations, in seconds.
    pub(super) fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "histogram", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        // Writing to a String cannot fail, here and below.
        let _ = write!(self.last, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family { text: self, name }
    }

    /// The whole text, in pieces.
    pub(super) fn finish(mut self) -> Vec<Bytes> {
        self.pieces.push(self.last.into());
        self.pieces
    }

    fn end_line(&mut self) {
        if self.last.len() >= PIECE {
            let next = String::with_capacity(PIECE + PIECE / 16);
            let full = std::mem::replace(&mut self.last, next);
            self.pieces.push(full.into());
        }
    }
}

impl Family<'_> {
    /// Adds a value.
    pub(super) fn add(&mut self, labels: Labels<'_>, value: impl Display) {
        self.sample("", labels, None, value);
    }

    /// Adds what a histogram has counted.
    pub(super) fn add_counted(&mut self, labels: Labels<'_>, counted: &Counted) {
        for (bound, count) in BOUNDS.iter().zip(counted.up_to) {
            self.sample("_bucket", labels, Some(&bound.as_secs_f64()), count);
        }
        self.sample("_bucket", labels, Some(&"+Inf"), counted.count);
        self.sample("_sum", labels, None, counted.sum.as_secs_f64());
        self.sample("_count", labels, None, counted.count);
    }

    fn sample(
        &mut self,
        suffix: &str,
        labels: Labels<'_>,
        le: Option<&dyn Display>,
        value: impl Display,
    ) {
        let out = &mut self.text.last;
        let _ = write!(out, "{}{suffix}", self.name);
        let mut separator = '{';
        for (name, value) in labels {
            let _ = write!(out, "{separator}{name}=\"{}\"", Escaped(value));
            separator = ',';
        }
        if let Some(le) = le {
            let _ = write!(out, "{separator}le=\"{le}\"");
            separator = ',';
        }
        let close = if separator == ',' { "}" } else { "" };
        let _ = writeln!(out, "{close} {value}");
        self.text.end_line();
    }
}

/// A label's value, with what would end it escaped.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(['\\', '"', '\n']) {
            let escapes = [('\\', r"\\"), ('"', r#"\""#), ('\n', r"\n")];
            let found = escapes
                .iter()
                .find_map(|(c, escape)| Some((part.strip_suffix(*c)?, *escape)));
            let (plain, escape) = found.unwrap_or((part, ""));
            f.write_str(plain)?;
            f.write_str(escape)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::histogram::Histogram;

    #[test]
    fn metrics_are_written_as_the_format_wants_them() {
        let mut text = Text::default();
        text.gauge("up", "Whether.").add(&[], 1);
        let mut bytes = text.counter("bytes_total", "Bytes.");
        bytes.add(&[("database", "a\"b\\\n"), ("direction", "in")], u64::MAX);
        let histogram = Histogram::default();
        histogram.observe(Duration::from_micros(1500));
        histogram.observe(Duration::from_secs(20));
        let mut took = text.histogram("took_seconds", "Took.");
        took.add_counted(&[("listener", "main")], &histogram.read());
        let expected = r#"# HELP up Whether.
# TYPE up gauge
up 1
# HELP bytes_total Bytes.
# TYPE bytes_total counter
bytes_total{database="a\"b\\\n",direction="in"} 18446744073709551615
# HELP took_seconds Took.
# TYPE took_seconds histogram
took_seconds_bucket{listener="main",le="0.001"} 0
took_seconds_bucket{listener="main",le="0.005"} 1
took_seconds_bucket{listener="main",le="0.025"} 1
took_seconds_bucket{listener="main",le="0.1"} 1
took_seconds_bucket{listener="main",le="0.5"} 1
took_seconds_bucket{listener="main",le="2.5"} 1
took_seconds_bucket{listener="main",le="10"} 1
took_seconds_bucket{listener="main",le="+Inf"} 2
took_seconds_sum{listener="main"} 20.0015
took_seconds_count{listener="main"} 2
"#;
        assert_eq!(text.finish().concat(), expected.as_bytes());
    }
}
