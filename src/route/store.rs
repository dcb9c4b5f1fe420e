//! The one place where routes change: an immutable snapshot, replaced as a whole by one writer.
//!
//! Sessions read [`Store::snapshot`] without a lock. Changes go one at a time; each is complete
//! or leaves everything as it was, and each that has an effect raises the revision by one. A change
//! by `ctl` or by a source that sends its changes touches only the databases that it is about: the
//! new snapshot shares all others with the one before. A newly read configuration is built as a
//! whole.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};

use super::build::Building;
use super::change::RouteChange;
use super::database::GatewayTls;
use super::edit::{Edit, Persist};
use super::renewal::{self, Renewal};
use super::renewed;
use super::request::{
    self, ChangeError, Changed, DeleteRequest, DrainRequest, ExposeRequest, HideRequest,
};
use super::runtime::{RuntimeChanges, RuntimeRecord};
use super::source::{Declarations, Declared, Origin, Source};
use super::{Host, Snapshot};
use crate::tls::config::Loader;
use crate::tls::material::{MaterialOrigin, ReadMaterial};
use crate::upstream::{Backends, Checks};

struct Inner {
    gateway: GatewayTls,
    runtime: RuntimeChanges,
    /// The sources that only declare databases, but for the configuration, which the snapshot has.
    declared: BTreeMap<Origin, Declarations>,
    loader: Loader,
}

/// All sources but the configuration.
fn others<'a>(
    runtime: &'a RuntimeChanges,
    declared: &'a BTreeMap<Origin, Declarations>,
) -> Vec<&'a dyn Source> {
    let declared = declared.values().map(|source| source as &dyn Source);
    std::iter::once::<&dyn Source>(runtime)
        .chain(declared)
        .collect()
}

/// The routes and their sources.
pub struct Store {
    inner: Mutex<Inner>,
    current: ArcSwap<Snapshot>,
    backends: Arc<Backends>,
    /// The time at which the next lease runs out; apart, because a change that waits for a disk holds
    /// `inner`.
    expiry: Mutex<Option<SystemTime>>,
}

impl Store {
    /// Builds the first snapshot from the configuration and the runtime changes kept from before.
    ///
    /// # Errors
    /// A file of a database cannot be used. A database made by `ctl` whose files are gone does
    /// not stop the gateway: it is left out, with a note.
    pub fn new(
        config: BTreeMap<Arc<str>, Declared>,
        gateway: GatewayTls,
        runtime: RuntimeChanges,
        reader: Arc<dyn ReadMaterial>,
    ) -> Result<Self, ChangeError> {
        let mut loader = Loader::new(reader);
        let (backends, before) = (Arc::default(), Snapshot::default());
        let building = Building::new(&gateway, &mut loader, &backends, &before);
        let snapshot = building.whole(config, &[&runtime])?;
        Ok(Self {
            expiry: Mutex::new(runtime.next_expiry()),
            inner: Mutex::new(Inner {
                gateway,
                runtime,
                declared: BTreeMap::new(),
                loader,
            }),
            current: ArcSwap::from_pointee(snapshot),
            backends,
        })
    }

    /// The routes as they are now; hold it no longer than a lookup takes.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The backends that are checked.
    pub fn checks(&self) -> &Checks {
        &self.backends.checks
    }

    /// The runtime changes in force.
    pub fn runtime(&self) -> RuntimeRecord {
        self.lock().runtime.record()
    }

    /// The certificate of the gateway, for databases that name none.
    pub fn gateway_tls(&self) -> GatewayTls {
        self.lock().gateway.clone()
    }

