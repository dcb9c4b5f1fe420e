//! Differences between files and gateway as text: answers to `diff` and `reload`.

use dbgate::control::answer::{DiffAnswer, DifferenceRow};

use crate::ctl::page::Page;
use crate::table::{Column, count, table, text};

/// Changes made by `ctl` as a table, then differences from the files by section.
pub(super) fn diff(answer: &DiffAnswer, wide: bool) -> Page {
    const COLUMNS: &[Column<DifferenceRow>] = &[
        Column::new("KIND", |d| text(&d.kind)),
        Column::new("DATABASE", |d| text(&d.database)),
        Column::new("WHAT", |d| text(&d.what)),
    ];
    let mut page = Page::default();
    let all = answer.differences.iter().cloned();
    let (by_ctl, of_files): (Vec<_>, Vec<_>) = all.partition(|d| d.kind == "runtime");
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
    more(&mut page, answer.more_databases);
    if answer.sessions > 0 {
        let them = count(answer.sessions, "session");
        page.line(&format!("a reload ends {them}"));
    }
    page
}

/// The number of further databases.
pub(super) fn more(page: &mut Page, more: u64) {
    if more > 0 {
        page.line(&format!("and {}", count(more, "more database")));
    }
}

/// A line for each section, and below it one for each of its keys.
pub(super) fn sections(page: &mut Page, rows: &[DifferenceRow]) {
    let mut before = None;
    for row in rows {
        let head = (&row.section, &row.what);
        if before != Some(head) {
            page.line(&format!("[{}] {}", head.0, head.1));
            before = Some(head);
        }
        page.line(&format!(
            "  {}: {} → {} ({})",
            text(&row.key),
            text(&row.running),
            text(&row.file),
            text(&row.effect)
        ));
    }
}
