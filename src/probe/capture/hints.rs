//! Protocols by port, for what the first bytes leave open.

use std::collections::BTreeMap;

use crate::probe::hint::Hint;

/// Protocols by port.
#[derive(Clone, Debug, Default)]
pub struct Hints(BTreeMap<u16, Hint>);

impl Hints {
    /// Sets the protocol of a port.
    pub fn set(&mut self, port: u16, hint: Hint) {
        self.0.insert(port, hint);
    }

    /// Protocol of a port: as set, else the one that the port is usually for.
    #[must_use]
    pub fn of(&self, port: u16) -> Hint {
        self.0
            .get(&port)
            .copied()
            .unwrap_or_else(|| Hint::from_port(port))
    }
}
