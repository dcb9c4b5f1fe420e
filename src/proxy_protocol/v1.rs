//! Version 1: one line of text.
//!
//! Source: `doc/proxy-protocol.txt`, section 2.1.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::{self, FromStr};

use super::header::{Addresses, Behind, Found, Header, HeaderError, MAX_LINE, Version};

/// The bytes that it begins with.
pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// Reads a header that begins with the signature.
pub(super) fn read(input: &[u8]) -> Result<Found, HeaderError> {
    let start = input.get(..MAX_LINE).unwrap_or(input);
    let Some(end) = start.windows(2).position(|end| end == b"\r\n") else {
        return if start.len() < MAX_LINE {
            Ok(Found::NeedMore)
        } else {
            Err(HeaderError::Unterminated)
        };
    };
    let line = start.get(SIGNATURE.len()..end).unwrap_or_default();
    let header = Header {
        version: Version::V1,
        behind: behind(line).ok_or(HeaderError::Line)?,
    };
    Ok(Found::Header(header, end + 2))
}

/// Reads a line without signature and end.
fn behind(line: &[u8]) -> Option<Behind> {
    // What follows the word has no meaning.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Some(Behind::Unknown);
    }
    let mut words = str::from_utf8(line).ok()?.split(' ');
    let family = words.next()?;
    let mut address = || -> Option<IpAddr> {
        let text = words.next()?;
        match family {
            "TCP4" => Ipv4Addr::from_str(text).map(IpAddr::from).ok(),
            "TCP6" => Ipv6Addr::from_str(text).map(IpAddr::from).ok(),
            _ => None,
        }
    };
    let (client, to) = (address()?, address()?);
    let mut port = || -> Option<u16> {
        let text = words.next()?;
        let port: u16 = text.parse().ok()?;
        // Neither a sign nor leading zeros.
        (port.to_string() == text).then_some(port)
    };
    let (client_port, to_port) = (port()?, port()?);
    words.next().is_none().then_some(Behind::Client(Addresses {
        client: SocketAddr::new(client, client_port),
        to: SocketAddr::new(to, to_port),
    }))
}

/// The line; without addresses of one family it tells none.
pub(super) fn write(addresses: Option<Addresses>) -> Vec<u8> {
    let line = match addresses.map(|ends| (ends.client, ends.to)) {
        Some((client, to)) if client.is_ipv4() == to.is_ipv4() => {
            let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
            format!(
                "PROXY {family} {} {} {} {}\r\n",
                client.ip(),
                to.ip(),
                client.port(),
                to.port()
            )
        }
        _ => "PROXY UNKNOWN\r\n".to_owned(),
    };
    line.into_bytes()
}
