//! Certificates from DER, and the names of object identifiers.

use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::objects::{oid_registry, oid2sn};
use x509_parser::oid_registry::Oid;

use crate::wire::printable;

/// Bytes that are not a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid X.509 certificate: {0}")]
pub struct Unreadable(pub(super) String);

pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Unreadable> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], x509)) => Ok(x509),
        Ok((rest, _)) => Err(Unreadable(format!("{} bytes follow its end", rest.len()))),
        // The parser's messages are names of its types.
        Err(_) => Err(Unreadable(
            "it is cut short, altered, or something else".to_owned(),
        )),
    }
}

/// The name of an algorithm or a purpose, else its number.
pub(super) fn oid_text(oid: &Oid<'_>) -> String {
    match oid2sn(oid, oid_registry()) {
        Ok(name) => name.to_owned(),
        // RFC 3279 section 2.2.3; the registry has only those of SHA-2.
        Err(_) if oid.to_id_string() == "1.2.840.10045.4.1" => "ecdsa-with-SHA1".to_owned(),
        Err(_) => printable(&oid.to_id_string()),
    }
}
