//! A walk over one TOML table that reports everything wrong with it instead of stopping at the
//! first: unknown keys, values of another type, values that do not parse.
//!
//! Not here: which keys there are and what they mean.
//! Source: TOML 1.1, by the parser of the `toml` crate, which keeps the place of each key.

mod list;

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::problem::{Report, Severity};
use crate::route::spec::check_name;
use crate::similar::similar;

/// A table of the file, and which of its keys were asked for.
pub(super) struct Section<'a, 't> {
    report: &'a Report<'t>,
    /// The start of the piece of the file that the parser's places are counted from.
    base: usize,
    /// As in the header, without brackets; empty for the file's top level.
    path: String,
    at: usize,
    table: &'a DeTable<'t>,
    known: Vec<&'static str>,
    /// The number of its keys that were found: each is asked for once, and most are absent.
    found: usize,
    failed: Vec<&'static str>,
}

impl<'a, 't> Section<'a, 't> {
    /// The top level of the file, or of a piece of it that begins at the byte offset `base`.
    pub(super) fn root(report: &'a Report<'t>, base: usize, table: &'a DeTable<'t>) -> Self {
        Self {
            report,
            base,
            path: String::new(),
            at: 0,
            table,
            known: Vec::new(),
            found: 0,
            failed: Vec::new(),
        }
    }

