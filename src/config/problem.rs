//! What is wrong with a configuration, and where: problems with their line and column.
//!
//! Not here: finding them.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use super::syntax::Syntax;

/// Whether a problem keeps the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It does.
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
    /// Whether the configuration can be used all the same.
    pub severity: Severity,
    /// The configuration file.
    pub file: PathBuf,
    /// Line, counted from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// Column in characters, counted from 1; 0 where the file as a whole is meant.
    pub column: usize,
    /// What is wrong, in one line.
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
    problems: RefCell<Vec<Problem>>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str, file: &'t Path) -> Self {
        Self {
            text,
            file,
            problems: RefCell::default(),
        }
    }

    /// Notes an error at a byte offset of the text.
    pub(super) fn error(&self, offset: usize, message: impl Into<String>) {
        self.note(Severity::Error, Some(offset), message.into());
    }

    /// Notes a warning at a byte offset of the text, or about the file as a whole.
    pub(super) fn note(&self, severity: Severity, offset: Option<usize>, message: String) {
        let (line, column) = offset.map_or((0, 0), |offset| self.position(offset));
        self.problems.borrow_mut().push(Problem {
            severity,
            file: self.file.to_owned(),
            line,
            column,
            message,
        });
    }

    /// The text between two byte offsets.
    pub(super) fn quote(&self, span: std::ops::Range<usize>) -> &'t str {
        self.text.get(span).unwrap_or_default()
    }

    /// A path of the file, which is relative to the directory that the file is in.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// The whole line that a byte offset is on.
    pub(super) fn line(&self, offset: usize) -> &'t str {
        let (before, after) = self
            .text
            .split_at_checked(offset)
            .unwrap_or((self.text, ""));
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let end = after.find('\n').map_or(self.text.len(), |at| offset + at);
        self.quote(start..end)
    }

    /// All problems by position; of a file with syntax errors, those that can be trusted.
    pub(super) fn finish(self, syntax: &Syntax) -> Vec<Problem> {
        let mut problems = self.problems.take();
        let lines: Vec<_> = syntax
            .errors
            .iter()
            .map(|(offset, _)| self.position(*offset).0)
            .collect();
        problems.retain(|problem| !syntax.derailed && !lines.contains(&problem.line));
        for (offset, message) in &syntax.errors {
            self.error(*offset, message);
        }
        problems.extend(self.problems.into_inner());
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let last = before.rsplit('\n').next().unwrap_or_default();
        (line, last.chars().count() + 1)
    }
}
