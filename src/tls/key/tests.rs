//! A key of each kind, as openssl writes it.

use super::*;
use crate::tls::pem;

macro_rules! key {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../../../tests/data/keys/", $name, ".pem")).as_slice(),
        )
    };
}

fn read(text: &[u8]) -> PrivateKeyDer<'static> {
    pem::parse(text).unwrap().key().unwrap().1
}

#[test]
fn kinds_that_cannot_be_used_are_named() {
    for ((name, text), expected) in [
        (key!("rsa-1024"), BadKey::RsaSize(1024)),
        (key!("rsa-1024-pkcs1"), BadKey::RsaSize(1024)),
        (key!("rsa-pss"), BadKey::Kind("RSA-PSS")),
        (key!("secp256k1"), BadKey::Kind("EC on secp256k1")),
        (key!("secp256k1-sec1"), BadKey::Kind("EC on secp256k1")),
        (
            key!("brainpool-sec1"),
            BadKey::Kind("EC on brainpoolP256r1"),
        ),
        (key!("ed448"), BadKey::Kind("Ed448")),
        (key!("x25519"), BadKey::Kind("X25519, which does not sign")),
    ] {
        assert_eq!(signing_key(&read(text)).unwrap_err(), expected, "{name}");
    }
}

#[test]
fn kinds_that_can_be_used_sign() {
    for (name, text) in [
        key!("p256"),
        key!("p256-sec1"),
        key!("p256-explicit"),
        key!("ed25519"),
    ] {
        assert!(signing_key(&read(text)).is_ok(), "{name}");
    }
}

#[test]
fn a_damaged_key_is_called_damaged_and_never_shown() {
    for ((_, text), named) in [
        (key!("p256"), "ECDSA P-256"),
        (key!("ed25519"), "Ed25519"),
        (key!("rsa-pss"), "RSA-PSS"),
    ] {
        let PrivateKeyDer::Pkcs8(whole) = read(text) else {
            panic!("not PKCS#8");
        };
        let der = whole.secret_pkcs8_der();
        for cut in 0..der.len() {
            // The length in front is made to fit, so that the rest is looked at.
            let mut short = der[..cut].to_vec();
            if let [0x30, length @ ..=0x7f, inside @ ..] = short.as_mut_slice() {
                *length = u8::try_from(inside.len()).unwrap();
            }
            let key = PrivateKeyDer::Pkcs8(short.into());
            let told = signing_key(&key).unwrap_err().to_string();
            assert!(
                told.contains(named) || told.contains("of a kind that is not known"),
                "{cut}: {told}"
            );
        }
    }
}
