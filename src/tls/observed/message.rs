//! The handshake messages of a server that can be read without a key.
//!
//! Source: RFC 8446 sections 4.1.3, 4.1.4 and 4.2; RFC 5246 sections 7.4.1.3 and 7.4.2; RFC 8422
//! section 5.4.

use super::{MAX_CERTIFICATES, ServerHello};
use crate::tls::names;
use crate::wire::{Reader, Short};

const ALPN: u16 = 0x0010;
const PRE_SHARED_KEY: u16 = 0x0029;
const SUPPORTED_VERSIONS: u16 = 0x002b;
const KEY_SHARE: u16 = 0x0033;

/// The random value that makes a `ServerHello` a `HelloRetryRequest` (RFC 8446 section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Reads the body of a `ServerHello`, and whether it is a `HelloRetryRequest`.
pub(super) fn server_hello(mut body: Reader<'_>) -> Result<(ServerHello, bool), Short> {
    let mut hello = ServerHello {
        version: body.u16()?,
        suite: 0,
        group: None,
        alpn: None,
        resumed: false,
    };
    let retry = body.take(RETRY.len())? == RETRY;
    body.vec_u8()?; // session id
    hello.suite = body.u16()?;
    body.u8()?; // compression method
    if body.is_empty() {
        return Ok((hello, retry));
    }
    let mut extensions = body.vec_u16()?;
    while !extensions.is_empty() {
        let extension = extensions.u16()?;
        let mut body = extensions.vec_u16()?;
        match extension {
            SUPPORTED_VERSIONS => hello.version = body.u16()?,
            // In a retry the group alone, else the group and the server's key.
            KEY_SHARE => hello.group = Some(body.u16()?),
            ALPN => hello.alpn = Some(body.vec_u16()?.vec_u8()?.rest().to_vec()),
            PRE_SHARED_KEY => hello.resumed = true,
            _ => {}
        }
    }
    Ok((hello, retry))
}

/// Reads the chain of a `Certificate` message of TLS 1.2.
pub(super) fn certificates(mut body: Reader<'_>) -> Result<Vec<Vec<u8>>, Short> {
    let mut list = body.vec_u24()?;
    let mut chain = Vec::new();
    while !list.is_empty() {
        let certificate = list.vec_u24()?;
        if chain.len() < MAX_CERTIFICATES {
            chain.push(certificate.rest().to_vec());
        }
    }
    Ok(chain)
}

/// The group in a `ServerKeyExchange`, when the suite has one there and it goes by a number.
pub(super) fn named_curve(mut body: Reader<'_>, suite: u16) -> Option<u16> {
    const NAMED_CURVE: u8 = 3;
    let suite = names::cipher_suite(suite);
    // Those with a pre-shared key have a hint for it in front.
    let ecdhe = ["TLS_ECDHE_RSA_", "TLS_ECDHE_ECDSA_", "TLS_ECDH_anon_"];
    if !ecdhe.iter().any(|prefix| suite.starts_with(prefix)) {
        return None;
    }
    match (body.u8(), body.u16()) {
        (Ok(NAMED_CURVE), Ok(group)) => Some(group),
        _ => None,
    }
}
