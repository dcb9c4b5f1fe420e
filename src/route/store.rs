//! The one place where routes change: an immutable snapshot, replaced as a whole by one writer.
//!
//! Sessions read [`Store::snapshot`] without a lock. Changes go one at a time; each is complete
//! or leaves everything as it was, and each that has an effect raises the revision by one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};
use thiserror::Error;

use super::database::{Database, DatabaseSpec, GatewayTls, Origin};
use super::overlay::{Declared, Lease, Overlay, Resolved, resolve};
use super::{Host, Table};
use crate::tls::config::{Loader, ServerTls, TlsFileError};

/// Everything that routing needs, as of one revision.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Raised by one at each change.
    pub revision: u64,
    /// Host to database.
    pub table: Table,
    /// All databases, exposed or not.
    pub databases: BTreeMap<Arc<str>, Arc<Database>>,
    /// The gateway's own certificate, for refusals inside TLS; `None` where it was minted, since
    /// no client trusts it.
    pub gateway_tls: Option<Arc<ServerTls>>,
    /// What an operator should know of configuration and overlay not agreeing.
    pub notes: Vec<String>,
}

/// What a change did.
#[derive(Debug, Default)]
pub struct Change {
    /// The revision after it.
    pub revision: u64,
    /// False where everything already was as asked.
    pub changed: bool,
    /// (database, host) pairs that routed before and do not now.
    pub withdrawn: Vec<(Arc<str>, Host)>,
    /// (database, host) pairs that route now and did not before.
    pub exposed: Vec<(Arc<str>, Host)>,
    /// Databases that are gone.
    pub removed: Vec<Arc<str>>,
    /// Notes of the new snapshot that the one before did not have.
    pub news: Vec<String>,
}

/// Why a change was not made; nothing has changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// The request contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// The named database or host is not there.
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense by itself.
    #[error("{0}")]
    Invalid(String),
    /// A file of a database cannot be used.
    #[error("database {database}: {source}")]
    Files {
        /// Which database.
        database: String,
        /// What is wrong with the file.
        source: TlsFileError,
    },
    /// The gateway's own certificate cannot be used.
    #[error("the gateway's certificate: {0}")]
    GatewayFiles(TlsFileError),
    /// The change cannot be kept on disk.
    #[error("cannot keep the change in the state directory: {0}")]
    State(std::io::Error),
}

/// A wish to make a database reachable.
#[derive(Clone, Debug)]
pub struct Expose {
    /// The database.
    pub name: String,
    /// The hosts; empty takes back what `hide` did to the hosts of the configuration.
    pub hosts: Vec<Host>,
    /// The declaration of a new database; `None` for one that exists.
    pub spec: Option<DatabaseSpec>,
    /// How long it lasts.
    pub lease: Lease,
    /// Replaces a declaration made by `ctl` before, and takes over hosts exposed by `ctl`.
    pub replace: bool,
}

/// A wish to end an exposure.
#[derive(Clone, Debug)]
pub struct Hide {
    /// The database.
    pub name: String,
    /// The hosts; empty means all.
    pub hosts: Vec<Host>,
}

/// Keeps the lasting part of an overlay before a change takes effect.
pub type Persist<'a> = &'a dyn Fn(&Overlay) -> std::io::Result<()>;

struct Inner {
    config: BTreeMap<String, Declared>,
    gateway: GatewayTls,
    overlay: Overlay,
    loader: Loader,
}

/// The routes and their origins.
pub struct Store {
    inner: Mutex<Inner>,
    current: ArcSwap<Snapshot>,
}

impl Store {
    /// Builds the first snapshot from the configuration and the overlay kept from before.
    ///
    /// # Errors
    /// A file of a database cannot be used. A database made by `ctl` whose files are gone does
    /// not stop the gateway: it is left out, with a note.
    pub fn new(
        config: BTreeMap<String, Declared>,
        gateway: GatewayTls,
        overlay: Overlay,
    ) -> Result<Self, ChangeError> {
        let mut loader = Loader::default();
        let snapshot = build(
            &config,
            &gateway,
            &overlay,
            &mut loader,
            &Snapshot::default(),
        )?;
        Ok(Self {
            inner: Mutex::new(Inner {
                config,
                gateway,
                overlay,
                loader,
            }),
            current: ArcSwap::from_pointee(snapshot),
        })
    }

    /// The routes as they are now; hold it no longer than a lookup takes.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The overlay as it is now.
    pub fn overlay(&self) -> Overlay {
        self.lock().overlay.clone()
    }

    /// The configuration's databases as last read.
    pub fn config(&self) -> BTreeMap<String, Declared> {
        self.lock().config.clone()
    }

    /// Puts a newly read configuration in force, reading all certificate files again.
    ///
    /// # Errors
    /// A file of a database cannot be used; nothing changes then.
    pub fn replace_config(
        &self,
        config: BTreeMap<String, Declared>,
        gateway: GatewayTls,
    ) -> Result<Change, ChangeError> {
        let mut inner = self.lock();
        let mut loader = inner.loader.clone();
        loader.reread();
        let before = self.current.load_full();
        let after = build(&config, &gateway, &inner.overlay, &mut loader, &before)?;
        let change = compare(&before, &after);
        inner.config = config;
        inner.gateway = gateway;
        inner.loader = loader;
        self.current.store(Arc::new(after));
        Ok(change)
    }

