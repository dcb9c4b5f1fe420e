//! An answer as text. The answer itself goes to standard output; remarks, and that there is
//! nothing, go to standard error, so that a pipe carries data only.

use crate::table::{Column, escape, table};

/// Text for standard output and standard error.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The answer.
    pub(crate) out: String,
    /// Remarks.
    pub(crate) err: String,
}

impl Page {
    /// Adds a line to the answer.
    pub(super) fn line(&mut self, line: &str) {
        self.out += &escape(line);
        self.out.push('\n');
    }

    /// Adds a remark.
    pub(super) fn remark(&mut self, remark: &str) {
        self.err += &escape(remark);
        self.err.push('\n');
    }

    /// Adds the gateway's own remarks.
    pub(super) fn notes(&mut self, notes: &[String]) {
        for note in notes {
            self.remark(&format!("note: {note}"));
        }
    }

    /// Adds a table to the answer, or the remark that there is none.
    pub(super) fn rows<R>(&mut self, rows: &[R], columns: &[Column<R>], wide: bool, none: &str) {
        if rows.is_empty() {
            self.remark(none);
        } else {
            self.out += &table(rows, columns, wide);
        }
    }
}
