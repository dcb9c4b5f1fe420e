//! The PROXY protocol, versions 1 and 2: what a load balancer says of a client before the client's
//! own bytes, and what the gateway says of it to a backend.
//!
//! Not here: who may say it ([`crate::config`]) and reading it from a socket ([`crate::session`]).
//! Source: `doc/proxy-protocol.txt` of `HAProxy`, revision of 2020-03-05.

mod crc32c;
mod header;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

pub use header::{Addresses, Behind, Found, Header, HeaderError, Version};
pub use v2::{SslInfo, Tlvs};

/// The longest header that is read, in bytes: the addresses of version 2, and as much behind them
/// as any load balancer sends.
pub const MAX_HEADER: usize = 16 + header::MAX_REST;

/// Looks for a header at the start of `input`; what follows it is the client's.
///
/// With too few bytes to tell it asks for more, never beyond [`MAX_HEADER`] of them.
///
/// # Errors
/// The input begins as a header and breaks a rule.
pub fn read(input: &[u8]) -> Result<Found, HeaderError> {
    for (signature, read) in [
        (
            v1::SIGNATURE,
            v1::read as fn(&[u8]) -> Result<Found, HeaderError>,
        ),
        (v2::SIGNATURE, v2::read),
    ] {
        if input.starts_with(signature) {
            return read(input);
        }
        if signature.starts_with(input) {
            return Ok(Found::NeedMore);
        }
    }
    Ok(Found::Nothing)
}

/// The version of a header at the start of `input`, well or badly formed.
#[must_use]
pub fn version(input: &[u8]) -> Option<Version> {
    let versions = [(v1::SIGNATURE, Version::V1), (v2::SIGNATURE, Version::V2)];
    let found = versions.into_iter().find(|(s, _)| input.starts_with(s));
    found.map(|(_, version)| version)
}

/// The header for a backend; `None` stands for a connection of the gateway's own.
///
/// Version 1 knows no own connections and has no room for `tlvs`.
#[must_use]
pub fn write(version: Version, addresses: Option<Addresses>, tlvs: &Tlvs<'_>) -> Vec<u8> {
    match version {
        Version::V1 => v1::write(addresses),
        Version::V2 => v2::write(addresses, tlvs),
    }
}
