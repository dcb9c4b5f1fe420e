//! Getting a client a place among the handshakes, and telling those that get none.

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::Session;
use super::answer;
use super::ending::Ending;
use crate::admission::Slot;
use crate::config::ListenerProtocol;
use crate::handshake::Stage;
use crate::net::Buffered;
use crate::net::hangup::{Gone, hangup};
use crate::stats::CloseReason;

impl Session {
    /// Takes a place among the handshakes; beyond the limit of its address the client waits for its
    /// turn until `deadline`, and nothing is read from it.
    pub(super) async fn admit(
        &self,
        tcp: TcpStream,
        protocol: ListenerProtocol,
        deadline: Instant,
    ) -> Result<(Buffered, Slot), Ending> {
        let limits = &self.settings.limits;
        let source = self.facts.client.ip();
        let slot = match self.gateway.handshakes.enter(source, limits) {
            Ok(slot) => slot,
            Err(reason) => {
                let refusal = Ending::new(
                    reason,
                    "limits.max_handshakes is reached, mostly by clients of this address that wait already",
                );
                return Err(Box::pin(self.without_place(Buffered::new(tcp), None, refusal)).await);
            }
        };
        // Bytes as they come may end on one side and go on on the other; TLS cannot.
        let gone = match protocol {
            ListenerProtocol::Tcp => Gone::Broken,
            _ => Gone::Ended,
        };
        let turn = tokio::select! {
            biased;
            turn = slot.turn() => turn.map_err(gave_way),
            () = hangup(&tcp, gone) => {
                return Err(Ending::new(
                    CloseReason::HandshakesPerIp,
                    "the client hung up while it waited for its turn",
                ));
            }
            () = sleep_until(deadline) => Err(Ending::new(
                CloseReason::HandshakesPerIp,
                "its turn did not come within timeouts.handshake",
            )),
        };
        match turn {
            Ok(()) => Ok((Buffered::metered(tcp, slot.read().clone()), slot)),
            Err(refusal) => {
                let told = self.without_place(Buffered::new(tcp), None, refusal);
                Err(Box::pin(told).await)
            }
        }
    }

    /// Tells a client that it has no place, as well as what it said allows; while that is done for
    /// many it is only written, and not seen to that it arrives.
    pub(super) async fn without_place(
        &self,
        client: Buffered,
        stage: Option<Stage>,
        refusal: Ending,
    ) -> Ending {
        let telling = self.gateway.handshakes.telling();
        answer::to_first_words(client, stage, refusal, telling.is_some()).await
    }
}

/// The ending of a client whose place went to another.
pub(super) fn gave_way(reason: CloseReason) -> Ending {
    Ending::new(
        reason,
        "limits.max_handshakes is reached, and its address has most handshakes open",
    )
}
