//! Problems of a configuration, with their line and column.
//!
//! Not here: finding them.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::syntax::{Syntax, line_at};

/// The weight of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration can be used, but an operator should look at it.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing wrong with a configuration file, with what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its weight.
    pub severity: Severity,
    /// The configuration file.
    pub file: PathBuf,
    /// Line, counted from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// Column in characters, counted from 1; 0 where the file as a whole is meant.
    pub column: usize,
    /// The problem in one line.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            severity,
            line,
            column,
            message,
            ..
        } = self;
        let file = self.file.display();
        if *line == 0 {
            write!(f, "{file}: {severity}: {message}")
        } else {
            write!(f, "{file}:{line}:{column}: {severity}: {message}")
        }
    }
}

/// Collects the problems of one file.
pub(super) struct Report<'t> {
    text: &'t str,
    file: &'t Path,
    notes: RefCell<Vec<Note>>,
}

/// A problem whose line is not counted yet.
struct Note {
    severity: Severity,
    /// The byte offset; `None` where the file as a whole is meant.
    offset: Option<usize>,
    message: String,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str, file: &'t Path) -> Self {
        Self {
            text,
            file,
            notes: RefCell::default(),
        }
    }

    /// Notes an error at a byte offset of the text.
    pub(super) fn error(&self, offset: usize, message: impl Into<String>) {
        self.note(Severity::Error, Some(offset), message.into());
    }

    /// Notes a warning at a byte offset of the text, or about the file as a whole.
    pub(super) fn note(&self, severity: Severity, offset: Option<usize>, message: String) {
        self.notes.borrow_mut().push(Note {
            severity,
            offset,
            message,
        });
    }

    /// The text between two byte offsets.
    pub(super) fn quote(&self, span: Range<usize>) -> &'t str {
        self.text.get(span).unwrap_or_default()
    }

    /// A path of the file, which is relative to the directory that the file is in.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// All problems by position; of a file with syntax errors, those that can be trusted.
    pub(super) fn finish(self, syntax: &Syntax) -> Vec<Problem> {
        let mut notes = self.notes.take();
        let broken: HashSet<*const u8> = syntax
            .errors
            .iter()
            .map(|(offset, _)| line_at(self.text, *offset).as_ptr())
            .collect();
        notes.retain(|note| {
            let line = note
                .offset
                .map(|offset| line_at(self.text, offset).as_ptr());
            !syntax.derailed && line.is_none_or(|line| !broken.contains(&line))
        });
        for (offset, message) in &syntax.errors {
            self.error(*offset, message);
        }
        notes.extend(self.notes.take());
        notes.sort_by_key(|note| note.offset);
        self.place(notes)
    }

    /// Counts the lines up to each, from one to the next: a file may have very many of both.
    fn place(&self, notes: Vec<Note>) -> Vec<Problem> {
        let (mut seen, mut start, mut lines) = (0, 0, 1);
        let mut position = |offset: usize| {
            let offset = if self.text.is_char_boundary(offset) {
                offset
            } else {
                self.text.len()
            };
            for (at, _) in self.quote(seen..offset).match_indices('\n') {
                start = seen + at + 1;
                lines += 1;
            }
            seen = seen.max(offset);
            (lines, self.quote(start..offset).chars().count() + 1)
        };
        notes
            .into_iter()
            .map(|note| {
                let (line, column) = note.offset.map_or((0, 0), &mut position);
                Problem {
                    severity: note.severity,
                    file: self.file.to_owned(),
                    line,
                    column,
                    message: note.message,
                }
            })
            .collect()
    }
}
