//! Private keys: which can sign in a handshake, and of what kind those are that cannot.
//!
//! Source: RFC 5208 (PKCS#8), RFC 8017 appendix A.1.2 (RSA), RFC 5915 (EC), RFC 8410 (Edwards
//! curves), RFC 5480 section 2.1.1 (curves).

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use x509_parser::asn1_rs::{FromDer, Integer, Oid, Sequence};
use x509_parser::x509::AlgorithmIdentifier;

use super::config::PROVIDER;

/// The sizes of RSA keys that can be used, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A private key that cannot be used, by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    /// RSA of this many bits.
    RsaSize(usize),
    /// An algorithm or a curve that TLS does not have here.
    Kind(&'static str),
    /// A kind that could be used, but not this key.
    Damaged(&'static str),
    /// Nothing that is known.
    Unknown,
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RsaSize(bits) => write!(
                f,
                "is RSA of {bits} bits, and {} to {} can be used",
                RSA_BITS.start(),
                RSA_BITS.end()
            ),
            Self::Kind(kind) => write!(
                f,
                "is of a kind that cannot be used ({kind}): use ECDSA on P-256, P-384 or P-521, \
                 RSA, or Ed25519"
            ),
            Self::Damaged(kind) => write!(f, "is damaged: it is not a whole {kind} key"),
            Self::Unknown => f.write_str("is damaged, or of a kind that is not known"),
        }
    }
}

/// The key, ready to sign.
///
/// # Errors
/// It cannot be used, and of what kind it is.
pub fn signing_key(der: &PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, BadKey> {
    PROVIDER
        .key_provider
        .load_private_key(der.clone_key())
        .map_err(|_| kind(der))
}

/// The reason why the provider does not take a key.
fn kind(der: &PrivateKeyDer<'_>) -> BadKey {
    let found = match der {
        PrivateKeyDer::Pkcs1(key) => Some(rsa(key.secret_pkcs1_der())),
        PrivateKeyDer::Sec1(key) => sec1(key.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(key) => pkcs8(key.secret_pkcs8_der()),
        _ => None,
    };
    found.unwrap_or(BadKey::Unknown)
}

/// PKCS#8: the version, the algorithm, and the key in a form of the algorithm's own.
fn pkcs8(der: &[u8]) -> Option<BadKey> {
    let (_, whole) = Sequence::from_der(der).ok()?;
    let (rest, _version) = Integer::from_der(whole.content.as_ref()).ok()?;
    let (rest, algorithm) = AlgorithmIdentifier::from_der(rest).ok()?;
    let inner = || {
        let (_, key) = <&[u8]>::from_der(rest).ok()?;
        Some(key)
    };
    Some(match algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.1" => inner().map_or(BadKey::Damaged("RSA"), rsa),
        "1.2.840.113549.1.1.10" => BadKey::Kind("RSA-PSS"),
        "1.2.840.10045.2.1" => {
            let curve = algorithm.parameters.and_then(|curve| curve.oid().ok());
            curve.map_or(BadKey::Kind("EC with a curve of its own"), |oid| {
                curve_of(&oid)
            })
        }
        "1.3.101.112" => BadKey::Damaged("Ed25519"),
        "1.3.101.113" => BadKey::Kind("Ed448"),
        "1.3.101.110" => BadKey::Kind("X25519, which does not sign"),
        "1.3.101.111" => BadKey::Kind("X448, which does not sign"),
        "1.2.840.10040.4.1" => BadKey::Kind("DSA"),
        "1.2.840.113549.1.3.1" | "1.2.840.10046.2.1" => {
            BadKey::Kind("Diffie-Hellman, which does not sign")
        }
        "1.2.156.10197.1.301" => BadKey::Kind("SM2"),
        _ => return None,
    })
}

/// PKCS#1: the version and the modulus, whose length is the key's size.
fn rsa(der: &[u8]) -> BadKey {
    let bits = || {
        let (_, whole) = Sequence::from_der(der).ok()?;
        let (rest, _version) = Integer::from_der(whole.content.as_ref()).ok()?;
        let (_, modulus) = Integer::from_der(rest).ok()?;
        let bytes = modulus.as_ref();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let first = bytes.get(zeros)?;
        let first_bits = usize::try_from(u8::BITS - first.leading_zeros()).ok()?;
        Some((bytes.len() - zeros - 1) * 8 + first_bits)
    };
    match bits() {
        Some(bits) if !RSA_BITS.contains(&bits) => BadKey::RsaSize(bits),
        _ => BadKey::Damaged("RSA"),
    }
}

/// SEC1: the version, the number, and the curve behind a tag of its own.
fn sec1(der: &[u8]) -> Option<BadKey> {
    let (_, whole) = Sequence::from_der(der).ok()?;
    let (rest, _version) = Integer::from_der(whole.content.as_ref()).ok()?;
    let (rest, _number) = <&[u8]>::from_der(rest).ok()?;
    let [0xa0, _length, curve @ ..] = rest else {
        return Some(BadKey::Damaged("EC"));
    };
    let curve = Oid::from_der(curve).ok();
    Some(
        curve.map_or(BadKey::Kind("EC with a curve of its own"), |(_, oid)| {
            curve_of(&oid)
        }),
    )
}

fn curve_of(oid: &Oid<'_>) -> BadKey {
    match oid.to_id_string().as_str() {
        "1.2.840.10045.3.1.7" => BadKey::Damaged("ECDSA P-256"),
        "1.3.132.0.34" => BadKey::Damaged("ECDSA P-384"),
        "1.3.132.0.35" => BadKey::Damaged("ECDSA P-521"),
        "1.3.132.0.10" => BadKey::Kind("EC on secp256k1"),
        "1.3.132.0.33" => BadKey::Kind("EC on P-224"),
        "1.2.840.10045.3.1.1" => BadKey::Kind("EC on P-192"),
        "1.3.36.3.3.2.8.1.1.7" => BadKey::Kind("EC on brainpoolP256r1"),
        "1.3.36.3.3.2.8.1.1.11" => BadKey::Kind("EC on brainpoolP384r1"),
        "1.3.36.3.3.2.8.1.1.13" => BadKey::Kind("EC on brainpoolP512r1"),
        "1.2.156.10197.1.301" => BadKey::Kind("SM2"),
        _ => BadKey::Kind("EC on another curve"),
    }
}

#[cfg(test)]
mod tests;
