//! A header of the PROXY protocol in either version, and what can be wrong with one.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use thiserror::Error;

use crate::text::serde_by_text;

/// The longest line of version 1, its end included.
pub(super) const MAX_LINE: usize = 107;

/// The most bytes behind the length of version 2.
pub(super) const MAX_REST: usize = 4096;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, with checksum and more.
    V2,
}

impl Version {
    /// The word in configuration, logs and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "v1" => Ok(Self::V1),
            "v2" => Ok(Self::V2),
            _ => Err(format!(
                "unknown version \"{}\" of the PROXY protocol: use v1 or v2",
                text.escape_default()
            )),
        }
    }
}

serde_by_text!(Version);

/// The two ends of the connection that a header speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The client.
    pub client: SocketAddr,
    /// The address to which it connected.
    pub to: SocketAddr,
}

/// The connection that a header speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// A client's, by these addresses.
    Client(Addresses),
    /// A client's that reached the proxy by a UNIX socket.
    Unix,
    /// A client's whose addresses the proxy does not tell.
    Unknown,
    /// The proxy's own, as for a health check.
    Local,
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its version.
    pub version: Version,
    /// The connection that it speaks of.
    pub behind: Behind,
}

/// The result of looking for a header at the start of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// More of the input is needed.
    NeedMore,
    /// The input does not begin with a header.
    Nothing,
    /// A header of so many bytes.
    Header(Header, usize),
}

/// A header that breaks a rule of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// Version 1: no line end within 107 bytes.
    #[error("its line (v1) does not end within {max} bytes", max = MAX_LINE)]
    Unterminated,
    /// Version 1: a line of another form.
    #[error(
        "its line (v1) is not of the form PROXY TCP4|TCP6 CLIENT TO PORT PORT, or PROXY UNKNOWN"
    )]
    Line,
    /// Version 2: a version or command that does not exist.
    #[error("version or command {0:#04x} (v2) does not exist")]
    Command(u8),
    /// Version 2: a family or transport that does not exist, or is not that of a stream.
    #[error("address family and transport {0:#04x} (v2) are not those of a connection")]
    Family(u8),
    /// Version 2: longer than is read.
    #[error("its length of {0} bytes (v2) is more than {max}", max = MAX_REST)]
    TooLong(usize),
    /// Version 2: its length is less than its addresses or a field behind them need.
    #[error("its length (v2) is less than its content needs")]
    Truncated,
    /// Version 2: the checksum is not that of the header.
    #[error("its checksum (v2, CRC32c) is wrong: it was changed on the way")]
    Checksum,
}
