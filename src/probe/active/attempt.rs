//! Everything that one connection has shown.

use std::collections::BTreeMap;
use std::time::Duration;

use super::handshake::{CertExchange, HandshakeFailure};
use crate::probe::Finding;
use crate::probe::exchange::Exchange;

/// What was agreed on in a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    pub(super) version: String,
    pub(super) cipher: String,
    pub(super) group: Option<String>,
    /// Any bytes that were offered.
    pub(super) alpn: Option<Vec<u8>>,
}

/// What a look has shown.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Everything that was said.
    pub(super) exchange: Exchange,
    /// What the handshake has shown.
    pub(super) certs: CertExchange,
    /// What was agreed on; TLS is up then.
    pub(super) negotiated: Option<Negotiated>,
    /// Why there is no TLS, or why it ended at once.
    pub(super) failed: Option<HandshakeFailure>,
    /// How long the stages took.
    pub(super) phases: Vec<(&'static str, Duration)>,
    /// What only this end knows.
    pub(super) findings: Vec<Finding>,
    /// What the server tells about itself.
    pub(super) told: BTreeMap<&'static str, String>,
}

impl Attempt {
    pub(super) fn new(connected: Duration) -> Self {
        Self {
            exchange: Exchange::default(),
            certs: CertExchange::default(),
            negotiated: None,
            failed: None,
            phases: vec![("tcp", connected)],
            findings: Vec::new(),
            told: BTreeMap::new(),
        }
    }
}
