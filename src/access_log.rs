//! The access log: one line at each session's end, rejects included.
//!
//! Lines leave through a bounded queue and a thread of its own; when whoever reads them is
//! stuck, lines are lost and counted, sessions are not held up.

use std::fmt::Write as _;
use std::io::Write as _;

use tracing_appender::non_blocking::NonBlocking;

use crate::config::LogFormat;
use crate::stats::Record;

/// Writes records as text or JSON.
pub struct AccessLog {
    out: NonBlocking,
    format: LogFormat,
}

impl AccessLog {
    /// A log that writes to `out`.
    #[must_use]
    pub fn new(out: NonBlocking, format: LogFormat) -> Self {
        Self { out, format }
    }

    /// Lines lost so far because nobody took them.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.out.error_counter().dropped_lines()
    }

    /// Writes one line.
    pub fn write(&self, record: &Record) {
        let line = match self.format {
            LogFormat::Text => text(record),
            LogFormat::Json => serde_json::to_string(record).map(|json| json + "\n"),
        };
        if let Ok(line) = line {
            // The queue never fails; it drops and counts.
            let _ = self.out.clone().write_all(line.as_bytes());
        }
    }
}

/// A line of `key=value` pairs; absent values are `-`, values with anything but plain characters
/// are quoted as JSON, so that no client can forge a line or a field.
fn text(record: &Record) -> serde_json::Result<String> {
    let mut line = String::new();
    if let serde_json::Value::Object(fields) = serde_json::to_value(record)? {
        for (key, value) in fields {
            let separator = if line.is_empty() { "" } else { " " };
            let value = match value {
                serde_json::Value::Null => "-".to_owned(),
                serde_json::Value::String(s) if is_plain(&s) => s,
                other => other.to_string(),
            };
            // Writing to a String cannot fail.
            let _ = write!(line, "{separator}{key}={value}");
        }
    }
    line.push('\n');
    Ok(line)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\'))
}
