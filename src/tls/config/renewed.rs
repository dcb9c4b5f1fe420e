//! Material whose content is another than the one in force, in words for people.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use super::super::client::{address, ascii, hex};
use super::super::material::{Material, MaterialOrigin};
use super::Loader;

/// Most names of a certificate, and certificates of a file, that are shown; the others are counted.
const SHOWN: usize = 4;

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
}

/// The content of an origin that is in force, and its content now. Nothing of a key is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Before.
    pub running: String,
    /// Now.
    pub file: String,
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
        Self {
            running: describe(kind, was, "the key in force"),
            file: describe(kind, now, "another key"),
        }
    }
}

fn describe(kind: MaterialKind, material: &Material, key: &str) -> String {
    let shown = match kind {
        MaterialKind::Key => return key.to_owned(),
        MaterialKind::Chain => 1,
        MaterialKind::Authorities => SHOWN,
    };
    let Ok(all) = material.certificates() else {
        return "no certificate".to_owned();
    };
    let mut shown: Vec<String> = all.iter().take(shown).map(|(_, der)| one(der)).collect();
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
    let names = names(&x509);
    if !names.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(told, " ({names})");
    }
    let end = u64::try_from(x509.validity().not_after.timestamp()).unwrap_or_default();
    if let Some(end) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(end)) {
        let _ = write!(told, ", until {}", humantime::format_rfc3339_seconds(end));
    }
    let _ = write!(told, ", sha256:{fingerprint}");
    told
}

fn names(x509: &X509Certificate<'_>) -> String {
    let Ok(Some(extension)) = x509.subject_alternative_name() else {
        return String::new();
    };
    let all = extension.value.general_names.iter();
    let names: Vec<String> = all
        .filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                Some(ascii(name))
            }
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect();
    match names.split_at_checked(SHOWN) {
        Some((shown, more @ [_, ..])) => {
            format!("{} and {} more", shown.join(", "), more.len())
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests;
