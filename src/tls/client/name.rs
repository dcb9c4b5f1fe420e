//! The names by which client certificates may come.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes: that of a DNS name.
const LONGEST: usize = 255;

/// A name that a client's certificate may have: exact, or `*.` and a domain, where the star is one
/// label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientName(Box<str>);

impl ClientName {
    /// True if this is a certificate's common name.
    #[must_use]
    pub fn is_common_name(&self, name: &str) -> bool {
        *self.0 == *name || self.covers(name)
    }

    /// True if this is a DNS name of a certificate, whatever the case of its letters.
    #[must_use]
    pub fn is_dns_name(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name) || self.covers(name)
    }

    /// True if this is another name of a certificate: an email address, a URI, an IP address.
    #[must_use]
    pub fn is_other_name(&self, name: &str) -> bool {
        *self.0 == *name
    }

    /// True if the star matches it.
    fn covers(&self, name: &str) -> bool {
        let Some(domain) = self.0.strip_prefix("*.") else {
            return false;
        };
        let is_label = |label: &str| {
            let ordinary = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            !label.is_empty() && label.bytes().all(ordinary)
        };
        name.split_once('.')
            .is_some_and(|(label, rest)| is_label(label) && rest.eq_ignore_ascii_case(domain))
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClientName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = match text {
            "" => "an empty name matches no certificate",
            _ if text.len() > LONGEST => "a name has at most 255 bytes",
            _ if text.chars().any(char::is_control) => "a name has no control characters",
            _ => match text.strip_prefix("*.") {
                Some("") => "a star needs a domain behind it, as in \"*.ops.example\"",
                Some(domain) if !domain.contains('*') => return Ok(Self(text.into())),
                None if !text.contains('*') => return Ok(Self(text.into())),
                _ => {
                    "a star can only be the whole first label, as in \"*.ops.example\"; to let every certificate of client_ca come, leave client_names out"
                }
            },
        };
        Err(format!("\"{}\": {problem}", text.escape_debug()))
    }
}

impl TryFrom<String> for ClientName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ClientName> for String {
    fn from(name: ClientName) -> Self {
        name.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_whole_label() {
        let ops: ClientName = "*.ops.example".parse().unwrap();
        for (name, fits) in [
            ("a.ops.example", true),
            ("A.OPS.example", true),
            ("a_1-b.ops.example", true),
            ("ops.example", false),
            (".ops.example", false),
            ("a.b.ops.example", false),
            ("a.ops.example.evil", false),
            ("a@b.ops.example", false),
            ("a\0.ops.example", false),
            ("*.ops.example.", false),
        ] {
            assert_eq!(ops.is_common_name(name), fits, "{name}");
            assert_eq!(ops.is_dns_name(name), fits, "{name}");
            assert!(!ops.is_other_name(name), "{name}");
        }
    }

    #[test]
    fn an_exact_name_is_all_of_it() {
        let app: ClientName = "app".parse().unwrap();
        for (name, fits) in [("app", true), ("App", false), ("app\0", false), ("", false)] {
            assert_eq!(app.is_common_name(name), fits, "{name:?}");
            assert_eq!(app.is_other_name(name), fits, "{name:?}");
        }
        assert!(app.is_dns_name("APP"));
    }

    #[test]
    fn names_that_match_nothing_or_everything_are_refused() {
        for text in ["", "*", "*.", "a.*", "a*.example", "*.*.example", "a\nb"] {
            assert!(text.parse::<ClientName>().is_err(), "{text:?}");
        }
        assert!("a".repeat(256).parse::<ClientName>().is_err());
        for text in [
            "app",
            "Ann Ops",
            "*.ops.example",
            "spiffe://ops.example/app",
            "a@b.example",
        ] {
            assert_eq!(text.parse::<ClientName>().unwrap().to_string(), text);
        }
    }
}
