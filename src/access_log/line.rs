//! A record as text, as JSON, and as an entry of the journal.
//!
//! Source: systemd's "Native Journal Protocol".

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::config::LogFormat;
use crate::stats::Record;

/// The priority of an entry, by syslog(3): informational.
const PRIORITY: &str = "6";

/// One line with its end.
#[must_use]
pub fn line(record: &Record, format: LogFormat) -> String {
    let mut line = match format {
        LogFormat::Text => text(record),
        // Serialising a record cannot fail: its keys are strings, its numbers finite.
        LogFormat::Json => serde_json::to_string(record).unwrap_or_default(),
    };
    line.push('\n');
    line
}

/// One datagram for the journal: the line as its message, and each value that there is as a
/// field of its own, such as `DBGATE_DATABASE=pg1`.
#[must_use]
pub fn journal(record: &Record, format: LogFormat) -> Vec<u8> {
    let mut entry = Vec::new();
    field(&mut entry, "MESSAGE", line(record, format).trim_end());
    field(&mut entry, "PRIORITY", PRIORITY);
    field(&mut entry, "SYSLOG_IDENTIFIER", "dbgate");
    for (key, value) in fields(record) {
        let name = format!("DBGATE_{}", key.to_ascii_uppercase());
        match value {
            Value::Null => {}
            Value::String(text) => field(&mut entry, &name, &text),
            other => field(&mut entry, &name, &other.to_string()),
        }
    }
    entry
}

fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        // The form for any bytes, given by its length: what follows cannot pose as a field.
        entry.push(b'\n');
        let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
        entry.extend_from_slice(&length.to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

/// `key=value` pairs; absent values are `-`, values with anything but plain characters are quoted
/// as JSON, so that no client can forge a line or a field.
fn text(record: &Record) -> String {
    let mut line = String::new();
    for (key, value) in fields(record) {
        let separator = if line.is_empty() { "" } else { " " };
        let value = match value {
            Value::Null => "-".to_owned(),
            Value::String(text) if is_plain(&text) => text,
            other => other.to_string(),
        };
        // Writing to a String cannot fail.
        let _ = write!(line, "{separator}{key}={value}");
    }
    line
}

fn fields(record: &Record) -> Map<String, Value> {
    match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\');
    !matches!(text, "" | "-") && text.chars().all(plain)
}
