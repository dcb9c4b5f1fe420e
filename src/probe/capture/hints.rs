//! Protocols by port, for what the first bytes leave open.

use crate::protocol::Protocol;
use std::collections::BTreeMap;

/// Protocols by port.
#[derive(Clone, Debug, Default)]
pub struct Hints(BTreeMap<u16, Protocol>);

impl Hints {
    /// Sets the protocol of a port.
    pub fn set(&mut self, port: u16, protocol: Protocol) {
        self.0.insert(port, protocol);
    }

    /// Protocol of a port: as set, else the one that the port is usually for.
    #[must_use]
    pub fn of(&self, port: u16) -> Option<Protocol> {
        let set = self.0.get(&port).copied();
        set.or_else(|| Protocol::of_port(port))
    }
}
