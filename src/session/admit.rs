//! Getting a client a handshake slot, and refusing those that get none.

use tokio::time::{Instant, sleep_until};

use super::Session;
use super::end::SessionEnd;
use super::refuse;
use crate::admission::Slot;
use crate::net::Buffered;
use crate::net::hangup::{Gone, hangup};
use crate::preface::AnyResponder;
use crate::protocol::ListenerProtocol;
use crate::stats::CloseReason;

impl Session {
    /// Takes a handshake slot; beyond the limit of its address the client waits for its
    /// turn until `deadline`, and nothing is read from it.
    pub(super) async fn admit(
        &self,
        mut client: Buffered,
        protocol: ListenerProtocol,
        deadline: Instant,
    ) -> Result<(Buffered, Slot), SessionEnd> {
        let limits = &self.settings.limits;
        let responder = AnyResponder::for_listener(protocol);
        let source = self.context.client.ip();
        let slot = match self.gateway.handshakes.enter(source, limits) {
            Ok(slot) => slot,
            Err(reason) => {
                let refusal = SessionEnd::new(
                    reason,
                    "limits.max_handshakes is reached, mostly by clients of this address that wait already",
                );
                return Err(Box::pin(self.without_slot(client, &responder, refusal)).await);
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
            () = hangup(client.tcp(), gone) => {
                return Err(SessionEnd::new(
                    CloseReason::HandshakesPerIp,
                    "the client hung up while it waited for its turn",
                ));
            }
            () = sleep_until(deadline) => Err(SessionEnd::new(
                CloseReason::HandshakesPerIp,
                "its turn did not come within timeouts.handshake",
            )),
        };
        match turn {
            Ok(()) => {
                slot.bind(&mut client);
                Ok((client, slot))
            }
            Err(refusal) => {
                let told = self.without_slot(client, &responder, refusal);
                Err(Box::pin(told).await)
            }
        }
    }

    /// Refuses a client that gets no slot, as well as what it said allows; while that is done for
    /// many it is only written, and not seen to that it arrives.
    pub(super) async fn without_slot(
        &self,
        client: Buffered,
        responder: &AnyResponder,
        refusal: SessionEnd,
    ) -> SessionEnd {
        let permit = self.gateway.handshakes.refusal_permit();
        refuse::to_first_bytes(client, responder, refusal, permit.is_some()).await
    }
}

/// The end of a client whose slot went to another.
pub(super) fn gave_way(reason: CloseReason) -> SessionEnd {
    SessionEnd::new(
        reason,
        "limits.max_handshakes is reached, and its address has most handshakes open",
    )
}
