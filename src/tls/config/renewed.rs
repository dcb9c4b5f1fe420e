//! Files whose content is another than the one in force, in words for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use super::super::client::{address, ascii, hex};
use super::super::files::certificates;
use super::Loader;

/// How many names of a certificate, and certificates of a file, are shown; the others are counted.
const SHOWN: usize = 4;

/// Hexadecimal digits of a fingerprint that are shown.
const DIGITS: usize = 16;

/// What a file held that is in force, and what it holds now. Nothing of a key is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Before.
    pub running: String,
    /// Now.
    pub file: String,
}

/// What a file is read for.
#[derive(Clone, Copy)]
enum Kind {
    Chain,
    Key,
    Authorities,
}

type Held<'a> = BTreeMap<&'a Path, (Kind, &'a [u8])>;

impl Loader {
    /// The files that held something else for the loader `before`. Those of revocation lists are
    /// not among them: they are read again by themselves.
    #[must_use]
    pub fn renewed(&self, before: &Self) -> BTreeMap<PathBuf, Renewed> {
        let was = before.held();
        let differ = self.held().into_iter().filter_map(|(path, (kind, now))| {
            let (_, was) = was.get(path)?;
            let renewed = || Renewed {
                running: describe(path, kind, was, "the key in force"),
                file: describe(path, kind, now, "another key"),
            };
            (*was != now).then(|| (path.to_owned(), renewed()))
        });
        differ.collect()
    }

    fn held(&self) -> Held<'_> {
        let servers = self.servers.iter().flat_map(|(files, (bytes, _))| {
            let paths = [
                (Kind::Chain, Some(&files.cert)),
                (Kind::Key, Some(&files.key)),
                (Kind::Authorities, files.client_ca.as_ref()),
            ];
            with_bytes(paths, bytes)
        });
        let backends = self.backends.iter().flat_map(|(files, (bytes, _))| {
            let (cert, key) = files.identity.as_ref().map(|(c, k)| (c, k)).unzip();
            let paths = [
                (Kind::Authorities, files.ca.as_ref()),
                (Kind::Chain, cert),
                (Kind::Key, key),
            ];
            with_bytes(paths, bytes)
        });
        servers.chain(backends).collect()
    }
}

/// The files that there are, each with what it held.
fn with_bytes<'a>(
    paths: [(Kind, Option<&'a PathBuf>); 3],
    bytes: &'a [Vec<u8>],
) -> impl Iterator<Item = (&'a Path, (Kind, &'a [u8]))> {
    let paths = paths
        .into_iter()
        .filter_map(|(kind, path)| Some((path?.as_path(), kind)));
    paths
        .zip(bytes)
        .map(|((path, kind), bytes)| (path, (kind, bytes.as_slice())))
}

fn describe(path: &Path, kind: Kind, bytes: &[u8], key: &str) -> String {
    let shown = match kind {
        Kind::Key => return key.to_owned(),
        Kind::Chain => 1,
        Kind::Authorities => SHOWN,
    };
    let Ok(all) = certificates(path, bytes) else {
        return "no certificate".to_owned();
    };
    let mut told: Vec<String> = all.iter().take(shown).map(|(_, der)| one(der)).collect();
    if matches!(kind, Kind::Authorities) && all.len() > shown {
        told.push(format!("and {} more", all.len() - shown));
    }
    told.join("; ")
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
