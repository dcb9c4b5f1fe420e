//! A live session as `ctl sessions` shows it.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::LiveSession;
use crate::tls::TlsMode;

/// One row of `ctl sessions`.
#[derive(Clone, Debug, Serialize)]
pub struct SessionView {
    /// Unique in this process.
    pub id: u64,
    /// The database's name.
    pub database: String,
    /// The host that matched.
    pub host: Option<String>,
    /// The server name that the client sent, normalised or escaped.
    pub sni: Option<String>,
    /// The client's address.
    pub client: SocketAddr,
    /// Subject and SHA-256 fingerprint of its certificate, where the gateway asked for one.
    pub user_cert: Option<String>,
    /// The listener's name.
    pub listener: String,
    /// The database's protocol.
    pub protocol: &'static str,
    /// The database's TLS mode.
    pub tls: TlsMode,
    /// The backend's address, once connected.
    pub backend: Option<SocketAddr>,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// Milliseconds since it was accepted.
    pub age_ms: u64,
    /// `connecting`, `held`, `open` or `draining`.
    pub state: &'static str,
}

impl LiveSession {
    /// The row of `ctl sessions`.
    #[must_use]
    pub fn view(&self) -> SessionView {
        let host = self.host().map(ToString::to_string);
        let other = self.requested.other().map(ToOwned::to_owned);
        SessionView {
            id: self.id,
            database: self.database.name.to_string(),
            sni: other.or_else(|| host.clone()),
            host,
            client: self.client,
            user_cert: self.user_cert().map(ToOwned::to_owned),
            listener: self.listener.to_string(),
            protocol: self.database.spec.protocol.as_str(),
            tls: self.database.spec.tls.mode(),
            backend: self.backend(),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            age_ms: u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(u64::MAX),
            state: self.state(),
        }
    }
}
