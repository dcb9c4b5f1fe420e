//! Answers to changes as text: what changed, and the fate of running sessions.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use dbgate::control::answer::{
    DatabaseDetails, DeleteAnswer, DrainAnswer, ExposeAnswer, HideAnswer, KillAnswer, PerDatabase,
    ReloadAnswer, StatusAnswer,
};

use super::differences;
use crate::cli::ExposeArgs;
use crate::ctl::page::Page;
use crate::table::{count, escape, span, text, time};

pub(super) fn expose(answers: &PerDatabase<ExposeAnswer>, args: &ExposeArgs) -> Page {
    let mut page = Page::default();
    for answer in answers.iter() {
        exposed(&mut page, answer, args);
    }
    page
}

fn exposed(page: &mut Page, answer: &ExposeAnswer, args: &ExposeArgs) {
    let name = text(&answer.database);
    let hosts = reached(answer, args);
    let under = hosts.join(", ");
    let revision = text(&answer.revision);
    let lasting = args
        .ttl
        .map_or_else(String::new, |ttl| format!(" for {}", time(ttl)));
    page.line(&match (answer.changed, answer.dry_run) {
        (false, true) => "dry run: nothing would change".to_owned(),
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
    for change in &answer.changes {
        page.line(&format!("  {change} (new sessions)"));
    }
    closed(page, answer.closed, answer.dry_run);
    if answer.sessions > 0 {
        let drain = ending(answer.sessions, "drain", answer.drain_ms);
        page.line(&format!("by hosts that led elsewhere: {drain}"));
    }
    take_back(page, answer.undo.as_deref());
    page.notes(&answer.notes);
    for warning in &answer.warnings {
        let [backend, detail, remedy] = [
            text(&warning.backend),
            text(&warning.detail),
            text(&warning.remedy),
        ];
        page.remark(&format!("warning: backend {backend}: {detail}; {remedy}"));
    }
}

/// Sessions that end because the rules do not let them in any more.
fn closed(page: &mut Page, sessions: u64, dry_run: bool) {
    if sessions > 0 {
        let sessions = count(sessions, "session");
        let fate = if dry_run { "would be closed" } else { "closed" };
        page.line(&format!(
            "{sessions} {fate}: no longer let in (enforce = \"now\")"
        ));
    }
}

/// The command that takes a change back.
fn take_back(page: &mut Page, undo: Option<&str>) {
    if let Some(undo) = undo {
        page.line(&format!("to take it back: {undo}"));
    }
}

/// Hosts that lead to the database: those of the command, or all.
fn reached(answer: &ExposeAnswer, args: &ExposeArgs) -> Vec<String> {
    let asked = |host: &&String| {
        args.hosts.is_empty() || args.hosts.iter().any(|asked| asked.to_string() == **host)
    };
    answer.hosts.iter().filter(asked).cloned().collect()
}

/// The `psql` line that reaches a database just exposed, from the gateway's own machine; nothing
/// where there is no such line.
pub(crate) fn try_it(
    exposed: &ExposeAnswer,
    args: &ExposeArgs,
    database: &DatabaseDetails,
    status: &StatusAnswer,
) -> String {
    let mut hosts = reached(exposed, args).into_iter();
    let host = hosts.find(|host| !host.starts_with('*'));
    let mut listeners = status.listeners.iter();
    let listener = listeners.find(|l| matches!(l.protocol.as_str(), "auto" | "postgres"));
    let addr = listener.and_then(|l| l.bind.first()?.parse::<SocketAddr>().ok());
    let (Some("postgres"), Some(host), Some(addr)) = (database.protocol(), host, addr) else {
        return String::new();
    };
    let ip = match addr.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    escape(&format!(
        "try it: psql \"host={host} hostaddr={ip} port={} sslmode=require\"",
        addr.port()
    )) + "\n"
}

pub(super) fn hide(answers: &PerDatabase<HideAnswer>) -> Page {
    let mut page = Page::default();
    for answer in answers.iter() {
        hidden(&mut page, answer);
    }
    page
}

fn hidden(page: &mut Page, answer: &HideAnswer) {
    let name = text(&answer.database);
    let revision = text(&answer.revision);
    let dry = answer.dry_run;
    // Sessions that an earlier hide kept, this one may end.
    let touches = answer.sessions != 0 && answer.running != "keep";
    let under = if answer.hosts.is_empty() {
        "any host".to_owned()
    } else {
        text(&answer.hosts)
    };
    page.line(&match (answer.changed, touches, dry) {
        (true, _, true) => format!("dry run: {name} would no longer be reachable under {under}"),
        (true, _, false) => {
            format!("{name} is no longer reachable under {under} (revision {revision})")
        }
        (false, true, true) => format!("dry run: {name} is hidden already"),
        (false, true, false) => format!("{name} is hidden already (revision {revision})"),
        (false, false, true) => "dry run: nothing would change".to_owned(),
        (false, false, false) => {
            format!("unchanged: nothing of {name} to hide (revision {revision})")
        }
    });
    if !answer.refused.is_empty() {
        page.line(&format!(
            "clients that ask for {} {} refused, also where a wildcard or a default would take them",
            text(&answer.refused),
            if dry { "would be" } else { "are" }
        ));
    }
    if answer.changed || answer.sessions > 0 {
        page.line(&ending(answer.sessions, &answer.running, answer.drain_ms));
    }
    take_back(page, answer.undo.as_deref());
    page.notes(&answer.notes);
}

pub(super) fn delete(answers: &PerDatabase<DeleteAnswer>) -> Page {
    let mut page = Page::default();
    for answer in answers.iter() {
        deleted(&mut page, answer);
    }
    page
}

fn deleted(page: &mut Page, answer: &DeleteAnswer) {
    let name = text(&answer.database);
    let revision = text(&answer.revision);
    let freed = if answer.hosts.is_empty() {
        String::new()
    } else {
        format!(", with {}", text(&answer.hosts))
    };
    match (answer.changed, answer.dry_run) {
        (false, true) => page.line("dry run: nothing would change"),
        (false, false) => page.line(&format!(
            "unchanged: nothing of {name} to delete (revision {revision})"
        )),
        (true, true) => page.line(&format!("dry run: {name} would be deleted{freed}")),
        (true, false) => page.line(&format!("{name} is deleted{freed} (revision {revision})")),
    }
    if answer.changed {
        page.line(&ending(answer.sessions, &answer.running, answer.drain_ms));
    }
    if let Some(undo) = &answer.undo {
        page.line(&format!("to make it again: {undo}"));
    }
}

/// The fate of running sessions.
fn ending(sessions: u64, running: &str, drain_ms: Option<u64>) -> String {
    let one = sessions == 1;
    let them = count(sessions, "session");
    let time = drain_ms.map_or_else(|| "-".to_owned(), span);
    match running {
        _ if sessions == 0 => "no session runs there".to_owned(),
        "keep" => format!("{them} {} on", if one { "runs" } else { "run" }),
        "kill" => format!("{them} {} closed at once", if one { "is" } else { "are" }),
        _ if one => format!("{them} gets {time}, then it is closed"),
        _ => format!("{them} get {time}, then they are closed"),
    }
}

pub(super) fn kill(answer: &KillAnswer) -> Page {
    let mut page = Page::default();
    page.line(&format!("killed {}", count(answer.killed, "session")));
    if let Some(command) = &answer.keep_out {
        let client = if answer.killed == 1 {
            "its client"
        } else {
            "their clients"
        };
        page.line(&format!(
            "{client} may connect again; to keep them out: {command}"
        ));
    }
    if !answer.missing.is_empty() {
        page.remark(&format!("no session {}", text(&answer.missing)));
    }
    page
}

pub(super) fn drain(answers: &PerDatabase<DrainAnswer>) -> Page {
    let mut page = Page::default();
    for answer in answers.iter() {
        let what = drained(answer);
        let revision = text(&answer.revision);
        page.line(&match (answer.changed, answer.dry_run) {
            (false, true) => "dry run: nothing would change".to_owned(),
            (true, true) => format!("dry run: {what} would take no new sessions"),
            (false, false) => {
                format!("unchanged: {what} takes no new sessions (revision {revision})")
            }
            (true, false) => format!("{what} takes no new sessions (revision {revision})"),
        });
        page.line(&ending(answer.sessions, &answer.running, answer.drain_ms));
        take_back(&mut page, answer.undo.as_deref());
        page.notes(&answer.notes);
    }
    page
}

pub(super) fn resume(answers: &PerDatabase<DrainAnswer>) -> Page {
    let mut page = Page::default();
    for answer in answers.iter() {
        let what = drained(answer);
        let revision = text(&answer.revision);
        page.line(&match (answer.changed, answer.dry_run) {
            (false, true) => "dry run: nothing would change".to_owned(),
            (true, true) => format!("dry run: {what} would take new sessions again"),
            (false, false) => format!("unchanged: {what} is not drained (revision {revision})"),
            (true, false) if answer.state == "hidden" => {
                format!("{what} is not drained any more, but hidden (revision {revision})")
            }
            (true, false) => format!("{what} takes new sessions again (revision {revision})"),
        });
        if answer.sessions > 0 {
            let them = count(answer.sessions, "session");
            let go = if answer.sessions == 1 { "goes" } else { "go" };
            page.line(&format!("{them} that would have been closed {go} on"));
        }
        take_back(&mut page, answer.undo.as_deref());
        page.notes(&answer.notes);
    }
    page
}

/// A database, or a backend of it.
fn drained(answer: &DrainAnswer) -> String {
    let database = text(&answer.database);
    match &answer.backend {
        Some(backend) => format!("backend {} of {database}", text(backend)),
        None => database,
    }
}

pub(super) fn reload(answer: &ReloadAnswer) -> Page {
    let mut page = Page::default();
    let done = if answer.changed {
        "reloaded"
    } else {
        "unchanged"
    };
    page.line(&format!("{done} (revision {})", text(&answer.revision)));
    differences::sections(&mut page, &answer.changes);
    differences::more(&mut page, answer.more_databases);
    for (pairs, what) in [
        (&answer.exposed, "is reachable under"),
        (&answer.withdrawn, "is no longer reachable under"),
    ] {
        for pair in pairs {
            page.line(&format!("{} {what} {}", pair.database, pair.host));
        }
    }
    closed(&mut page, answer.closed, false);
    if answer.sessions > 0 {
        page.line(&ending(answer.sessions, "drain", Some(answer.drain_ms)));
    }
    // What certificate files hold is not in its text.
    let edited = answer.changed && answer.changes.iter().any(|row| row.what != "renewed");
    if let (true, Some(file)) = (edited, &answer.config) {
        page.line(&format!(
            "to take it back: put the earlier text into {file}, then dbgate ctl reload"
        ));
    }
    for warning in &answer.warnings {
        page.remark(warning);
    }
    page.notes(&answer.notes);
    page
}
