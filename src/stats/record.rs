//! One session from accept to close as a flat record: the access log's line, the event, and the
//! source of a reject.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::CloseReason;

/// One ended session, its fields in the order of the access log.
///
/// Durations are in milliseconds. Bytes are counted once they are relayed: in passthrough all that
/// follows the preface, TLS included; where the gateway ends TLS the plaintext inside. Its own words
/// are not counted. `in` is from the client, `out` is to it.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Time of its end, RFC 3339 in UTC.
    #[serde(serialize_with = "rfc3339")]
    pub ts: SystemTime,
    /// Unique in this process.
    pub id: u64,
    /// The listener's name.
    pub listener: Arc<str>,
    /// The client's address.
    pub client: SocketAddr,
    /// The proxy that brought it, where it said so by the PROXY protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<SocketAddr>,
    /// Protocol of the client, as far as known.
    pub protocol: Option<&'static str>,
    /// The database's TLS mode.
    pub tls: Option<&'static str>,
    /// The server name, normalised, or escaped where it is not valid.
    pub sni: Option<Box<str>>,
    /// `none`, `ip`, `invalid`, `ok`; empty before a ClientHello was read.
    pub sni_status: Option<&'static str>,
    /// Protocol that ALPN agreed on where the gateway ends TLS, else the client's first offer.
    pub alpn: Option<Box<str>>,
    /// The version agreed on, where the gateway ends TLS.
    pub tls_version: Option<&'static str>,
    /// Subject and SHA-256 fingerprint of the client's certificate, where the gateway asked for
    /// one; escaped.
    pub user_cert: Option<Box<str>>,
    /// The database reached or refused.
    pub database: Option<Arc<str>>,
    /// The backend's address.
    pub backend: Option<SocketAddr>,
    /// From accept until the database was chosen and the client's TLS was up.
    pub handshake_ms: f64,
    /// From then until the backend was ready.
    pub connect_ms: Option<f64>,
    /// From accept to the end.
    pub duration_ms: f64,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// The party that ended it.
    pub close: &'static str,
    /// The reason of its end.
    pub reason: CloseReason,
}

/// Serialises a time as [`rfc3339`] does, if there is one.
///
/// # Errors
/// Only those of the serializer.
pub fn rfc3339_optional<S: Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc3339(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// Serialises a time as RFC 3339 in UTC with milliseconds.
///
/// # Errors
/// Only those of the serializer.
pub fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}
