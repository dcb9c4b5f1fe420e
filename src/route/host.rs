//! A host: the DNS name under which a database is exposed, exact or `*.suffix`.
//!
//! A wildcard stands for exactly one label, as in certificates (RFC 6125 section 6.4.3). The
//! Gateway API lets `*.` span many labels; dbgate does not.

use std::fmt;
use std::str::FromStr;

use crate::text::serde_by_text;
use crate::tls::ServerName;

/// A name, or a family of names one label deep, that leads to one database.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// Exactly this name.
    Exact(ServerName),
    /// Any single label followed by a dot and this suffix.
    Wildcard(ServerName),
}

impl Host {
    /// The name, or what follows on the `*.`.
    #[must_use]
    pub fn name(&self) -> &ServerName {
        match self {
            Self::Exact(name) | Self::Wildcard(name) => name,
        }
    }

    /// True if this host covers `name`.
    #[must_use]
    pub fn matches(&self, name: &ServerName) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Wildcard(suffix) => name.parent() == Some(suffix.as_ref()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, wildcard) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err(format!(
                "\"{text}\": a wildcard is a whole first label, as in *.example.com"
            ));
        }
        let name = ServerName::typed(name).map_err(|e| format!("\"{text}\" is not a host: {e}"))?;
        Ok(if wildcard {
            Self::Wildcard(name)
        } else {
            Self::Exact(name)
        })
    }
}

serde_by_text!(Host);

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServerName {
        ServerName::parse(text).unwrap()
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        let host: Host = "*.Db.example".parse().unwrap();
        assert!(host.matches(&name("a.db.example")));
        assert!(!host.matches(&name("db.example")));
        assert!(!host.matches(&name("a.b.db.example")));
        assert_eq!(host.to_string(), "*.db.example");
    }

    #[test]
    fn an_invalid_host_says_why() {
        for bad in ["", "*", "a.*.b", "*a.b", "10.0.0.1", "two words", "*."] {
            let error = bad.parse::<Host>().unwrap_err();
            assert!(error.contains(bad), "{bad}: {error}");
        }
    }
}
