//! Files of a probe: authorities to trust, and a certificate to present.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use super::options::{Options, Roots};
use crate::tls::files;
use crate::tls::material::{MaterialError, certified_key};

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
    /// [`MaterialError`] names the file. A system without authorities is none: a certificate will
    /// then be untrusted, and the report says so.
    pub fn load(options: Options) -> Result<Self, MaterialError> {
        let roots = match &options.roots {
            Roots::File(path) => files::read(path)?
                .certificates()?
                .into_iter()
                .map(|(_, der)| der)
                .collect(),
            Roots::System | Roots::Insecure => rustls_native_certs::load_native_certs().certs,
        };
        let identity = match &options.identity {
            Some((cert, key)) => {
                let (cert, key) = (files::read(cert)?, files::read(key)?);
                Some(Arc::new(certified_key(&cert, &key)?))
            }
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
