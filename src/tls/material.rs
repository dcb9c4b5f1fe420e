//! TLS material: certificates, keys and revocation lists as bytes with an origin, and in words what
//! is wrong with them.
//!
//! Material is identified by its content, wherever it came from; the origin is for errors, and for
//! reading it again. Not here: reading it ([`super::files`]), and what is made of it
//! ([`super::config`]).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::key::{self, BadKey};
use super::pem::{self, Contents, Line, PemError};

/// The largest piece of certificates or keys, in bytes; bundles of all public authorities are a
/// third of it.
pub const MAX_MATERIAL: u64 = 1 << 20;

/// The largest piece of revocation lists, in bytes: some 400,000 certificates.
pub const MAX_CRL: u64 = 16 << 20;

/// The place that material is read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "PathBuf", into = "PathBuf")]
pub enum MaterialOrigin {
    /// A file that an operator names.
    File(PathBuf),
    /// A file that dbgate made itself, so that no client can be expected to trust it.
    Minted(PathBuf),
}

impl MaterialOrigin {
    /// The file, where it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::Minted(path) => Some(path),
        }
    }
}

impl From<PathBuf> for MaterialOrigin {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<MaterialOrigin> for PathBuf {
    fn from(origin: MaterialOrigin) -> Self {
        match origin {
            MaterialOrigin::File(path) | MaterialOrigin::Minted(path) => path,
        }
    }
}

impl fmt::Display for MaterialOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Minted(path) => path.display().fmt(f),
        }
    }
}

/// SHA-256 of material.
pub type Digest = [u8; 32];

/// Reads material from where it is kept.
pub trait ReadMaterial: fmt::Debug + Send + Sync {
    /// Reads at most `max` bytes.
    ///
    /// # Errors
    /// It cannot be read, or there is more.
    fn read(&self, origin: &MaterialOrigin, max: u64) -> io::Result<Vec<u8>>;

    /// Reads material of at most `max` bytes.
    ///
    /// # Errors
    /// As [`ReadMaterial::read`], with the origin.
    fn material(&self, origin: &MaterialOrigin, max: u64) -> Result<Material, MaterialError> {
        match self.read(origin, max) {
            Ok(bytes) => Ok(Material::new(origin.clone(), bytes)),
            Err(source) => Err(MaterialError::Read {
                origin: origin.clone(),
                source,
            }),
        }
    }
}

/// Certificates, keys or revocation lists as they were read. It prints its origin only, since the
/// rest may be a key.
#[derive(Clone)]
pub struct Material {
    origin: MaterialOrigin,
    bytes: Arc<[u8]>,
    digest: Digest,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Material").field(&self.origin).finish()
    }
}

impl PartialEq for Material {
    /// By content.
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Material {
    /// Material with these bytes.
    #[must_use]
    pub fn new(origin: MaterialOrigin, bytes: Vec<u8>) -> Self {
        let digest = digest(&SHA256, &bytes);
        Self {
            origin,
            // A digest of SHA-256 has this length.
            digest: digest.as_ref().try_into().unwrap_or_default(),
            bytes: bytes.into(),
        }
    }

    /// Its origin.
    #[must_use]
    pub fn origin(&self) -> &MaterialOrigin {
        &self.origin
    }

    /// Its identity.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    fn contents(&self) -> Result<Contents, MaterialError> {
        pem::parse(&self.bytes).map_err(|source| self.wrong(source))
    }

    /// The certificates, each with its line; at least one.
    ///
    /// # Errors
    /// There is none, or something in it is damaged.
    pub fn certificates(&self) -> Result<Vec<(Line, CertificateDer<'static>)>, MaterialError> {
        let found = self.contents()?;
        found.certificates().map_err(|source| self.wrong(source))
    }

    /// Its one private key, with its line.
    ///
    /// # Errors
    /// There is none, or several, or something in it is damaged.
    pub fn private_key(&self) -> Result<(Line, PrivateKeyDer<'static>), MaterialError> {
        let found = self.contents()?;
        found.key().map_err(|source| self.wrong(source))
    }

    /// Fails where its private key cannot be used.
    ///
    /// # Errors
    /// As [`Material::private_key`], and for a key of a kind that is not known here.
    pub fn usable_key(&self) -> Result<(), MaterialError> {
        let (line, der) = self.private_key()?;
        match key::signing_key(&der) {
            Ok(_) => Ok(()),
            Err(kind) => Err(MaterialError::Key {
                origin: self.origin.clone(),
                line,
                kind,
            }),
        }
    }

    /// The revocation lists, each with its line; at least one.
    ///
    /// # Errors
    /// There is none, or something in it is damaged.
    pub fn crls(
        &self,
    ) -> Result<Vec<(Line, CertificateRevocationListDer<'static>)>, MaterialError> {
        let found = self.contents()?;
        found.crls().map_err(|source| self.wrong(source))
    }

