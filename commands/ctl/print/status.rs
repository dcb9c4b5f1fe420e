//! The answer to `status` as text.

use dbgate::control::answer::{ListenerStatus, ReloadDetails, StatusAnswer};

use crate::ctl::page::Page;
use crate::table::{Column, count, fields, span, text};

/// The gateway as a whole.
pub(super) fn status(answer: &StatusAnswer) -> Page {
    const LISTENERS: &[Column<ListenerStatus>] = &[
        Column::new("LISTENER", |l| text(&l.name)),
        Column::new("BIND", |l| text(&l.bind)),
        Column::new("PROTOCOL", |l| text(&l.protocol)),
        Column::new("DEFAULT", |l| text(&l.default)),
    ];
    let mut known = vec![
        ("version", text(&answer.version)),
        ("pid", text(&answer.pid)),
        ("uptime", span(answer.uptime_ms)),
        ("config", text(&answer.config)),
        ("metrics", text(&answer.metrics)),
        ("revision", text(&answer.revision)),
        ("databases", text(&answer.databases)),
        ("hosts", text(&answer.hosts)),
        (
            "sessions",
            format!(
                "{} now, {} since the start",
                text(&answer.sessions),
                text(&answer.sessions_total)
            ),
        ),
        ("handshakes", text(&answer.handshakes)),
        ("rejects", text(&answer.rejects)),
        ("empty connects", text(&answer.empty_connects)),
    ];
    if let Some(last) = &answer.last_reload {
        known.push(("last reload", last_reload(last)));
    }
    if let Some(stopping) = &answer.stopping {
        let left = count(stopping.sessions, "session");
        let (since, deadline) = (&stopping.since, &stopping.deadline);
        known.push((
            "stopping",
            format!("since {since}, until {deadline} at the latest, {left} left"),
        ));
    }
    let mut page = Page::default();
    page.out += &fields(&known);
    if let Some(last) = answer.last_reload.as_ref().filter(|last| !last.ok) {
        page.out
            .push_str("\nthe last reload failed, nothing changed:\n");
        for problem in &last.problems {
            page.line(&format!("  {problem}"));
        }
        if last.more_problems > 0 {
            page.line(&format!("  and {} more", last.more_problems));
        }
    }
    if !answer.certificate_faults.is_empty() {
        page.out
            .push_str("\nchanged files cannot be used, what they held before stays in force:\n");
        for fault in &answer.certificate_faults {
            page.line(&format!("  since {}: {}", fault.ts, text(&fault.error)));
        }
        if answer.more_certificate_faults > 0 {
            page.line(&format!("  and {} more", answer.more_certificate_faults));
        }
    }
    page.out.push('\n');
    page.rows(&answer.listeners, LISTENERS, false, "No listeners.");
    page.notes(&answer.notes);
    page
}

/// The time, the result and the author of the last reload.
fn last_reload(last: &ReloadDetails) -> String {
    let done = if last.ok { "done" } else { "failed" };
    let by = &last.by;
    let command = by.command.as_ref().map(|command| format!(" ({command})"));
    let reason = by.reason.as_ref().map(|reason| format!(": {reason}"));
    format!(
        "{done} {} by {}{}{}",
        last.ts,
        by.who,
        command.unwrap_or_default(),
        reason.unwrap_or_default()
    )
}
