//! What `ctl` says about each answer, to people.
//!
//! The answer itself goes to standard output; remarks, and that there is nothing, go to standard
//! error, so that a pipe carries data only.

mod changes;
mod differences;

use serde_json::Value;

use crate::cli::CtlCommand;
use crate::table::{Column, escape, fields, size, span, table, text};
pub(crate) use changes::try_it;

/// What goes to standard output and to standard error.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The answer.
    pub(crate) out: String,
    /// Remarks.
    pub(crate) err: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.out += &escape(line);
        self.out.push('\n');
    }

    fn remark(&mut self, remark: &str) {
        self.err += &escape(remark);
        self.err.push('\n');
    }

    /// The gateway's own remarks.
    fn notes(&mut self, notes: &Value) {
        for note in items(notes) {
            self.remark(&format!("note: {}", text(note)));
        }
    }

    fn rows(&mut self, rows: &Value, columns: &[Column], wide: bool, none: &str) {
        match items(rows) {
            [] => self.remark(none),
            rows => self.out += &table(rows, columns, wide),
        }
    }
}

/// One JSON document.
pub(crate) fn json(answer: &Value) -> Page {
    Page {
        out: format!("{answer:#}\n"),
        err: String::new(),
    }
}

/// The answer to `command` for people.
pub(crate) fn answer(command: &CtlCommand, answer: &Value, wide: bool) -> Page {
    match command {
        CtlCommand::Expose(args) => changes::expose(answer, args),
        CtlCommand::Hide(_) => changes::hide(answer),
        CtlCommand::Delete { .. } => changes::delete(answer),
        CtlCommand::List => list(answer, wide),
        CtlCommand::Show { .. } => show(answer),
        CtlCommand::Explain { .. } => explain(answer),
        CtlCommand::Sessions { .. } => sessions(answer, wide),
        CtlCommand::Rejects => rejects(answer, wide),
        CtlCommand::Kill { .. } => changes::kill(answer),
        CtlCommand::Drain { .. } => changes::drain(answer),
        CtlCommand::Status => status(answer),
        CtlCommand::Reload => changes::reload(answer),
        CtlCommand::Diff => differences::diff(answer, wide),
        CtlCommand::Export => export(answer),
        // Followed, not answered.
        CtlCommand::Events { .. } => Page::default(),
    }
}

fn list(answer: &Value, wide: bool) -> Page {
    const COLUMNS: &[Column] = &[
        Column::new("NAME", |d| text(&d["name"])),
        Column::new("PROTOCOL", |d| text(&d["protocol"])),
        Column::new("TLS", |d| text(&d["tls"])),
        Column::new("HOSTS", hosts),
        Column::new("BACKENDS", |d| text(&d["backends"])),
        Column::new("SESSIONS", |d| text(&d["sessions"])),
        Column::wide("MAX", |d| text(&d["max_sessions"])),
        Column::wide("MAX/IP", |d| text(&d["max_sessions_per_ip"])),
        Column::wide("ALLOW", |d| text(&d["allow"])),
        Column::wide("DENY", |d| text(&d["deny"])),
        Column::new("ORIGIN", |d| text(&d["origin"])),
    ];
    let mut page = Page::default();
    page.rows(&answer["databases"], COLUMNS, wide, "No databases.");
    page.notes(&answer["notes"]);
    page
}

/// The hosts of a database, those that lead nowhere marked.
fn hosts(database: &Value) -> String {
    let marked = |key: &'static str, mark: &'static str| {
        items(&database[key])
            .iter()
            .map(move |host| format!("{}{mark}", text(host)))
    };
    let all: Vec<String> = marked("hosts", "")
        .chain(marked("hidden", " (hidden)"))
        .chain(marked("shadowed", " (shadowed)"))
        .collect();
    if all.is_empty() {
        "-".to_owned()
    } else {
        all.join(", ")
    }
}

fn show(answer: &Value) -> Page {
    const EXPOSURES: &[Column] = &[
        Column::new("HOST", |e| text(&e["host"])),
        Column::new("STATE", |e| text(&e["state"])),
        Column::new("ORIGIN", |e| text(&e["origin"])),
        Column::new("UNTIL", |e| {
            match (e["expires"].as_str(), &e["ephemeral"]) {
                (Some(time), _) => time.to_owned(),
                (None, Value::Bool(true)) => "restart".to_owned(),
                _ => "-".to_owned(),
            }
        }),
    ];
    const BACKENDS: &[Column] = &[
        Column::new("BACKEND", |b| text(&b["addr"])),
        Column::new("STATE", |b| text(&b["state"])),
        Column::new("SESSIONS", |b| text(&b["sessions"])),
        Column::new("IN", |b| size(&b["bytes_in"])),
        Column::new("OUT", |b| size(&b["bytes_out"])),
    ];
    let mut page = Page::default();
    let database = &answer["database"];
    let mut known = vec![
        ("name", text(&database["name"])),
        ("origin", text(&database["origin"])),
        ("sessions", text(&database["sessions"])),
    ];
    // Every setting there is; backends have a table of their own.
    if let Some(settings) = database["settings"].as_object() {
        for (key, value) in settings.iter().filter(|(key, _)| *key != "backends") {
            known.push((key, text(value)));
        }
    }
    if let Some(expires) = database["certificate"]["expires"].as_str() {
        known.push(("cert until", expires.to_owned()));
    }
    page.out += &fields(&known);
    page.out.push('\n');
    page.rows(&database["exposures"], EXPOSURES, false, "No hosts.");
    page.out.push('\n');
    page.rows(&database["backends"], BACKENDS, false, "No backends.");
    for backend in items(&database["backends"]) {
        if !backend["reason"].is_null() {
            let [addr, reason, since, remedy] =
                ["addr", "reason", "since", "remedy"].map(|key| text(&backend[key]));
            let line = format!("{addr} fails since {since}: {reason}; {remedy}\n");
            page.out.push_str(&line);
        }
    }
    page
}

