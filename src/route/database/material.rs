//! The certificates and keys of a database: where they are, and the same database with others.

use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;

use super::{Database, GatewayTls};
use crate::route::spec::DatabaseSpec;
use crate::tls::config::{BackendSettings, ServerSettings, ServerTls};

/// The settings towards clients whose TLS ends at the gateway.
pub(super) fn server(spec: &DatabaseSpec, gateway: &GatewayTls) -> Option<ServerSettings> {
    let client = spec.tls.client()?;
    let (cert, key) = match (&client.cert, &client.key) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone()),
        _ => (gateway.cert.clone(), gateway.key.clone()),
    };
    Some(ServerSettings {
        cert,
        key,
        client_ca: client.client_ca.clone(),
        client_crl: client.client_crl.clone(),
        min_version: client.min_version.unwrap_or(gateway.min_version),
        alpn: spec.protocol.alpn(),
    })
}

/// The settings towards backends to which the gateway opens TLS.
pub(super) fn backend(spec: &DatabaseSpec) -> Option<BackendSettings> {
    let backend = spec.tls.backend()?;
    let (cert, key) = (backend.backend_cert.clone(), backend.backend_key.clone());
    Some(BackendSettings {
        ca: backend.backend_ca.clone(),
        name: backend.backend_name.clone(),
        identity: cert.zip(key),
        alpn: spec.protocol.alpn(),
    })
}

impl Database {
    /// Its settings towards clients whose TLS ends at the gateway.
    #[must_use]
    pub fn server_settings(&self, gateway: &GatewayTls) -> Option<ServerSettings> {
        server(&self.spec, gateway)
    }

    /// Its settings towards backends to which the gateway opens TLS.
    #[must_use]
    pub fn backend_settings(&self) -> Option<BackendSettings> {
        backend(&self.spec)
    }

    /// The same database with other certificates: its sessions, limits and backends are the same,
    /// and no counters are made for one that has had no session.
    #[must_use]
    pub fn with_tls(
        self: &Arc<Self>,
        server_tls: Option<Arc<ServerTls>>,
        backend_tls: Option<Arc<ClientConfig>>,
    ) -> Arc<Self> {
        let used = self.used.get().cloned();
        let earlier = match &used {
            Some(_) => None,
            None => self.earlier.clone().or_else(|| Some(self.clone())),
        };
        Arc::new(Self {
            name: self.name.clone(),
            spec: self.spec.clone(),
            origin: self.origin,
            server_tls,
            backend_tls,
            exposures: self.exposures.clone(),
            admin: self.admin.clone(),
            backends: self.backends.clone(),
            used: used.map_or_else(OnceLock::new, OnceLock::from),
            earlier,
        })
    }
}
