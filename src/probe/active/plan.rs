//! Plan of one connection: what is offered, how TLS begins, how long it may take.

use std::time::Duration;

use super::handshake::Offer;
use super::target::Host;
use crate::probe::hint::Hint;

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preface {
    /// After a Postgres `SSLRequest`.
    SslRequest,
    /// After the greeting of MySQL, and an `SSLRequest` of its kind.
    Greeting,
    /// With the first byte.
    Direct,
}

/// How a look is made.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The protocol behind TLS.
    pub(super) protocol: Hint,
    /// How TLS begins.
    pub(super) preface: Preface,
    /// What is offered in the handshake.
    pub(super) offer: Offer,
    /// What was dialled, as a client would have been told.
    pub(super) dialled: (Host, u16),
    /// The most time for each stage.
    pub(super) limit: Duration,
}