    /// Puts a newly read configuration in force, reading all certificate files again.
    ///
    /// # Errors
    /// A file of a database cannot be used; nothing changes then.
    pub fn replace_config(
        &self,
        config: BTreeMap<Arc<str>, Declared>,
        gateway: GatewayTls,
        dry_run: bool,
    ) -> Result<RouteChange, ChangeError> {
        let mut inner = self.lock();
        let mut loader = inner.loader.clone();
        loader.reread();
        let before = self.current.load_full();
        let same = gateway == inner.gateway && before.is_of(&config);
        let building = Building::new(&gateway, &mut loader, &self.backends, &before);
        let after = building.whole(config, &others(&inner.runtime, &inner.declared))?;
        if same && !loader.has_changed() {
            if !dry_run {
                inner.loader = loader;
            }
            return Ok(self.unchanged());
        }
        let mut change = RouteChange::of_all(&before, &after);
        change.renewed = renewed::named(
            &loader.renewed(&inner.loader),
            (&before, &after),
            (&inner.gateway, &gateway),
        );
        if !dry_run {
            inner.gateway = gateway;
            inner.loader = loader;
            self.current.store(Arc::new(after));
        }
        Ok(change)
    }

    /// The files of certificates, keys and revocation lists in use, but for those that dbgate made
    /// itself.
    pub fn origins(&self) -> HashSet<MaterialOrigin> {
        let gateway = self.gateway_tls();
        renewal::origins(&self.snapshot(), &gateway)
    }

    /// Reads this material again, and puts in force what fits together: a configuration has all of
    /// its material as it is now, or as it was. Nothing else about any database changes.
    pub fn renew(&self, origins: &HashSet<MaterialOrigin>) -> Renewal {
        let mut inner = self.lock();
        let Inner {
            gateway, loader, ..
        } = &mut *inner;
        loader.prune();
        let before = self.current.load_full();
        let (after, renewal) = renewal::renew(&before, gateway, loader, origins);
        if let Some(after) = after {
            self.current.store(Arc::new(after));
        }
        renewal
    }

    /// Replaces the declarations of these databases in a source that only declares; `None` removes
    /// one. It costs as much as the source has declarations.
    ///
    /// # Errors
    /// A file of a database that was served before cannot be used any more; nothing changes then.
    pub fn declare(
        &self,
        origin: Origin,
        databases: BTreeMap<Arc<str>, Option<Declared>>,
    ) -> Result<RouteChange, ChangeError> {
        let mut inner = self.lock();
        let mut declared = inner.declared.clone();
        let source = declared
            .entry(origin)
            .or_insert_with(|| Declarations::new(origin));
        let mut replaced = BTreeMap::new();
        for (name, new) in databases {
            let old = source.put(&name, new);
            replaced.insert(name, old);
        }
        let names = replaced.keys().map(|name| &**name);
        let old = replaced.values().flatten();
        let hosts = old.flat_map(|old| old.hosts.iter());
        let before = self.current.load_full();
        let mut loader = inner.loader.clone();
        let building = Building::new(&inner.gateway, &mut loader, &self.backends, &before);
        let others = others(&inner.runtime, &declared);
        let (after, change) = building.part(names.collect(), hosts.collect(), &others)?;
        inner.loader = loader;
        inner.declared = declared;
        self.current.store(Arc::new(after));
        Ok(change)
    }

    /// Makes databases reachable: all of them or, where one fails, none.
    ///
    /// # Errors
    /// A conflict with what is declared, an unknown database, unusable files, or a state
    /// directory that cannot be written.
    pub fn expose(
        &self,
        requests: &[ExposeRequest],
        dry_run: bool,
        persist: Persist<'_>,
    ) -> Result<RouteChange, ChangeError> {
        let names: Vec<&str> = requests.iter().map(|request| &*request.name).collect();
        let mut inner = self.lock();
        let mut changed = Changed::new();
        for request in requests {
            request::expose(&self.current.load(), &inner.runtime, request, &mut changed)?;
        }
        self.commit(&mut inner, changed, &names, dry_run, persist)
    }

    /// Ends exposures: all of them or, where one fails, none.
    ///
    /// # Errors
    /// An unknown database or host, or a state directory that cannot be written.
    pub fn hide(
        &self,
        requests: &[HideRequest],
        dry_run: bool,
        persist: Persist<'_>,
    ) -> Result<RouteChange, ChangeError> {
        let mut inner = self.lock();
        let mut changed = Changed::new();
        for request in requests {
            request::hide(&self.current.load(), &inner.runtime, request, &mut changed)?;
        }
        self.commit(&mut inner, changed, &[], dry_run, persist)
    }

