//! The one place where routes change: an immutable snapshot, replaced as a whole by one writer.
//!
//! Sessions read [`Store::snapshot`] without a lock. Changes go one at a time; each is complete
//! or leaves everything as it was, and each that has an effect raises the revision by one. What
//! `ctl` changes touches only the databases that it is about: the new snapshot shares all others
//! with the one before. A newly read configuration is built as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};

use super::build::{Building, compare};
use super::change::{self, Changed};
pub use super::change::{ChangeError, ExposeRequest, HideRequest};
use super::database::{Database, GatewayTls, Origin};
use super::merge::affected;
use super::renewed::{self, RenewedFile};
use super::runtime::{Declared, RuntimeChanges, RuntimeEntry, RuntimeRecord};
use super::shards::Shards;
use super::{Host, Table};
use crate::tls::client::ClientVerifier;
use crate::tls::config::{Loader, ServerTls};
use crate::upstream::Backends;

/// Everything that routing needs, as of one revision.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Raised by one at each change.
    pub revision: u64,
    /// Host to database.
    pub table: Table,
    /// All databases, exposed or not.
    pub databases: Shards<Arc<Database>>,
    /// The gateway's own certificate, for refusals inside TLS; `None` where it was minted, since
    /// no client trusts it.
    pub gateway_tls: Option<Arc<ServerTls>>,
    /// What an operator should know of configuration and runtime changes not agreeing, by database.
    pub notes: Arc<BTreeMap<Arc<str>, Vec<String>>>,
    /// Databases made by `ctl` whose files could not be used; each change tries them again.
    pub(super) left_out: BTreeSet<String>,
}

impl Snapshot {
    /// A database of the configuration.
    #[must_use]
    pub fn declared(&self, name: &str) -> Option<&Arc<Database>> {
        let database = self.databases.get(name);
        database.filter(|database| database.origin == Origin::Config)
    }

    /// All databases, by name.
    #[must_use]
    pub fn by_name(&self) -> Vec<&Arc<Database>> {
        let mut all: Vec<_> = self.databases.iter().collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// All notes, a sentence each.
    pub fn all_notes(&self) -> impl Iterator<Item = &str> {
        self.notes.values().flatten().map(String::as_str)
    }

    /// Whether the configuration declares just these.
    fn is_of(&self, config: &BTreeMap<Arc<str>, Declared>) -> bool {
        let declared = self.databases.iter().filter(|d| d.origin == Origin::Config);
        declared.count() == config.len()
            && config.iter().all(|(name, declared)| {
                let database = self.databases.get(name);
                database.is_some_and(|database| database.is_declared_as(declared))
            })
    }
}

/// What a change did.
#[derive(Debug, Default)]
pub struct RouteChange {
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
    /// Hosts of a database that was deleted, whether they led there or were refused.
    pub freed: Vec<Host>,
    /// Notes of the new snapshot that the one before did not have.
    pub news: Vec<String>,
    /// Files of certificates, keys and authorities that hold something else now.
    pub renewed: Vec<RenewedFile>,
    /// The database that is exposed, as it is after the change; in a dry run, as it would be.
    pub database: Option<Arc<Database>>,
}

/// Keeps the lasting part of a change before it takes effect: what it makes of each database that
/// it is about, and the runtime changes with it done.
pub type Persist<'a> =
    &'a dyn Fn(&BTreeMap<&str, RuntimeEntry>, &RuntimeChanges) -> std::io::Result<()>;

/// How often to look whether sessions have let go of the snapshot before.
const PATIENCE: u32 = 10_000;

struct Inner {
    gateway: GatewayTls,
    runtime: RuntimeChanges,
    loader: Loader,
}

/// A change of what `ctl` did, taken back when dropped unless it was kept.
struct Edit<'a> {
    runtime: &'a mut RuntimeChanges,
    /// What was there before.
    before: Vec<(String, RuntimeEntry)>,
}

