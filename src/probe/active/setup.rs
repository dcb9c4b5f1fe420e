//! What a probe needs of the disk: authorities to trust, and a certificate to show.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use super::options::{Options, Roots};
use crate::tls::config::{self, TlsFileError};

pub(super) use crate::tls::config::PROVIDER;

/// Options, and the files that they name.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(super) options: Options,
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) identity: Option<Arc<CertifiedKey>>,
}

impl Setup {
    /// Reads the files that `options` name; without any, the authorities of this system.
    ///
    /// # Errors
    /// [`TlsFileError`] names the file. A system without authorities is none: a certificate will
    /// then be untrusted, and the report says so.
    pub fn load(options: Options) -> Result<Self, TlsFileError> {
        let roots = match &options.roots {
            Roots::File(path) => config::certificates(path, &config::read(path)?)?,
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

fn identity(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsFileError> {
    let chain = config::certificates(cert, &config::read(cert)?)?;
    let der = config::private_key(key, &config::read(key)?)?;
    CertifiedKey::from_der(chain, der, &PROVIDER).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsFileError::KeyMismatch {
            cert: cert.to_owned(),
            key: key.to_owned(),
        },
        other => config::content(key, other.to_string()),
    })
}