    /// Removes all runtime changes to databases; their hosts are no longer refused.
    ///
    /// # Errors
    /// Another source declares one, one is unknown, or the state directory cannot be written.
    pub fn delete(
        &self,
        requests: &[DeleteRequest],
        dry_run: bool,
        persist: Persist<'_>,
    ) -> Result<RouteChange, ChangeError> {
        let mut inner = self.lock();
        let mut changed = Changed::new();
        for request in requests {
            request::delete(&self.current.load(), &inner.runtime, request, &mut changed)?;
        }
        let mut freed = Vec::new();
        for name in changed.keys() {
            let hosts: BTreeSet<&Host> = inner
                .runtime
                .get(name)
                .iter()
                .flat_map(|e| e.hosts())
                .collect();
            freed.extend(hosts.into_iter().map(|host| (name.clone(), host.clone())));
        }
        let change = self.commit(&mut inner, changed, &[], dry_run, persist)?;
        Ok(RouteChange { freed, ..change })
    }

    /// Lets no new sessions in to databases or backends, or lets them in again: all of them or,
    /// where one fails, none.
    ///
    /// # Errors
    /// An unknown database or backend, or the state directory cannot be written.
    pub fn drain(
        &self,
        requests: &[DrainRequest],
        dry_run: bool,
        persist: Persist<'_>,
    ) -> Result<RouteChange, ChangeError> {
        let mut inner = self.lock();
        let mut changed = Changed::new();
        for request in requests {
            request::drain(&self.current.load(), &inner.runtime, request, &mut changed)?;
        }
        self.commit(&mut inner, changed, &[], dry_run, persist)
    }

    /// The result of a change that changes nothing.
    #[must_use]
    pub fn unchanged(&self) -> RouteChange {
        RouteChange {
            revision: self.snapshot().revision,
            ..RouteChange::default()
        }
    }

    /// Ends the leases that have run out by `now`.
    ///
    /// # Errors
    /// The databases that remain cannot be built; nothing changes then.
    pub fn expire(&self, now: SystemTime) -> Result<RouteChange, ChangeError> {
        let mut inner = self.lock();
        let changed = inner.runtime.expired(now);
        self.commit(&mut inner, changed, &[], false, &|_, _| Ok(()))
    }

    /// The time at which the next lease runs out.
    pub fn next_expiry(&self) -> Option<SystemTime> {
        *self.expiry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change by `ctl`, or leaves everything as it was.
    fn commit(
        &self,
        inner: &mut Inner,
        changed: Changed,
        requested: &[&str],
        dry_run: bool,
        persist: Persist<'_>,
    ) -> Result<RouteChange, ChangeError> {
        let edit = Edit::begin(&mut inner.runtime, changed);
        let before = self.current.load_full();
        let exposed = |snapshot: &Snapshot| {
            let names = requested.iter();
            names
                .filter_map(|name| snapshot.databases.get(name).cloned())
                .collect()
        };
        if edit.is_empty() {
            return Ok(RouteChange {
                databases: exposed(&before),
                ..self.unchanged()
            });
        }
        let mut loader = inner.loader.clone();
        let building = Building::new(&inner.gateway, &mut loader, &self.backends, &before);
        let others = others(edit.runtime(), &inner.declared);
        let (after, change) =
            building
                .asked_for(requested)
                .part(edit.names(), edit.hosts_before(), &others)?;
        let change = RouteChange {
            names: edit.names().into_iter().map(str::to_owned).collect(),
            databases: exposed(&after),
            ..change
        };
        if !dry_run {
            let lasting = edit.lasting();
            if !lasting.is_empty() {
                persist(&lasting, edit.runtime()).map_err(ChangeError::State)?;
            }
            edit.keep();
            *self.expiry.lock().unwrap_or_else(PoisonError::into_inner) =
                inner.runtime.next_expiry();
            inner.loader = loader;
            self.current.store(Arc::new(after));
        }
        Ok(change)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held left the old state whole: what a change has begun is taken
        // back, and all else is replaced only at its very end.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
