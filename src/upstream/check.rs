//! A check of a backend: what is asked of it, and how often.
//!
//! Not here: what checks have found ([`super::checked`]), and how they are made
//! ([`crate::health`]).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::BackendAddr;
use crate::protocol::Protocol;
use crate::proxy_protocol::Version;
use crate::text::serde_by_text;

/// A question to an address: databases that ask the same share the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// The backend.
    pub addr: BackendAddr,
    /// What is spoken with it; nothing where `http` alone decides.
    pub speak: Option<Speak>,
    /// The service beside it that knows more.
    pub http: Option<HttpPath>,
    /// The PROXY protocol header that it gets first.
    pub proxy: Option<Version>,
}

/// What a check speaks with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Speak {
    /// Nothing: it accepts connections.
    Tcp,
    /// A TLS handshake, begun in the way of this protocol.
    Tls(Protocol),
    /// The first words of its protocol, inside TLS where that comes first.
    Protocol(Protocol, bool),
}

/// The word for what a check speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckKind {
    /// The database's protocol.
    #[default]
    Protocol,
    /// A TLS handshake.
    Tls,
    /// A TCP connection.
    Tcp,
}

impl CheckKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Protocol, Self::Tls, Self::Tcp];

    /// The word used in the configuration and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CheckKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("\"{text}\" is no check: use protocol, tls or tcp"))
    }
}

serde_by_text!(CheckKind);

/// Port and path of an HTTP service on the backend's machine: `8008/primary`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpPath {
    /// The port.
    pub port: u16,
    /// Path and query, with the slash.
    pub path: Box<str>,
}

impl fmt::Display for HttpPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.port, self.path)
    }
}

impl FromStr for HttpPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "\"{}\" is no port and path: write them as in 8008/primary",
                text.escape_default()
            )
        };
        let at = text.find('/').unwrap_or(text.len());
        let (port, path) = text.split_at_checked(at).ok_or_else(expected)?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let plain = |byte: u8| matches!(byte, b'!'..=b'~');
        if !path.bytes().all(plain) || path.contains('#') {
            return Err(expected());
        }
        Ok(Self {
            port: port.ok_or_else(expected)?,
            path: if path.is_empty() { "/" } else { path }.into(),
        })
    }
}

serde_by_text!(HttpPath);

/// The rhythm of checks, and how many of them make a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Time from one to the next.
    pub interval: Duration,
    /// The same while the backend is not plainly up.
    pub fast_interval: Duration,
    /// Time for each.
    pub timeout: Duration,
    /// Successes in a row after which a backend is up again.
    pub rise: u32,
    /// Failures in a row after which it is down.
    pub fall: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            fast_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_and_a_path() {
        for (text, written) in [
            ("8008/primary", "8008/primary"),
            ("8008", "8008/"),
            ("80/a?b=c", "80/a?b=c"),
        ] {
            let read: HttpPath = text.parse().unwrap();
            assert_eq!(read.to_string(), written);
        }
        for bad in [
            "", "/primary", "0/a", "70000/a", "8008/a b", "8008/a#b", "x/\u{1b}",
        ] {
            let error = bad.parse::<HttpPath>().unwrap_err();
            assert!(error.contains("8008/primary"), "{error}");
        }
    }
}
