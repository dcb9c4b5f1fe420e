//! Rows of all tabs: columns whose values are compared, shown and filtered in one way.

use std::sync::Arc;

use super::value::Value;

/// Never on the table, only in the details and in JSON.
pub(crate) const HIDDEN: u8 = u8::MAX;

/// Name, title and width of a column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Its name for `--sort` and filters.
    pub(crate) name: &'static str,
    /// Its name in JSON, which is that of `ctl` for the same thing; `--sort` and filters know it
    /// as well.
    pub(crate) field: &'static str,
    /// Above the column.
    pub(crate) title: &'static str,
    /// Narrow screens drop the columns of the highest priority numbers first; [`HIDDEN`] ones
    /// are never shown.
    pub(crate) priority: u8,
    /// Its width at least, in characters.
    pub(crate) width: u16,
    /// Its width at most, where there is room; for columns of names.
    pub(crate) widest: u16,
    /// Set flush right, and sorted largest first.
    pub(crate) number: bool,
}

/// A column of rows of the kind `R`.
pub(crate) struct Column<R: ?Sized> {
    pub(crate) head: Head,
    pub(crate) value: for<'a> fn(&'a R) -> Value<'a>,
}

impl<R> Column<R> {
    /// A column of names: it grows up to `widest` where there is room.
    pub(crate) const fn name(
        name: &'static str,
        title: &'static str,
        priority: u8,
        (width, widest): (u16, u16),
        value: for<'a> fn(&'a R) -> Value<'a>,
    ) -> Self {
        let head = Head {
            name,
            field: name,
            title,
            priority,
            width,
            widest,
            number: false,
        };
        Self { head, value }
    }

    /// A column of numbers.
    pub(crate) const fn number(
        name: &'static str,
        title: &'static str,
        priority: u8,
        width: u16,
        value: for<'a> fn(&'a R) -> Value<'a>,
    ) -> Self {
        let head = Head {
            name,
            field: name,
            title,
            priority,
            width,
            widest: width,
            number: true,
        };
        Self { head, value }
    }

    /// The same under another name in JSON.
    pub(crate) const fn field(mut self, field: &'static str) -> Self {
        self.head.field = field;
        self
    }
}

/// The identity of a row within its tab, whatever its values and place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Id {
    /// A session's id, or a place in what has happened so far.
    Number(u64),
    /// A name.
    Name(Arc<str>),
}

/// A kind of row.
pub(crate) trait Row: Sized + 'static {
    /// Every field there is, in the order of the table and the details.
    const COLUMNS: &'static [Column<Self>];

    /// The identity of the row.
    fn id(&self) -> Id;
}

/// A row of any kind.
pub(crate) trait AnyRow {
    /// The identity of the row.
    fn key(&self) -> Id;

    /// The value in the column with this number.
    fn value(&self, column: usize) -> Value<'_>;

    /// Every field with its name.
    fn fields(&self) -> Vec<(Head, Value<'_>)>;
}

impl<R: Row> AnyRow for R {
    fn key(&self) -> Id {
        self.id()
    }

    fn value(&self, column: usize) -> Value<'_> {
        match R::COLUMNS.get(column) {
            Some(column) => (column.value)(self),
            None => Value::Nothing,
        }
    }

    fn fields(&self) -> Vec<(Head, Value<'_>)> {
        R::COLUMNS
            .iter()
            .map(|column| (column.head, (column.value)(self)))
            .collect()
    }
}

/// The columns of a kind of row.
pub(crate) fn heads<R: Row>() -> Vec<Head> {
    R::COLUMNS.iter().map(|column| column.head).collect()
}
