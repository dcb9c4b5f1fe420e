//! Material whose content is another than the one in force, in words for people.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use super::super::client::{address, ascii, hex};
use super::super::material::{Digest, Material, MaterialOrigin};
use super::Loader;

/// Most names of a certificate, and certificates of a file, that are shown; the others are counted.
const SHOWN: usize = 4;

/// Most names that are kept for an event.
const MAX_NAMES: usize = 100;

/// Hexadecimal digits of a fingerprint that are shown.
const DIGITS: usize = 16;

/// The use of material.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaterialKind {
    /// A certificate chain, leaf first.
    Chain,
    /// A private key.
    Key,
    /// Certificates of authorities.
    Authorities,
    /// Revocation lists.
    Lists,
}

impl MaterialKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chain => "certificate",
            Self::Key => "key",
            Self::Authorities => "authorities",
            Self::Lists => "revocation_lists",
        }
    }
}

/// The content of an origin that is in force, and its content now. Nothing of a key is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Its use.
    pub kind: MaterialKind,
    /// Before, in words.
    pub running: String,
    /// Now, in words.
    pub file: String,
    /// Names that the certificate is for now; of authorities their subjects.
    pub names: Vec<String>,
    /// The end of the certificate, of authorities that of the first to end.
    pub not_after: Option<SystemTime>,
    /// Fingerprints before and now, SHA-256 in lower-case hexadecimal: of the leaf of a chain, of
    /// the file of anything else; empty for a key.
    pub fingerprints: (String, String),
}

impl Loader {
    /// The origins whose content the loader `before` has read otherwise, with both. Those of
    /// revocation lists are not among them: they are read again by themselves.
    #[must_use]
    pub fn renewed(&self, before: &Self) -> HashMap<MaterialOrigin, (Material, Material)> {
        let differ = self.material.iter().filter_map(|(origin, now)| {
            let was = before.material.get(origin)?;
            (was != now).then(|| (origin.clone(), (was.clone(), now.clone())))
        });
        differ.collect()
    }
}

impl Renewed {
    /// Describes two contents of one origin.
    #[must_use]
    pub fn new(kind: MaterialKind, was: &Material, now: &Material) -> Self {
        let certificates = match kind {
            MaterialKind::Key | MaterialKind::Lists => Vec::new(),
            MaterialKind::Chain | MaterialKind::Authorities => {
                now.certificates().unwrap_or_default()
            }
        };
        let shown = certificates.iter().take(shown(kind));
        let parsed = shown.filter_map(|(_, der)| match x509_parser::parse_x509_certificate(der) {
            Ok(([], x509)) => Some(x509),
            _ => None,
        });
        let parsed: Vec<_> = parsed.collect();
        let names = parsed.iter().flat_map(|x509| match kind {
            MaterialKind::Chain => names(x509),
            _ => vec![ascii(&x509.subject().to_string())],
        });
        let ends = parsed.iter().map(|x509| end(x509));
        Self {
            kind,
            running: describe(kind, was, "the key in force"),
            file: describe(kind, now, "another key"),
            names: names.take(MAX_NAMES).collect(),
            not_after: ends.flatten().min(),
            fingerprints: (fingerprint(kind, was), fingerprint(kind, now)),
        }
    }

    /// Describes revocation lists, of those before by their digest.
    #[must_use]
    pub fn of_lists(was: Digest, now: &Material) -> Self {
        Self {
            kind: MaterialKind::Lists,
            running: "the lists in force".to_owned(),
            file: "other lists".to_owned(),
            names: Vec::new(),
            not_after: None,
            fingerprints: (hex(&was), hex(&now.digest())),
        }
    }
}

/// Most certificates of material that are shown.
fn shown(kind: MaterialKind) -> usize {
    match kind {
        MaterialKind::Chain => 1,
        _ => SHOWN,
    }
}

fn fingerprint(kind: MaterialKind, material: &Material) -> String {
    match kind {
        MaterialKind::Key => String::new(),
        MaterialKind::Authorities | MaterialKind::Lists => hex(&material.digest()),
        MaterialKind::Chain => {
            let all = material.certificates().unwrap_or_default();
            let leaf = all.first();
            leaf.map_or_else(String::new, |(_, der)| hex(digest(&SHA256, der).as_ref()))
        }
    }
}

fn describe(kind: MaterialKind, material: &Material, key: &str) -> String {
    if kind == MaterialKind::Key {
        return key.to_owned();
    }
    let Ok(all) = material.certificates() else {
        return "no certificate".to_owned();
    };
    let mut shown: Vec<String> = all
        .iter()
        .take(shown(kind))
        .map(|(_, der)| one(der))
        .collect();
    if kind == MaterialKind::Authorities && all.len() > shown.len() {
        shown.push(format!("and {} more", all.len() - shown.len()));
    }
    shown.join("; ")
}

/// A certificate's subject, names, end and fingerprint, in one line of ASCII.
fn one(der: &[u8]) -> String {
    let fingerprint = hex(digest(&SHA256, der).as_ref());
    let fingerprint = fingerprint.get(..DIGITS).unwrap_or_default();
    let Ok(([], x509)) = x509_parser::parse_x509_certificate(der) else {
        return format!("(unreadable), sha256:{fingerprint}");
    };
    let mut told = match x509.subject().to_string().as_str() {
        "" => "(no subject)".to_owned(),
        subject => ascii(subject),
    };
    let names = some(&names(&x509));
    if !names.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(told, " ({names})");
    }
    if let Some(end) = end(&x509) {
        let _ = write!(told, ", until {}", humantime::format_rfc3339_seconds(end));
    }
    let _ = write!(told, ", sha256:{fingerprint}");
    told
}

fn end(x509: &X509Certificate<'_>) -> Option<SystemTime> {
    let end = u64::try_from(x509.validity().not_after.timestamp()).unwrap_or_default();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(end))
}

fn names(x509: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = x509.subject_alternative_name() else {
        return Vec::new();
    };
    let all = extension.value.general_names.iter();
    let names = all.filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
            Some(ascii(name))
        }
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    names.collect()
}

fn some(names: &[String]) -> String {
    match names.split_at_checked(SHOWN) {
        Some((shown, more @ [_, ..])) => {
            format!("{} and {} more", shown.join(", "), more.len())
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests;
