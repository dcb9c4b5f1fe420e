//! The registered names of numbers in a TLS handshake, for reports; a number without a name is
//! written as `0x1234`.
//!
//! Alerts are named in [`super::alert`]. Source: the IANA registries "TLS Cipher Suites", "TLS
//! Supported Groups", "TLS `SignatureScheme`" and "TLS `HandshakeType`"; RFC 8446 section 4.2.1 for the versions.

use std::borrow::Cow;

use rustls::CipherSuite;

/// Groups, in the order of their numbers. Drafts of the hybrids, still sent by older clients,
/// carry their draft's name.
const GROUPS: &[(u16, &str)] = &[
    (0x0013, "secp192r1"),
    (0x0015, "secp224r1"),
    (0x0016, "secp256k1"),
    (0x0017, "secp256r1"),
    (0x0018, "secp384r1"),
    (0x0019, "secp521r1"),
    (0x001a, "brainpoolP256r1"),
    (0x001b, "brainpoolP384r1"),
    (0x001c, "brainpoolP512r1"),
    (0x001d, "x25519"),
    (0x001e, "x448"),
    (0x001f, "brainpoolP256r1tls13"),
    (0x0020, "brainpoolP384r1tls13"),
    (0x0021, "brainpoolP512r1tls13"),
    (0x0029, "curveSM2"),
    (0x0100, "ffdhe2048"),
    (0x0101, "ffdhe3072"),
    (0x0102, "ffdhe4096"),
    (0x0103, "ffdhe6144"),
    (0x0104, "ffdhe8192"),
    (0x0200, "MLKEM512"),
    (0x0201, "MLKEM768"),
    (0x0202, "MLKEM1024"),
    (0x11eb, "SecP256r1MLKEM768"),
    (0x11ec, "X25519MLKEM768"),
    (0x11ed, "SecP384r1MLKEM1024"),
    (0x6399, "X25519Kyber768Draft00"),
    (0x639a, "SecP256r1Kyber768Draft00"),
];

/// Signature schemes, in the order of their numbers. Those with SHA-1 and SHA-224 below 0x0400
/// are pairs of a hash and a signature from TLS 1.2 (RFC 5246 section 7.4.1.4.1).
const SIGNATURE_SCHEMES: &[(u16, &str)] = &[
    (0x0201, "rsa_pkcs1_sha1"),
    (0x0202, "dsa_sha1"),
    (0x0203, "ecdsa_sha1"),
    (0x0301, "rsa_pkcs1_sha224"),
    (0x0302, "dsa_sha224"),
    (0x0303, "ecdsa_sha224"),
    (0x0401, "rsa_pkcs1_sha256"),
    (0x0402, "dsa_sha256"),
    (0x0403, "ecdsa_secp256r1_sha256"),
    (0x0501, "rsa_pkcs1_sha384"),
    (0x0502, "dsa_sha384"),
    (0x0503, "ecdsa_secp384r1_sha384"),
    (0x0601, "rsa_pkcs1_sha512"),
    (0x0602, "dsa_sha512"),
    (0x0603, "ecdsa_secp521r1_sha512"),
    (0x0708, "sm2sig_sm3"),
    (0x0804, "rsa_pss_rsae_sha256"),
    (0x0805, "rsa_pss_rsae_sha384"),
    (0x0806, "rsa_pss_rsae_sha512"),
    (0x0807, "ed25519"),
    (0x0808, "ed448"),
    (0x0809, "rsa_pss_pss_sha256"),
    (0x080a, "rsa_pss_pss_sha384"),
    (0x080b, "rsa_pss_pss_sha512"),
    (0x081a, "ecdsa_brainpoolP256r1tls13_sha256"),
    (0x081b, "ecdsa_brainpoolP384r1tls13_sha384"),
    (0x081c, "ecdsa_brainpoolP512r1tls13_sha512"),
    (0x0904, "mldsa44"),
    (0x0905, "mldsa65"),
    (0x0906, "mldsa87"),
];

/// A cipher suite, such as `TLS_AES_128_GCM_SHA256`.
#[must_use]
pub fn cipher_suite(number: u16) -> Cow<'static, str> {
    match CipherSuite::from(number).as_str() {
        // Never registered: suites of drafts, and of SSL 3.0 alone.
        Some(name) if name.ends_with("_draft") || name.starts_with("SSL_") => unnamed(number),
        // rustls tells the suites of TLS 1.3 from the others by a prefix of its own.
        Some(name) => match name.strip_prefix("TLS13_") {
            Some(rest) => format!("TLS_{rest}").into(),
            None => name.into(),
        },
        None => unnamed(number),
    }
}

/// A group of a key exchange, such as `x25519`.
#[must_use]
pub fn group(number: u16) -> Cow<'static, str> {
    find(GROUPS, number)
}

