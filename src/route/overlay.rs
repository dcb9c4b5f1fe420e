//! What `ctl` changed at run time, laid over the configuration: databases made, hosts exposed,
//! hosts hidden.
//!
//! It may hold as many databases as a configuration: each change is about one or a few of them, and
//! costs no more where there are very many others.
//!
//! Not here: the rules by which the two become one (`resolve.rs`), and keeping it on disk
//! ([`crate::provider::state`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
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

/// What `ctl` did about one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Laid {
    /// Its declaration, where only `ctl` made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseSpec>,
    /// Hosts that `ctl` exposed, whoever declared the database.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed: BTreeMap<Host, Lease>,
    /// Hosts of the configuration that `ctl` switched off.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub hidden: BTreeSet<Host>,
}

impl Laid {
    /// The part that is kept over a restart: neither ephemeral nor limited in time.
    #[must_use]
    pub fn lasting(&self) -> Self {
        let exposed = self.exposed.iter().filter(|(_, lease)| lease.lasts());
        let exposed = exposed.map(|(host, lease)| (host.clone(), *lease));
        let kept = Self {
            database: self.database.clone(),
            exposed: exposed.collect(),
            hidden: self.hidden.clone(),
        };
        kept.tidy()
    }

    /// The same without a declaration that has lost its last host.
    fn tidy(mut self) -> Self {
        self.database.take_if(|_| self.exposed.is_empty());
        self
    }

    fn is_nothing(&self) -> bool {
        self.exposed.is_empty() && self.hidden.is_empty()
    }

    fn expiries(&self) -> impl Iterator<Item = SystemTime> {
        self.exposed.values().filter_map(|lease| lease.expires)
    }
}

/// What `ctl` did, by kind, as it is told and written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// Databases that only `ctl` made.
    pub databases: BTreeMap<Arc<str>, DatabaseSpec>,
    /// Hosts that `ctl` exposed, by database, whoever declared the database.
    pub exposed: BTreeMap<Arc<str>, BTreeMap<Host, Lease>>,
    /// Hosts of the configuration that `ctl` switched off, by database.
    pub hidden: BTreeMap<Arc<str>, BTreeSet<Host>>,
}

/// Everything that `ctl` did and that is still in force.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    laid: BTreeMap<Arc<str>, Laid>,
    /// Which databases have a host exposed by `ctl`; follows from `laid`.
    claims: HashMap<Host, Few<Arc<str>>>,
    /// The leases that end, and whose they are; follows from `laid`.
    expiries: BTreeSet<(SystemTime, Arc<str>)>,
}

impl PartialEq for Overlay {
    fn eq(&self, other: &Self) -> bool {
        self.laid == other.laid
    }
}

impl Overlay {
    /// What was done about this database; `None` for nothing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Laid> {
        self.laid.get(name)
    }

    /// The databases that something was done about.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.laid.keys().map(|name| &**name)
    }

    /// Puts this in the place of what was done about a database, which is returned.
    pub fn put(&mut self, name: &str, laid: Laid) -> Laid {
        let (name, old) = match self.laid.remove_entry(name) {
            Some((name, old)) => (name, old),
            None => (name.into(), Laid::default()),
        };
        for expiry in old.expiries() {
            self.expiries.remove(&(expiry, name.clone()));
        }
        for host in old.exposed.keys() {
            if let Some(names) = self.claims.remove(host) {
                let others: Few<_> = names.iter().filter(|n| **n != name).cloned().collect();
                if !others.is_empty() {
                    self.claims.insert(host.clone(), others);
                }
            }
        }
        let laid = laid.tidy();
        for expiry in laid.expiries() {
            self.expiries.insert((expiry, name.clone()));
        }
        for host in laid.exposed.keys() {
            let names = self.claims.remove(host).unwrap_or_default();
            let names = names.iter().cloned().chain([name.clone()]).collect();
            self.claims.insert(host.clone(), names);
        }
        if !laid.is_nothing() {
            self.laid.insert(name, laid);
        }
        old
    }

    /// The databases that `ctl` exposed under this host, in no order.
    pub fn claimants(&self, host: &Host) -> impl Iterator<Item = &str> {
        let names = self.claims.get(host).into_iter();
        names.flat_map(|names| names.iter().map(|name| &**name))
    }

    /// The declaration of a database that only `ctl` made.
    #[must_use]
    pub fn made(&self, name: &str) -> Option<&DatabaseSpec> {
        self.get(name)?.database.as_ref()
    }

    /// Whether a host of the configuration is switched off.
    #[must_use]
    pub fn hides(&self, name: &str, host: &Host) -> bool {
        self.get(name)
            .is_some_and(|laid| laid.hidden.contains(host))
    }

    /// What is left of each database with a lease that has run out by `now`.
    #[must_use]
    pub fn expired(&self, now: SystemTime) -> BTreeMap<String, Laid> {
        let over = self.expiries.iter().take_while(|(at, _)| *at <= now);
        let mut left = BTreeMap::new();
        for (_, name) in over {
            let Some(laid) = self.get(name) else { continue };
            let mut laid = laid.clone();
            laid.exposed
                .retain(|_, lease| lease.expires.is_none_or(|at| at > now));
            left.insert(name.to_string(), laid);
        }
        left
    }

    /// When the next lease runs out.
    #[must_use]
    pub fn next_expiry(&self) -> Option<SystemTime> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// All of it, by kind.
    #[must_use]
    pub fn written(&self) -> Written {
        let mut written = Written::default();
        for (name, laid) in &self.laid {
            written.add(name, laid.clone());
        }
        written
    }

    /// The part that is kept over a restart, by kind.
    #[must_use]
    pub fn lasting(&self) -> Written {
        let mut written = Written::default();
        for (name, laid) in &self.laid {
            written.add(name, laid.lasting());
        }
        written
    }
}

