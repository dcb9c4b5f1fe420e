//! Lists: of strings, or of strings and tables.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Section, entry, kind};

impl<'a, 't> Section<'a, 't> {
    /// A list of strings that `parse` understands, with the place of each; `of` says what they
    /// are, in the plural.
    pub(in crate::config) fn strings<T>(
        &mut self,
        key: &'static str,
        of: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<Spanned<T>>> {
        let value = self.value(key)?;
        let expected = format!("a list of {of}");
        let DeValue::Array(items) = value.get_ref() else {
            let instead = self.bare(value).map(|text| format!("[\"{text}\"]"));
            self.mistyped(key, value, &expected, instead);
            return None;
        };
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            match item.get_ref() {
                DeValue::String(text) => {
                    if let Some(parsed) = self.parsed(key, item, text, &parse) {
                        list.push(Spanned::new(self.place(item), parsed));
                    }
                }
                other => {
                    let found = kind(other);
                    let message =
                        format!("{key} must be {expected} in quotes, but here is {found}");
                    self.fail(key, item, message);
                }
            }
        }
        (!self.failed(key)).then_some(list)
    }

    /// A list of strings that `parse` understands and of tables that `read` does; `of` says what
    /// they are, in the plural.
    pub(in crate::config) fn strings_or_tables<T, U: From<T>>(
        &mut self,
        key: &'static str,
        of: &str,
        parse: impl Fn(&str) -> Result<T, String>,
        read: impl Fn(Self) -> Option<U>,
    ) -> Option<Vec<U>> {
        let Some(DeValue::Array(items)) = entry(self.table, key).map(|(_, value)| value.get_ref())
        else {
            let strings = self.strings(key, of, parse)?;
            return Some(strings.into_iter().map(|s| s.into_inner().into()).collect());
        };
        self.known.push(key);
        self.found += 1;
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            match item.get_ref() {
                DeValue::String(text) => {
                    let parsed = self.parsed(key, item, text, &parse);
                    list.extend(parsed.map(U::from));
                }
                DeValue::Table(table) => match read(self.inline(key, item, table)) {
                    Some(read) => list.push(read),
                    None => self.failed.push(key),
                },
                other => {
                    let found = kind(other);
                    let message =
                        format!("{key} must be a list of {of} in quotes, but here is {found}");
                    self.fail(key, item, message);
                }
            }
        }
        (!self.failed(key)).then_some(list)
    }

    /// A table that is the value of a key, or stands in its list.
    fn inline(&self, key: &str, value: &Spanned<DeValue<'t>>, table: &'a DeTable<'t>) -> Self {
        Self {
            report: self.report,
            base: self.base,
            path: format!("{}.{key}", self.path),
            at: self.place(value).start,
            table,
            known: Vec::new(),
            found: 0,
            failed: Vec::new(),
        }
    }
}
