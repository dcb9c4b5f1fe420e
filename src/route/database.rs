//! A database: what a session needs to serve it.
//!
//! Not here: its declaration ([`super::spec`]), finding it by name ([`super::table`]) and where declarations come from
//! ([`super::store`]).

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::SystemTime;

use ipnet::IpNet;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};

use super::Host;
use super::spec::DatabaseSpec;
use crate::backend::Pool;
use crate::histogram::Histogram;
use crate::tls::TlsMode;
use crate::tls::config::{
    ALPN_POSTGRES, BackendFiles, Loader, MinVersion, ServerFiles, ServerTls, TlsFileError,
};

/// Where a database or one of its hosts was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// In the configuration file.
    Config,
    /// By `ctl` while the gateway ran.
    Runtime,
}

impl Origin {
    /// The word used in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Runtime => "runtime",
        }
    }
}

/// The certificate that the gateway shows where a database names none of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayTls {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Oldest version accepted.
    pub min_version: MinVersion,
    /// Whether dbgate made the pair itself, so that no client can be expected to trust it.
    pub minted: bool,
}

impl GatewayTls {
    /// The files of the configuration that the gateway uses without a database.
    #[must_use]
    pub fn files(&self) -> ServerFiles {
        ServerFiles {
            cert: self.cert.clone(),
            key: self.key.clone(),
            client_ca: None,
            min_version: self.min_version,
            alpn: &[ALPN_POSTGRES],
        }
    }
}

/// One host of a database and whether it leads there now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exposure {
    /// The name.
    pub host: Host,
    /// Where it was declared.
    pub origin: Origin,
    /// Whether it routes.
    pub state: ExposureState,
    /// When it ends by itself.
    #[serde(skip)]
    pub expires: Option<SystemTime>,
    /// Gone after a restart.
    pub ephemeral: bool,
}

/// Whether an exposure routes, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExposureState {
    /// Clients reach the database under this host.
    Active,
    /// Declared in the configuration, switched off by `ctl hide`.
    Hidden,
    /// Another database has the host; the configuration wins over `ctl`.
    Shadowed,
}

/// A database, ready to serve: immutable, shared by the snapshot and by every session on it.
#[derive(Debug)]
pub struct Database {
    /// Its unique name.
    pub name: Arc<str>,
    /// As declared.
    pub spec: DatabaseSpec,
    /// Where it was declared.
    pub origin: Origin,
    /// Its backends.
    pub pool: Arc<Pool>,
    /// What the gateway shows its clients; present unless passthrough.
    pub server_tls: Option<Arc<ServerTls>>,
    /// How the gateway speaks TLS to its backends; present in reencrypt.
    pub backend_tls: Option<Arc<ClientConfig>>,
    /// Its hosts.
    pub exposures: Vec<Exposure>,
    /// What outlives a change of the declaration.
    pub live: Arc<Live>,
}

impl Database {
    /// Builds what sessions need, reading the files that the declaration names.
    ///
    /// State that must outlive a change (open sessions, the backends' turn) is taken over from
    /// `before`, the same database as it was.
    ///
    /// # Errors
    /// A certificate, key or authority file cannot be used.
    pub fn build(
        name: Arc<str>,
        spec: DatabaseSpec,
        origin: Origin,
        exposures: Vec<Exposure>,
        gateway: &GatewayTls,
        loader: &mut Loader,
        before: Option<&Self>,
    ) -> Result<Self, TlsFileError> {
        let server_tls = spec
            .tls
            .ends_client_tls()
            .then(|| loader.server(&server_files(&spec, gateway)))
            .transpose()?;
        let backend_tls = (spec.tls == TlsMode::Reencrypt)
            .then(|| loader.backend(&backend_files(&spec)))
            .transpose()?;
        let pool = match before {
            Some(before) if before.spec.backends == spec.backends => before.pool.clone(),
            _ => Arc::new(Pool::new(spec.backends.iter().cloned())),
        };
        Ok(Self {
            name,
            spec,
            origin,
            pool,
            server_tls,
            backend_tls,
            exposures,
            live: before.map(|b| b.live.clone()).unwrap_or_default(),
        })
    }

