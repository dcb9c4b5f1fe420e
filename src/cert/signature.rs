//! Signature of one certificate by the key of another.

use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;

use super::key::is_weak;

/// Relation between a certificate and a possible issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// The signature was verified.
    Signed,
    /// The names fit, but the algorithm or the key is one that is not verified here.
    Unverifiable,
    /// The names do not fit, or the key did not sign.
    No,
}

/// Returns whether `issuer` has signed `cert`.
pub(super) fn link(cert: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Link {
    if cert.issuer().as_raw() != issuer.subject().as_raw() {
        return Link::No;
    }
    match cert.verify_signature(Some(issuer.public_key())) {
        Ok(()) => Link::Signed,
        Err(X509Error::SignatureUnsupportedAlgorithm) => Link::Unverifiable,
        // Weak keys are refused before their signature is looked at.
        Err(_) if is_weak(issuer.public_key()) => Link::Unverifiable,
        Err(_) => Link::No,
    }
}
