//! The rustls configurations of terminate and reencrypt, built from files and shared by every
//! database that names the same files.
//!
//! Not here: when files are read again; the store asks for that at a reload.

mod renewed;

use std::collections::HashMap;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName as PkiName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use serde::{Deserialize, Serialize};

use super::ServerName;
use super::client::ClientVerifier;
pub use super::files::TlsFileError;
use super::files::{bad_certificate, certified_key, read, roots};
use super::ticket::NeverResumed;
pub use renewed::Renewed;

pub(crate) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

const NO_VERSION: TlsFileError = TlsFileError::Setup("there is no TLS version to use");

/// The oldest TLS version that the gateway accepts where it ends the client's TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 only.
    #[serde(rename = "1.3")]
    Tls13,
}

impl std::str::FromStr for MinVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            _ => Err(format!(
                "\"{text}\" is no TLS version here: use \"1.2\" or \"1.3\""
            )),
        }
    }
}

impl MinVersion {
    fn versions(self) -> &'static [&'static rustls::SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => {
                static ONLY: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
                &ONLY
            }
        }
    }
}

/// The files and settings that make one server side configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerFiles {
    /// Certificate chain, leaf first, PEM.
    pub cert: PathBuf,
    /// The leaf's private key, PEM.
    pub key: PathBuf,
    /// Authorities whose client certificates are required; `None` asks for none.
    pub client_ca: Option<PathBuf>,
    /// Revocation lists of these authorities.
    pub client_crl: Option<PathBuf>,
    /// Oldest version accepted.
    pub min_version: MinVersion,
    /// The ALPN protocols to agree to.
    pub alpn: &'static [&'static [u8]],
}

/// The files and settings that make one configuration towards backends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackendFiles {
    /// Authorities that may have signed the backend's certificate; `None` means the system's.
    pub ca: Option<PathBuf>,
    /// The name that the certificate must carry, whatever name is sent as SNI; `None` means the
    /// name sent.
    pub name: Option<ServerName>,
    /// Certificate and key shown to backends that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The ALPN protocols to offer.
    pub alpn: &'static [&'static [u8]],
}

/// What the gateway shows to clients of a database whose TLS it ends.
#[derive(Debug)]
pub struct ServerTls {
    /// Ready for [`tokio_rustls::TlsAcceptor`].
    pub config: Arc<ServerConfig>,
    /// When the leaf expires, in seconds since 1970.
    pub not_after: i64,
    /// The leaf certificate, DER.
    pub leaf: CertificateDer<'static>,
    /// Judges the certificates of clients, where they are asked for one.
    pub clients: Option<Arc<ClientVerifier>>,
}

impl ServerTls {
    /// Whether a client that verifies names would accept the leaf for `name`.
    #[must_use]
    pub fn covers(&self, name: &ServerName) -> bool {
        let Ok(name) = PkiName::try_from(name.as_ref()) else {
            return false;
        };
        ParsedCertificate::try_from(&self.leaf)
            .and_then(|leaf| rustls::client::verify_server_name(&leaf, &name))
            .is_ok()
    }
}

/// What the files held, and what was made of it.
type Loaded<T> = (Arc<[Vec<u8>]>, Arc<T>);

/// By the files; shared, since the loader is cloned at each change, and few bring new files.
type Kept<K, T> = Arc<HashMap<K, Loaded<T>>>;

/// Reads files and builds configurations, each once for all databases that share it.
///
/// A configuration is kept as long as its files hold the same bytes, so that a reload of
/// unchanged files keeps the sessions that clients may resume.
#[derive(Clone, Debug, Default)]
pub struct Loader {
    servers: Kept<ServerFiles, ServerTls>,
    backends: Kept<BackendFiles, ClientConfig>,
    /// Built before the last [`Loader::reread`]; consulted only if the bytes are unchanged.
    old_servers: Kept<ServerFiles, ServerTls>,
    old_backends: Kept<BackendFiles, ClientConfig>,
    built: bool,
}

impl Loader {
    /// Forgets what the files held: the next use of each reads it again.
    pub fn reread(&mut self) {
        self.built = false;
        self.old_servers = std::mem::take(&mut self.servers);
        self.old_backends = std::mem::take(&mut self.backends);
    }

    /// Whether any file has held something new since the last [`Loader::reread`].
    #[must_use]
    pub fn has_built(&self) -> bool {
        self.built
    }

