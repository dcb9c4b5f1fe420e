//! Syntax errors that are worth reporting: the TOML parser goes on after each, and one slip, such as
//! a list without its end, can have it stumble over every line that follows.

use std::ops::Range;

use toml::de::{DeTable, DeValue, Error};

/// The syntax errors of a file, by position, without those that only follow from others.
#[derive(Default)]
pub(super) struct Syntax {
    /// Byte offset and message of each error, at most one a line.
    pub(super) errors: Vec<(usize, String)>,
    /// True if the parser may have put keys into the wrong sections.
    pub(super) derailed: bool,
}

impl Syntax {
    pub(super) fn new(errors: &[Error], document: &DeTable<'_>, text: &str) -> Self {
        if errors.is_empty() {
            return Self::default();
        }
        let mut lists = Vec::new();
        for (_, value) in document {
            find_lists(value.get_ref(), &value.span(), &mut lists);
        }
        let mut found: Vec<_> = errors
            .iter()
            .map(|e| (e.span().map_or(0, |span| span.start), e.message()))
            .collect();
        found.sort_unstable();
        let mut syntax = Self::default();
        for (offset, message) in found {
            let same_list = |earlier: usize| {
                let holds = |list: &Range<usize>, at| list.start <= at && at <= list.end;
                lists
                    .iter()
                    .any(|list| holds(list, earlier) && holds(list, offset))
            };
            let line = line_at(text, offset);
            syntax.derailed |= line.trim_start().starts_with('[');
            let earlier = syntax.errors.last().map(|(offset, _)| *offset);
            let same_line = earlier.is_some_and(|at| std::ptr::eq(line_at(text, at), line));
            if !same_line && earlier.is_some_and(same_list) {
                syntax.derailed = true;
            } else if !same_line {
                syntax.errors.push((offset, message.replace('\n', " ")));
            }
        }
        syntax
    }
}

/// The whole line that a byte offset is on.
pub(super) fn line_at(text: &str, offset: usize) -> &str {
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let end = after.find('\n').map_or(text.len(), |at| offset + at);
    text.get(start..end).unwrap_or_default()
}

fn find_lists(value: &DeValue<'_>, span: &Range<usize>, lists: &mut Vec<Range<usize>>) {
    match value {
        DeValue::Array(_) => lists.push(span.clone()),
        DeValue::Table(table) => {
            for (_, value) in table {
                find_lists(value.get_ref(), &value.span(), lists);
            }
        }
        _ => {}
    }
}