/// True if a recording of the key exchange is safe from a quantum computer of later years.
///
/// True of ML-KEM alone and of the hybrids, drafts of Kyber included.
#[must_use]
pub fn is_post_quantum(group: u16) -> bool {
    matches!(group, 0x0200..=0x0202 | 0x11eb..=0x11ed | 0x6399 | 0x639a)
}

/// A signature scheme, such as `ecdsa_secp256r1_sha256`.
#[must_use]
pub fn signature_scheme(number: u16) -> Cow<'static, str> {
    find(SIGNATURE_SCHEMES, number)
}

/// A version of TLS, `1.0` to `1.3`; the version before them is `SSL 3.0`.
#[must_use]
pub fn version(number: u16) -> Cow<'static, str> {
    match number {
        0x0300 => "SSL 3.0".into(),
        0x0301 => "1.0".into(),
        0x0302 => "1.1".into(),
        0x0303 => "1.2".into(),
        0x0304 => "1.3".into(),
        _ => unnamed(number),
    }
}

/// The type of a handshake message, such as `client_hello`.
#[must_use]
pub fn handshake_message(kind: u8) -> Cow<'static, str> {
    match kind {
        0 => "hello_request".into(),
        1 => "client_hello".into(),
        2 => "server_hello".into(),
        4 => "new_session_ticket".into(),
        5 => "end_of_early_data".into(),
        8 => "encrypted_extensions".into(),
        11 => "certificate".into(),
        12 => "server_key_exchange".into(),
        13 => "certificate_request".into(),
        14 => "server_hello_done".into(),
        15 => "certificate_verify".into(),
        16 => "client_key_exchange".into(),
        20 => "finished".into(),
        21 => "certificate_url".into(),
        22 => "certificate_status".into(),
        23 => "supplemental_data".into(),
        24 => "key_update".into(),
        67 => "next_protocol".into(),
        _ => format!("{kind:#04x}").into(),
    }
}

fn find(table: &[(u16, &'static str)], number: u16) -> Cow<'static, str> {
    match table.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => (*name).into(),
        None => unnamed(number),
    }
}

fn unnamed(number: u16) -> Cow<'static, str> {
    format!("{number:#06x}").into()
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn suites_have_the_names_of_the_registry() {
        let rows = [
            (0x1301, "TLS_AES_128_GCM_SHA256"),
            (0x1302, "TLS_AES_256_GCM_SHA384"),
            (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
            (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
            (0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"),
            (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
            (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256"),
            (0x00ff, "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"),
            (0x001c, "0x001c"),
            (0x004f, "0x004f"),
            (0x0a0a, "0x0a0a"),
            (0xffff, "0xffff"),
        ];
        for (number, name) in rows {
            assert_eq!(cipher_suite(number), name);
        }
    }

    #[test]
    fn every_suite_has_a_name_of_one_form() {
        for number in 0..=u16::MAX {
            let name = cipher_suite(number);
            let registered = name.starts_with("TLS_") && !name.contains("draft");
            assert!(registered || name == format!("{number:#06x}"), "{name}");
        }
    }

    #[test]
    fn numbers_and_names_are_there_once() {
        for table in [GROUPS, SIGNATURE_SCHEMES] {
            assert!(table.is_sorted_by(|(a, _), (b, _)| a < b), "{table:04x?}");
            for (_, name) in table {
                assert_eq!(table.iter().filter(|(_, n)| n == name).count(), 1, "{name}");
            }
        }
    }

    #[test]
    fn the_groups_are_those_of_another_implementation() {
        let mut compared = 0;
        for number in 0..=u16::MAX {
            if let Some(theirs) = NamedGroup::from(number).as_str() {
                assert_eq!(group(number).to_lowercase(), theirs.to_lowercase());
                compared += 1;
            }
        }
        assert!(compared > 10, "{compared}");
        assert_eq!(group(0x1234), "0x1234");
    }

    #[test]
    fn post_quantum_groups_are_those_whose_name_says_so() {
        for number in 0..=u16::MAX {
            let name = group(number);
            let says_so = name.contains("MLKEM") || name.contains("Kyber");
            assert_eq!(is_post_quantum(number), says_so, "{name}");
        }
    }

    #[test]
    fn schemes_and_versions() {
        assert_eq!(signature_scheme(0x0804), "rsa_pss_rsae_sha256");
        assert_eq!(signature_scheme(0x0807), "ed25519");
        assert_eq!(signature_scheme(0x0800), "0x0800");
        assert_eq!(version(0x0304), "1.3");
        assert_eq!(version(0x0301), "1.0");
        assert_eq!(version(0x7f1c), "0x7f1c");
        assert_eq!(handshake_message(2), "server_hello");
        assert_eq!(handshake_message(0x79), "0x79");
    }
}
