//! The rustls configurations of terminate and reencrypt, built from material and shared by every
//! database whose material is the same.
//!
//! Not here: when material is read again; the store asks for that at a reload, and when files have
//! changed (`again.rs`).

mod again;
mod backend;
mod renewed;
mod unverified;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName as PkiName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ServerConfig};
use serde::{Deserialize, Serialize};

use super::ServerName;
use super::client::ClientVerifier;
use super::material::{
    Digest, MAX_CRL, MAX_MATERIAL, Material, MaterialError, MaterialOrigin, ReadMaterial,
    certified_key,
};
use super::never_resumed::NeverResumed;
pub use again::Again;
use backend::BackendId;
pub use backend::BackendSettings;
pub use renewed::{MaterialKind, Renewed};
pub use unverified::unverified;

pub(crate) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

const NO_VERSION: MaterialError = MaterialError::Setup("there is no TLS version to use");

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
                "invalid TLS version \"{text}\": use \"1.2\" or \"1.3\""
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

/// The material and settings of one configuration towards clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerSettings {
    /// Certificate chain, leaf first, PEM.
    pub cert: MaterialOrigin,
    /// The leaf's private key, PEM.
    pub key: MaterialOrigin,
    /// Authorities whose client certificates are required; `None` asks for none.
    pub client_ca: Option<MaterialOrigin>,
    /// Revocation lists of these authorities.
    pub client_crl: Option<MaterialOrigin>,
    /// Oldest version accepted.
    pub min_version: MinVersion,
    /// The ALPN protocols to agree to.
    pub alpn: &'static [&'static [u8]],
}

/// The identity of a configuration towards clients: its material by content, but for revocation
/// lists, which are replaced while it is in use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ServerId {
    cert: Digest,
    key: Digest,
    client_ca: Option<Digest>,
    client_crl: Option<MaterialOrigin>,
    min_version: MinVersion,
    alpn: &'static [&'static [u8]],
}

/// A configuration towards clients whose TLS ends at the gateway.
#[derive(Debug)]
pub struct ServerTls {
    /// Ready for [`tokio_rustls::TlsAcceptor`].
    pub config: Arc<ServerConfig>,
    /// Expiry of the leaf, in seconds since 1970.
    pub not_after: i64,
    /// The leaf certificate, DER.
    pub leaf: CertificateDer<'static>,
    /// The verifier of client certificates, where clients are asked for one.
    pub clients: Option<Arc<ClientVerifier>>,
}

impl ServerTls {
    /// True if a client that verifies names would accept the leaf for `name`.
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

/// Shared, since the loader is cloned at each change, and few changes bring new material.
type Kept<K, T> = Arc<HashMap<K, T>>;

/// Reads material and builds configurations, each once for all databases that share it.
///
/// A configuration is kept as long as its material has the same content, so that a reload of
/// unchanged files keeps the sessions that clients may resume.
#[derive(Clone, Debug)]
pub struct Loader {
    reader: Arc<dyn ReadMaterial>,
    /// Material read since the last [`Loader::reread`], but for revocation lists.
    material: Kept<MaterialOrigin, Material>,
    servers: Kept<ServerId, Arc<ServerTls>>,
    backends: Kept<BackendId, Arc<ClientConfig>>,
    /// From before the last [`Loader::reread`].
    old_material: Kept<MaterialOrigin, Material>,
    old_servers: Kept<ServerId, Arc<ServerTls>>,
    old_backends: Kept<BackendId, Arc<ClientConfig>>,
    changed: bool,
}

impl Loader {
    /// A loader of what `reader` reads.
    #[must_use]
    pub fn new(reader: Arc<dyn ReadMaterial>) -> Self {
        Self {
            reader,
            material: Kept::default(),
            servers: Kept::default(),
            backends: Kept::default(),
            old_material: Kept::default(),
            old_servers: Kept::default(),
            old_backends: Kept::default(),
            changed: false,
        }
    }

    /// Forgets what was read: the next use of each origin reads it again.
    pub fn reread(&mut self) {
        self.changed = false;
        self.old_material = std::mem::take(&mut self.material);
        self.old_servers = std::mem::take(&mut self.servers);
        self.old_backends = std::mem::take(&mut self.backends);
    }

    /// True if anything was read or built since the last [`Loader::reread`] that was not the same
    /// before it.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    fn material(&mut self, origin: &MaterialOrigin) -> Result<Material, MaterialError> {
        if let Some(material) = self.material.get(origin) {
            return Ok(material.clone());
        }
        let material = self.reader.material(origin, MAX_MATERIAL)?;
        self.changed |= self.old_material.get(origin) != Some(&material);
        Arc::make_mut(&mut self.material).insert(origin.clone(), material.clone());
        Ok(material)
    }

