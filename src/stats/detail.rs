//! The sentence that says why a session ended.

use std::fmt;

use serde::Serialize;

use crate::wire;

/// The longest sentence, in characters: a certificate's names alone can fill 64 KiB.
const LIMIT: usize = 1000;

/// A sentence for the operator that is safe to print: one line without control characters, of
/// bounded length.
///
/// Whatever becomes a detail may hold what a peer wrote: names in a backend's certificate, a
/// server's error, the names in a client's certificate. It is escaped here, and only here, so that
/// no caller has to remember it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Detail(Box<str>);

impl Detail {
    /// The sentence as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Detail {
    fn from(text: &str) -> Self {
        // As most details are: what the gateway itself says.
        let plain = text.len() <= LIMIT && text.bytes().all(|b| matches!(b, b' '..=b'~'));
        Self(if plain {
            text.into()
        } else {
            wire::one_line(text, LIMIT).into()
        })
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_one_line_whoever_wrote_it() {
        let forged = "not valid for \u{1b}[31mred\n2026-11-27T00:00:00Z  INFO audit: who=root";
        assert_eq!(
            Detail::from(forged).as_str(),
            r"not valid for \u{1b}[31mred\u{a}2026-11-27T00:00:00Z  INFO audit: who=root"
        );
        assert_eq!(Detail::from("as it was").as_str(), "as it was");
        let long = Detail::from("x".repeat(100_000));
        assert_eq!(long.as_str().len(), LIMIT);
        assert_eq!(Detail::from(long.to_string()), long);
    }
}
