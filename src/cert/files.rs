//! Certificates and keys as files: read with a bound, written whole or not at all.
//!
//! Not here: what is in them.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::CertError;
use crate::file::{self, own};
use crate::tls::material::{MAX_MATERIAL, Material};
use crate::tls::pem::{self, Der, PemError};

/// The mode of a private key.
pub(super) const SECRET: u32 = 0o600;

/// The mode of a certificate.
pub(super) const PUBLIC: u32 = 0o644;

/// Contents of a file of certificates.
#[derive(Debug, Default)]
pub struct Bundle {
    /// In the order of the file, DER; whether they can be read is not known.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The first private key.
    pub key: Option<PrivateKeyDer<'static>>,
    /// There is a private key behind a password.
    pub has_encrypted_key: bool,
}

/// Reads certificates and keys, PEM, or one certificate in DER.
///
/// # Errors
/// The file cannot be read, is larger than 1 MiB, is damaged, or holds neither.
pub fn read_bundle(path: &Path) -> Result<Bundle, CertError> {
    let bytes = read(path)?.ok_or_else(|| CertError::Read {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::NotFound, "no such file"),
    })?;
    bundle(path, &bytes)
}

/// Reads the same from what is open already; `name` is what errors call it.
///
/// # Errors
/// As [`read_bundle`].
pub fn read_bundle_from(source: impl Read, name: &Path) -> Result<Bundle, CertError> {
    let bytes = file::read_all(source, MAX_MATERIAL).map_err(|source| cannot_read(name, source))?;
    bundle(name, &bytes)
}

/// The certificate authorities in `path`, or the system's.
///
/// # Errors
/// As [`read_bundle`], or without any certificate.
pub fn read_roots(path: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let Some(path) = path else {
        return Ok(rustls_native_certs::load_native_certs().certs);
    };
    let found = read_bundle(path)?.certificates;
    if found.is_empty() {
        return Err(content(path, "holds no certificate"));
    }
    Ok(found)
}

/// Returns whether the key is that of the certificate.
#[must_use]
pub fn fits(certificate: &CertificateDer<'static>, key: &PrivateKeyDer<'static>) -> bool {
    rustls::crypto::aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key.clone_key())
        .is_ok_and(|key| {
            rustls::sign::CertifiedKey::new(vec![certificate.clone()], key)
                .keys_match()
                .is_ok()
        })
}

fn bundle(path: &Path, bytes: &[u8]) -> Result<Bundle, CertError> {
    let found = match pem::parse(bytes) {
        Ok(found) => found,
        Err(PemError::Der(Der::Certificate)) => {
            return Ok(Bundle {
                certificates: vec![bytes.to_vec().into()],
                ..Bundle::default()
            });
        }
        Err(error) => return Err(content(path, error.to_string())),
    };
    let has_encrypted_key = found.encrypted.is_some();
    if found.certificates.is_empty() && found.keys.is_empty() && !has_encrypted_key {
        let none = found.certificates().err();
        return Err(content(
            path,
            none.map_or_else(String::new, |e| e.to_string()),
        ));
    }
    let certificates = found.certificates.into_iter().map(|(_, der)| der);
    Ok(Bundle {
        certificates: certificates.collect(),
        key: found.keys.into_iter().next().map(|(_, der)| der),
        has_encrypted_key,
    })
}

/// The private key in a file; `None` without the file.
pub(super) fn read_key(path: &Path) -> Result<Option<PrivateKeyDer<'static>>, CertError> {
    let Some(bytes) = read(path)? else {
        return Ok(None);
    };
    let (_, key) = Material::new(path.to_owned().into(), bytes).private_key()?;
    Ok(Some(key))
}

/// The certificates in a file; `None` without the file.
pub(super) fn read_chain(path: &Path) -> Result<Option<Vec<CertificateDer<'static>>>, CertError> {
    let Some(bytes) = read(path)? else {
        return Ok(None);
    };
    let found = bundle(path, &bytes)?.certificates;
    if found.is_empty() {
        return Err(content(path, "holds no certificate"));
    }
    Ok(Some(found))
}

/// A certificate as PEM (RFC 7468).
pub(super) fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem + "\n-----END CERTIFICATE-----\n"
}

pub(super) fn content(path: &Path, what: impl Into<String>) -> CertError {
    CertError::Content {
        path: path.to_owned(),
        what: what.into(),
    }
}

pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, CertError> {
    match file::read(path, MAX_MATERIAL) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(cannot_read(path, source)),
    }
}

/// As [`read`], of a file that only this user and root can have written.
pub(super) fn read_own(path: &Path) -> Result<Option<Vec<u8>>, CertError> {
    match own::read(path, MAX_MATERIAL) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(cannot_read(path, source)),
    }
}

fn cannot_read(path: &Path, source: io::Error) -> CertError {
    CertError::Read {
        path: path.to_owned(),
        source,
    }
}

/// Returns whether others than its owner may read the file.
pub(super) fn is_exposed(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.mode() & 0o077 != 0)
}

/// A locked directory.
pub(super) struct Locked {
    /// Open, so that the lock holds; also what makes a renaming last.
    dir: File,
}

impl Locked {
    /// Makes the directory, for its owner only, where it is missing, and waits for whoever else
    /// makes certificates in it.
    pub(super) fn open(path: &Path) -> Result<Self, CertError> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let open = || -> io::Result<File> {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            let dir = File::open(path)?;
            // Some file systems have no locks; each file is whole all the same.
            let _ = dir.lock();
            Ok(dir)
        };
        let dir = open().map_err(|source| CertError::Write {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self { dir })
    }

    /// Puts a whole file in place at once; `mode` holds from its first byte, and once this
    /// returns, the file outlives a crash.
    pub(super) fn put(&self, path: &Path, text: &str, mode: u32) -> Result<(), CertError> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        let put = || {
            let mut file = own::create(Path::new(&unfinished), mode)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, path)?;
            self.dir.sync_all()
        };
        put().map_err(|source| CertError::Write {
            path: path.to_owned(),
            source,
        })
    }
}
