//! What a probe needs of the disk: authorities to trust, and a certificate to show.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use super::options::{Options, Roots};

pub(super) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

/// Options, and the files that they name.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(super) options: Options,
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) identity: Option<Arc<CertifiedKey>>,
}

/// Which file cannot be used, and why.
#[derive(Debug, Error)]
pub enum SetupError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not the PEM that it should be.
    #[error("{}: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Certificate and key do not belong together.
    #[error("the key {} does not belong to the certificate {}", key.display(), cert.display())]
    KeyMismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
}

impl Setup {
    /// Reads the files that `options` name; without any, the authorities of this system.
    ///
    /// # Errors
    /// [`SetupError`] names the file. A system without authorities is none: a certificate will
    /// then be untrusted, and the report says so.
    pub fn load(options: Options) -> Result<Self, SetupError> {
        let roots = match &options.roots {
            Roots::File(path) => certificates(path)?,
            Roots::System | Roots::Insecure => rustls_native_certs::load_native_certs().certs,
        };
        let identity = match &options.identity {
            Some((cert, key)) => Some(Arc::new(identity(cert, key)?)),
            None => None,
        };
        // The first key of each group costs milliseconds that are not the network's.
        for group in &PROVIDER.kx_groups {
            let _ = group.start();
        }
        Ok(Self {
            options,
            roots,
            identity,
        })
    }

    /// The same, with another limit for each stage.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        let mut setup = self.clone();
        setup.options.timeout = limit;
        setup
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SetupError> {
    std::fs::read(path).map_err(|source| SetupError::Read {
        path: path.to_owned(),
        source,
    })
}

fn content(path: &Path, what: impl Into<String>) -> SetupError {
    SetupError::Content {
        path: path.to_owned(),
        what: what.into(),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let bytes = read(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, pem::Error>>()
        .map_err(|e| content(path, format!("no readable PEM certificate: {e}")))?;
    if certificates.is_empty() {
        return Err(content(path, "no PEM certificate in it"));
    }
    Ok(certificates)
}

fn identity(cert: &Path, key: &Path) -> Result<CertifiedKey, SetupError> {
    let chain = certificates(cert)?;
    let der = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|e| content(key, format!("no readable PEM private key: {e}")))?;
    CertifiedKey::from_der(chain, der, &PROVIDER).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => SetupError::KeyMismatch {
            cert: cert.to_owned(),
            key: key.to_owned(),
        },
        other => content(key, other.to_string()),
    })
}
