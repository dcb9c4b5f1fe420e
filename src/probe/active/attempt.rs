//! Everything that one connection has shown.

use std::collections::BTreeMap;
use std::time::Duration;

use super::handshake::{CertExchange, HandshakeFailure};
use crate::probe::Finding;
use crate::probe::exchange::Exchange;

/// Parameters negotiated in a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    pub(super) version: String,
    pub(super) cipher: String,
    pub(super) group: Option<String>,
    /// Any bytes that were offered.
    pub(super) alpn: Option<Vec<u8>>,
}

/// Everything that one connection has shown.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Everything that was said.
    pub(super) exchange: Exchange,
    /// Certificates and requests seen in the handshake.
    pub(super) certs: CertExchange,
    /// Negotiated parameters, if TLS is up.
    pub(super) negotiated: Option<Negotiated>,
    /// Failure of TLS, or of what followed at once.
    pub(super) failed: Option<HandshakeFailure>,
    /// Durations of the stages.
    pub(super) phases: Vec<(&'static str, Duration)>,
    /// Findings that only this end can make.
    pub(super) findings: Vec<Finding>,
    /// Facts that the server gives about itself.
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