    fn optional(
        &mut self,
        origin: Option<&MaterialOrigin>,
    ) -> Result<Option<Material>, MaterialError> {
        origin.map(|origin| self.material(origin)).transpose()
    }

    /// The configuration towards clients with these settings.
    ///
    /// # Errors
    /// Material that cannot be read, is not a certificate or key, or does not fit the other.
    pub fn server(&mut self, settings: &ServerSettings) -> Result<Arc<ServerTls>, MaterialError> {
        let (cert, key) = (
            self.material(&settings.cert)?,
            self.material(&settings.key)?,
        );
        let client_ca = self.optional(settings.client_ca.as_ref())?;
        let id = ServerId {
            cert: cert.digest(),
            key: key.digest(),
            client_ca: client_ca.as_ref().map(Material::digest),
            client_crl: settings.client_crl.clone(),
            min_version: settings.min_version,
            alpn: settings.alpn,
        };
        if let Some(tls) = self.servers.get(&id) {
            return Ok(tls.clone());
        }
        let lists = settings.client_crl.as_ref();
        let lists = lists
            .map(|origin| self.reader.material(origin, MAX_CRL))
            .transpose()?;
        let tls = if let Some(tls) = take(&mut self.old_servers, &id) {
            // Other lists need no other configuration.
            if let (Some(clients), Some(lists)) = (&tls.clients, &lists) {
                self.changed |= clients.replace(lists)?.is_some();
            }
            tls
        } else {
            self.changed = true;
            let clients = client_ca
                .map(|ca| ClientVerifier::new(ca.roots()?, lists.as_ref()))
                .transpose()?;
            Arc::new(build_server(&cert, &key, clients.map(Arc::new), settings)?)
        };
        Arc::make_mut(&mut self.servers).insert(id, tls.clone());
        Ok(tls)
    }

    /// The configuration towards backends with these settings.
    ///
    /// # Errors
    /// As [`Loader::server`], and when there is neither `ca` nor a system trust store.
    pub fn backend(
        &mut self,
        settings: &BackendSettings,
    ) -> Result<Arc<ClientConfig>, MaterialError> {
        let ca = self.optional(settings.ca.as_ref())?;
        let identity = match &settings.identity {
            Some((cert, key)) => Some((self.material(cert)?, self.material(key)?)),
            None => None,
        };
        let id = BackendId {
            ca: ca.as_ref().map(Material::digest),
            name: settings.name.clone(),
            identity: identity
                .as_ref()
                .map(|(cert, key)| (cert.digest(), key.digest())),
            alpn: settings.alpn,
        };
        if let Some(config) = self.backends.get(&id) {
            return Ok(config.clone());
        }
        let config = if let Some(config) = take(&mut self.old_backends, &id) {
            config
        } else {
            self.changed = true;
            Arc::new(backend::build(ca.as_ref(), identity.as_ref(), settings)?)
        };
        Arc::make_mut(&mut self.backends).insert(id, config.clone());
        Ok(config)
    }
}

fn take<K: Clone + Eq + Hash, T: Clone>(kept: &mut Kept<K, T>, id: &K) -> Option<T> {
    if kept.contains_key(id) {
        Arc::make_mut(kept).remove(id)
    } else {
        None
    }
}

fn build_server(
    cert: &Material,
    key: &Material,
    clients: Option<Arc<ClientVerifier>>,
    settings: &ServerSettings,
) -> Result<ServerTls, MaterialError> {
    let shown = certified_key(cert, key)?;
    let leaf = shown.cert.first().cloned();
    let leaf = leaf.ok_or(MaterialError::Setup("there is no certificate"))?;
    let not_after = x509_parser::parse_x509_certificate(&leaf)
        .map_err(|_| cert.bad_certificate(1, "is damaged"))?
        .1
        .validity()
        .not_after
        .timestamp();
    let builder = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(settings.min_version.versions())
        .map_err(|_| NO_VERSION)?;
    let builder = match &clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = settings.alpn.iter().map(|p| p.to_vec()).collect();
    // Tickets under keys that all threads share, in place of a list that holds the last few
    // hundred sessions; they live for 12 hours, as rustls has it. One each, since few clients of
    // databases resume at all.
    config.ticketer = match &clients {
        Some(_) => Arc::new(NeverResumed),
        None => rustls::crypto::aws_lc_rs::Ticketer::new()
            .map_err(|_| MaterialError::Setup("the system gives no random bytes"))?,
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

#[cfg(test)]
mod tests;
