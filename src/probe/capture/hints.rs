//! Protocols by port, for what the first bytes leave open.

use std::collections::BTreeMap;

use crate::probe::hint::Hint;

/// What is spoken on which port, as far as it is taken for granted.
#[derive(Clone, Debug, Default)]
pub struct Hints(BTreeMap<u16, Hint>);

impl Hints {
    /// Says what is spoken on a port.
    pub fn set(&mut self, port: u16, hint: Hint) {
        self.0.insert(port, hint);
    }

    /// What is spoken on a port: what was said, else what it is usually for.
    #[must_use]
    pub fn of(&self, port: u16) -> Hint {
        self.0
            .get(&port)
            .copied()
            .unwrap_or_else(|| Hint::from_port(port))
    }
}
