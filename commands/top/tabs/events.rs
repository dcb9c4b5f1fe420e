//! What has happened: sessions opened, closed, turned away; databases exposed and hidden; reloads.

use serde_json::Value as Json;

use super::rejects::Reject;
use crate::table::{count, size};
use crate::top::row::{Column, HIDDEN, Id, Row};
use crate::top::value::Value;

/// One event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Event {
    /// Its place among all that were told.
    number: u64,
    time: String,
    kind: String,
    database: Option<String>,
    client: Option<String>,
    detail: String,
}

impl Event {
    /// An event as `ctl events` tells it.
    pub(crate) fn told(number: u64, event: &Json) -> Self {
        let text = |key: &str| event[key].as_str().map(ToOwned::to_owned);
        let word = |key: &str| text(key).unwrap_or_default();
        let kind = word("event");
        let detail = match kind.as_str() {
            "session_opened" => format!("session {} to {}", event["id"], word("backend")),
            "session_closed" => format!(
                "session {}: {}, {} in, {} out",
                event["id"],
                word("reason"),
                size(&event["bytes_in"]),
                size(&event["bytes_out"])
            ),
            "exposed" | "hidden" => format!("{} (revision {})", word("host"), event["revision"]),
            "reload" if event["ok"] == true => format!("revision {}", event["revision"]),
            "reload" => {
                let problems: Vec<&str> = event["problems"]
                    .as_array()
                    .map_or(&[][..], Vec::as_slice)
                    .iter()
                    .filter_map(Json::as_str)
                    .collect();
                format!("refused: {}", problems.join("; "))
            }
            _ => String::new(),
        };
        Self {
            number,
            time: word("ts"),
            kind,
            database: text("database"),
            client: text("client"),
            detail,
        }
    }

    /// When it happened.
    pub(crate) fn time(&self) -> String {
        self.time.clone()
    }

    /// A client turned away.
    pub(crate) fn rejected(number: u64, reject: &Reject) -> Self {
        let row = &reject.row;
        let asked = match &row.sni {
            Some(sni) => format!(", asked for {sni}"),
            None => String::new(),
        };
        Self {
            number,
            time: row.ts.clone(),
            kind: "rejected".to_owned(),
            database: None,
            client: Some(row.client.clone()),
            detail: format!("{}{asked}", row.reason),
        }
    }

    /// Events that were too many to be told.
    pub(crate) fn missed(number: u64, time: String, missed: u64) -> Self {
        Self {
            number,
            time,
            kind: "missed".to_owned(),
            detail: format!("{} too many to be told", count(missed, "event")),
            ..Self::default()
        }
    }
}

impl Row for Event {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::name("time", "TIME", 1, (8, 8), |e| Value::Time(&e.time)),
        Column::name("event", "EVENT", 0, (14, 14), |e| Value::Text(&e.kind)),
        Column::name("database", "DATABASE", 3, (12, 24), |e| {
            Value::text(e.database.as_deref())
        }),
        Column::name("client", "CLIENT", 4, (16, 46), |e| {
            Value::text(e.client.as_deref())
        }),
        Column::name("detail", "DETAIL", 2, (20, 160), |e| Value::Text(&e.detail)),
        Column::number("number", "NUMBER", HIDDEN, 6, |e| Value::Number(e.number)),
    ];

    fn id(&self) -> Id {
        Id::Number(self.number)
    }
}