    /// The server side configuration made of these files.
    ///
    /// # Errors
    /// Says which file is unreadable, is no certificate or key, or does not fit the other.
    pub fn server(&mut self, files: &ServerFiles) -> Result<Arc<ServerTls>, TlsFileError> {
        if let Some((_, tls)) = self.servers.get(files) {
            return Ok(tls.clone());
        }
        let mut bytes = vec![read(&files.cert)?, read(&files.key)?];
        if let Some(ca) = &files.client_ca {
            bytes.push(read(ca)?);
        }
        let tls = match take(&mut self.old_servers, files) {
            Some((old, tls)) if *old == *bytes => {
                // Other lists need no other configuration.
                if let Some(clients) = &tls.clients {
                    self.built |= clients.reread()?;
                }
                tls
            }
            _ => {
                self.built = true;
                Arc::new(build_server(files, &bytes)?)
            }
        };
        Arc::make_mut(&mut self.servers).insert(files.clone(), (bytes.into(), tls.clone()));
        Ok(tls)
    }

    /// The verifiers of client certificates that have revocation lists.
    #[must_use]
    pub fn client_verifiers(&self) -> Vec<Arc<ClientVerifier>> {
        let all = self.servers.values();
        all.filter_map(|(_, tls)| tls.clients.clone())
            .filter(|clients| clients.crl().is_some())
            .collect()
    }

    /// The configuration towards backends made of these files.
    ///
    /// # Errors
    /// As [`Loader::server`], and when there is neither `ca` nor a system trust store.
    pub fn backend(&mut self, files: &BackendFiles) -> Result<Arc<ClientConfig>, TlsFileError> {
        if let Some((_, config)) = self.backends.get(files) {
            return Ok(config.clone());
        }
        let mut bytes = Vec::new();
        for path in files
            .ca
            .iter()
            .chain(files.identity.iter().flat_map(|(cert, key)| [cert, key]))
        {
            bytes.push(read(path)?);
        }
        let config = match take(&mut self.old_backends, files) {
            Some((old, config)) if *old == *bytes => config,
            _ => {
                self.built = true;
                Arc::new(build_backend(files, &bytes)?)
            }
        };
        Arc::make_mut(&mut self.backends).insert(files.clone(), (bytes.into(), config.clone()));
        Ok(config)
    }
}

fn take<K: Clone + Eq + Hash, T>(kept: &mut Kept<K, T>, files: &K) -> Option<Loaded<T>> {
    if kept.contains_key(files) {
        Arc::make_mut(kept).remove(files)
    } else {
        None
    }
}

fn build_server(files: &ServerFiles, bytes: &[Vec<u8>]) -> Result<ServerTls, TlsFileError> {
    let mut bytes = bytes.iter().map(Vec::as_slice);
    let mut next = || bytes.next().unwrap_or_default();
    let shown = certified_key((&files.cert, next()), (&files.key, next()))?;
    let leaf = shown.cert.first().cloned();
    let leaf = leaf.ok_or(TlsFileError::Setup("there is no certificate"))?;
    let not_after = x509_parser::parse_x509_certificate(&leaf)
        .map_err(|_| bad_certificate(&files.cert, 1, "is damaged"))?
        .1
        .validity()
        .not_after
        .timestamp();
    let builder = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(files.min_version.versions())
        .map_err(|_| NO_VERSION)?;
    let clients = match &files.client_ca {
        Some(path) => {
            let roots = roots(path, next())?;
            let verifier = ClientVerifier::new(roots, files.client_crl.as_deref())?;
            Some(Arc::new(verifier))
        }
        None => None,
    };
    let builder = match &clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = files.alpn.iter().map(|p| p.to_vec()).collect();
    // Tickets under keys that all threads share, in place of a list that holds the last few
    // hundred sessions. One each, since few clients of databases resume at all.
    config.ticketer = match &clients {
        Some(_) => Arc::new(NeverResumed),
        None => rustls::crypto::aws_lc_rs::Ticketer::new()
            .map_err(|_| TlsFileError::Setup("the system gives no random bytes"))?,
    };
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(ServerTls {
        config: Arc::new(config),
        not_after,
        leaf,
        clients,
    })
}

fn build_backend(files: &BackendFiles, bytes: &[Vec<u8>]) -> Result<ClientConfig, TlsFileError> {
    let mut bytes = bytes.iter().map(Vec::as_slice);
    let mut next = || bytes.next().unwrap_or_default();
    let roots = match &files.ca {
        Some(path) => roots(path, next())?,
        None => system_roots()?,
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), PROVIDER.clone())
        .build()
        .map_err(|_| TlsFileError::NoSystemRoots)?;
    let name = match &files.name {
        Some(name) => PkiName::try_from(name.as_ref().to_owned()).ok(),
        None => None,
    };
    let builder = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(|_| NO_VERSION)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(VerifyAs { verifier, name }));
    let mut config = match &files.identity {
        Some((cert, key)) => {
            let shown = certified_key((cert, next()), (key, next()))?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = files.alpn.iter().map(|p| p.to_vec()).collect();
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, TlsFileError> {
    let mut store = RootCertStore::empty();
    let (added, _) =
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(TlsFileError::NoSystemRoots);
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

#[cfg(test)]
mod tests;
