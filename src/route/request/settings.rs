//! The settings that a request gives a database: each of them, or only some.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::protocol::Protocol;
use crate::route::spec::{DatabaseSpec, Keys};
use crate::upstream::WeightedAddr;

/// Keys of a database with their values; those that are not given are another's to say.
///
/// They are kept by name, so that a new key of a declaration is one here, too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(Map<String, Value>);

impl Settings {
    /// Adds the keys that are written of a group of settings.
    ///
    /// # Errors
    /// A path is not UTF-8.
    pub fn add(&mut self, group: &impl Serialize) -> Result<(), String> {
        match serde_json::to_value(group) {
            Ok(Value::Object(keys)) => {
                self.0.extend(keys);
                Ok(())
            }
            _ => Err("a path in the settings is not UTF-8".to_owned()),
        }
    }

    /// True if nothing is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The declaration that results from `old`, or from nothing else than what is given.
    ///
    /// # Errors
    /// The keys do not fit together, or one is missing.
    pub fn apply(&self, old: Option<&DatabaseSpec>) -> Result<DatabaseSpec, String> {
        let mut all = Self::default();
        if let Some(old) = old {
            all.add(old)?;
        }
        all.0.extend(self.0.clone());
        if !all.0.contains_key("protocol") {
            let protocol = all.by_port()?;
            all.0
                .insert("protocol".to_owned(), protocol.as_str().into());
        }
        let keys = Value::Object(all.0);
        let keys: Keys = serde_json::from_value(keys).map_err(|e| e.to_string())?;
        keys.try_into()
    }

    /// The protocol whose port the first backend has.
    fn by_port(&self) -> Result<Protocol, String> {
        let backends = self.0.get("backends");
        let first = backends.and_then(|all| all.get(0).or(Some(all)));
        let first = first.and_then(|first| WeightedAddr::deserialize(first).ok());
        let Some(first) = first.map(|first| first.addr) else {
            return Err("say where it is, with --to".to_owned());
        };
        Protocol::of_port(first.port()).ok_or_else(|| {
            format!(
                "port {} is not that of a known protocol: add --protocol",
                first.port()
            )
        })
    }
}

impl From<&DatabaseSpec> for Settings {
    fn from(spec: &DatabaseSpec) -> Self {
        let mut all = Self::default();
        // Only a path that is not UTF-8 is left out, and no spec that was read has one.
        let _ = all.add(spec);
        all
    }
}
