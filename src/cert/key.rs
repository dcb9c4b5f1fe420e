//! Kinds of public keys, and those that verifiers no longer accept.
//!
//! Source: RFC 5480 section 2.1.1.1 and SEC 2 (curves); RFC 3279 section 2.2.3.

use x509_parser::oid_registry as oids;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::der::{oid_text, parse};

/// Kind and size of a key.
pub(super) fn key_text(key: &SubjectPublicKeyInfo<'_>) -> String {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        Ok(PublicKey::EC(point)) => match curve(key) {
            Some(curve) => format!("ECDSA {curve}"),
            None => format!("ECDSA, {} bits", point.key_size()),
        },
        Ok(PublicKey::DSA(_)) => "DSA".to_owned(),
        _ if key.algorithm.algorithm == oids::OID_SIG_ED25519 => "Ed25519".to_owned(),
        _ if key.algorithm.algorithm == oids::OID_SIG_ED448 => "Ed448".to_owned(),
        _ => oid_text(&key.algorithm.algorithm),
    }
}

/// Returns whether verifiers of today refuse the key of a certificate for its size or kind.
///
/// One that cannot be read has none.
#[must_use]
pub fn has_weak_key(der: &[u8]) -> bool {
    parse(der).is_ok_and(|x509| is_weak(x509.public_key()))
}

/// Returns whether verifiers of today refuse the key for its size or kind.
pub(super) fn is_weak(key: &SubjectPublicKeyInfo<'_>) -> bool {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => rsa.key_size() < 2048,
        Ok(PublicKey::EC(_)) => key
            .algorithm
            .parameters
            .as_ref()
            .and_then(|curve| curve.as_oid().ok())
            .is_some_and(|curve| WEAK_CURVES.iter().any(|weak| curve.to_id_string() == *weak)),
        Ok(PublicKey::DSA(_)) => true,
        _ => false,
    }
}

/// Curves below 256 bits: P-192 and P-224 (SEC 2).
const WEAK_CURVES: [&str; 2] = ["1.2.840.10045.3.1.1", "1.3.132.0.33"];

fn curve(key: &SubjectPublicKeyInfo<'_>) -> Option<&'static str> {
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    Some(match curve.to_id_string().as_str() {
        "1.2.840.10045.3.1.1" => "P-192",
        "1.3.132.0.33" => "P-224",
        "1.2.840.10045.3.1.7" => "P-256",
        "1.3.132.0.34" => "P-384",
        "1.3.132.0.35" => "P-521",
        "1.3.132.0.10" => "secp256k1",
        _ => return None,
    })
}
