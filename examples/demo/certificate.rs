//! Certificates for the demo, self-signed: each is its own authority.

use anyhow::Result;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate and its key.
pub(crate) struct Certificate {
    pub(crate) cert: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
    /// Both again, as text.
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
}

impl Certificate {
    /// Makes a certificate for `host`, which may be `*.suffix`.
    ///
    /// # Errors
    /// `host` is no DNS name.
    pub(crate) fn new(common_name: &str, host: &str) -> Result<Self> {
        let mut params = CertificateParams::new([host.to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let key = KeyPair::generate()?;
        let cert = params.self_signed(&key)?;
        Ok(Self {
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
            cert: cert.into(),
            key: key.into(),
        })
    }
}
