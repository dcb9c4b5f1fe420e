//! The client's first words, under the deadline, and what it means when they do not come.

use tokio::time::{Instant, timeout_at};

use super::Session;
use super::ending::Ending;
use crate::gateway::ListenerSettings;
use crate::handshake::{HandshakeError, Opening, Stage, TlsOpening, read_opening};
use crate::net::Buffered;
use crate::preface::postgres::PrefaceError;
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
        stage: &mut Stage,
    ) -> Result<TlsOpening, Ending> {
        let read = timeout_at(deadline, read_opening(client, listener.protocol, stage)).await;
        let opening = match read {
            Ok(Ok(Opening::Tls(opening))) => opening,
            Ok(Ok(Opening::Startup)) => {
                self.facts.protocol = Some(Protocol::Postgres);
                return Err(Ending::new(
                    CloseReason::Plaintext,
                    "a StartupMessage without TLS (sslmode=disable, or prefer and allow after TLS failed)",
                ));
            }
            Ok(Ok(Opening::Cancel)) => {
                self.facts.protocol = Some(Protocol::Postgres);
                return Err(Ending::new(
                    CloseReason::PlaintextCancel,
                    "a CancelRequest without TLS carries no name, so it reaches no database",
                ));
            }
            Ok(Err(error)) => {
                if matches!(error, HandshakeError::Hello(_)) {
                    self.facts.protocol = Some(Protocol::Tls);
                }
                return Err(failed(&error, *stage));
            }
            Err(_) => return Err(timed_out(*stage)),
        };
        self.facts.note_hello(&opening);
        Ok(opening)
    }
}

fn failed(error: &HandshakeError, stage: Stage) -> Ending {
    if let HandshakeError::Hello(hello) = error {
        return Ending::new(CloseReason::BadHello, error.to_string()).with_alert(hello.alert());
    }
    let reason = match (error, stage) {
        (HandshakeError::Preface(PrefaceError::EarlyData(_)), _) => CloseReason::EarlyData,
        (HandshakeError::Preface(_), _) => CloseReason::BadPreface,
        (_, Stage::Nothing) => CloseReason::NothingSent,
        (_, Stage::SslRequested) => CloseReason::GoneAfterSslRequest,
        (_, Stage::InMessage) => CloseReason::GoneInHandshake,
    };
    Ending::new(reason, error.to_string())
}

fn timed_out(stage: Stage) -> Ending {
    match stage {
        Stage::Nothing => Ending::new(
            CloseReason::Silent,
            "the client sent nothing (a MySQL client waits for the server to speak first)",
        ),
        Stage::SslRequested => Ending::new(
            CloseReason::SilentAfterSslRequest,
            "the client sent nothing after its SSLRequest was granted",
        ),
        Stage::InMessage => Ending::new(
            CloseReason::HelloTimeout,
            "the client did not finish its first message",
        ),
    }
}
