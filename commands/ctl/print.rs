//! What `ctl` says about each answer, to people.
//!
//! The answer itself goes to standard output; remarks, and that there is nothing, go to standard
//! error, so that a pipe carries data only.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;

use super::table::{Column, count, facts, harmless, size, span, table, text};
use crate::cli::{CtlCommand, ExposeArgs};

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
        self.out += &harmless(line);
        self.out.push('\n');
    }

    fn remark(&mut self, remark: &str) {
        self.err += &harmless(remark);
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
        CtlCommand::Expose(args) => expose(answer, args),
        CtlCommand::Hide(_) => hide(answer),
        CtlCommand::List => list(answer, wide),
        CtlCommand::Show { .. } => show(answer),
        CtlCommand::Explain { .. } => explain(answer),
        CtlCommand::Sessions { .. } => sessions(answer, wide),
        CtlCommand::Rejects => rejects(answer, wide),
        CtlCommand::Kill { .. } => kill(answer),
        CtlCommand::Drain { .. } => drain(answer),
        CtlCommand::Status => status(answer),
        CtlCommand::Reload => reload(answer),
        CtlCommand::Diff => diff(answer, wide),
        CtlCommand::Export => export(answer),
        // Followed, not answered.
        CtlCommand::Events { .. } => Page::default(),
    }
}

fn expose(answer: &Value, args: &ExposeArgs) -> Page {
    let mut page = Page::default();
    let name = text(&answer["database"]);
    let hosts = reached(answer, args);
    let under = hosts.join(", ");
    let revision = text(&answer["revision"]);
    let lasting = args.ttl.map_or_else(String::new, |ttl| {
        format!(" for {}", span(&super::millis(ttl).into()))
    });
    page.line(&match (flag(answer, "changed"), flag(answer, "dry_run")) {
        (false, true) => "dry run: nothing would change".to_owned(),
        (true, true) if hosts.is_empty() => format!("dry run: {name} would be reachable again"),
        (true, true) => format!("dry run: {name} would be reachable under {under}{lasting}"),
        (false, false) if hosts.is_empty() => {
            format!("unchanged: {name} has no host (revision {revision})")
        }
        (false, false) => {
            format!("unchanged: {name} is reachable under {under} (revision {revision})")
        }
        (true, false) if hosts.is_empty() => {
            format!("{name} is not reachable under any host (revision {revision})")
        }
        (true, false) => {
            format!("{name} is reachable under {under}{lasting} (revision {revision})")
        }
    });
    page.notes(&answer["notes"]);
    page
}

/// The hosts that lead to the database: of those that were asked for, else all.
fn reached(answer: &Value, args: &ExposeArgs) -> Vec<String> {
    items(&answer["hosts"])
        .iter()
        .map(text)
        .filter(|host| {
            args.hosts.is_empty() || args.hosts.iter().any(|asked| asked.to_string() == *host)
        })
        .collect()
}

/// The `psql` line that reaches a database just exposed, from the gateway's own machine; nothing
/// where there is no such line.
pub(crate) fn try_it(
    exposed: &Value,
    args: &ExposeArgs,
    database: &Value,
    status: &Value,
) -> String {
    let host = reached(exposed, args)
        .into_iter()
        .find(|host| !host.starts_with('*'));
    let speaks = |l: &&Value| matches!(l["protocol"].as_str(), Some("auto" | "postgres"));
    let listener = items(&status["listeners"]).iter().find(speaks);
    let addr = listener
        .and_then(|l| l["bind"].get(0)?.as_str())
        .and_then(|addr| addr.parse::<SocketAddr>().ok());
    let (Some("postgres"), Some(host), Some(addr)) =
        (database["settings"]["protocol"].as_str(), host, addr)
    else {
        return String::new();
    };
    let ip = match addr.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    harmless(&format!(
        "try it: psql \"host={host} hostaddr={ip} port={} sslmode=require\"",
        addr.port()
    )) + "\n"
}

