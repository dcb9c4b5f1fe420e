//! The context of a session, learnt on its way, and the report of its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::Session;
use super::end::SessionEnd;
use crate::gateway::{Gateway, Listener};
use crate::net::Buffered;
use crate::preface::TlsOpening;
use crate::protocol::Protocol;
use crate::proxy_protocol::Version;
use crate::route::Database;
use crate::sessions::LiveSession;
use crate::stats::{CloseReason, Event, Record, Reject};
use crate::tls::Sni;

/// The context of a session that has not ended yet.
pub(super) struct SessionContext {
    pub(super) id: u64,
    pub(super) client: SocketAddr,
    pub(super) accepted: Instant,
    pub(super) protocol: Option<Protocol>,
    /// The version of the PROXY protocol that it spoke instead.
    pub(super) spoke: Option<Version>,
    /// The proxy that brought the client.
    pub(super) via: Option<Box<Via>>,
    pub(super) sni: Option<Sni>,
    pub(super) alpn: Option<Box<str>>,
    pub(super) tls_version: Option<TlsVersion>,
    pub(super) database: Option<Arc<Database>>,
    /// Its entry in the registry, once it has one: which backend it reached, what it has moved.
    pub(super) entry: Option<Arc<LiveSession>>,
    /// Time at which the database was chosen and the client's TLS was up.
    pub(super) ready: Option<Instant>,
    /// Time at which the backend was ready.
    pub(super) connected: Option<Instant>,
}

/// The proxy that brought a client, and the address of it that the client knows.
pub(super) struct Via {
    pub(super) proxy: SocketAddr,
    pub(super) to: SocketAddr,
}

/// The version that the gateway and a client whose TLS ends here agreed on.
#[derive(Clone, Copy)]
pub(super) enum TlsVersion {
    Tls12,
    Tls13,
}

impl TlsVersion {
    fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

impl SessionContext {
    pub(super) fn new(id: u64, client: SocketAddr) -> Self {
        Self {
            id,
            client,
            accepted: Instant::now(),
            protocol: None,
            spoke: None,
            via: None,
            sni: None,
            alpn: None,
            tls_version: None,
            database: None,
            entry: None,
            ready: None,
            connected: None,
        }
    }

    pub(super) fn note_hello(&mut self, opening: &TlsOpening) {
        self.protocol = Some(opening.speaks().unwrap_or(Protocol::Tls));
        self.sni = Some(opening.hello.sni.clone());
        self.alpn = opening.hello.alpn.first().map(|p| printable(p));
    }

    pub(super) fn note_tls(&mut self, stream: &tokio_rustls::server::TlsStream<Buffered>) {
        let (_, tls) = stream.get_ref();
        self.alpn = tls.alpn_protocol().map(printable);
        self.tls_version = match tls.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => Some(TlsVersion::Tls12),
            Some(rustls::ProtocolVersion::TLSv1_3) => Some(TlsVersion::Tls13),
            _ => None,
        };
    }

    /// Logs that a login failed by channel binding, and gives the end.
    pub(super) fn channel_binding_failed(&self) -> SessionEnd {
        let database = self.database.as_ref().map_or("", |d| &*d.name);
        warn!(
            database,
            client = %self.client,
            reason = %CloseReason::ScramChannelBinding,
            "the backend refused a login because the client bound it to the gateway's certificate (SCRAM channel binding): let the client say channel_binding=disable, give gateway and backend the same certificate, or use passthrough"
        );
        SessionEnd::new(CloseReason::ScramChannelBinding, "")
    }

    /// The name that the client asked for, where it is one.
    pub(super) fn name(&self) -> Option<&str> {
        self.sni.as_ref()?.name().map(AsRef::as_ref)
    }

    fn report(self, end: SessionEnd, gateway: &Gateway, listener: &Listener, log: bool) {
        let SessionEnd { reason, detail, .. } = end;
        let now = Instant::now();
        let ts = SystemTime::now();
        let sni_status = self.sni.as_ref().map(Sni::status);
        let sni: Option<Box<str>> = self.sni.as_ref().and_then(Sni::sent).map(Into::into);
        debug!(id = self.id, client = %self.client, %reason, %detail, "session ended");
        if let Some(database) = &self.database {
            database.live().count_ending(reason.by() as usize);
        }
        let spoke = self.spoke.map(|version| match version {
            Version::V1 => "proxy-v1",
            Version::V2 => "proxy-v2",
        });
        let protocol = spoke.or(self.protocol.map(Protocol::as_str));
        let entry = self.entry.as_ref();
        let (bytes_in, bytes_out) = entry.map_or((0, 0), |entry| entry.moved());
        let record = Arc::new(Record {
            ts,
            id: self.id,
            listener: listener.name.clone(),
            client: self.client,
            proxy: self.via.as_ref().map(|via| via.proxy),
            protocol,
            tls: self.database.as_ref().map(|d| d.spec.tls.as_str()),
            sni: sni.clone(),
            sni_status,
            alpn: self.alpn,
            tls_version: self.tls_version.map(TlsVersion::as_str),
            user_cert: entry.and_then(|entry| entry.user_cert()).map(Into::into),
            database: self.database.as_ref().map(|d| d.name.clone()),
            backend: entry.and_then(|entry| entry.backend()),
            handshake_ms: ms(self.ready.unwrap_or(now) - self.accepted),
            connect_ms: self.ready.zip(self.connected).map(|(a, b)| ms(b - a)),
            duration_ms: ms(now - self.accepted),
            bytes_in,
            bytes_out,
            close: reason.by().as_str(),
            reason,
        });
        if log {
            gateway.access_log.write(record.clone());
        }
        if reason.is_reject() {
            let reject = Arc::new(Reject {
                id: self.id,
                ts,
                client: self.client,
                listener: listener.name.clone(),
                protocol,
                reason,
                sni,
                sni_status,
                detail,
                remedy: reason.remedy(),
            });
            gateway.rejects.add(&reject);
            if reject.is_empty() {
                return;
            }
            if record.backend.is_none() {
                gateway.events.emit(|| Event::Rejected(reject));
                return;
            }
        }
        // A follower that got the opening gets the end, even where the backend, once
        // connected, turned out to be of no use.
        if record.backend.is_some() {
            gateway.events.emit(|| Event::SessionClosed(record));
        }
    }
}

impl Session {
    /// Notes that the database is chosen, and the client's TLS up where it ends here.
    pub(super) fn note_ready(&mut self) {
        let now = Instant::now();
        self.context.ready = Some(now);
        let took = now - self.context.accepted;
        self.listener.handshakes.observe(took);
    }

    /// Reports the end: log line, counters, followers.
    pub(super) fn report(self, end: SessionEnd) {
        let log = self.settings.access;
        self.context.report(end, &self.gateway, &self.listener, log);
    }
}

fn printable(alpn: &[u8]) -> Box<str> {
    crate::wire::escape(alpn).into()
}

fn ms(duration: std::time::Duration) -> f64 {
    // Microseconds are enough, and short to print.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
