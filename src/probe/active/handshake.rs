//! TLS handshake of a probe: it accepts every certificate, and records it and
//! the requests of the server.
//!
//! The chain is verified afterwards, by [`crate::cert::verify`](crate::cert::verify()):
//! a verifier that refuses would end the handshake before all of it was seen. The signature in the
//! handshake is checked, and a wrong one is remembered in the same way.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, aws_lc_rs::kx_group, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName as PkiName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::options::{OnlyVersion, Split};
use super::setup::PROVIDER;
use super::split::SplitStream;
use crate::cert;
use crate::probe::tap::Tap;
use crate::tls::error::tls_words;
use crate::tls::{ServerName, names};

/// A recorded connection, with a hello that may be cut.
pub(super) type Wire = SplitStream<Tap<TcpStream>>;

/// Offer in a handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct Offer {
    /// The server name to send.
    pub(super) sni: Option<ServerName>,
    /// The ALPN protocol to offer.
    pub(super) alpn: Option<&'static [u8]>,
    /// The one version to offer.
    pub(super) only: Option<OnlyVersion>,
    /// Split of the hello.
    pub(super) split: Option<Split>,
    /// Leave out what makes a hello large.
    pub(super) small: bool,
    /// Client certificate for servers that request one.
    pub(super) identity: Option<Arc<CertifiedKey>>,
}

/// Certificates and requests seen in a handshake, also in one that failed.
#[derive(Clone, Debug, Default)]
pub(super) struct CertExchange {
    /// The server's certificates as sent, its own first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// True if the server asked for a certificate.
    pub(super) requested: bool,
    /// True if it was given one: its signature algorithms may suit none that there is.
    pub(super) presented: bool,
    /// Mismatch between the server's signature and its certificate's key.
    pub(super) wrong_key: Option<String>,
}

/// Failure of a handshake.
#[derive(Debug)]
pub(super) enum HandshakeFailure {
    /// An alert of the server.
    Alert(AlertDescription),
    /// The server's part of the handshake is not acceptable; why, in rustls' words.
    Unacceptable(String),
    /// The connection ended.
    Ended,
    /// The timeout has expired.
    Silent,
}

impl HandshakeFailure {
    /// Classifies an error of a TLS stream.
    pub(super) fn of(error: &io::Error) -> Self {
        let tls = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::AlertReceived(alert)) => Self::Alert(*alert),
            Some(other) => Self::Unacceptable(tls_words(other)),
            None => Self::Ended,
        }
    }
}

/// Makes the handshake over `wire`, within `limit`.
pub(super) async fn handshake(
    wire: Tap<TcpStream>,
    offer: &Offer,
    limit: Duration,
) -> (Result<TlsStream<Wire>, HandshakeFailure>, CertExchange) {
    let verifier = Arc::new(RecordingVerifier::default());
    let (config, name) = match settings(offer, &verifier) {
        Ok(settings) => settings,
        Err(error) => {
            let why = HandshakeFailure::Unacceptable(tls_words(&error));
            return (Err(why), CertExchange::default());
        }
    };
    let wire = SplitStream::new(wire, offer.split);
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, wire);
    let result = match timeout(limit, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(HandshakeFailure::of(&error)),
        Err(_) => Err(HandshakeFailure::Silent),
    };
    (result, verifier.certs())
}

fn settings(
    offer: &Offer,
    verifier: &Arc<RecordingVerifier>,
) -> Result<(ClientConfig, PkiName<'static>), rustls::Error> {
    let versions: &[_] = match offer.only {
        None => rustls::ALL_VERSIONS,
        Some(OnlyVersion::Tls12) => &[&rustls::version::TLS12],
        Some(OnlyVersion::Tls13) => &[&rustls::version::TLS13],
    };
    let provider = if offer.small {
        Arc::new(CryptoProvider {
            kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
            ..(**PROVIDER).clone()
        })
    } else {
        PROVIDER.clone()
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_cert_resolver(Arc::new(Identity {
            key: offer.identity.clone(),
            verifier: verifier.clone(),
        }));
    config.alpn_protocols = offer.alpn.iter().map(|id| id.to_vec()).collect();
    config.enable_sni = offer.sni.is_some();
    // Each connection makes a full handshake.
    config.resumption = rustls::client::Resumption::disabled();
    let name = match &offer.sni {
        Some(name) => PkiName::try_from(name.as_str().to_owned())
            .map_err(|e| rustls::Error::General(e.to_string()))?,
        // rustls needs a name in each case; with SNI switched off it is not sent.
        None => PkiName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()),
    };
    Ok((config, name))
}

/// Verifier that accepts every certificate and records it.
#[derive(Debug, Default)]
struct RecordingVerifier(Mutex<CertExchange>);

impl RecordingVerifier {
    fn note(&self, note: impl FnOnce(&mut CertExchange)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn certs(&self) -> CertExchange {
        let certs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        certs.clone()
    }

    /// Goes on in each case: what is wrong with the certificate often keeps its key from being
    /// used at all, and the chain tells the cause better.
    fn proven(
        &self,
        result: Result<HandshakeSignatureValid, rustls::Error>,
        cert: &CertificateDer<'_>,
        scheme: SignatureScheme,
    ) -> HandshakeSignatureValid {
        result.unwrap_or_else(|error| {
            let wrong_key = wrong_key(&error, cert, scheme);
            self.note(|certs| certs.wrong_key = wrong_key);
            HandshakeSignatureValid::assertion()
        })
    }
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &PkiName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(leaf).chain(intermediates);
        let chain = chain.map(|cert| cert.clone().into_owned()).collect();
        self.note(|certs| certs.chain = chain);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        let result = verify_tls12_signature(message, cert, dss, algorithms);
        Ok(self.proven(result, cert, dss.scheme))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        let result = verify_tls13_signature(message, cert, dss, algorithms);
        Ok(self.proven(result, cert, dss.scheme))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Explains why a rejected signature must be another key's; `None` where the certificate itself
/// may be what keeps it from being verified.
fn wrong_key(
    error: &rustls::Error,
    cert: &CertificateDer<'_>,
    scheme: SignatureScheme,
) -> Option<String> {
    let scheme = names::signature_scheme(scheme.into());
    let leaf = cert::view(cert, SystemTime::now()).ok()?;
    let kind = |text: &str| {
        let kinds = ["rsa", "ecdsa", "ed25519"];
        let text = text.to_ascii_lowercase();
        kinds.into_iter().find(|kind| text.starts_with(kind))
    };
    let (made_by, certs) = (kind(&scheme)?, kind(&leaf.key)?);
    let same_kind = made_by == certs;
    let bad = matches!(
        error,
        rustls::Error::InvalidCertificate(CertificateError::BadSignature)
    );
    // Signatures of short keys are not looked at.
    let looked_at = same_kind && bad && !cert::has_weak_key(cert);
    (looked_at || !same_kind).then(|| {
        format!(
            "the certificate's key is {}, and it did not make the signature ({scheme})",
            leaf.key
        )
    })
}

/// Client certificate for servers that request one.
#[derive(Debug)]
struct Identity {
    key: Option<Arc<CertifiedKey>>,
    verifier: Arc<RecordingVerifier>,
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fits = |key: &Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let given = self.key.clone().filter(fits);
        self.verifier.note(|certs| {
            certs.requested = true;
            certs.presented = given.is_some();
        });
        given
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}
