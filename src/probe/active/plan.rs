//! Plan of one connection: what is offered, how TLS begins, how long it may take.

use std::time::Duration;

use super::handshake::Offer;
use super::target::Host;
use crate::protocol::Protocol;

/// Start of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preface {
    /// After a Postgres `SSLRequest`.
    SslRequest,
    /// After the greeting of MySQL, and an `SSLRequest` of its kind.
    Greeting,
    /// With the first byte.
    Direct,
}

/// Plan of one connection.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The protocol behind TLS.
    pub(super) protocol: Option<Protocol>,
    /// Start of TLS.
    pub(super) preface: Preface,
    /// Offer in the handshake.
    pub(super) offer: Offer,
    /// Host and port as in the URL.
    pub(super) dialled: (Host, u16),
    /// The most time for each stage.
    pub(super) limit: Duration,
}
