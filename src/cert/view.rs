//! Contents of a certificate, as text and JSON.
//!
//! Every text is safe for a terminal and bounded: a certificate is made by its sender.
//! Source: RFC 5280 sections 4.1 and 4.2.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName};
use x509_parser::objects::oid_registry;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use super::der::{Unreadable, oid_text, parse};
use super::key::key_text;
use super::signature::{Link, link};
use crate::wire::{escape, printable};

/// The most names of one certificate that are shown.
const MAX_NAMES: usize = 100;

/// The most purposes of one certificate that are shown.
const MAX_USAGES: usize = 20;

/// Seconds of a day.
pub(super) const DAY: i64 = 24 * 60 * 60;

/// Contents of one certificate; nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// Distinguished name, such as `CN=db1, O=Example`; `(empty)` where there is none.
    pub subject: String,
    /// Distinguished name of the authority that is said to have signed it.
    pub issuer: String,
    /// DNS names and IP addresses that it is for (subjectAltName), at most 100.
    pub names: Vec<String>,
    /// Number of further names.
    pub more_names: usize,
    /// The subject's common name, which verifiers ignore.
    pub common_name: Option<String>,
    /// Start of validity, RFC 3339.
    pub not_before: String,
    /// End of validity, RFC 3339.
    pub not_after: String,
    /// Whole days until the end, rounded down; negative after it.
    pub days_left: i64,
    /// Serial number, hexadecimal, lower case.
    pub serial: String,
    /// CA:TRUE, so it may issue certificates.
    pub is_ca: bool,
    /// Purposes (extendedKeyUsage), such as `serverAuth`; empty: any.
    pub usages: Vec<String>,
    /// Public key, such as `ECDSA P-256` or `RSA 2048`.
    pub key: String,
    /// Signature algorithm, such as `ecdsa-with-SHA256`.
    pub signature: String,
    /// SHA-256 fingerprint, hexadecimal, lower case.
    pub sha256: String,
    /// Signed by its own key.
    pub self_signed: bool,
}

/// Reads a certificate, DER.
///
/// # Errors
/// [`Unreadable`] when it is none.
pub fn view(der: &[u8], now: SystemTime) -> Result<View, Unreadable> {
    let x509 = parse(der)?;
    Ok(view_of(der, &x509, seconds(now)))
}

pub(super) fn view_of(der: &[u8], x509: &X509Certificate<'_>, now: i64) -> View {
    let mut names = names(x509);
    let more_names = names.len().saturating_sub(MAX_NAMES);
    names.truncate(MAX_NAMES);
    let validity = x509.validity();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    View {
        subject: name_text(x509.subject()),
        issuer: name_text(x509.issuer()),
        names,
        more_names,
        common_name: common_name(x509.subject()),
        not_before: rfc3339(validity.not_before),
        not_after: rfc3339(validity.not_after),
        days_left: days_between(now, validity.not_after.timestamp()),
        serial: serial(x509.raw_serial()),
        is_ca: x509.is_ca(),
        usages: usages(x509),
        key: key_text(x509.public_key()),
        signature: oid_text(&x509.signature_algorithm.algorithm),
        sha256: hex(digest.as_ref()),
        self_signed: link(x509, x509) != Link::No,
    }
}

/// Seconds since 1970; none before.
pub(super) fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().cast_signed())
}

/// Days to the nearest number; negative as soon as the time is over.
///
/// One that was made for 397 days must not have 396 a second later.
pub(super) fn days_between(from: i64, to: i64) -> i64 {
    match to.saturating_sub(from) {
        over @ ..0 => over.div_euclid(DAY),
        left => left.saturating_add(DAY / 2) / DAY,
    }
}