impl<'a> Edit<'a> {
    fn begin(runtime: &'a mut RuntimeChanges, changed: Changed) -> Self {
        let mut edit = Self {
            runtime,
            before: Vec::with_capacity(changed.len()),
        };
        for (name, entry) in changed {
            let old = edit.runtime.put(&name, entry);
            edit.before.push((name, old));
        }
        edit
    }

    /// What it makes of the part that is kept over a restart, where that is another.
    fn lasting(&self) -> BTreeMap<&str, RuntimeEntry> {
        let now = self.before.iter().map(|(name, old)| {
            let now = self.runtime.get(name);
            (
                name.as_str(),
                old,
                now.map_or_else(RuntimeEntry::default, RuntimeEntry::lasting),
            )
        });
        now.filter(|(_, old, now)| *now != old.lasting())
            .map(|(name, _, now)| (name, now))
            .collect()
    }

    fn keep(mut self) {
        self.before.clear();
    }
}

impl Drop for Edit<'_> {
    fn drop(&mut self) {
        for (name, old) in self.before.drain(..) {
            self.runtime.put(&name, old);
        }
    }
}

/// The routes and their origins.
pub struct Store {
    inner: Mutex<Inner>,
    backends: Arc<Backends>,
    current: ArcSwap<Snapshot>,
    /// When the next lease runs out; apart, because a change that waits for a disk holds `inner`.
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
    ) -> Result<Self, ChangeError> {
        let mut loader = Loader::default();
        let backends = Arc::<Backends>::default();
        let before = Snapshot::default();
        let snapshot = Building {
            gateway: &gateway,
            loader: &mut loader,
            backends: &backends,
            before: &before,
            requested: None,
        }
        .whole(config, &runtime)?;
        Ok(Self {
            expiry: Mutex::new(runtime.next_expiry()),
            inner: Mutex::new(Inner {
                gateway,
                runtime,
                loader,
            }),
            backends,
            current: ArcSwap::from_pointee(snapshot),
        })
    }

    /// The routes as they are now; hold it no longer than a lookup takes.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// What `ctl` did that is in force now.
    pub fn runtime(&self) -> RuntimeRecord {
        self.lock().runtime.record()
    }

    /// The verifiers of client certificates that have revocation lists, in use or kept for a
    /// change that may come.
    pub fn client_verifiers(&self) -> Vec<Arc<ClientVerifier>> {
        self.lock().loader.client_verifiers()
    }

    /// What the gateway shows where a database names nothing of its own.
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
    ) -> Result<RouteChange, ChangeError> {
        self.try_config(config, gateway, false)
    }

    /// What [`Store::replace_config`] would do; nothing changes.
    ///
    /// # Errors
    /// As it would.
    pub fn preview_config(
        &self,
        config: BTreeMap<Arc<str>, Declared>,
        gateway: GatewayTls,
    ) -> Result<RouteChange, ChangeError> {
        self.try_config(config, gateway, true)
    }

    fn try_config(
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
        let after = Building {
            gateway: &gateway,
            loader: &mut loader,
            backends: &self.backends,
            before: &before,
            requested: None,
        }
        .whole(config, &inner.runtime)?;
        if same && !loader.has_built() {
            if !dry_run {
                inner.loader = loader;
            }
            return Ok(RouteChange {
                revision: before.revision,
                ..RouteChange::default()
            });
        }
        let gone = before.databases.iter().map(|d| &*d.name);
        let gone = gone.filter(|name| !after.databases.contains_key(name));
        let names = after.databases.iter().map(|d| &*d.name).chain(gone);
        let mut change = compare(&before, &after, names);
        change.renewed = renewed::named(
            &loader.renewed(&inner.loader),
            (&before, &after),
            (&inner.gateway, &gateway),
        );
        if !dry_run {
            inner.gateway = gateway;
            inner.loader = loader;
            self.replace(before, after);
        }
        Ok(change)
    }

    /// Makes a database reachable.
    ///
    /// # Errors
    /// A conflict with what is declared, an unknown database, unusable files, or a state
    /// directory that cannot be written.
    pub fn expose(
        &self,
        request: &ExposeRequest,
        dry_run: bool,
        persist: Persist<'_>,
    ) -> Result<RouteChange, ChangeError> {
        let mut inner = self.lock();
        let changed = change::expose(&self.current.load(), &inner.runtime, request)?;
        self.commit(&mut inner, changed, Some(&request.name), dry_run, persist)
    }

    /// Ends an exposure.
    ///
    /// # Errors
    /// An unknown database or host, or a state directory that cannot be written.
    pub fn hide(
        &self,
        request: &HideRequest,
        dry_run: bool,
        persist: Persist<'_>,
    ) -> Result<RouteChange, ChangeError> {
        let mut inner = self.lock();
        let changed = change::hide(&self.current.load(), &inner.runtime, request)?;
        self.commit(&mut inner, changed, None, dry_run, persist)
    }

    /// Takes all away that `ctl` did about a database; its hosts are no longer refused.
    ///
    /// # Errors
    /// The configuration declares it, it is unknown, or the state directory cannot be written.
    pub fn delete(
        &self,
        name: &str,
        dry_run: bool,
        persist: Persist<'_>,
    ) -> Result<RouteChange, ChangeError> {
        let mut inner = self.lock();
        let changed = change::delete(&self.current.load(), &inner.runtime, name)?;
        let hosts = inner
            .runtime
            .get(name)
            .into_iter()
            .flat_map(RuntimeEntry::hosts);
        let freed: Vec<Host> = hosts.cloned().collect();
        let change = self.commit(&mut inner, changed, None, dry_run, persist)?;
        Ok(RouteChange { freed, ..change })
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
        self.commit(&mut inner, changed, None, false, &|_, _| Ok(()))
    }

    /// When the next lease runs out.
    pub fn next_expiry(&self) -> Option<SystemTime> {
        *self.expiry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change, or leaves everything as it was.
    fn commit(
        &self,
        inner: &mut Inner,
        changed: Changed,
        requested: Option<&str>,
        dry_run: bool,
        persist: Persist<'_>,
    ) -> Result<RouteChange, ChangeError> {
        let edit = Edit::begin(&mut inner.runtime, changed);
        let before = self.current.load_full();
        let mut names = affected(&edit.before, edit.runtime);
        let exposed = |snapshot: &Snapshot| snapshot.databases.get(requested?).cloned();
        if names.is_empty() {
            return Ok(RouteChange {
                revision: before.revision,
                database: exposed(&before),
                ..RouteChange::default()
            });
        }
        let hosts = edit
            .before
            .iter()
            .flat_map(|(_, entry)| entry.hosts())
            .collect();
        let mut loader = inner.loader.clone();
        names.extend(before.left_out.iter().map(String::as_str));
        let after = Building {
            gateway: &inner.gateway,
            loader: &mut loader,
            backends: &self.backends,
            before: &before,
            requested,
        }
        .part(&names, hosts, edit.runtime)?;
        let change = RouteChange {
            database: exposed(&after),
            ..compare(&before, &after, names.into_iter())
        };
        if !dry_run {
            let lasting = edit.lasting();
            if !lasting.is_empty() {
                persist(&lasting, edit.runtime).map_err(ChangeError::State)?;
            }
            edit.keep();
            *self.expiry.lock().unwrap_or_else(PoisonError::into_inner) =
                inner.runtime.next_expiry();
            inner.loader = loader;
            self.replace(before, after);
        }
        Ok(change)
    }

    /// Puts a snapshot in force.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the last of its owners frees it here"
    )]
    fn replace(&self, before: Arc<Snapshot>, after: Snapshot) {
        self.current.store(Arc::new(after));
        // Sessions hold a snapshot for as long as a look-up takes. Whoever lets go last frees what
        // the change has left behind, which may be much: better this thread than theirs.
        for _ in 0..PATIENCE {
            if Arc::strong_count(&before) == 1 {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held left the old state whole: what a change has begun is taken
        // back, and all else is replaced only at its very end.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