fn explain(answer: &Value) -> Page {
    let mut page = Page::default();
    for (at, step) in items(&answer["walk"]).iter().enumerate() {
        page.line(&format!("{}. {}", at + 1, text(step)));
    }
    let (host, listener) = (text(&answer["host"]), text(&answer["listener"]));
    let asked = format!("{host} at listener {listener}");
    page.line(
        &match (answer["database"].as_str(), flag(answer, "admitted")) {
            (Some(name), true) => {
                let settings = &answer["settings"];
                format!(
                    "{asked} reaches database {name} ({}, {}) at {}",
                    text(&settings["protocol"]),
                    text(&settings["tls"]),
                    text(&settings["backends"])
                )
            }
            (Some(name), false) => format!("{asked} is kept out of database {name}"),
            (None, _) => format!("{asked} reaches no database"),
        },
    );
    page
}

fn sessions(answer: &Value, wide: bool) -> Page {
    const COLUMNS: &[Column] = &[
        Column::new("ID", |s| text(&s["id"])),
        Column::new("DATABASE", |s| text(&s["database"])),
        Column::new("HOST", |s| text(&s["host"])),
        Column::new("CLIENT", |s| text(&s["client"])),
        Column::wide("USER-CERT", |s| text(&s["user_cert"])),
        Column::wide("LISTENER", |s| text(&s["listener"])),
        Column::wide("PROTOCOL", |s| text(&s["protocol"])),
        Column::wide("TLS", |s| text(&s["tls"])),
        Column::new("BACKEND", |s| text(&s["backend"])),
        Column::new("IN", |s| size(&s["bytes_in"])),
        Column::new("OUT", |s| size(&s["bytes_out"])),
        Column::new("AGE", |s| span(&s["age_ms"])),
        Column::new("STATE", |s| text(&s["state"])),
    ];
    let mut page = Page::default();
    page.rows(&answer["sessions"], COLUMNS, wide, "No sessions.");
    page
}

fn rejects(answer: &Value, wide: bool) -> Page {
    const COLUMNS: &[Column] = &[
        Column::new("LAST", |r| text(&r["last"])),
        Column::wide("FIRST", |r| text(&r["first"])),
        Column::new("COUNT", |r| text(&r["count"])),
        Column::new("CLIENT", |r| text(&r["client"])),
        Column::new("LISTENER", |r| text(&r["listener"])),
        Column::wide("PROTOCOL", |r| text(&r["protocol"])),
        Column::new("REASON", |r| text(&r["reason"])),
        Column::new("SNI", |r| text(&r["sni"])),
        Column::wide("SNI-STATUS", |r| text(&r["sni_status"])),
        Column::new("DETAIL", |r| text(&r["detail"])),
        Column::wide("REMEDY", |r| text(&r["remedy"])),
    ];
    const COUNTS: &[Column] = &[
        Column::new("LISTENER", |c| text(&c["listener"])),
        Column::new("REASON", |c| text(&c["reason"])),
        Column::new("COUNT", |c| text(&c["count"])),
    ];
    let mut page = Page::default();
    page.rows(&answer["rejects"], COLUMNS, wide, "No rejects.");
    if wide && !items(&answer["counts"]).is_empty() {
        page.out.push('\n');
        page.rows(&answer["counts"], COUNTS, wide, "");
    }
    page
}

fn status(answer: &Value) -> Page {
    const LISTENERS: &[Column] = &[
        Column::new("LISTENER", |l| text(&l["name"])),
        Column::new("BIND", |l| text(&l["bind"])),
        Column::new("PROTOCOL", |l| text(&l["protocol"])),
        Column::new("DEFAULT", |l| text(&l["default"])),
    ];
    let mut page = Page::default();
    page.out += &fields(&[
        ("version", text(&answer["version"])),
        ("pid", text(&answer["pid"])),
        ("uptime", span(&answer["uptime_ms"])),
        ("config", text(&answer["config"])),
        ("metrics", text(&answer["metrics"])),
        ("revision", text(&answer["revision"])),
        ("databases", text(&answer["databases"])),
        ("hosts", text(&answer["hosts"])),
        (
            "sessions",
            format!(
                "{} now, {} since the start",
                text(&answer["sessions"]),
                text(&answer["sessions_total"])
            ),
        ),
        ("handshakes", text(&answer["handshakes"])),
        ("rejects", text(&answer["rejects"])),
        ("empty connects", text(&answer["empty_connects"])),
    ]);
    page.out.push('\n');
    page.rows(&answer["listeners"], LISTENERS, false, "No listeners.");
    page.notes(&answer["notes"]);
    page
}

fn export(answer: &Value) -> Page {
    let mut page = Page::default();
    match answer["toml"].as_str() {
        Some("") | None => page.remark("No databases."),
        // The writer of TOML has spelled out control characters.
        Some(toml) => {
            page.out += toml.trim_end();
            page.out.push('\n');
        }
    }
    page
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn flag(value: &Value, key: &str) -> bool {
    value[key] == true
}
