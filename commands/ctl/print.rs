//! Answers of the gateway as text.

mod changes;
mod differences;
mod events;
mod status;

use dbgate::author::Author;
use dbgate::control::answer::{
    BackendDetails, DatabaseSummary, DiffAnswer, DrainDetails, ExplainAnswer, ExportAnswer,
    ExposureDetails, KillAnswer, ListAnswer, RejectCount, RejectGroup, RejectsAnswer,
    SessionSummary, SessionsAnswer, ShowAnswer,
};
use dbgate::control::client::ClientError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub(crate) use changes::try_it;
pub(super) use events::event_line;

use super::page::Page;
use crate::cli::{CtlCommand, Output};
use crate::table::{Column, fields, size, span, text};

/// The part of an answer that decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done.
    Done,
    /// Done, but for some that do not exist.
    Missing,
    /// There are differences.
    Different,
}

/// The answer in a line of the gateway.
///
/// # Errors
/// The line holds another answer.
pub(crate) fn read<A: DeserializeOwned>(line: &str) -> Result<A, ClientError> {
    Ok(serde_json::from_str(line)?)
}

/// The answer to `command` in a line of the gateway, in the form asked for.
///
/// # Errors
/// The line holds another answer.
pub(crate) fn answer(
    command: &CtlCommand,
    line: &str,
    output: Output,
) -> Result<(Page, Outcome), ClientError> {
    let outcome = match command {
        CtlCommand::Kill { .. } if !read::<KillAnswer>(line)?.missing.is_empty() => {
            Outcome::Missing
        }
        CtlCommand::Diff if !read::<DiffAnswer>(line)?.differences.is_empty() => Outcome::Different,
        _ => Outcome::Done,
    };
    let page = match output {
        Output::Json => json(line)?,
        Output::Table => text_of(command, line, false)?,
        Output::Wide => text_of(command, line, true)?,
    };
    Ok((page, outcome))
}

/// The answer as the gateway wrote it: one JSON document, without the fields of the protocol.
fn json(line: &str) -> Result<Page, ClientError> {
    let mut fields: Map<String, Value> = read(line)?;
    fields.shift_remove("id");
    fields.shift_remove("ok");
    Ok(Page {
        out: format!("{:#}\n", Value::Object(fields)),
        err: String::new(),
    })
}

/// The answer as text.
fn text_of(command: &CtlCommand, line: &str, wide: bool) -> Result<Page, ClientError> {
    Ok(match command {
        CtlCommand::Expose(args) => changes::expose(&read(line)?, args),
        CtlCommand::Hide(_) => changes::hide(&read(line)?),
        CtlCommand::Delete(_) => changes::delete(&read(line)?),
        CtlCommand::List { .. } => list(&read(line)?, wide),
        CtlCommand::Show { .. } => show(&read(line)?),
        CtlCommand::Explain { .. } => explain(&read(line)?),
        CtlCommand::Sessions(_) => sessions(&read(line)?, wide),
        CtlCommand::Rejects(_) => rejects(&read(line)?, wide),
        CtlCommand::Kill { .. } => changes::kill(&read(line)?),
        CtlCommand::Drain(_) => changes::drain(&read(line)?),
        CtlCommand::Resume(_) => changes::resume(&read(line)?),
        CtlCommand::Status => status::status(&read(line)?),
        CtlCommand::Reload { .. } => changes::reload(&read(line)?),
        CtlCommand::Diff => differences::diff(&read(line)?, wide),
        CtlCommand::Export => export(&read(line)?),
        CtlCommand::Events(_) => events::events(read(line)?),
    })
}

fn list(answer: &ListAnswer, wide: bool) -> Page {
    const COLUMNS: &[Column<DatabaseSummary>] = &[
        Column::new("NAME", |d| text(&d.name)),
        Column::new("STATE", |d| text(&d.state)),
        Column::new("PROTOCOL", |d| text(&d.protocol)),
        Column::new("TLS", |d| text(&d.tls)),
        Column::new("HOSTS", hosts),
        Column::new("BACKENDS", |d| text(&d.backends)),
        Column::new("SESSIONS", |d| text(&d.sessions)),
        Column::wide("MAX", |d| text(&d.max_sessions)),
        Column::wide("MAX/IP", |d| text(&d.max_sessions_per_ip)),
        Column::wide("ALLOW", |d| text(&d.allow)),
        Column::wide("DENY", |d| text(&d.deny)),
        Column::new("ORIGIN", |d| text(&d.origin)),
    ];
    let mut page = Page::default();
    page.rows(&answer.databases, COLUMNS, wide, "No databases.");
    page.notes(&answer.notes);
    page
}

