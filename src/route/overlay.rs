//! What `ctl` changed at run time, laid over the configuration: databases made, hosts exposed,
//! hosts hidden; and the rules by which the two become one.
//!
//! Not here: keeping it on disk ([`crate::provider::state`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::Host;
use super::database::{Exposure, ExposureState, Origin};
use super::spec::DatabaseSpec;

/// A database with its hosts, as one origin declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Protocol, backends, TLS and limits.
    pub spec: DatabaseSpec,
    /// The hosts under which it is exposed.
    pub hosts: Vec<Host>,
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

    /// Drops databases that `ctl` made and that have lost their last host.
    pub fn forget_unexposed(&mut self) {
        self.exposed.retain(|_, hosts| !hosts.is_empty());
        self.hidden.retain(|_, hosts| !hosts.is_empty());
        let exposed = &self.exposed;
        self.databases.retain(|name, _| exposed.contains_key(name));
    }
}

/// A database as it results from configuration and overlay.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// Its name.
    pub name: String,
    /// From the configuration where it declares the name, else from `ctl`.
    pub spec: DatabaseSpec,
    /// Which of the two.
    pub origin: Origin,
    /// Its hosts, active or not.
    pub exposures: Vec<Exposure>,
}

/// Lays the overlay over the configuration.
///
/// The configuration wins a name that both declare and a host that both give away; what loses is
/// kept, marked, and told in the notes, one sentence each.
#[must_use]
pub fn resolve(
    config: &BTreeMap<String, Declared>,
    overlay: &Overlay,
) -> (Vec<Resolved>, Vec<String>) {
    let mut notes = Vec::new();
    let mut owners: BTreeMap<&Host, &str> = BTreeMap::new();
    for (name, declared) in config {
        for host in &declared.hosts {
            if !is_hidden(overlay, name, host) {
                owners.insert(host, name);
            }
        }
    }
    for name in overlay.databases.keys().filter(|n| config.contains_key(*n)) {
        notes.push(format!(
            "database {name} is declared in the configuration: the one made by ctl under that name is not used"
        ));
    }
    for name in overlay.exposed.keys() {
        if !config.contains_key(name) && !overlay.databases.contains_key(name) {
            notes.push(format!(
                "database {name} is no longer declared: what ctl exposed of it waits until it is, or until `dbgate ctl hide {name}`"
            ));
        }
    }
    let declared = config
        .iter()
        .map(|(name, d)| (name, &d.spec, d.hosts.as_slice(), Origin::Config));
    let made = overlay
        .databases
        .iter()
        .filter(|(name, _)| !config.contains_key(*name))
        .map(|(name, spec)| (name, spec, [].as_slice(), Origin::Runtime));
    let mut resolved = Vec::with_capacity(config.len() + overlay.databases.len());
    for (name, spec, config_hosts, origin) in declared.chain(made) {
        let mut exposures: Vec<Exposure> = config_hosts
            .iter()
            .map(|host| Exposure {
                host: host.clone(),
                origin: Origin::Config,
                state: if is_hidden(overlay, name, host) {
                    ExposureState::Hidden
                } else {
                    ExposureState::Active
                },
                expires: None,
                ephemeral: false,
            })
            .collect();
        for (host, lease) in overlay.exposed.get(name).into_iter().flatten() {
            if config_hosts.contains(host) {
                continue;
            }
            let owner = *owners.entry(host).or_insert(name);
            if owner != name {
                notes.push(format!(
                    "host {host} leads to {owner}: what ctl exposed of {name} under it is not used"
                ));
            }
            exposures.push(Exposure {
                host: host.clone(),
                origin: Origin::Runtime,
                state: if owner == name {
                    ExposureState::Active
                } else {
                    ExposureState::Shadowed
                },
                expires: lease.expires,
                ephemeral: lease.ephemeral,
            });
        }
        resolved.push(Resolved {
            name: name.clone(),
            spec: spec.clone(),
            origin,
            exposures,
        });
    }
    (resolved, notes)
}

fn is_hidden(overlay: &Overlay, name: &str, host: &Host) -> bool {
    overlay
        .hidden
        .get(name)
        .is_some_and(|hosts| hosts.contains(host))
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

    fn config(entries: &[(&str, u16, &[&str])]) -> BTreeMap<String, Declared> {
        entries
            .iter()
            .map(|(name, port, hosts)| {
                let hosts = hosts.iter().map(|h| host(h)).collect();
                let spec = spec(*port);
                ((*name).to_owned(), Declared { spec, hosts })
            })
            .collect()
    }

    fn told(resolved: &[Resolved]) -> Vec<String> {
        resolved
            .iter()
            .flat_map(|d| {
                d.exposures.iter().map(|e| {
                    format!(
                        "{} {:?} {} {:?} {:?}",
                        d.name, d.origin, e.host, e.origin, e.state
                    )
                })
            })
            .collect()
    }

    #[test]
    fn runtime_hosts_join_and_hidden_ones_stay_listed() {
        let config = config(&[("pg1", 1, &["a.example", "b.example"])]);
        let mut overlay = Overlay::default();
        overlay
            .hidden
            .insert("pg1".into(), BTreeSet::from([host("b.example")]));
        overlay.exposed.insert(
            "pg1".into(),
            BTreeMap::from([(host("c.example"), Lease::default())]),
        );
        let (resolved, notes) = resolve(&config, &overlay);
        assert_eq!(
            told(&resolved),
            [
                "pg1 Config a.example Config Active",
                "pg1 Config b.example Config Hidden",
                "pg1 Config c.example Runtime Active",
            ]
        );
        assert!(notes.is_empty(), "{notes:?}");
    }

    #[test]
    fn the_configuration_wins_names_and_hosts_and_it_is_said() {
        let config = config(&[("pg1", 1, &["a.example"])]);
        let mut overlay = Overlay::default();
        overlay.databases.insert("pg1".into(), spec(9));
        overlay.databases.insert("pg2".into(), spec(2));
        for name in ["pg2", "gone"] {
            overlay.exposed.insert(
                name.into(),
                BTreeMap::from([(host("a.example"), Lease::default())]),
            );
        }
        let (resolved, notes) = resolve(&config, &overlay);
        assert_eq!(
            told(&resolved),
            [
                "pg1 Config a.example Config Active",
                "pg2 Runtime a.example Runtime Shadowed",
            ]
        );
        assert_eq!(resolved.first().unwrap().spec, spec(1));
        assert_eq!(notes.len(), 3, "{notes:?}");
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
