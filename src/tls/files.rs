//! Files of certificates, authorities and keys: read, and in words what is wrong with them.
//!
//! Not here: what is made of them ([`super::config`]).

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use thiserror::Error;

use super::key::{self, BadKey};
use super::pem::{self, Contents, Line, PemError};
use crate::file;

/// The largest file that is read, in bytes; bundles of all public authorities are a third of it.
pub const MAX_FILE: u64 = 1 << 20;

/// The largest file of revocation lists that is read, in bytes: some 400,000 certificates.
pub const MAX_CRL: u64 = 16 << 20;

/// The reason why a file of certificates or keys cannot be used.
#[derive(Debug, Error)]
pub enum TlsFileError {
    /// The file cannot be read, or is not a regular file of at most [`MAX_FILE`] bytes.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds nothing that can be used.
    #[error("{}: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PemError,
    },
    /// The private key is one that cannot be used.
    #[error("{}: the private key on line {line} {kind}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Where the key begins.
        line: Line,
        /// What is wrong with it.
        kind: BadKey,
    },
    /// A certificate cannot be used.
    #[error("{}: the certificate on line {line} {what}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Where the certificate begins.
        line: Line,
        /// What is wrong.
        what: &'static str,
    },
    /// A revocation list cannot be used.
    #[error("{}: the revocation list on line {line} {what}", path.display())]
    Crl {
        /// The file.
        path: PathBuf,
        /// Where the list begins.
        line: Line,
        /// What is wrong.
        what: &'static str,
    },
    /// Certificate and key do not belong together.
    #[error(
        "the key {} does not belong to the certificate {}: it is the key of another one",
        key.display(), cert.display()
    )]
    KeyMismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The key belongs to a certificate that is not the first of its file.
    #[error(
        "{}: the certificates are in the wrong order: that of the key {} begins on line {line}, and \
         has to be the first; its issuers follow it",
        cert.display(), key.display()
    )]
    LeafNotFirst {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Where the key's certificate begins.
        line: Line,
    },
    /// The system has no usable trust store, and no `backend_ca` says what to trust instead.
    #[error("no certificate authorities found on this system; name one with backend_ca")]
    NoSystemRoots,
    /// Files are well, and TLS cannot be set up with them all the same.
    #[error("TLS cannot be set up: {0}")]
    Setup(&'static str),
}

impl TlsFileError {
    /// The file that is to be mended, where it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. }
            | Self::Pem { path, .. }
            | Self::Key { path, .. }
            | Self::Certificate { path, .. }
            | Self::Crl { path, .. }
            | Self::LeafNotFirst { cert: path, .. }
            | Self::KeyMismatch { key: path, .. } => Some(path),
            Self::NoSystemRoots | Self::Setup(_) => None,
        }
    }
}

/// Reads a file of certificates or keys.
///
/// # Errors
/// It cannot be read, or is not a regular file of at most [`MAX_FILE`] bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    read_up_to(path, MAX_FILE)
}

fn read_up_to(path: &Path, max: u64) -> Result<Vec<u8>, TlsFileError> {
    file::read(path, max).map_err(|source| TlsFileError::Read {
        path: path.to_owned(),
        source,
    })
}

/// All that the bytes of a file hold.
pub(crate) fn contents(path: &Path, bytes: &[u8]) -> Result<Contents, TlsFileError> {
    pem::parse(bytes).map_err(|source| wrong(path, source))
}

/// The certificates in the bytes of a file, each with its line; at least one.
pub(crate) fn certificates(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<(Line, CertificateDer<'static>)>, TlsFileError> {
    let found = contents(path, bytes)?;
    found.certificates().map_err(|source| wrong(path, source))
}

/// The one private key in the bytes of a file, and its line.
pub(crate) fn private_key(
    path: &Path,
    bytes: &[u8],
) -> Result<(Line, PrivateKeyDer<'static>), TlsFileError> {
    let found = contents(path, bytes)?;
    found.key().map_err(|source| wrong(path, source))
}

/// The revocation lists in the bytes of a file, each with its line; at least one.
pub(crate) fn crls(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<(Line, CertificateRevocationListDer<'static>)>, TlsFileError> {
    let found = contents(path, bytes)?;
    found.crls().map_err(|source| wrong(path, source))
}

/// Reads a file of revocation lists.
///
/// # Errors
/// It cannot be read, or is not a regular file of at most [`MAX_CRL`] bytes.
pub(crate) fn read_crls(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    read_up_to(path, MAX_CRL)
}

/// The authorities in the bytes of a file.
pub(crate) fn roots(path: &Path, bytes: &[u8]) -> Result<RootCertStore, TlsFileError> {
    let mut store = RootCertStore::empty();
    for (line, cert) in certificates(path, bytes)? {
        store.add(cert).map_err(|_| {
            bad_certificate(path, line, "is damaged, so it cannot be an authority's")
        })?;
    }
    Ok(store)
}

/// A certificate chain and its key, each a file and its bytes.
///
/// # Errors
/// Names the file, and the line, that is to be mended.
pub(crate) fn certified_key(
    (cert, chain): (&Path, &[u8]),
    (key, bytes): (&Path, &[u8]),
) -> Result<CertifiedKey, TlsFileError> {
    let certificates = certificates(cert, chain)?;
    let (line, der) = private_key(key, bytes)?;
    let signing = key::signing_key(&der).map_err(|kind| TlsFileError::Key {
        path: key.to_owned(),
        line,
        kind,
    })?;
    let fits = |chain: Vec<CertificateDer<'static>>| {
        let certified = CertifiedKey::new(chain, signing.clone());
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(certified)
            }
            Err(error) => Err(error),
        }
    };
    let chain = certificates.iter().map(|(_, der)| der.clone()).collect();
    match fits(chain) {
        Ok(certified) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let other = certificates
                .iter()
                .skip(1)
                .find(|(_, der)| fits(vec![der.clone()]).is_ok());
            Err(match other {
                Some((line, _)) => TlsFileError::LeafNotFirst {
                    cert: cert.to_owned(),
                    key: key.to_owned(),
                    line: *line,
                },
                None => TlsFileError::KeyMismatch {
                    cert: cert.to_owned(),
                    key: key.to_owned(),
                },
            })
        }
        Err(_) => {
            let leaf = certificates.first();
            Err(leaf.map_or(
                wrong(cert, PemError::NoCertificate { found: None }),
                |(line, der)| bad_certificate(cert, *line, unusable(der)),
            ))
        }
    }
}

/// Why a server or client cannot show a certificate.
fn unusable(der: &CertificateDer<'_>) -> &'static str {
    let Ok((_, x509)) = x509_parser::parse_x509_certificate(der) else {
        return "is damaged";
    };
    if x509.version() != x509_parser::x509::X509Version::V3 {
        return "is of X.509 version 1, in which there are no names: make one of version 3, with a \
                subjectAltName";
    }
    if ParsedCertificate::try_from(der).is_err() {
        return "has an extension that is marked critical and not known here, or twice the same";
    }
    "cannot be used"
}

fn wrong(path: &Path, source: PemError) -> TlsFileError {
    TlsFileError::Pem {
        path: path.to_owned(),
        source,
    }
}

pub(crate) fn bad_certificate(path: &Path, line: Line, what: &'static str) -> TlsFileError {
    TlsFileError::Certificate {
        path: path.to_owned(),
        line,
        what,
    }
}