/// The time in UTC; a certificate's may lie centuries away.
pub(super) fn rfc3339(time: ASN1Time) -> String {
    let at = time.to_datetime();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// A distinguished name in one line.
pub(super) fn name_text(name: &X509Name<'_>) -> String {
    let text = name
        .to_string_with_registry(oid_registry())
        .unwrap_or_else(|_| escape(name.as_raw()));
    if text.is_empty() {
        "(empty)".to_owned()
    } else {
        printable(&text)
    }
}

pub(super) fn common_name(name: &X509Name<'_>) -> Option<String> {
    let attribute = name.iter_common_name().next()?;
    Some(
        attribute
            .as_str()
            .map_or_else(|_| escape(attribute.as_slice()), printable),
    )
}

/// DNS names and IP addresses of the subjectAltName, all of them.
pub(super) fn names(x509: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = x509.subject_alternative_name() else {
        return Vec::new();
    };
    let names = &extension.value.general_names;
    names.iter().filter_map(alternative_name).collect()
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    /// Tag of a dNSName whose bytes are not text.
    const DNS_NAME: u32 = 2;
    match name {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(bytes) => {
            Some(ip(bytes).map_or_else(|| escape(bytes), |ip| ip.to_string()))
        }
        GeneralName::Invalid(tag, bytes) if tag.0 == DNS_NAME => Some(escape(bytes)),
        _ => None,
    }
}

pub(super) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn usages(x509: &X509Certificate<'_>) -> Vec<String> {
    let usages = x509.extended_key_usage().ok().flatten();
    usages.map_or_else(Vec::new, |usages| usage_names(usages.value))
}

pub(super) fn usage_names(usages: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let known = [
        (usages.any, "anyExtendedKeyUsage"),
        (usages.server_auth, "serverAuth"),
        (usages.client_auth, "clientAuth"),
        (usages.code_signing, "codeSigning"),
        (usages.email_protection, "emailProtection"),
        (usages.time_stamping, "timeStamping"),
        (usages.ocsp_signing, "OCSPSigning"),
    ];
    let known = known
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| (*name).to_owned());
    known
        .chain(usages.other.iter().map(oid_text))
        .take(MAX_USAGES)
        .collect()
}

fn serial(bytes: &[u8]) -> String {
    // The sign bit makes a leading zero of one that is positive.
    let bytes = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    escape(hex(bytes).as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn file(name: &str) -> View {
        let path = format!("{}/tests/data/certs/{name}.crt", env!("CARGO_MANIFEST_DIR"));
        let der = CertificateDer::from_pem_file(path).unwrap();
        view(
            &der,
            UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000),
        )
        .unwrap()
    }

    #[test]
    fn what_a_certificate_says() {
        let root = file("root");
        assert_eq!(root.subject, "CN=Test RSA Root");
        assert_eq!((root.is_ca, root.self_signed), (true, true));
        assert_eq!(root.not_before, "2026-11-22T16:27:25Z");
        assert_eq!(root.key, "RSA 2048");
        assert_eq!(root.signature, "sha256WithRSAEncryption");
        let leaf = file("rsa1024");
        assert_eq!(leaf.issuer, root.subject);
        assert_eq!((leaf.is_ca, leaf.self_signed), (false, false));
        assert_eq!(leaf.names, ["db1.example.test"]);
        assert_eq!(
            (leaf.usages, leaf.key),
            (vec!["serverAuth".into()], "RSA 1024".into())
        );
        let old = file("v1");
        assert_eq!((old.names.len(), old.usages.len()), (0, 0));
        assert_eq!(old.serial, "17");
        assert_eq!(old.sha256.len(), 64);
    }

    #[test]
    fn times_far_away_are_written_too() {
        for (seconds, text) in [
            (-631_152_000, "1950-01-01T00:00:00Z"),
            (0, "1970-01-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(ASN1Time::from_timestamp(seconds).unwrap()), text);
        }
        assert_eq!(days_between(0, DAY - 1), 1);
        assert_eq!(days_between(0, DAY / 3), 0);
        assert_eq!(days_between(DAY, DAY - 1), -1);
    }

    #[test]
    fn what_is_no_certificate() {
        for bytes in [&b""[..], b"\x30\x00", b"hello", &[0x30; 500]] {
            assert!(view(bytes, UNIX_EPOCH).is_err(), "{bytes:?}");
        }
    }
}
