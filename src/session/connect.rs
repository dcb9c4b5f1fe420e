//! Reaching a backend: dial, lead with the SSLRequest where Postgres wants one, open TLS in
//! reencrypt. The backends are tried in turn until one is ready; nothing of the client has been
//! sent to any of them by then.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ClientConfig;
use rustls::pki_types::ServerName as PkiName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tracing::{info, warn};

use super::ending::Ending;
use crate::backend::BackendAddr;
use crate::net::dial::{dial, is_exhaustion};
use crate::net::{Buffered, Stream};
use crate::preface::postgres::{SSL_REQUEST, SslReplyError, read_ssl_reply};
use crate::route::Database;
use crate::stats::CloseReason;
use crate::tls::ServerName;

/// A backend that is ready for the client's bytes.
pub(super) struct Connected {
    pub(super) stream: Stream,
    pub(super) address: SocketAddr,
    /// The backend's place in the order declared.
    pub(super) place: usize,
    /// What it has said already that is for the client.
    pub(super) answer: Bytes,
}

/// What to do once the TCP connection stands; by default nothing.
#[derive(Default)]
pub(super) struct Lead<'a> {
    /// Send an SSLRequest and wait for the `S`.
    pub(super) ssl_request: bool,
    /// Open TLS with this configuration.
    pub(super) tls: Option<&'a Arc<ClientConfig>>,
    /// The name that the client asked for, sent on as SNI: MongoDB picks its host list by it.
    pub(super) sni: Option<&'a ServerName>,
    /// The ALPN protocol that was agreed with the client, where only the two ends know what it
    /// means.
    pub(super) alpn: Option<Vec<u8>>,
}

/// Connects to the first backend that is ready, each within `patience`.
///
/// The first is always tried; a further one only before `deadline`, so that a client is not kept
/// for ever by a long list of dead backends.
///
/// # Errors
/// Why the last one tried was not ready.
pub(super) async fn connect(
    database: &Database,
    lead: &Lead<'_>,
    patience: Duration,
    deadline: Instant,
) -> Result<Connected, Ending> {
    let mut last = Ending::new(
        CloseReason::BackendUnreachable,
        "the database has no backend",
    );
    for (tried, backend) in database.backends_in_turn().enumerate() {
        if tried > 0 && Instant::now() >= deadline {
            break;
        }
        let mut dialled = false;
        let reached = timeout(patience, reach(backend.addr, lead, &mut dialled)).await;
        let refusal = match reached {
            Ok(Ok((stream, address))) => {
                if backend.report(true) {
                    info!(database = %database.name, backend = %backend.addr, "backend answers again");
                }
                return Ok(Connected {
                    stream,
                    address,
                    place: backend.place,
                    answer: Bytes::new(),
                });
            }
            Ok(Err(refusal)) if refusal.reason == CloseReason::Resources => return Err(refusal),
            Ok(Err(refusal)) => refusal,
            Err(_) if dialled => Ending::new(
                CloseReason::BackendSilent,
                "connected, but the backend did not answer in time",
            ),
            Err(_) => Ending::new(
                CloseReason::BackendUnreachable,
                "no connection within timeouts.connect",
            ),
        };
        if backend.report(false) {
            warn!(database = %database.name, backend = %backend.addr, reason = %refusal.reason,
                detail = %refusal.detail, "backend fails");
        }
        last = Ending::new(
            refusal.reason,
            format!("backend {}: {}", backend.addr, refusal.detail),
        );
    }
    Err(last)
}

async fn reach(
    addr: &BackendAddr,
    lead: &Lead<'_>,
    dialled: &mut bool,
) -> Result<(Stream, SocketAddr), Ending> {
    let (mut tcp, address) = dial(addr).await.map_err(|e| {
        let reason = if is_exhaustion(&e) {
            CloseReason::Resources
        } else {
            CloseReason::BackendUnreachable
        };
        Ending::new(reason, e.to_string())
    })?;
    *dialled = true;
    if lead.ssl_request {
        request_tls(&mut tcp).await?;
    }
    let Some(config) = lead.tls else {
        return Ok((Stream::Tcp(tcp), address));
    };
    let name = tls_name(lead.sni, addr)
        .map_err(|e| Ending::new(CloseReason::BackendTls, e.to_string()))?;
    let connector = TlsConnector::from(config.clone());
    let tcp = Buffered::new(tcp);
    let connected = match &lead.alpn {
        Some(protocol) => {
            connector
                .with_alpn(vec![protocol.clone()])
                .connect(name, tcp)
                .await
        }
        None => connector.connect(name, tcp).await,
    };
    let stream = connected.map_err(|e| Ending::new(CloseReason::BackendTls, e.to_string()))?;
    Ok((Stream::Client(Box::new(stream)), address))
}

/// Asks a Postgres backend for TLS and reads its one byte.
async fn request_tls(tcp: &mut TcpStream) -> Result<(), Ending> {
    let lost = |e: io::Error| Ending::new(CloseReason::BackendBadReply, e.to_string());
    tcp.write_all(&SSL_REQUEST).await.map_err(lost)?;
    // Room for two, to see what must not be there: bytes that came with the `S` were never
    // encrypted, and would be taken for the beginning of TLS (CVE-2021-23222).
    let mut reply = [0; 2];
    match tcp.read(&mut reply).await.map_err(lost)? {
        0 => Err(Ending::new(
            CloseReason::BackendBadReply,
            "the backend closed the connection instead of answering the SSLRequest",
        )),
        1 => {
            let [byte, _] = reply;
            read_ssl_reply(byte).map_err(|e| {
                let reason = match byte {
                    b'N' => CloseReason::BackendNoTls,
                    _ => CloseReason::BackendBadReply,
                };
                Ending::new(reason, e.to_string())
            })
        }
        _ if reply.first() == Some(&b'E') => Err(Ending::new(
            CloseReason::BackendBadReply,
            SslReplyError::ErrorResponse.to_string(),
        )),
        _ => Err(Ending::new(
            CloseReason::BackendBadReply,
            "the backend sent unencrypted bytes behind its answer to the SSLRequest",
        )),
    }
}

/// The name to send to a backend as SNI, and to verify unless `backend_name` says another.
fn tls_name(
    sni: Option<&ServerName>,
    addr: &BackendAddr,
) -> Result<PkiName<'static>, rustls::pki_types::InvalidDnsNameError> {
    match (sni, addr) {
        (Some(name), _) | (None, BackendAddr::Name(name, _)) => {
            PkiName::try_from(name.as_ref().to_owned())
        }
        (None, BackendAddr::Ip(ip, _)) => Ok(PkiName::IpAddress((*ip).into())),
        (None, BackendAddr::Zoned(addr, _)) => Ok(PkiName::from(IpAddr::from(addr.ip))),
    }
}
