//! Events: sessions opened, closed and rejected; databases exposed and hidden; reloads.

use dbgate::author::Author;
use dbgate::control::answer::{self, KnownEvent};

use super::rejects::Reject;
use crate::table::{count, size};
use crate::top::row::{Column, HIDDEN, Id, Row};
use crate::top::value::Value;

/// One event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Event {
    /// Its place among all events received.
    number: u64,
    pub(crate) time: String,
    pub(crate) kind: String,
    pub(crate) database: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) detail: String,
}

/// A session that has ended.
fn closed(number: u64, session: answer::ClosedSession) -> Event {
    let detail = format!(
        "session {}: {}, {} in, {} out",
        session.id,
        session.reason,
        size(session.bytes_in),
        size(session.bytes_out)
    );
    Event {
        number,
        time: session.ts,
        kind: "session_closed".to_owned(),
        database: session.database,
        client: Some(session.client),
        detail,
    }
}

/// An operation on a database, or on sessions.
fn operation(number: u64, kind: &str, of: answer::Operation) -> Event {
    let backend = of.backend.map(|backend| format!("backend {backend}, "));
    let ends = of.ends.map(|ends| format!(", end {ends}"));
    let detail = format!(
        "{}{}{}{}",
        backend.unwrap_or_default(),
        count(of.sessions, "session"),
        ends.unwrap_or_default(),
        said(&of.by)
    );
    Event {
        number,
        time: of.ts,
        kind: kind.to_owned(),
        database: of.database,
        client: None,
        detail,
    }
}

/// The reason why a client was turned away, and the name that it asked for.
fn refused(reason: &str, sni: Option<&str>) -> String {
    match sni {
        Some(sni) => format!("{reason}, asked for {sni}"),
        None => reason.to_owned(),
    }
}

/// A backend that serves or does not, from now on.
fn backend(number: u64, kind: &str, of: answer::BackendChange) -> Event {
    let reason = of.reason.map(|reason| format!(": {reason}"));
    let detail = of.detail.map(|detail| format!(", {detail}"));
    let detail = format!(
        "{} by a {}{}{}",
        of.backend,
        of.by,
        reason.unwrap_or_default(),
        detail.unwrap_or_default()
    );
    Event {
        number,
        time: of.ts,
        kind: kind.to_owned(),
        database: (!of.databases.is_empty()).then(|| of.databases.join(" ")),
        client: None,
        detail,
    }
}

/// The operator, and the reason, behind what was done.
fn said(by: &Author) -> String {
    match (by.who.as_str(), &by.reason) {
        ("", _) => String::new(),
        (who, None) => format!(", by {who}"),
        (who, Some(reason)) => format!(", by {who}: {reason}"),
    }
}

impl Event {
    /// An event of the gateway.
    pub(crate) fn new(number: u64, event: answer::Event) -> Self {
        let row = |kind: &str, time, database, client, detail| Self {
            number,
            time,
            kind: kind.to_owned(),
            database,
            client,
            detail,
        };
        match event {
            answer::Event::Other(event) => row(
                &event.event,
                event.ts,
                event.database,
                event.client,
                String::new(),
            ),
            answer::Event::Known(event) => match event {
                KnownEvent::SessionOpened {
                    ts,
                    id,
                    database,
                    client,
                    backend,
                } => {
                    let detail = format!("session {id} to {backend}");
                    row("session_opened", ts, Some(database), Some(client), detail)
                }
                KnownEvent::SessionClosed(session) => closed(number, *session),
                KnownEvent::Rejected(reject) => {
                    let detail = refused(&reject.reason, reject.sni.as_deref());
                    row("rejected", reject.ts, None, Some(reject.client), detail)
                }
                KnownEvent::Exposed {
                    ts,
                    revision,
                    database,
                    host,
                    by,
                } => {
                    let detail = format!("{host} (revision {revision}){}", said(&by));
                    row("exposed", ts, Some(database), None, detail)
                }
                KnownEvent::Hidden {
                    ts,
                    revision,
                    database,
                    host,
                    by,
                } => {
                    let detail = format!("{host} (revision {revision}){}", said(&by));
                    row("hidden", ts, Some(database), None, detail)
                }
                KnownEvent::Reload {
                    ts,
                    ok: true,
                    revision,
                    by,
                    ..
                } => {
                    let detail = format!("revision {revision}{}", said(&by));
                    row("reload", ts, None, None, detail)
                }
                KnownEvent::Drained(of) => operation(number, "drained", of),
                KnownEvent::Resumed(of) => operation(number, "resumed", of),
                KnownEvent::Deleted(of) => operation(number, "deleted", of),
                KnownEvent::Killed(of) => operation(number, "killed", of),
                KnownEvent::BackendUp(of) => backend(number, "backend_up", of),
                KnownEvent::BackendDown(of) => backend(number, "backend_down", of),
                KnownEvent::Reload { ts, problems, .. } => {
                    let detail = format!("refused: {}", problems.join("; "));
                    row("reload", ts, None, None, detail)
                }
                KnownEvent::Certificate {
                    ts,
                    section,
                    file,
                    not_after,
                    ..
                } => {
                    let until = not_after.map(|end| format!(", until {end}"));
                    let detail = format!("{section}: {file}{}", until.unwrap_or_default());
                    row("certificate", ts, None, None, detail)
                }
                KnownEvent::CertificateFault(fault) => {
                    let files = fault.files.join(", ");
                    let detail = match fault.error {
                        Some(error) => format!("kept what was in force: {error}"),
                        None => format!("{files}: can be used again"),
                    };
                    row("certificate_fault", fault.ts, None, None, detail)
                }
                KnownEvent::Missed { count } => Self::missed(number, String::new(), count),
            },
        }
    }

    /// Its time.
    pub(crate) fn time(&self) -> String {
        self.time.clone()
    }

    /// A client turned away.
    pub(crate) fn rejected(number: u64, reject: &Reject) -> Self {
        let row = &reject.row;
        Self {
            number,
            time: row.ts.clone(),
            kind: "rejected".to_owned(),
            database: None,
            client: Some(row.client.clone()),
            detail: refused(&row.reason, row.sni.as_deref()),
        }
    }

    /// Events that were too many to be sent.
    pub(crate) fn missed(number: u64, time: String, missed: u64) -> Self {
        Self {
            number,
            time,
            kind: "missed".to_owned(),
            detail: format!("{} too many to be sent", count(missed, "event")),
            ..Self::default()
        }
    }
}

impl Row for Event {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::<Self>::name("time", "TIME", 1, (8, 8), |e| Value::Time(&e.time)).field("ts"),
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
