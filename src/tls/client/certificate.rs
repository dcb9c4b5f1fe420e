//! The owner of a client's certificate.

use std::fmt::Write as _;
use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use super::ClientName;
use crate::wire;

/// The names in a client's certificate, and the certificate in one line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject and its SHA-256 fingerprint, such as `CN=app sha256:9f86d0…`: one line of
    /// ASCII, escaped and capped, the fingerprint always behind the last space.
    pub shown: Box<str>,
    /// The common names of its subject, as they are.
    common_names: Vec<String>,
    /// Its DNS names.
    dns_names: Vec<String>,
    /// Its email addresses, URIs and IP addresses.
    other_names: Vec<String>,
}

impl ClientCertificate {
    /// Reads a certificate, DER. One that cannot be read has no name.
    #[must_use]
    pub fn read(der: &[u8]) -> Self {
        let x509 = match x509_parser::parse_x509_certificate(der) {
            Ok(([], x509)) => Some(x509),
            _ => None,
        };
        let subject = x509.as_ref().map(|x509| x509.subject().to_string());
        let subject = match subject.as_deref() {
            None => "(unreadable)",
            Some("") => "(no subject)",
            Some(subject) => subject,
        };
        let mut shown = ascii(subject);
        shown.push_str(" sha256:");
        shown.push_str(&hex(digest(&SHA256, der).as_ref()));
        let mut read = Self {
            shown: shown.into(),
            common_names: Vec::new(),
            dns_names: Vec::new(),
            other_names: Vec::new(),
        };
        if let Some(x509) = x509 {
            read.take_names(&x509);
        }
        read
    }

    fn take_names(&mut self, x509: &X509Certificate<'_>) {
        let common_names = x509.subject().iter_common_name();
        // A name in an encoding that is not known matches nothing.
        let readable = common_names.filter_map(|name| name.as_str().ok());
        self.common_names.extend(readable.map(str::to_owned));
        let Ok(Some(names)) = x509.subject_alternative_name() else {
            return;
        };
        for name in &names.value.general_names {
            match name {
                GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
                GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                    self.other_names.push((*name).to_owned());
                }
                GeneralName::IPAddress(bytes) => self.other_names.extend(address(bytes)),
                _ => {}
            }
        }
    }

    /// True if one of its names is one of these.
    #[must_use]
    pub fn is_one_of(&self, names: &[ClientName]) -> bool {
        names.iter().any(|wanted| {
            self.common_names.iter().any(|n| wanted.is_common_name(n))
                || self.dns_names.iter().any(|n| wanted.is_dns_name(n))
                || self.other_names.iter().any(|n| wanted.is_other_name(n))
        })
    }

    /// Its common name; `None` where it has none, or several, of which each server would take
    /// another.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        match self.common_names.as_slice() {
            [name] => Some(name),
            _ => None,
        }
    }
}

/// A text in ASCII, safe to print and capped: letters of other scripts look like those of names
/// that are let in.
pub(in crate::tls) fn ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            ascii.extend(c.escape_unicode());
        }
    }
    wire::printable(&ascii)
}

/// Bytes as hexadecimal digits.
pub(in crate::tls) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The address in a certificate, where it is one.
pub(in crate::tls) fn address(bytes: &[u8]) -> Option<String> {
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some(ip.to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common_names: &[&str], names: &[SanType]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.subject_alt_names = names.to_vec();
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn names(texts: &[&str]) -> Vec<ClientName> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_kind_of_name_lets_in() {
        let san = [
            SanType::DnsName("A.ops.example".try_into().unwrap()),
            SanType::Rfc822Name("a@ops.example".try_into().unwrap()),
            SanType::URI("spiffe://ops.example/a".try_into().unwrap()),
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
        ];
        let read = ClientCertificate::read(&certificate(&["app"], &san));
        for (wanted, fits) in [
            ("app", true),
            ("*.ops.example", true),
            ("a.ops.example", true),
            ("a@ops.example", true),
            ("spiffe://ops.example/a", true),
            ("192.0.2.7", true),
            ("ops", false),
            ("*.example", false),
            ("spiffe://ops.example/A", false),
        ] {
            assert_eq!(read.is_one_of(&names(&[wanted])), fits, "{wanted}");
        }
        assert!(read.is_one_of(&names(&["ops", "app"])));
        assert!(!read.is_one_of(&[]));
        assert_eq!(read.common_name(), Some("app"));
    }

    #[test]
    fn what_is_shown_is_one_line_that_ends_in_the_fingerprint() {
        let forged = format!(
            "a\n2026 INFO \u{1b}[31m \u{430} sha256:0 {}",
            "x".repeat(1000)
        );
        let der = certificate(&[&forged], &[]);
        let shown = ClientCertificate::read(&der).shown;
        assert!(shown.chars().all(|c| matches!(c, ' '..='~')), "{shown}");
        assert!(shown.len() < 700, "{shown}");
        let fingerprint = hex(digest(&SHA256, &der).as_ref());
        let (subject, last) = shown.rsplit_once(' ').unwrap();
        assert!(subject.starts_with("CN=a"), "{shown}");
        assert_eq!(last, format!("sha256:{fingerprint}"));
    }

    #[test]
    fn a_certificate_without_names_is_nobodys() {
        for der in [certificate(&[], &[]), b"no certificate".to_vec()] {
            let read = ClientCertificate::read(&der);
            assert!(!read.is_one_of(&names(&["app", "*.ops.example"])));
            assert_eq!(read.common_name(), None);
            assert!(
                read.shown.starts_with('(') && read.shown.contains(" sha256:"),
                "{read:?}"
            );
        }
    }
}