/// A drain in force, such as `since 2026-11-27T10:00:00Z by root: update to 17`.
fn drained(drain: &DrainDetails) -> String {
    let of = drain
        .backend
        .iter()
        .map(|backend| format!("backend {backend} "));
    let ends = drain
        .ends
        .iter()
        .map(|ends| format!(", sessions end {ends}"));
    let (of, ends): (String, String) = (of.collect(), ends.collect());
    format!("{of}since {}{ends}{}", drain.since, said(&drain.by))
}

/// An operator, and the reason, behind what was done.
fn said(by: &Author) -> String {
    match &by.reason {
        Some(reason) => format!(" by {}: {reason}", by.who),
        None => format!(" by {}", by.who),
    }
}

/// The hosts of a database, with a mark where they do not lead there.
fn hosts(database: &DatabaseSummary) -> String {
    let marked = |hosts: &[String], mark: &str| -> Vec<String> {
        hosts.iter().map(|host| format!("{host}{mark}")).collect()
    };
    let all = [
        marked(&database.hosts, ""),
        marked(&database.hidden, " (hidden)"),
        marked(&database.shadowed, " (shadowed)"),
    ];
    text(&all.concat())
}

fn show(answer: &ShowAnswer) -> Page {
    const EXPOSURES: &[Column<ExposureDetails>] = &[
        Column::new("HOST", |e| text(&e.host)),
        Column::new("STATE", |e| text(&e.state)),
        Column::new("ORIGIN", |e| text(&e.origin)),
        Column::new("UNTIL", |e| match (&e.expires, e.ephemeral) {
            (Some(time), _) => time.clone(),
            (None, true) => "restart".to_owned(),
            (None, false) => "-".to_owned(),
        }),
    ];
    const BACKENDS: &[Column<BackendDetails>] = &[
        Column::new("BACKEND", |b| text(&b.address)),
        Column::new("STATE", |b| text(&b.state)),
        Column::new("SINCE", |b| text(&b.since)),
        Column::new("CHECKED", |b| text(&b.last_check)),
        Column::new("CHECK", |b| match b.check_ms {
            Some(ms) => format!("{ms:.1} ms"),
            None => "-".to_owned(),
        }),
        Column::new("SESSIONS", |b| text(&b.sessions)),
        Column::new("IN", |b| size(b.bytes_in)),
        Column::new("OUT", |b| size(b.bytes_out)),
    ];
    let mut page = Page::default();
    let database = &answer.database;
    let mut known = vec![
        ("name", text(&database.name)),
        ("state", text(&database.state)),
        ("origin", text(&database.origin)),
        ("sessions", text(&database.sessions)),
    ];
    // Every setting there is; backends have a table of their own.
    let settings = database.settings.iter();
    for (key, value) in settings.filter(|(key, _)| *key != "backends") {
        known.push((key, text(value)));
    }
    let drains: Vec<String> = database.drains.iter().map(drained).collect();
    known.extend(drains.into_iter().map(|drain| ("drained", drain)));
    if let Some(reason) = &database.reason {
        let by = said(&reason.by);
        known.push((
            "last change",
            format!("{} {}{by}", reason.change, reason.ts),
        ));
    }
    if let Some(certificate) = &database.certificate {
        known.push(("cert until", text(&certificate.not_after)));
    }
    for fault in &database.certificate_faults {
        let error = text(&fault.error);
        known.push(("not in force", format!("since {}: {error}", fault.ts)));
    }
    page.out += &fields(&known);
    page.out.push('\n');
    page.rows(&database.exposures, EXPOSURES, false, "No hosts.");
    page.out.push('\n');
    page.rows(&database.backends, BACKENDS, false, "No backends.");
    for backend in &database.backends {
        if let Some(reason) = &backend.reason {
            let (address, remedy) = (&backend.address, text(&backend.remedy));
            let line = if let Some(detail) = &backend.detail {
                format!("{address}: the last check failed, {reason}: {detail}; {remedy}")
            } else {
                let since = text(&backend.since);
                format!("{address} fails since {since}: {reason}; {remedy}")
            };
            page.line(&line);
        }
    }
    page
}

