//! The filter: terms with a space between them, all of which a row has to meet.
//!
//! `word` is anywhere in the row, `column:word` in that column, `column>5m` and `column<5m` compare
//! numbers, sizes and spans, `!` before a term turns it round. `sni:` is the name that a client
//! asked for, whatever the tab calls it.

use std::net::{IpAddr, Ipv6Addr};

use super::row::{AnyRow, Head};
use super::value::Value;

/// A term's condition on a row.
#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// In any column, in lower case.
    Anywhere(String),
    /// In this column, in lower case.
    Holds(usize, String),
    /// In this column, more than.
    Above(usize, f64),
    /// In this column, less than.
    Below(usize, f64),
}

/// A filter, parsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    /// Each term, and whether it is turned round.
    terms: Vec<(Test, bool)>,
}

/// Names of columns that mean another one, where the tab has that one.
const ALIASES: &[(&str, &[&str])] = &[
    ("sni", &["sni", "host", "hosts"]),
    ("host", &["host", "hosts", "sni"]),
    ("db", &["database"]),
    ("name", &["database"]),
    ("backend", &["backend", "backends"]),
];

impl Filter {
    /// Reads a filter for rows with these columns.
    ///
    /// # Errors
    /// A term is invalid.
    pub(crate) fn parse(text: &str, heads: &[Head]) -> Result<Self, String> {
        let terms = text.split_whitespace().map(|word| {
            let (word, not) = match word.strip_prefix('!') {
                Some(rest) => (rest, true),
                None => (word, false),
            };
            term(word, heads).map(|test| (test, not))
        });
        Ok(Self {
            terms: terms.collect::<Result<_, _>>()?,
        })
    }

    /// True if every row matches.
    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// True if a row with `columns` columns matches.
    pub(crate) fn matches(&self, row: &dyn AnyRow, columns: usize) -> bool {
        self.terms.iter().all(|(test, not)| {
            let met = match test {
                Test::Anywhere(part) => (0..columns).any(|at| row.value(at).contains(part)),
                Test::Holds(at, part) => match row.value(*at) {
                    Value::Nothing => part == "-",
                    value => value.contains(part),
                },
                Test::Above(at, limit) => row.value(*at).number().is_some_and(|n| n > *limit),
                Test::Below(at, limit) => row.value(*at).number().is_some_and(|n| n < *limit),
            };
            met != *not
        })
    }
}

fn term(word: &str, heads: &[Head]) -> Result<Test, String> {
    let Some(at) = word.find([':', '>', '<']) else {
        return Ok(Test::Anywhere(lower(word)));
    };
    let (key, rest) = word.split_at(at);
    let mut rest = rest.chars();
    let sign = rest.next().unwrap_or(':');
    let rest = rest.as_str();
    // An IPv6 address is not a column.
    if sign == ':'
        && (key.is_empty() || key.chars().all(|c| c.is_ascii_hexdigit()))
        && !known(key, heads)
    {
        return Ok(Test::Anywhere(lower(word)));
    }
    let column = column(key, heads)?;
    if rest.is_empty() {
        // Being typed: says nothing yet.
        return Ok(Test::Anywhere(String::new()));
    }
    if sign == ':' {
        return Ok(Test::Holds(column, lower(rest)));
    }
    if heads.get(column).is_some_and(|head| !head.number) {
        return Err(format!("{key} is not a number: write {key}:{rest}"));
    }
    let limit = number(rest).ok_or_else(|| {
        format!("\"{rest}\" is not a number, size or span: write {key}{sign}10, {key}{sign}1MB or {key}{sign}5m")
    })?;
    Ok(if sign == '>' {
        Test::Above(column, limit)
    } else {
        Test::Below(column, limit)
    })
}

/// A word in lower case; an IPv4-mapped address as the IPv4 address, the form in which rows have it.
fn lower(word: &str) -> String {
    match word.parse::<Ipv6Addr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => ip.to_string(),
        _ => word.to_lowercase(),
    }
}

fn known(key: &str, heads: &[Head]) -> bool {
    column(key, heads).is_ok()
}