    /// Whether `allow` and `deny` let this address in.
    #[must_use]
    pub fn admits(&self, client: IpAddr) -> bool {
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&client));
        !within(&self.spec.deny) && (self.spec.allow.is_empty() || within(&self.spec.allow))
    }

    /// The hosts that lead here now.
    pub fn active_hosts(&self) -> impl Iterator<Item = &Host> {
        self.exposures
            .iter()
            .filter(|e| e.state == ExposureState::Active)
            .map(|e| &e.host)
    }
}

fn server_files(spec: &DatabaseSpec, gateway: &GatewayTls) -> ServerFiles {
    let (cert, key) = match (&spec.cert, &spec.key) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone()),
        _ => (gateway.cert.clone(), gateway.key.clone()),
    };
    ServerFiles {
        cert,
        key,
        client_ca: spec.client_ca.clone(),
        min_version: spec.min_version.unwrap_or(gateway.min_version),
        alpn: spec.protocol.alpn(),
    }
}

fn backend_files(spec: &DatabaseSpec) -> BackendFiles {
    BackendFiles {
        ca: spec.backend_ca.clone(),
        name: spec.backend_name.clone(),
        identity: spec.backend_cert.clone().zip(spec.backend_key.clone()),
        alpn: spec.protocol.alpn(),
    }
}

/// Parts into which the bytes of ended sessions are divided; whoever keeps the live sessions
/// divides those likewise, and reads a part of both in one piece.
pub const PARTS: usize = 16;

/// How many kinds of endings are counted apart.
pub const ENDINGS: usize = 7;

/// Counters of a database that outlive a change of its declaration.
#[derive(Debug, Default)]
pub struct Live {
    sessions: AtomicU32,
    /// Bytes from and to the clients of sessions that have ended.
    moved: [(AtomicU64, AtomicU64); PARTS],
    endings: [AtomicU64; ENDINGS],
    /// How long it took to reach a backend.
    pub connects: Histogram,
}

impl Live {
    /// Counts one more session, unless `limit` is reached; the session ends when the result is
    /// dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>, limit: Option<u32>) -> Option<Entered> {
        let limit = limit.unwrap_or(u32::MAX);
        self.sessions
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < limit).then(|| n + 1)
            })
            .ok()?;
        Some(Entered(self.clone()))
    }

    /// Sessions open now.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Adds the bytes from and to the client of a session of this part that has ended.
    pub fn add_moved(&self, part: usize, (bytes_in, bytes_out): (u64, u64)) {
        if let Some((of_in, of_out)) = self.moved.get(part) {
            of_in.fetch_add(bytes_in, Ordering::Relaxed);
            of_out.fetch_add(bytes_out, Ordering::Relaxed);
        }
    }

    /// Bytes from and to the clients of the sessions of this part that have ended.
    #[must_use]
    pub fn moved(&self, part: usize) -> (u64, u64) {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        self.moved
            .get(part)
            .map_or((0, 0), |(of_in, of_out)| (read(of_in), read(of_out)))
    }

    /// Counts one more session that has ended in this way, a number below [`ENDINGS`].
    pub fn count_ending(&self, kind: usize) {
        if let Some(count) = self.endings.get(kind) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many sessions have ended in this way.
    #[must_use]
    pub fn endings(&self, kind: usize) -> u64 {
        self.endings
            .get(kind)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// One session's place in its database's count.
#[derive(Debug)]
pub struct Entered(Arc<Live>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_what_is_open() {
        let live = Arc::new(Live::default());
        let first = live.enter(Some(2)).unwrap();
        let _second = live.enter(Some(2)).unwrap();
        assert!(live.enter(Some(2)).is_none());
        drop(first);
        assert!(live.enter(Some(2)).is_some());
        assert_eq!(live.sessions(), 1);
    }
}