impl Written {
    fn add(&mut self, name: &Arc<str>, laid: Laid) {
        let Laid {
            database,
            exposed,
            hidden,
        } = laid;
        if let Some(spec) = database {
            self.databases.insert(name.clone(), spec);
        }
        if !exposed.is_empty() {
            self.exposed.insert(name.clone(), exposed);
        }
        if !hidden.is_empty() {
            self.hidden.insert(name.clone(), hidden);
        }
    }
}

impl From<Written> for Overlay {
    fn from(written: Written) -> Self {
        let Written {
            mut databases,
            mut exposed,
            mut hidden,
        } = written;
        // A database that `ctl` made lasts as long as its last host.
        let names: BTreeSet<Arc<str>> = exposed.keys().chain(hidden.keys()).cloned().collect();
        let mut overlay = Self::default();
        for name in names {
            let laid = Laid {
                database: databases.remove(&name),
                exposed: exposed.remove(&name).unwrap_or_default(),
                hidden: hidden.remove(&name).unwrap_or_default(),
            };
            overlay.put(&name, laid);
        }
        overlay
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

    fn exposed(hosts: &[&str], expires: Option<SystemTime>) -> Laid {
        let lease = Lease {
            expires,
            ephemeral: false,
        };
        Laid {
            database: Some(spec(1)),
            exposed: hosts.iter().map(|text| (host(text), lease)).collect(),
            hidden: BTreeSet::new(),
        }
    }

    #[test]
    fn leases_end_and_take_their_database_with_them() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let mut overlay = Overlay::default();
        overlay.put("tmp", exposed(&["t.example"], Some(now)));
        overlay.put("pg9", exposed(&["9.example"], None));
        assert_eq!(overlay.lasting().databases.len(), 1);
        assert_eq!(overlay.next_expiry(), Some(now));
        assert!(overlay.expired(now - Duration::from_secs(1)).is_empty());
        for (name, left) in overlay.expired(now) {
            overlay.put(&name, left);
        }
        assert_eq!(overlay.names().collect::<Vec<_>>(), ["pg9"]);
        assert_eq!(overlay.next_expiry(), None);
    }

    #[test]
    fn it_knows_who_has_a_host_whatever_was_put_in_its_place() {
        let mut overlay = Overlay::default();
        let claimants = |overlay: &Overlay, text: &str| {
            let mut names: Vec<_> = overlay.claimants(&host(text)).map(str::to_owned).collect();
            names.sort_unstable();
            names
        };
        overlay.put("a", exposed(&["1.example", "2.example"], None));
        overlay.put("b", exposed(&["2.example"], None));
        assert_eq!(claimants(&overlay, "2.example"), ["a", "b"]);
        let old = overlay.put("a", exposed(&["1.example"], None));
        assert_eq!(claimants(&overlay, "2.example"), ["b"]);
        overlay.put("a", old);
        overlay.put("b", Laid::default());
        assert_eq!(claimants(&overlay, "1.example"), ["a"]);
        assert_eq!(claimants(&overlay, "2.example"), ["a"]);
    }

    #[test]
    fn what_is_told_makes_the_same_again() {
        let mut overlay = Overlay::default();
        overlay.put("pg9", exposed(&["*.example"], None));
        let mut laid = Laid::default();
        laid.hidden.insert(host("a.example"));
        overlay.put("pg1", laid);
        assert_eq!(Overlay::from(overlay.written()), overlay);
        let laid = overlay.get("pg9").unwrap();
        let text = serde_json::to_string(laid).unwrap();
        assert_eq!(serde_json::from_str::<Laid>(&text).unwrap(), *laid);
    }
}
