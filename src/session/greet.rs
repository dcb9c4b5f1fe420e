//! The beginning of a client, under the deadline, and the reason where it does not come.

use tokio::time::{Instant, timeout_at};

use super::Session;
use super::admit::gave_way;
use super::end::SessionEnd;
use super::refuse;
use crate::admission::Slot;
use crate::config::ProxyProtocol;
use crate::gateway::ListenerSettings;
use crate::handshake::{HandshakeError, read_opening};
use crate::net::Buffered;
use crate::preface::{AnyResponder, MessageKind, Opening, Responder, TlsOpening, of};
use crate::protocol::Protocol;
use crate::proxy_protocol;
use crate::stats::CloseReason;

/// The progress of a client's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpeningStage {
    /// It has sent nothing.
    Nothing,
    /// Its request is answered.
    Replied,
    /// It is in the middle of a message.
    InMessage,
}

impl OpeningStage {
    fn of(client: &Buffered, responder: &AnyResponder) -> Self {
        if !client.ahead().is_empty() {
            Self::InMessage
        } else if responder.has_replied() {
            Self::Replied
        } else {
            Self::Nothing
        }
    }
}

impl Session {
    /// Reads up to the ClientHello; a client without one is refused.
    pub(super) async fn greet(
        &mut self,
        mut client: Buffered,
        listener: &ListenerSettings,
        mut slot: Slot,
        deadline: Instant,
    ) -> Result<(Buffered, TlsOpening, Slot), SessionEnd> {
        let mut responder = AnyResponder::for_listener(listener.protocol);
        let proxies = listener.proxy_protocol.as_ref();
        let read = self.read_hello(&mut client, &mut responder, proxies, deadline);
        match slot.during(read).await {
            Ok(Ok(opening)) => Ok((client, opening, slot)),
            Ok(Err(end)) => Err(Box::pin(refuse::before_tls(client, &responder, end)).await),
            Err(reason) => {
                slot.surrender(&mut client);
                let refused = self.without_slot(client, &responder, gave_way(reason));
                Err(Box::pin(refused).await)
            }
        }
    }

    async fn read_hello(
        &mut self,
        client: &mut Buffered,
        responder: &mut AnyResponder,
        proxies: Option<&ProxyProtocol>,
        deadline: Instant,
    ) -> Result<TlsOpening, SessionEnd> {
        match timeout_at(deadline, read_opening(client, responder)).await {
            Ok(Ok(Opening::Tls(opening))) => {
                self.context.note_hello(&opening);
                Ok(opening)
            }
            Ok(Ok(Opening::Plaintext(message))) => {
                self.context.protocol = Some(message.protocol);
                let reason = match message.kind {
                    MessageKind::Cancel => CloseReason::PlaintextCancel,
                    MessageKind::Login | MessageKind::Request => CloseReason::Plaintext,
                };
                let detail = of(message.protocol).without_tls(message.kind);
                Err(SessionEnd::new(reason, detail))
            }
            Ok(Err(error)) => {
                if matches!(error, HandshakeError::Hello(_)) {
                    self.context.protocol = Some(Protocol::Tls);
                }
                if let Some(version) = proxy_protocol::version(client.ahead()) {
                    return Err(self.unexpected_header(version, proxies));
                }
                Err(failed(&error, OpeningStage::of(client, responder)))
            }
            Err(_) => Err(timed_out(OpeningStage::of(client, responder), responder)),
        }
    }
}

fn failed(error: &HandshakeError, stage: OpeningStage) -> SessionEnd {
    if let HandshakeError::Hello(hello) = error {
        return SessionEnd::new(CloseReason::BadHello, error.to_string()).with_alert(hello.alert());
    }
    let reason = match (error, stage) {
        (HandshakeError::Preface(error), _) if error.is_early_data() => CloseReason::EarlyData,
        (HandshakeError::Preface(_), _) => CloseReason::BadPreface,
        (_, OpeningStage::Nothing) => CloseReason::NothingSent,
        (_, OpeningStage::Replied) => CloseReason::GoneAfterSslRequest,
        (_, OpeningStage::InMessage) => CloseReason::GoneInHandshake,
    };
    SessionEnd::new(reason, error.to_string())
}

fn timed_out(stage: OpeningStage, responder: &AnyResponder) -> SessionEnd {
    match stage {
        OpeningStage::Nothing => SessionEnd::new(
            CloseReason::Silent,
            format!("the client sent nothing ({})", responder.silence()),
        ),
        OpeningStage::Replied => SessionEnd::new(
            CloseReason::SilentAfterSslRequest,
            "the client sent nothing after its SSLRequest was granted",
        ),
        OpeningStage::InMessage => SessionEnd::new(
            CloseReason::HelloTimeout,
            "the client did not finish its first message",
        ),
    }
}