fn explain(answer: &ExplainAnswer) -> Page {
    let mut page = Page::default();
    for (at, step) in answer.walk.iter().enumerate() {
        page.line(&format!("{}. {step}", at + 1));
    }
    let (host, listener) = (text(&answer.host), text(&answer.listener));
    let asked = format!("{host} at listener {listener}");
    page.line(&match (&answer.database, answer.admitted) {
        (Some(name), true) => {
            let settings = answer.summary.clone().unwrap_or_default();
            format!(
                "{asked} reaches database {name} ({}, {}) at {}",
                text(&settings.protocol),
                text(&settings.tls),
                text(&settings.backends)
            )
        }
        (Some(name), false) => format!("{asked} is kept out of database {name}"),
        (None, _) => format!("{asked} reaches no database"),
    });
    page
}

pub(super) fn sessions(answer: &SessionsAnswer, wide: bool) -> Page {
    const COLUMNS: &[Column<SessionSummary>] = &[
        Column::new("ID", |s| text(&s.id)),
        Column::new("DATABASE", |s| text(&s.database)),
        Column::new("HOST", |s| text(&s.host)),
        Column::new("CLIENT", |s| text(&s.client)),
        Column::wide("USER-CERT", |s| text(&s.user_cert)),
        Column::wide("LISTENER", |s| text(&s.listener)),
        Column::wide("PROTOCOL", |s| text(&s.protocol)),
        Column::wide("TLS", |s| text(&s.tls)),
        Column::new("BACKEND", |s| text(&s.backend)),
        Column::new("IN", |s| size(s.bytes_in)),
        Column::new("OUT", |s| size(s.bytes_out)),
        Column::new("AGE", |s| span(s.age_ms)),
        Column::new("STATE", |s| text(&s.state)),
    ];
    let mut page = Page::default();
    page.rows(&answer.sessions, COLUMNS, wide, "No sessions.");
    page
}

/// The columns of rejects.
pub(super) const REJECTS: &[Column<RejectGroup>] = &[
    Column::new("LAST", |r| text(&r.last)),
    Column::wide("FIRST", |r| text(&r.first)),
    Column::new("COUNT", |r| text(&r.count)),
    Column::new("CLIENT", |r| text(&r.reject.client)),
    Column::new("LISTENER", |r| text(&r.reject.listener)),
    Column::wide("PROTOCOL", |r| text(&r.reject.protocol)),
    Column::new("REASON", |r| text(&r.reject.reason)),
    Column::new("SNI", |r| text(&r.reject.sni)),
    Column::wide("SNI-STATUS", |r| text(&r.reject.sni_status)),
    Column::new("DETAIL", |r| text(&r.reject.detail)),
    Column::wide("REMEDY", |r| text(&r.reject.remedy)),
];

fn rejects(answer: &RejectsAnswer, wide: bool) -> Page {
    const COUNTS: &[Column<RejectCount>] = &[
        Column::new("LISTENER", |c| text(&c.listener)),
        Column::new("REASON", |c| text(&c.reason)),
        Column::new("COUNT", |c| text(&c.count)),
    ];
    let mut page = Page::default();
    page.rows(&answer.rejects, REJECTS, wide, "No rejects.");
    if wide && !answer.counts.is_empty() {
        page.out.push('\n');
        page.rows(&answer.counts, COUNTS, wide, "");
    }
    page
}

fn export(answer: &ExportAnswer) -> Page {
    let mut page = Page::default();
    match answer.toml.trim_end() {
        "" => page.remark("No databases."),
        // The writer of TOML has spelled out control characters.
        toml => {
            page.out += toml;
            page.out.push('\n');
        }
    }
    page
}
