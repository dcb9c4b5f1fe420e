//! TCP segments, and why a packet carries none.

use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use super::names;

/// One TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Sender.
    pub from: SocketAddr,
    /// Receiver.
    pub to: SocketAddr,
    /// The sequence number of its first byte, or of the SYN.
    pub seq: u32,
    /// The next sequence number expected from the other end.
    pub ack: Option<u32>,
    /// Opens the stream.
    pub syn: bool,
    /// Closes the stream.
    pub fin: bool,
    /// Ends the connection at once.
    pub rst: bool,
    /// The bytes carried, as far as they were kept.
    pub payload: &'a [u8],
    /// Bytes that it carried and that were not captured.
    pub missing: usize,
}

/// Reason why a packet gave no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skipped {
    /// Ordinary traffic that is not TCP, such as ARP or DNS.
    NotTcp,
    /// A link type that is not read.
    LinkType(u16),
    /// A tunnel, or another layer in between, that is not read; its name.
    Tunnel(&'static str),
    /// A part of an IP packet of which others have not come.
    Fragment,
    /// Cut off within its headers.
    Cut,
    /// Headers that make no sense.
    Malformed,
}

impl Skipped {
    /// Describes such packets, to follow their number.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::NotTcp => "that are not TCP".to_owned(),
            Self::LinkType(number) => match names::link_type(number) {
                Some(name) => format!("of link type {number} ({name})"),
                None => format!("of link type {number}"),
            },
            Self::Tunnel(name) => format!("in {name}"),
            Self::Fragment => "fragments of IP packets whose other parts are missing".to_owned(),
            Self::Cut => "cut off within their headers".to_owned(),
            Self::Malformed => "with headers that make no sense".to_owned(),
        }
    }
}

impl Serialize for Skipped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape {
            reason: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            link_type: Option<u16>,
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'static str>,
        }
        let (reason, link_type, name) = match *self {
            Self::NotTcp => ("not-tcp", None, None),
            Self::LinkType(number) => ("link-type", Some(number), names::link_type(number)),
            Self::Tunnel(name) => ("tunnel", None, Some(name)),
            Self::Fragment => ("fragment", None, None),
            Self::Cut => ("cut", None, None),
            Self::Malformed => ("malformed", None, None),
        };
        Shape {
            reason,
            link_type,
            name,
        }
        .serialize(serializer)
    }
}
