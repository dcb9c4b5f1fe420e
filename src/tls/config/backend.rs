//! The configuration towards backends, whose certificate may be verified for another name than the
//! one that is sent.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName as PkiName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::super::ServerName;
use super::super::material::{Digest, Material, MaterialError, MaterialOrigin, certified_key};
use super::{NO_VERSION, PROVIDER};

/// The material and settings of one configuration towards backends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackendSettings {
    /// Authorities that may have signed the backend's certificate; `None` means the system's.
    pub ca: Option<MaterialOrigin>,
    /// The name that the certificate must carry, whatever name is sent as SNI; `None` means the
    /// name sent.
    pub name: Option<ServerName>,
    /// Certificate and key shown to backends that ask for one.
    pub identity: Option<(MaterialOrigin, MaterialOrigin)>,
    /// The ALPN protocols to offer.
    pub alpn: &'static [&'static [u8]],
}

/// The identity of a configuration towards backends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BackendId {
    pub(super) ca: Option<Digest>,
    pub(super) name: Option<ServerName>,
    pub(super) identity: Option<(Digest, Digest)>,
    pub(super) alpn: &'static [&'static [u8]],
}

pub(super) fn build(
    ca: Option<&Material>,
    identity: Option<&(Material, Material)>,
    settings: &BackendSettings,
) -> Result<ClientConfig, MaterialError> {
    let roots = match ca {
        Some(ca) => ca.roots()?,
        None => system_roots()?,
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), PROVIDER.clone())
        .build()
        .map_err(|_| MaterialError::NoSystemRoots)?;
    let name = match &settings.name {
        Some(name) => PkiName::try_from(name.as_ref().to_owned()).ok(),
        None => None,
    };
    let builder = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(|_| NO_VERSION)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(VerifyAs { verifier, name }));
    let mut config = match identity {
        Some((cert, key)) => {
            let shown = certified_key(cert, key)?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = settings.alpn.iter().map(|p| p.to_vec()).collect();
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, MaterialError> {
    let mut store = RootCertStore::empty();
    let (added, _) =
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(MaterialError::NoSystemRoots);
    }
    Ok(store)
}

/// Verifies a backend's certificate for a configured name while another name goes out as SNI.
///
/// rustls ties the two together. A gateway must send on the client's SNI, because MongoDB picks
/// its host list by it, while the certificate may carry the backend's own name.
#[derive(Debug)]
struct VerifyAs {
    verifier: Arc<WebPkiServerVerifier>,
    name: Option<PkiName<'static>>,
}

impl ServerCertVerifier for VerifyAs {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &PkiName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier.verify_server_cert(
            end_entity,
            intermediates,
            self.name.as_ref().unwrap_or(server_name),
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