    /// The authorities.
    ///
    /// # Errors
    /// There is none, or one is damaged.
    pub fn roots(&self) -> Result<RootCertStore, MaterialError> {
        let mut store = RootCertStore::empty();
        for (line, cert) in self.certificates()? {
            store.add(cert).map_err(|_| {
                self.bad_certificate(line, "is damaged, so it cannot be an authority's")
            })?;
        }
        Ok(store)
    }

    fn wrong(&self, source: PemError) -> MaterialError {
        MaterialError::Pem {
            origin: self.origin.clone(),
            source,
        }
    }

    pub(super) fn bad_certificate(&self, line: Line, what: &'static str) -> MaterialError {
        MaterialError::Certificate {
            origin: self.origin.clone(),
            line,
            what,
        }
    }
}

/// The reason why material cannot be used.
#[derive(Debug, Error)]
pub enum MaterialError {
    /// It cannot be read, or is larger than it may be.
    #[error("cannot read {origin}: {source}")]
    Read {
        /// Its origin.
        origin: MaterialOrigin,
        /// The reason.
        source: io::Error,
    },
    /// It holds nothing that can be used.
    #[error("{origin}: {source}")]
    Pem {
        /// Its origin.
        origin: MaterialOrigin,
        /// The fault.
        source: PemError,
    },
    /// The private key is one that cannot be used.
    #[error("{origin}: the private key on line {line} {kind}")]
    Key {
        /// Its origin.
        origin: MaterialOrigin,
        /// The first line of the key.
        line: Line,
        /// The fault.
        kind: BadKey,
    },
    /// A certificate cannot be used.
    #[error("{origin}: the certificate on line {line} {what}")]
    Certificate {
        /// Its origin.
        origin: MaterialOrigin,
        /// The first line of the certificate.
        line: Line,
        /// The fault.
        what: &'static str,
    },
    /// A revocation list cannot be used.
    #[error("{origin}: the revocation list on line {line} {what}")]
    Crl {
        /// Its origin.
        origin: MaterialOrigin,
        /// The first line of the list.
        line: Line,
        /// The fault.
        what: &'static str,
    },
    /// Certificate and key do not belong together.
    #[error(
        "the key {key} does not belong to the certificate {cert}: it is the key of another one"
    )]
    KeyMismatch {
        /// The origin of the certificate.
        cert: MaterialOrigin,
        /// The origin of the key.
        key: MaterialOrigin,
    },
    /// The key belongs to a certificate that is not the first of its chain.
    #[error(
        "{cert}: the certificates are in the wrong order: that of the key {key} begins on line {line}, \
         and has to be the first; its issuers follow it"
    )]
    LeafNotFirst {
        /// The origin of the certificate.
        cert: MaterialOrigin,
        /// The origin of the key.
        key: MaterialOrigin,
        /// The first line of the key's certificate.
        line: Line,
    },
    /// The system has no usable trust store, and no `backend_ca` says what to trust instead.
    #[error("no certificate authorities found on this system; name one with backend_ca")]
    NoSystemRoots,
    /// The material is good, and TLS cannot be set up with it all the same.
    #[error("TLS cannot be set up: {0}")]
    Setup(&'static str),
}

impl MaterialError {
    /// The origin of what is to be mended.
    #[must_use]
    pub fn origin(&self) -> Option<&MaterialOrigin> {
        match self {
            Self::Read { origin, .. }
            | Self::Pem { origin, .. }
            | Self::Key { origin, .. }
            | Self::Certificate { origin, .. }
            | Self::Crl { origin, .. }
            | Self::LeafNotFirst { cert: origin, .. }
            | Self::KeyMismatch { key: origin, .. } => Some(origin),
            Self::NoSystemRoots | Self::Setup(_) => None,
        }
    }
}

/// A certificate chain and its key.
///
/// # Errors
/// Names the origin, and the line, of what is to be mended.
pub(crate) fn certified_key(
    cert: &Material,
    key: &Material,
) -> Result<CertifiedKey, MaterialError> {
    let certificates = cert.certificates()?;
    let (line, der) = key.private_key()?;
    let signing = key::signing_key(&der).map_err(|kind| MaterialError::Key {
        origin: key.origin.clone(),
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
                Some((line, _)) => MaterialError::LeafNotFirst {
                    cert: cert.origin.clone(),
                    key: key.origin.clone(),
                    line: *line,
                },
                None => MaterialError::KeyMismatch {
                    cert: cert.origin.clone(),
                    key: key.origin.clone(),
                },
            })
        }
        Err(_) => {
            let leaf = certificates.first();
            Err(leaf.map_or(
                cert.wrong(PemError::NoCertificate { found: None }),
                |(line, der)| cert.bad_certificate(*line, unusable(der)),
            ))
        }
    }
}

/// The reason why a server or client cannot show a certificate.
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