    /// A table by its key, such as `[control]`.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Self> {
        self.known.push(key);
        let (key, value) = entry(self.table, key)?;
        self.child(key, value)
    }

    /// The tables below a key, each under a name that the user chose, in the order of the file.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<(&'a str, Self)> {
        let Some(parent) = self.section(key) else {
            return Vec::new();
        };
        let mut children: Vec<_> = parent
            .table
            .iter()
            .filter_map(|(key, value)| {
                let child = parent.child(key, value)?;
                Some((key.get_ref().as_ref(), child))
            })
            .collect();
        children.sort_by_key(|(_, child)| child.at);
        children
    }

    fn child(&self, key: &Spanned<DeString<'_>>, value: &'a Spanned<DeValue<'t>>) -> Option<Self> {
        let span = self.place(key);
        let at = span.start;
        let path = match (self.path.as_str(), self.report.quote(span)) {
            ("", name) => name.to_owned(),
            (path, name) => format!("{path}.{name}"),
        };
        let DeValue::Table(table) = value.get_ref() else {
            self.report.error(
                at,
                format!(
                    "{path} must be a section, not {}: write [{path}] and its keys below",
                    kind(value.get_ref())
                ),
            );
            return None;
        };
        Some(Self {
            report: self.report,
            base: self.base,
            path,
            at,
            table,
            // As many keys as a database has.
            known: Vec::with_capacity(16),
            found: 0,
            failed: Vec::new(),
        })
    }

    /// The place of something in the file.
    fn place<T>(&self, item: &Spanned<T>) -> Range<usize> {
        let span = item.span();
        self.base + span.start..self.base + span.end
    }

    /// True if the key is written, well or badly.
    pub(super) fn has(&self, key: &str) -> bool {
        entry(self.table, key).is_some()
    }

    /// True if the key is written with a string.
    pub(super) fn is_string(&self, key: &str) -> bool {
        let value = entry(self.table, key).map(|(_, value)| value.get_ref());
        matches!(value, Some(DeValue::String(_)))
    }

    /// True if the key is written with a value that was reported.
    pub(super) fn failed(&self, key: &str) -> bool {
        self.failed.contains(&key)
    }

    /// The byte offset of a key, or of the section's name where the key is not written.
    pub(super) fn at(&self, key: &str) -> usize {
        entry(self.table, key).map_or(self.at, |(key, _)| self.place(key).start)
    }

    /// Reports an error at a key.
    pub(super) fn error(&self, key: &str, message: impl Into<String>) {
        self.report.error(self.at(key), message);
    }

    /// Reports a name that the user gave to the section and that is invalid.
    pub(super) fn check_name(&self, name: &str) {
        if let Err(problem) = check_name(name) {
            self.report.error(self.at, problem);
        }
    }

    /// Reports a warning at a key.
    pub(super) fn warning(&self, key: &str, message: impl Into<String>) {
        self.report
            .note(Severity::Warning, Some(self.at(key)), message.into());
    }

    /// A string that `parse` understands.
    pub(super) fn string<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.text(key, "a string", "", parse)
    }

    /// A string that `parse` understands as a duration.
    pub(super) fn duration<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.text(key, "a duration in quotes, with its unit", "s", parse)
    }

    fn text<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        unit: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let DeValue::String(text) = value.get_ref() else {
            let instead = self.bare(value).map(|text| format!("\"{text}{unit}\""));
            self.mistyped(key, value, expected, instead);
            return None;
        };
        self.parsed(key, value, text, parse)
    }

    /// A path of the file, which starts at the directory of the configuration if it is relative.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.report.resolve(path)
    }

    /// The path of a file; relative ones start at the directory of the configuration.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let report = self.report;
        self.string(key, |text| match text {
            "" => Err("a path is not empty".to_owned()),
            path => Ok(report.resolve(Path::new(path))),
        })
    }

    /// A whole number, 0 included.
    pub(super) fn integer(&mut self, key: &'static str) -> Option<u32> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Integer(number) => {
                let number = u32::from_str_radix(number.as_str(), number.radix()).ok();
                if number.is_none() {
                    let message = format!("{key} must not be negative, nor more than {}", u32::MAX);
                    self.fail(key, value, message);
                }
                number
            }
            DeValue::String(text) => {
                let instead = text.parse::<u32>().ok().map(|number| number.to_string());
                self.mistyped(key, value, "a whole number", instead);
                None
            }
            _ => {
                self.mistyped(key, value, "a whole number", None);
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn bool(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        if let DeValue::Boolean(answer) = value.get_ref() {
            return Some(*answer);
        }
        self.mistyped(key, value, "true or false", None);
        None
    }

    /// Reports every unknown key, with the known one that it resembles.
    pub(super) fn finish(self) {
        if self.found == self.table.len() {
            return;
        }
        for (key, value) in self.table {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let place = self.place(key);
            let written = self.report.quote(place.clone());
            let is_section = matches!(value.get_ref(), DeValue::Table(_));
            let what = match (is_section, self.path.as_str()) {
                (true, "") => format!("unknown section [{written}]"),
                (true, path) => format!("unknown section [{path}.{written}]"),
                (false, "") => format!("unknown key `{written}` outside of any section"),
                (false, path) => format!("unknown key `{written}` in [{path}]"),
            };
            let hint = match (did_you_mean(name, &self.known), self.path.split_once('.')) {
                (hint, Some((parent, start))) if is_section && hint.is_empty() => format!(
                    "; a name with a dot in it is written in quotes: [{parent}.\"{start}.{name}\"]"
                ),
                (hint, _) => hint,
            };
            let message = what + &hint;
            self.report.error(place.start, message);
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'t>>> {
        self.known.push(key);
        if self.found == self.table.len() {
            return None;
        }
        let (_, value) = entry(self.table, key)?;
        self.found += 1;
        Some(value)
    }

    fn parsed<T>(
        &mut self,
        key: &'static str,
        value: &Spanned<DeValue<'t>>,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(text)
            .map_err(|message| self.fail(key, value, format!("{key}: {message}")))
            .ok()
    }

    /// The text of a simple value in the file, without quotes.
    fn bare(&self, value: &Spanned<DeValue<'t>>) -> Option<&'t str> {
        let text = match value.get_ref() {
            DeValue::Array(_) | DeValue::Table(_) => return None,
            _ => self.report.quote(self.place(value)),
        };
        Some(text.trim_matches(['"', '\'']))
    }

    fn mistyped(
        &mut self,
        key: &'static str,
        value: &Spanned<DeValue<'t>>,
        expected: &str,
        instead: Option<String>,
    ) {
        let found = kind(value.get_ref());
        let hint = instead.map_or(String::new(), |instead| format!(": write {instead}"));
        let message = format!("{key} must be {expected}, not {found}{hint}");
        self.fail(key, value, message);
    }

    fn fail(&mut self, key: &'static str, value: &Spanned<DeValue<'t>>, message: String) {
        self.failed.push(key);
        self.report.error(self.place(value).start, message);
    }
}

fn entry<'a, 't>(
    table: &'a DeTable<'t>,
    key: &str,
) -> Option<(&'a Spanned<DeString<'t>>, &'a Spanned<DeValue<'t>>)> {
    table.iter().find(|(name, _)| name.get_ref() == key)
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// Asks for the known word that a typing error may have meant; empty if none is like it.
pub(super) fn did_you_mean(word: &str, known: &[&str]) -> String {
    similar(word, known.iter().copied()).map_or(String::new(), |similar| {
        format!("; did you mean `{similar}`?")
    })
}