    /// Makes a database reachable.
    ///
    /// # Errors
    /// A conflict with what is declared, an unknown database, unusable files, or a state
    /// directory that cannot be written.
    pub fn expose(
        &self,
        wish: &Expose,
        dry_run: bool,
        persist: Persist<'_>,
    ) -> Result<Change, ChangeError> {
        let mut inner = self.lock();
        let mut overlay = inner.overlay.clone();
        lay_exposure(&inner.config, &mut overlay, wish)?;
        self.commit(&mut inner, overlay, dry_run, persist)
    }

    /// Ends an exposure.
    ///
    /// # Errors
    /// An unknown database or host, or a state directory that cannot be written.
    pub fn hide(
        &self,
        wish: &Hide,
        dry_run: bool,
        persist: Persist<'_>,
    ) -> Result<Change, ChangeError> {
        let mut inner = self.lock();
        let mut overlay = inner.overlay.clone();
        lift_exposure(&inner.config, &mut overlay, wish)?;
        self.commit(&mut inner, overlay, dry_run, persist)
    }

    /// Ends the leases that have run out by `now`.
    ///
    /// # Errors
    /// The databases that remain cannot be built; nothing changes then.
    pub fn expire(&self, now: SystemTime) -> Result<Change, ChangeError> {
        let mut inner = self.lock();
        let mut overlay = inner.overlay.clone();
        overlay.expire(now);
        self.commit(&mut inner, overlay, false, &|_| Ok(()))
    }

    /// When the next lease runs out.
    pub fn next_expiry(&self) -> Option<SystemTime> {
        self.lock().overlay.next_expiry()
    }

    fn commit(
        &self,
        inner: &mut Inner,
        overlay: Overlay,
        dry_run: bool,
        persist: Persist<'_>,
    ) -> Result<Change, ChangeError> {
        let before = self.current.load_full();
        if overlay == inner.overlay {
            return Ok(Change {
                revision: before.revision,
                ..Change::default()
            });
        }
        let mut loader = inner.loader.clone();
        let after = build(
            &inner.config,
            &inner.gateway,
            &overlay,
            &mut loader,
            &before,
        )?;
        let change = compare(&before, &after);
        if !dry_run {
            let lasting = overlay.lasting();
            if lasting != inner.overlay.lasting() {
                persist(&lasting).map_err(ChangeError::State)?;
            }
            inner.overlay = overlay;
            inner.loader = loader;
            self.current.store(Arc::new(after));
        }
        Ok(change)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held left the old state whole: it is replaced only at the
        // very end of each change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lay_exposure(
    config: &BTreeMap<String, Declared>,
    overlay: &mut Overlay,
    wish: &Expose,
) -> Result<(), ChangeError> {
    let name = &wish.name;
    let declared = config.get(name);
    match (&wish.spec, declared, overlay.databases.get(name)) {
        (None, None, None) => {
            return Err(ChangeError::NotFound(format!(
                "no database {name}: declare it in the configuration, or say where it is with --to"
            )));
        }
        (Some(spec), Some(declared), _) if *spec != declared.spec => {
            return Err(ChangeError::Conflict(format!(
                "database {name} is declared in the configuration with other settings: change them there and reload, or expose it with --host alone"
            )));
        }
        (Some(spec), None, Some(old)) if spec != old && !wish.replace => {
            return Err(ChangeError::Conflict(format!(
                "database {name} exists with other settings ({}): use --replace to change them",
                difference(old, spec)
            )));
        }
        (Some(spec), None, _) => {
            if let Some((key, what)) = spec.problems().into_iter().next() {
                return Err(ChangeError::Invalid(format!("{key}: {what}")));
            }
            overlay.databases.insert(name.clone(), spec.clone());
        }
        _ => {}
    }
    let spec = declared
        .map(|d| &d.spec)
        .or_else(|| overlay.databases.get(name));
    if spec.is_some_and(|s| s.protocol.server_first()) && !wish.hosts.is_empty() {
        return Err(ChangeError::Invalid(format!(
            "database {name} speaks first, before its client can name it: reach it through a listener with protocol = \"tcp\" and default = \"{name}\""
        )));
    }
    if wish.hosts.is_empty() {
        if overlay.hidden.remove(name).is_none() && declared.is_none() {
            return Err(ChangeError::Invalid(format!(
                "say under which name {name} is to be reached, with --host"
            )));
        }
        return Ok(());
    }
    for host in &wish.hosts {
        let config_owner = config.iter().find(|(owner, d)| {
            d.hosts.contains(host) && !overlay.hidden.get(*owner).is_some_and(|h| h.contains(host))
        });
        if let Some((owner, _)) = config_owner
            && owner != name
        {
            return Err(ChangeError::Conflict(format!(
                "host {host} leads to database {owner}, declared in the configuration: `dbgate ctl hide {owner} --host {host}` first"
            )));
        }
        let other = overlay
            .exposed
            .iter()
            .find(|(owner, hosts)| *owner != name && hosts.contains_key(host))
            .map(|(owner, _)| owner.clone());
        if let Some(owner) = other {
            if !wish.replace {
                return Err(ChangeError::Conflict(format!(
                    "host {host} leads to database {owner}: use --replace to move it"
                )));
            }
            if let Some(hosts) = overlay.exposed.get_mut(&owner) {
                hosts.remove(host);
            }
        }
        if declared.is_some_and(|d| d.hosts.contains(host)) {
            if let Some(hidden) = overlay.hidden.get_mut(name) {
                hidden.remove(host);
            }
        } else {
            overlay
                .exposed
                .entry(name.clone())
                .or_default()
                .insert(host.clone(), wish.lease);
        }
    }
    overlay.forget_unexposed();
    Ok(())
}

fn lift_exposure(
    config: &BTreeMap<String, Declared>,
    overlay: &mut Overlay,
    wish: &Hide,
) -> Result<(), ChangeError> {
    let name = &wish.name;
    let declared = config.get(name);
    let known = declared.is_some()
        || overlay.databases.contains_key(name)
        || overlay.exposed.contains_key(name);
    if !known {
        return Err(ChangeError::NotFound(format!("no database {name}")));
    }
    let config_hosts: BTreeSet<&Host> = declared.iter().flat_map(|d| &d.hosts).collect();
    let exposed = overlay.exposed.entry(name.clone()).or_default();
    let hosts: Vec<Host> = if wish.hosts.is_empty() {
        config_hosts
            .iter()
            .map(|h| (*h).clone())
            .chain(exposed.keys().cloned())
            .collect()
    } else {
        wish.hosts.clone()
    };
    for host in hosts {
        let was_exposed = exposed.remove(&host).is_some();
        if config_hosts.contains(&host) {
            overlay.hidden.entry(name.clone()).or_default().insert(host);
        } else if !was_exposed {
            return Err(ChangeError::NotFound(format!(
                "database {name} is not exposed under {host}"
            )));
        }
    }
    overlay.forget_unexposed();
    Ok(())
}

/// The keys in which two declarations differ, for a conflict's message.
fn difference(old: &DatabaseSpec, new: &DatabaseSpec) -> String {
    let fields = |spec: &DatabaseSpec| match serde_json::to_value(spec) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (fields(old), fields(new));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |v: Option<&serde_json::Value>| v.map_or("unset".to_owned(), ToString::to_string);
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| format!("{key}: {} → {}", text(old.get(key)), text(new.get(key))))
        .collect::<Vec<_>>()
        .join(", ")
}

