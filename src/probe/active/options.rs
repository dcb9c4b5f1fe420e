//! Options of a probe: everything but its target.

use std::path::PathBuf;
use std::time::Duration;

use super::target::Endpoint;
use crate::tls::ServerName;

/// The most bytes of a piece of a cut hello; a record holds no more.
const MAX_SPLIT: usize = 16 * 1024;

/// Server name to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sni {
    /// The host of the URL, when that is a name.
    #[default]
    Host,
    /// This one.
    Name(ServerName),
    /// None.
    None,
}

/// Start of TLS with Postgres.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Starttls {
    /// By an `SSLRequest`, and from the first byte when that fails.
    #[default]
    Auto,
    /// By an `SSLRequest`.
    SslRequest,
    /// From the first byte.
    Direct,
}

/// Trusted authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// The authorities of this system.
    #[default]
    System,
    /// Those in a PEM file.
    File(PathBuf),
    /// As [`Roots::System`], but an untrusted chain does not count.
    Insecure,
}

/// The one TLS version to offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlyVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Split of the `ClientHello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Into TCP pieces of this many bytes.
    Bytes(usize),
    /// Into TLS records that carry this many bytes.
    Records(usize),
}

impl Split {
    /// Reads `bytes:N` or `records:N`.
    ///
    /// # Errors
    /// A sentence that says how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("write bytes:N or records:N, with N from 1 to {MAX_SPLIT}, as in records:100")
        };
        let (how, n) = text.split_once(':').ok_or_else(wrong)?;
        let n = n
            .parse()
            .ok()
            .filter(|n| (1..=MAX_SPLIT).contains(n))
            .ok_or_else(wrong)?;
        match how {
            "bytes" => Ok(Self::Bytes(n)),
            "records" => Ok(Self::Records(n)),
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(n) => write!(f, "TCP pieces of {n} bytes"),
            Self::Records(n) => write!(f, "TLS records of {n} bytes"),
        }
    }
}

/// Options of a probe.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server name to send.
    pub sni: Sni,
    /// Address to connect to in place of the URL's host; without a port the URL's.
    pub connect: Option<Endpoint>,
    /// Start of TLS with Postgres.
    pub starttls: Starttls,
    /// Trusted authorities.
    pub roots: Roots,
    /// Certificate and key for servers that ask for one, PEM files.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The one TLS version to offer; both when absent.
    pub only: Option<OnlyVersion>,
    /// Split of the hello.
    pub split: Option<Split>,
    /// Probe without a server name as well.
    pub compare_no_sni: bool,
    /// Try a Postgres login without TLS as well.
    pub check_plaintext: bool,
    /// The most time for one stage.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sni: Sni::default(),
            connect: None,
            starttls: Starttls::default(),
            roots: Roots::default(),
            identity: None,
            only: None,
            split: None,
            compare_no_sni: false,
            check_plaintext: false,
            timeout: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits() {
        for (text, split) in [
            ("bytes:1", Some(Split::Bytes(1))),
            ("records:16384", Some(Split::Records(16_384))),
            ("records:16385", None),
            ("bytes:0", None),
            ("bytes", None),
            ("words:3", None),
            ("bytes:-1", None),
        ] {
            assert_eq!(Split::parse(text).ok(), split, "{text}");
        }
    }
}
