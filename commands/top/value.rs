//! Values of a row: order, text and JSON.
//!
//! Text from [`Value::show`] holds no character that a terminal would obey.

use std::cmp::Ordering;
use std::net::SocketAddr;

use serde_json::json;

use crate::table::{escape, size, span};

/// One value of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// There is none.
    Nothing,
    /// A name or a word.
    Text(&'a str),
    /// Several of them.
    List(&'a [String]),
    /// An address.
    Addr(SocketAddr),
    /// A count.
    Number(u64),
    /// Bytes.
    Bytes(u64),
    /// Bytes a second.
    Rate(f64),
    /// Milliseconds.
    Span(u64),
    /// A time, RFC 3339 in UTC; shown without its date.
    Time(&'a str),
}

impl<'a> Value<'a> {
    /// A text that may be missing.
    pub(crate) fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Nothing, Self::Text)
    }

    /// The number, if it is one; numbers are set flush right and sorted largest first.
    pub(crate) fn number(self) -> Option<f64> {
        match self {
            Self::Number(n) | Self::Bytes(n) | Self::Span(n) => Some(super::meter::as_f64(n)),
            Self::Rate(n) => Some(n),
            _ => None,
        }
    }

    /// The order of a column; what is missing comes first.
    pub(crate) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => Ordering::Equal,
            (Self::Nothing, _) => Ordering::Less,
            (_, Self::Nothing) => Ordering::Greater,
            (Self::Text(a) | Self::Time(a), Self::Text(b) | Self::Time(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => a.cmp(b),
            (Self::Addr(a), Self::Addr(b)) => a.cmp(&b),
            (
                Self::Number(a) | Self::Bytes(a) | Self::Span(a),
                Self::Number(b) | Self::Bytes(b) | Self::Span(b),
            ) => a.cmp(&b),
            (a, b) => match (a.number(), b.number()) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                _ => Ordering::Equal,
            },
        }
    }

    /// The value as text, in the fewest characters.
    pub(crate) fn show(self) -> String {
        match self {
            Self::Nothing | Self::Text("") | Self::List([]) => "-".to_owned(),
            Self::Text(text) => escape(text),
            Self::List(texts) => escape(&texts.join(", ")),
            Self::Addr(addr) => addr.to_string(),
            Self::Number(n) => n.to_string(),
            Self::Bytes(n) => size(n),
            Self::Rate(n) if n < 0.5 => "-".to_owned(),
            Self::Rate(n) => size(whole(n)),
            Self::Span(n) => span(n),
            Self::Time(text) => escape(clock(text)),
        }
    }

    /// The value as JSON.
    pub(crate) fn json(self) -> serde_json::Value {
        match self {
            Self::Nothing => serde_json::Value::Null,
            Self::Text(text) | Self::Time(text) => json!(text),
            Self::List(texts) => json!(texts),
            Self::Addr(addr) => json!(addr),
            Self::Number(n) | Self::Bytes(n) | Self::Span(n) => json!(n),
            Self::Rate(n) => json!((n * 10.0).round() / 10.0),
        }
    }

    /// True if its text contains `part`, which is in lower case.
    pub(crate) fn contains(self, part: &str) -> bool {
        match self {
            Self::Text(text) | Self::Time(text) => holds(text, part),
            Self::List(texts) => texts.iter().any(|text| holds(text, part)),
            Self::Addr(addr) => holds(&addr.to_string(), part),
            Self::Number(n) => n.to_string() == part,
            _ => false,
        }
    }
}

/// True if `text` contains `part`, which is in lower case; ignores case.
fn holds(text: &str, part: &str) -> bool {
    if part.is_empty() {
        return true;
    }
    if !part.is_ascii() {
        return text.to_lowercase().contains(part);
    }
    let (text, part) = (text.as_bytes(), part.as_bytes());
    text.windows(part.len())
        .any(|piece| piece.eq_ignore_ascii_case(part))
}

/// The time of day of an RFC 3339 time, to the second.
pub(crate) fn clock(time: &str) -> &str {
    time.split_once('T')
        .and_then(|(_, clock)| clock.get(..8))
        .unwrap_or(time)
}

/// A rate as a whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative, and rounded on purpose"
)]
pub(crate) fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown() {
        let hosts = ["a.example".to_owned(), "b\u{1b}[2J".to_owned()];
        for (value, said) in [
            (Value::Nothing, "-"),
            (Value::Text("a\u{9b}b\nc"), "a\\u{9b}b\\nc"),
            (Value::List(&hosts), "a.example, b\\u{1b}[2J"),
            (Value::Rate(0.2), "-"),
            (Value::Rate(1234.0), "1.2 kB"),
            (Value::Time("2026-01-02T03:04:05.678Z"), "03:04:05"),
            (Value::Time("\u{1b}c"), "\\u{1b}c"),
        ] {
            assert_eq!(value.show(), said, "{value:?}");
        }
    }

    #[test]
    fn compared() {
        let addr = |text: &str| Value::Addr(text.parse().unwrap());
        for (less, more) in [
            (Value::Nothing, Value::Text("")),
            (Value::Number(9), Value::Number(10)),
            (Value::Rate(9.5), Value::Rate(10.0)),
            (addr("10.0.0.9:1"), addr("10.0.0.10:1")),
        ] {
            assert_eq!(less.compare(more), Ordering::Less, "{less:?} {more:?}");
            assert_eq!(more.compare(less), Ordering::Greater, "{less:?} {more:?}");
        }
    }

    #[test]
    fn found_in_whatever_case() {
        assert!(Value::Text("My-Postgres.Example").contains("postgres.ex"));
        assert!(Value::Text("ÄRGER").contains("ärger"));
        assert!(!Value::Text("short").contains("longer than it"));
        assert!(Value::Number(17).contains("17") && !Value::Number(171).contains("17"));
    }
}