/// The column that a word names.
///
/// # Errors
/// There is none, and which there are.
pub(crate) fn column(key: &str, heads: &[Head]) -> Result<usize, String> {
    let key = key.to_lowercase();
    let place = |name: &str| heads.iter().position(|head| head.name == name);
    let field = |name: &str| heads.iter().position(|head| head.field == name);
    let found = place(&key).or_else(|| field(&key)).or_else(|| {
        let (_, names) = ALIASES.iter().find(|(alias, _)| *alias == key)?;
        names.iter().find_map(|name| place(name))
    });
    found.ok_or_else(|| {
        let names: Vec<&str> = heads.iter().map(|head| head.name).collect();
        format!("no column {key} here; there are: {}", names.join(" "))
    })
}

/// A number with an optional unit: bytes in powers of 1000, spans in milliseconds.
fn number(text: &str) -> Option<f64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let factor = match unit {
        "" | "B" | "b" | "ms" => 1.0,
        "k" | "K" | "kB" | "KB" | "kb" | "s" => 1e3,
        "M" | "MB" | "mb" => 1e6,
        "G" | "GB" | "gb" => 1e9,
        "T" | "TB" | "tb" => 1e12,
        "m" | "min" => 60e3,
        "h" => 3_600e3,
        "d" => 86_400e3,
        _ => return None,
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use dbgate::control::answer::SessionRow;

    use super::*;
    use crate::top::tabs::Tab;
    use crate::top::tabs::sessions::Session;

    fn session() -> Session {
        let row = SessionRow {
            id: 42,
            database: "Orders".into(),
            host: Some("*.example".into()),
            sni: Some("a.example".into()),
            client: "[2001:db8::7]:5000".into(),
            state: "open".into(),
            age_ms: 301_000,
            bytes_out: 2_000_000,
            ..SessionRow::default()
        };
        let mut session = Session::new(row, 400_000, true);
        session.advance_to(400_000);
        session
    }

    #[test]
    fn what_each_term_lets_through() {
        let heads = Tab::Sessions.heads();
        for (text, lets) in [
            ("", true),
            ("orders", true),
            ("database:ord", true),
            ("db:ord", true),
            ("db:other", false),
            ("!db:other", true),
            ("sni:A.EXAMPLE", true),
            ("sni:*.example", false),
            ("host:*.example", true),
            ("host:b.example", false),
            ("client:2001:db8", true),
            ("2001:db8::7", true),
            ("::7", true),
            ("db8::9", false),
            ("state:open age>5m", true),
            ("state:open age>6m", false),
            ("age<301s", false),
            ("age<5.1m", true),
            ("bytes_out>1MB", true),
            ("bytes_out>2M", false),
            ("id:42", true),
            ("id:4", false),
            ("42", true),
            ("backend:-", true),
            ("!backend:-", false),
            ("host:-", false),
            ("state:", true),
            ("age>", true),
            ("orders a.example", true),
            ("orders nowhere", false),
        ] {
            let filter = Filter::parse(text, &heads).unwrap();
            assert_eq!(filter.matches(&session(), heads.len()), lets, "{text}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_one() {
        let heads = Tab::Sessions.heads();
        for text in ["::FFFF:10.0.0.7", "client:::ffff:a00:7"] {
            let plain = text.replace("::FFFF:10.0.0.7", "10.0.0.7");
            let plain = plain.replace("::ffff:a00:7", "10.0.0.7");
            assert_eq!(Filter::parse(text, &heads), Filter::parse(&plain, &heads));
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let heads = Tab::Sessions.heads();
        for (text, said) in [
            ("stat:open", "no column stat here; there are: id database"),
            ("age>soon", "\"soon\" is not a number"),
            ("age>5x", "\"5x\" is not a number"),
            ("database>5", "database is not a number: write database:5"),
            ("orders !reason:x", "no column reason"),
        ] {
            let error = Filter::parse(text, &heads).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(Filter::parse("reason:x sni:y", &Tab::Rejects.heads()).is_ok());
    }
}
