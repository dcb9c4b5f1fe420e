//! What `ctl` changed at run time, laid over the configuration: databases made, hosts exposed,
//! hosts hidden.
//!
//! A change copies it, compares it and keeps it whole: it is as large as what `ctl` did, which is
//! little beside a configuration of very many databases.
//!
//! Not here: the rules by which the two become one (`resolve.rs`), and keeping it on disk
//! ([`crate::provider::state`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::Host;
use super::spec::DatabaseSpec;
use crate::few::Few;

/// A database with its hosts, as one origin declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Protocol, backends, TLS and limits.
    pub spec: DatabaseSpec,
    /// The hosts under which it is exposed.
    pub hosts: Few<Host>,
}

/// How long a runtime exposure lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Ends by itself at this time.
    #[serde(skip)]
    pub expires: Option<SystemTime>,
    /// Gone after a restart.
    #[serde(skip)]
    pub ephemeral: bool,
}

impl Lease {
    /// Whether it is there again after a restart.
    #[must_use]
    pub fn lasts(self) -> bool {
        !self.ephemeral && self.expires.is_none()
    }
}

/// Everything that `ctl` did and that is still in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlay {
    /// Databases that only `ctl` made.
    #[serde(default)]
    pub databases: BTreeMap<String, DatabaseSpec>,
    /// Hosts that `ctl` exposed, by database, whoever declared the database.
    #[serde(default)]
    pub exposed: BTreeMap<String, BTreeMap<Host, Lease>>,
    /// Hosts of the configuration that `ctl` switched off, by database.
    #[serde(default)]
    pub hidden: BTreeMap<String, BTreeSet<Host>>,
}

impl Overlay {
    /// The part that is kept over a restart: neither ephemeral nor limited in time.
    #[must_use]
    pub fn lasting(&self) -> Self {
        let mut kept = self.clone();
        kept.exposed.retain(|_, hosts| {
            hosts.retain(|_, lease| lease.lasts());
            !hosts.is_empty()
        });
        kept.databases
            .retain(|name, _| kept.exposed.contains_key(name));
        kept
    }

    /// Ends every lease that has run out by `now`; tells whether there was one.
    pub fn expire(&mut self, now: SystemTime) -> bool {
        let mut any = false;
        self.exposed.retain(|_, hosts| {
            hosts.retain(|_, lease| {
                let over = lease.expires.is_some_and(|at| at <= now);
                any |= over;
                !over
            });
            !hosts.is_empty()
        });
        self.forget_unexposed();
        any
    }

    /// When the next lease runs out.
    #[must_use]
    pub fn next_expiry(&self) -> Option<SystemTime> {
        self.exposed
            .values()
            .flat_map(BTreeMap::values)
            .filter_map(|lease| lease.expires)
            .min()
    }

    /// Whether a host of the configuration is switched off.
    #[must_use]
    pub fn hides(&self, name: &str, host: &Host) -> bool {
        let hidden = self.hidden.get(name);
        hidden.is_some_and(|hosts| hosts.contains(host))
    }

    /// Drops databases that `ctl` made and that have lost their last host.
    pub fn forget_unexposed(&mut self) {
        self.exposed.retain(|_, hosts| !hosts.is_empty());
        self.hidden.retain(|_, hosts| !hosts.is_empty());
        let exposed = &self.exposed;
        self.databases.retain(|name, _| exposed.contains_key(name));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spec(port: u16) -> DatabaseSpec {
        serde_json::from_value(serde_json::json!({
            "protocol": "postgres", "backends": [format!("10.0.0.1:{port}")],
        }))
        .unwrap()
    }

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    #[test]
    fn leases_end_and_take_their_database_with_them() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let mut overlay = Overlay::default();
        overlay.databases.insert("tmp".into(), spec(1));
        overlay.exposed.insert(
            "tmp".into(),
            BTreeMap::from([(
                host("t.example"),
                Lease {
                    expires: Some(now),
                    ephemeral: false,
                },
            )]),
        );
        assert_eq!(overlay.lasting(), Overlay::default());
        assert_eq!(overlay.next_expiry(), Some(now));
        assert!(!overlay.expire(now - Duration::from_secs(1)));
        assert!(overlay.expire(now));
        assert_eq!(overlay, Overlay::default());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut overlay = Overlay::default();
        overlay.databases.insert("pg9".into(), spec(9));
        overlay.exposed.insert(
            "pg9".into(),
            BTreeMap::from([(host("*.example"), Lease::default())]),
        );
        overlay
            .hidden
            .insert("pg1".into(), BTreeSet::from([host("a.example")]));
        let text = serde_json::to_string(&overlay).unwrap();
        assert_eq!(serde_json::from_str::<Overlay>(&text).unwrap(), overlay);
    }
}