fn build(
    config: &BTreeMap<String, Declared>,
    gateway: &GatewayTls,
    overlay: &Overlay,
    loader: &mut Loader,
    before: &Snapshot,
) -> Result<Snapshot, ChangeError> {
    let gateway_tls = loader
        .server(&gateway.files())
        .map_err(ChangeError::GatewayFiles)?;
    let (resolved, mut notes) = resolve(config, overlay);
    let mut snapshot = Snapshot {
        revision: before.revision + 1,
        gateway_tls: (!gateway.minted).then_some(gateway_tls),
        ..Snapshot::default()
    };
    for Resolved {
        name,
        spec,
        origin,
        exposures,
    } in resolved
    {
        let old = before.databases.get(name.as_str());
        let shared_name = old.map_or_else(|| Arc::from(name.as_str()), |o| o.name.clone());
        let built = Database::build(
            shared_name,
            spec,
            origin,
            exposures,
            gateway,
            loader,
            old.map(Arc::as_ref),
        );
        let database = match built {
            Ok(database) => Arc::new(database),
            Err(source) if origin == Origin::Runtime && before.revision == 0 => {
                notes.push(format!(
                    "database {name}, made by ctl, is left out: {source}"
                ));
                continue;
            }
            Err(source) => {
                return Err(ChangeError::Files {
                    database: name,
                    source,
                });
            }
        };
        for host in database.active_hosts() {
            snapshot.table.insert(host, database.clone());
        }
        snapshot.databases.insert(database.name.clone(), database);
    }
    snapshot.notes = notes;
    Ok(snapshot)
}

fn compare(before: &Snapshot, after: &Snapshot) -> Change {
    let pairs = |s: &Snapshot| -> BTreeSet<(Arc<str>, Host)> {
        s.databases
            .values()
            .flat_map(|d| d.active_hosts().map(|h| (d.name.clone(), h.clone())))
            .collect()
    };
    let (old, new) = (pairs(before), pairs(after));
    Change {
        revision: after.revision,
        changed: true,
        withdrawn: old.difference(&new).cloned().collect(),
        exposed: new.difference(&old).cloned().collect(),
        removed: before
            .databases
            .keys()
            .filter(|name| !after.databases.contains_key(*name))
            .cloned()
            .collect(),
        news: after
            .notes
            .iter()
            .filter(|note| !before.notes.contains(note))
            .cloned()
            .collect(),
    }
}
