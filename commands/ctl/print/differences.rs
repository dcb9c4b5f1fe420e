//! Differences between files and gateway: what `diff` finds and what `reload` has changed.

use serde_json::Value;

use super::{Page, items};
use crate::table::{Column, count, table, text};

/// What `ctl` did as a table, and what the files say section by section.
pub(super) fn diff(answer: &Value, wide: bool) -> Page {
    const COLUMNS: &[Column] = &[
        Column::new("KIND", |d| text(&d["kind"])),
        Column::new("DATABASE", |d| text(&d["database"])),
        Column::new("WHAT", |d| text(&d["what"])),
    ];
    let mut page = Page::default();
    let all = items(&answer["differences"]).iter().cloned();
    let (by_ctl, of_files): (Vec<_>, Vec<_>) = all.partition(|d| d["kind"] == "runtime");
    if by_ctl.is_empty() && of_files.is_empty() {
        page.remark("No differences.");
        return page;
    }
    if !by_ctl.is_empty() {
        page.out += &table(&by_ctl, COLUMNS, wide);
    }
    if !by_ctl.is_empty() && !of_files.is_empty() {
        page.out.push('\n');
    }
    sections(&mut page, &of_files);
    more(&mut page, answer);
    let sessions = answer["sessions"].as_u64().unwrap_or_default();
    if sessions > 0 {
        page.line(&format!("a reload ends {}", count(sessions, "session")));
    }
    page
}

/// The databases that are counted and not named.
pub(super) fn more(page: &mut Page, answer: &Value) {
    let more = answer["more_databases"].as_u64().unwrap_or_default();
    if more > 0 {
        page.line(&format!("and {}", count(more, "more database")));
    }
}

/// A line for each section, and below it one for each of its keys.
pub(super) fn sections(page: &mut Page, rows: &[Value]) {
    let mut before = None;
    for row in rows {
        let head = (&row["section"], &row["what"]);
        if before != Some(head) {
            page.line(&format!("[{}] {}", text(head.0), text(head.1)));
            before = Some(head);
        }
        page.line(&format!(
            "  {}: {} → {} ({})",
            text(&row["key"]),
            text(&row["running"]),
            text(&row["file"]),
            text(&row["effect"])
        ));
    }
}