fn hide(answer: &Value) -> Page {
    let mut page = Page::default();
    let name = text(&answer["database"]);
    let hosts = items(&answer["hosts"]);
    let revision = text(&answer["revision"]);
    let dry = flag(answer, "dry_run");
    if !flag(answer, "changed") {
        page.line(&if dry {
            "dry run: nothing would change".to_owned()
        } else {
            format!("unchanged: nothing of {name} to hide (revision {revision})")
        });
        return page;
    }
    let under = match hosts {
        [] => "any host".to_owned(),
        _ => text(&answer["hosts"]),
    };
    page.line(&if dry {
        format!("dry run: {name} would no longer be reachable under {under}")
    } else {
        format!("{name} is no longer reachable under {under} (revision {revision})")
    });
    if flag(answer, "removed") {
        page.line(&if dry {
            format!("{name} was made by ctl: it would be removed with its last host")
        } else {
            format!("{name} was made by ctl: it is removed with its last host")
        });
    }
    let sessions = answer["sessions"].as_u64().unwrap_or_default();
    page.line(&ending(
        sessions,
        answer["running"].as_str().unwrap_or_default(),
        &answer["drain_ms"],
    ));
    page
}

/// What becomes of running sessions.
fn ending(sessions: u64, running: &str, drain: &Value) -> String {
    let one = sessions == 1;
    let them = count(sessions, "session");
    match running {
        _ if sessions == 0 => "no session runs there".to_owned(),
        "keep" => format!("{them} {} on", if one { "runs" } else { "run" }),
        "kill" => format!("{them} {} closed at once", if one { "is" } else { "are" }),
        _ if one => format!("{them} gets {}, then it is closed", span(drain)),
        _ => format!("{them} get {}, then they are closed", span(drain)),
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
    page.out += &facts(&known);
    page.out.push('\n');
    page.rows(&database["exposures"], EXPOSURES, false, "No hosts.");
    page.out.push('\n');
    page.rows(&database["backends"], BACKENDS, false, "No backends.");
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
        Column::new("TIME", |r| text(&r["time"])),
        Column::new("CLIENT", |r| text(&r["client"])),
        Column::new("LISTENER", |r| text(&r["listener"])),
        Column::wide("PROTOCOL", |r| text(&r["protocol"])),
        Column::new("REASON", |r| text(&r["reason"])),
        Column::new("SNI", |r| text(&r["sni"])),
        Column::wide("SNI-STATUS", |r| text(&r["sni_status"])),
        Column::new("DETAIL", |r| text(&r["detail"])),
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

fn kill(answer: &Value) -> Page {
    let mut page = Page::default();
    let killed = answer["killed"].as_u64().unwrap_or_default();
    page.line(&format!("killed {}", count(killed, "session")));
    if !items(&answer["missing"]).is_empty() {
        page.remark(&format!("no session {}", text(&answer["missing"])));
    }
    page
}

fn drain(answer: &Value) -> Page {
    let mut page = Page::default();
    page.line(&format!(
        "{}: {}",
        text(&answer["database"]),
        ending(
            answer["sessions"].as_u64().unwrap_or_default(),
            "drain",
            &answer["drain_ms"]
        )
    ));
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
    page.out += &facts(&[
        ("version", text(&answer["version"])),
        ("pid", text(&answer["pid"])),
        ("uptime", span(&answer["uptime_ms"])),
        ("config", text(&answer["config"])),
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
    ]);
    page.out.push('\n');
    page.rows(&answer["listeners"], LISTENERS, false, "No listeners.");
    page.notes(&answer["notes"]);
    page
}

fn reload(answer: &Value) -> Page {
    let mut page = Page::default();
    page.line(&format!(
        "reloaded (revision {})",
        text(&answer["revision"])
    ));
    for (key, what) in [
        ("exposed", "is reachable under"),
        ("withdrawn", "is no longer reachable under"),
    ] {
        for pair in items(&answer[key]) {
            let (name, host) = (text(&pair["database"]), text(&pair["host"]));
            page.line(&format!("{name} {what} {host}"));
        }
    }
    let sessions = answer["sessions"].as_u64().unwrap_or_default();
    if sessions > 0 {
        page.line(&ending(sessions, "drain", &answer["drain_ms"]));
    }
    for warning in items(&answer["warnings"]) {
        page.remark(&text(warning));
    }
    page.notes(&answer["notes"]);
    page
}

fn diff(answer: &Value, wide: bool) -> Page {
    const COLUMNS: &[Column] = &[
        Column::new("KIND", |d| text(&d["kind"])),
        Column::new("DATABASE", |d| text(&d["database"])),
        Column::new("WHAT", |d| text(&d["what"])),
    ];
    let mut page = Page::default();
    page.rows(&answer["differences"], COLUMNS, wide, "No differences.");
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
