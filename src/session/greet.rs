//! The client's first words, under the deadline, and what it means when they do not come.

use tokio::time::{Instant, timeout_at};

use super::Session;
use super::context::ProxyVersion;
use super::end::SessionEnd;
use crate::gateway::ListenerSettings;
use crate::handshake::{HandshakeError, Opening, OpeningStage, TlsOpening, read_opening};
use crate::net::Buffered;
use crate::preface::postgres::PrefaceError;
use crate::preface::sniff::{Spoken, speaks};
use crate::route::Protocol;
use crate::stats::CloseReason;

impl Session {
    /// Reads up to the ClientHello; a client without one is told what is missing. `stage` follows the
    /// progress.
    pub(super) async fn greet(
        &mut self,
        client: &mut Buffered,
        listener: &ListenerSettings,
        deadline: Instant,
        stage: &mut OpeningStage,
    ) -> Result<TlsOpening, SessionEnd> {
        let read = timeout_at(deadline, read_opening(client, listener.protocol, stage)).await;
        let opening = match read {
            Ok(Ok(Opening::Tls(opening))) => opening,
            Ok(Ok(Opening::Startup)) => {
                self.context.protocol = Some(Protocol::Postgres);
                return Err(SessionEnd::new(
                    CloseReason::Plaintext,
                    "a StartupMessage without TLS (sslmode=disable, or prefer and allow after TLS failed)",
                ));
            }
            Ok(Ok(Opening::Cancel)) => {
                self.context.protocol = Some(Protocol::Postgres);
                return Err(SessionEnd::new(
                    CloseReason::PlaintextCancel,
                    "a CancelRequest without TLS carries no name, so it reaches no database",
                ));
            }
            Ok(Err(error)) => {
                if matches!(error, HandshakeError::Hello(_)) {
                    self.context.protocol = Some(Protocol::Tls);
                }
                if let Some(version) = proxy_header(client.ahead()) {
                    self.context.spoke = Some(version);
                    return Err(SessionEnd::new(
                        CloseReason::ProxyUntrusted,
                        format!(
                            "a PROXY protocol header ({}), which this listener does not take: not supported yet, so switch it off in front (send-proxy of HAProxy, proxy_protocol of nginx and load balancers)",
                            version.as_str()
                        ),
                    ));
                }
                return Err(failed(&error, *stage));
            }
            Err(_) => return Err(timed_out(*stage)),
        };
        self.context.note_hello(&opening);
        Ok(opening)
    }
}

/// The version of the PROXY protocol that a client speaks, if it does: a load balancer that tells
/// whom it connects for. Source: the PROXY protocol, sections 2.1 and 2.2.
fn proxy_header(first_bytes: &[u8]) -> Option<ProxyVersion> {
    (speaks(first_bytes) == Some(Spoken::ProxyHeader)).then(|| match first_bytes.first() {
        Some(b'P') => ProxyVersion::V1,
        _ => ProxyVersion::V2,
    })
}

fn failed(error: &HandshakeError, stage: OpeningStage) -> SessionEnd {
    if let HandshakeError::Hello(hello) = error {
        return SessionEnd::new(CloseReason::BadHello, error.to_string()).with_alert(hello.alert());
    }
    let reason = match (error, stage) {
        (HandshakeError::Preface(PrefaceError::EarlyData(_)), _) => CloseReason::EarlyData,
        (HandshakeError::Preface(_), _) => CloseReason::BadPreface,
        (_, OpeningStage::Nothing) => CloseReason::NothingSent,
        (_, OpeningStage::SslRequested) => CloseReason::GoneAfterSslRequest,
        (_, OpeningStage::InMessage) => CloseReason::GoneInHandshake,
    };
    SessionEnd::new(reason, error.to_string())
}

fn timed_out(stage: OpeningStage) -> SessionEnd {
    match stage {
        OpeningStage::Nothing => SessionEnd::new(
            CloseReason::Silent,
            "the client sent nothing (a MySQL client waits for the server to speak first)",
        ),
        OpeningStage::SslRequested => SessionEnd::new(
            CloseReason::SilentAfterSslRequest,
            "the client sent nothing after its SSLRequest was granted",
        ),
        OpeningStage::InMessage => SessionEnd::new(
            CloseReason::HelloTimeout,
            "the client did not finish its first message",
        ),
    }
}
