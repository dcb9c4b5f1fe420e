//! The one certificate that every gateway and the backend show: P-256, signed by an authority that
//! the load trusts.

use std::fs;
use std::path::Path;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::CertificateDer;

/// The domain of all hosts here.
pub(crate) const DOMAIN: &str = "bench.example";

/// PEM texts, and the authority.
pub(crate) struct Certs {
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) ca: String,
    pub(crate) authority: CertificateDer<'static>,
}

impl Certs {
    /// # Errors
    /// Never, in fact: the parameters are fixed.
    pub(crate) fn make() -> Result<Self> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        ca.distinguished_name
            .push(DnType::CommonName, "dbgate benchmark");
        let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let ca = CertifiedIssuer::self_signed(ca, ca_key)?;
        let mut leaf = CertificateParams::new(vec![format!("*.{DOMAIN}")])?;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let cert = leaf.signed_by(&key, &ca)?;
        Ok(Self {
            cert: cert.pem(),
            key: key.serialize_pem(),
            ca: ca.pem(),
            authority: ca.der().clone(),
        })
    }

    /// Writes `cert.pem`, `key.pem`, `both.pem` as `HAProxy` wants it, and `ca.pem`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::write(folder.join("cert.pem"), &self.cert)?;
        fs::write(folder.join("key.pem"), &self.key)?;
        fs::write(folder.join("ca.pem"), &self.ca)?;
        fs::write(
            folder.join("both.pem"),
            format!("{}{}", self.cert, self.key),
        )?;
        Ok(())
    }
}
