//! The one place where routes change: an immutable snapshot, replaced as a whole by one writer.
//!
//! Sessions read [`Store::snapshot`] without a lock. Changes go one at a time; each is complete
//! or leaves everything as it was, and each that has an effect raises the revision by one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};

pub use super::change::{ChangeError, Expose, Hide};
use super::change::{lay_exposure, lift_exposure};
use super::database::{Database, ExposureState, GatewayTls, Origin};
use super::overlay::{Declared, Overlay, Resolved, resolve};
use super::{Host, Table};
use crate::tls::config::{Loader, ServerTls};

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
            None,
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
        let mut after = build(
            &config,
            &gateway,
            &inner.overlay,
            &mut loader,
            &before,
            None,
        )?;
        let mut change = compare(&before, &after);
        if config == inner.config && gateway == inner.gateway && !loader.has_built() {
            after.revision = before.revision;
            change.revision = before.revision;
            change.changed = false;
        }
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
        self.commit(&mut inner, overlay, Some(&wish.name), dry_run, persist)
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
        self.commit(&mut inner, overlay, None, dry_run, persist)
    }

    /// Ends the leases that have run out by `now`.
    ///
    /// # Errors
    /// The databases that remain cannot be built; nothing changes then.
    pub fn expire(&self, now: SystemTime) -> Result<Change, ChangeError> {
        let mut inner = self.lock();
        let mut overlay = inner.overlay.clone();
        overlay.expire(now);
        self.commit(&mut inner, overlay, None, false, &|_| Ok(()))
    }

    /// When the next lease runs out.
    pub fn next_expiry(&self) -> Option<SystemTime> {
        self.lock().overlay.next_expiry()
    }

    fn commit(
        &self,
        inner: &mut Inner,
        overlay: Overlay,
        wished: Option<&str>,
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
            wished,
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

/// Builds the routes that configuration and overlay make together.
///
/// A database made by `ctl` whose files cannot be used fails the change that wishes for it
/// (`wished`), or that would take it away; otherwise it is left out with a note, since it must not
/// stand in the way of changes to others.
fn build(
    config: &BTreeMap<String, Declared>,
    gateway: &GatewayTls,
    overlay: &Overlay,
    loader: &mut Loader,
    before: &Snapshot,
    wished: Option<&str>,
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
            Err(source)
                if origin == Origin::Runtime
                    && wished != Some(name.as_str())
                    && !before.databases.contains_key(name.as_str()) =>
            {
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
        for exposure in &database.exposures {
            match exposure.state {
                ExposureState::Active => snapshot.table.insert(&exposure.host, database.clone()),
                ExposureState::Hidden => snapshot.table.hide(&exposure.host),
                ExposureState::Shadowed => {}
            }
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
