//! The one place where routes change: an immutable snapshot, replaced as a whole by one writer.
//!
//! Sessions read [`Store::snapshot`] without a lock. Changes go one at a time; each is complete
//! or leaves everything as it was, and each that has an effect raises the revision by one. What
//! `ctl` changes touches only the databases that it is about: the new snapshot shares all others
//! with the one before. A newly read configuration is built as a whole.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};

pub use super::change::{ChangeError, Expose, Hide};
use super::change::{lay_exposure, lift_exposure};
use super::database::{Database, Exposure, ExposureState, GatewayTls, Origin};
use super::overlay::{Declared, Overlay};
use super::resolve::{Resolver, affected};
use super::shards::Shards;
use super::spec::DatabaseSpec;
use super::{Host, Table};
use crate::few::Few;
use crate::tls::config::{Loader, ServerTls};

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
    /// What an operator should know of configuration and overlay not agreeing.
    pub notes: Vec<String>,
    /// Databases made by `ctl` whose files could not be used; each change tries them again.
    left_out: BTreeSet<String>,
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

    /// Whether the configuration declares just these.
    fn is_of(&self, config: &BTreeMap<Arc<str>, Declared>) -> bool {
        let declared = self.databases.iter().filter(|d| d.origin == Origin::Config);
        declared.count() == config.len()
            && config.iter().all(|(name, declared)| {
                let database = self.databases.get(name);
                database.is_some_and(|database| database.is_declared_as(declared))
            })
    }

    fn leads_to(&self, host: &Host, name: &str) -> bool {
        let route = self.table.route(host);
        route.is_some_and(|route| &*route.database.name == name)
    }
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

/// How often to look whether sessions have let go of the snapshot before.
const PATIENCE: u32 = 10_000;

struct Inner {
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
        config: BTreeMap<Arc<str>, Declared>,
        gateway: GatewayTls,
        overlay: Overlay,
    ) -> Result<Self, ChangeError> {
        let mut loader = Loader::default();
        let before = Snapshot::default();
        let snapshot = Building {
            gateway: &gateway,
            loader: &mut loader,
            before: &before,
            wished: None,
        }
        .whole(config, &overlay)?;
        Ok(Self {
            inner: Mutex::new(Inner {
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

    /// Puts a newly read configuration in force, reading all certificate files again.
    ///
    /// # Errors
    /// A file of a database cannot be used; nothing changes then.
    pub fn replace_config(
        &self,
        config: BTreeMap<Arc<str>, Declared>,
        gateway: GatewayTls,
    ) -> Result<Change, ChangeError> {
        let mut inner = self.lock();
        let mut loader = inner.loader.clone();
        loader.reread();
        let before = self.current.load_full();
        let same = gateway == inner.gateway && before.is_of(&config);
        let after = Building {
            gateway: &gateway,
            loader: &mut loader,
            before: &before,
            wished: None,
        }
        .whole(config, &inner.overlay)?;
        if same && !loader.has_built() {
            inner.loader = loader;
            return Ok(Change {
                revision: before.revision,
                ..Change::default()
            });
        }
        let gone = before.databases.iter().map(|d| &*d.name);
        let gone = gone.filter(|name| !after.databases.contains_key(name));
        let names = after.databases.iter().map(|d| &*d.name).chain(gone);
        let change = compare(&before, &after, names);
        inner.gateway = gateway;
        inner.loader = loader;
        self.replace(before, after);
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
        lay_exposure(&self.current.load(), &mut overlay, wish)?;
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
        lift_exposure(&self.current.load(), &mut overlay, wish)?;
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
        let mut names = affected(&inner.overlay, &overlay);
        names.extend(before.left_out.iter().map(String::as_str));
        let after = Building {
            gateway: &inner.gateway,
            loader: &mut loader,
            before: &before,
            wished,
        }
        .part(&names, &overlay)?;
        let change = compare(&before, &after, names.into_iter());
        if !dry_run {
            let lasting = overlay.lasting();
            if lasting != inner.overlay.lasting() {
                persist(&lasting).map_err(ChangeError::State)?;
            }
            inner.overlay = overlay;
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
        // A panic while the lock was held left the old state whole: it is replaced only at the
        // very end of each change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The making of a snapshot.
///
/// A database made by `ctl` whose files cannot be used fails the change that wishes for it
/// (`wished`), or that would take it away; otherwise it is left out with a note, since it must not
/// stand in the way of changes to others.
struct Building<'a> {
    gateway: &'a GatewayTls,
    loader: &'a mut Loader,
    before: &'a Snapshot,
    wished: Option<&'a str>,
}

impl Building<'_> {
    /// The routes that a configuration and an overlay make together.
    fn whole(
        mut self,
        config: BTreeMap<Arc<str>, Declared>,
        overlay: &Overlay,
    ) -> Result<Snapshot, ChangeError> {
        let tls = self
            .loader
            .server(&self.gateway.files())
            .map_err(ChangeError::GatewayFiles)?;
        let mut after = Snapshot {
            revision: self.before.revision + 1,
            table: Table::with_capacity(config.values().map(|d| d.hosts.len()).sum()),
            databases: Shards::with_capacity(config.len()),
            gateway_tls: (!self.gateway.minted).then_some(tls),
            ..Snapshot::default()
        };
        for (name, Declared { spec, hosts }) in config {
            let exposures = hosts.map(|host| Exposure::of_config(host, ExposureState::Active));
            let database = self.database(&name, spec, Origin::Config, exposures)?;
            after.table.insert(&database);
            after.databases.insert(database);
        }
        let nothing = Overlay::default();
        let names = affected(&nothing, overlay);
        self.lay(overlay, &names, after)
    }

    /// The snapshot before, with these databases as the overlay wants them now.
    fn part(self, names: &BTreeSet<&str>, overlay: &Overlay) -> Result<Snapshot, ChangeError> {
        let after = Snapshot {
            revision: self.before.revision + 1,
            ..self.before.clone()
        };
        self.lay(overlay, names, after)
    }

    /// Lays an overlay upon a snapshot that differs by no more than these databases.
    fn lay(
        mut self,
        overlay: &Overlay,
        names: &BTreeSet<&str>,
        mut after: Snapshot,
    ) -> Result<Snapshot, ChangeError> {
        let resolver = Resolver::new(&after, overlay);
        let mut notes = resolver.notes();
        let mut left_out = BTreeSet::new();
        let mut built = Vec::with_capacity(names.len());
        for name in names {
            let Some(wanted) = resolver.database(name) else {
                built.push((name, None));
                continue;
            };
            match self.database(
                &Arc::from(*name),
                wanted.spec,
                wanted.origin,
                wanted.exposures,
            ) {
                Ok(database) => built.push((name, Some(database))),
                Err(ChangeError::Files { source, .. })
                    if wanted.origin == Origin::Runtime
                        && self.wished != Some(name)
                        && !self.before.databases.contains_key(name) =>
                {
                    notes.push(format!(
                        "database {name}, made by ctl, is left out: {source}"
                    ));
                    left_out.insert((*name).to_owned());
                    built.push((name, None));
                }
                Err(error) => return Err(error),
            }
        }
        for (name, database) in &built {
            let old = match database {
                Some(database) => after.databases.insert(database.clone()),
                None => after.databases.remove(name),
            };
            if let Some(old) = old {
                after.table.remove(&old);
            }
        }
        // Only now, since a host may go from one of them to another.
        for database in built.iter().filter_map(|(_, database)| database.as_ref()) {
            after.table.insert(database);
        }
        after.notes = notes;
        after.left_out = left_out;
        Ok(after)
    }

    fn database(
        &mut self,
        name: &Arc<str>,
        spec: DatabaseSpec,
        origin: Origin,
        exposures: Few<Exposure>,
    ) -> Result<Arc<Database>, ChangeError> {
        let before = self.before.databases.get(name);
        let (gateway, loader) = (self.gateway, &mut *self.loader);
        Database::build(name, spec, origin, exposures, gateway, loader, before).map_err(|source| {
            ChangeError::Files {
                database: name.to_string(),
                source,
            }
        })
    }
}

/// What is different in these databases; the others are the same in both.
fn compare<'n>(
    before: &Snapshot,
    after: &Snapshot,
    names: impl Iterator<Item = &'n str>,
) -> Change {
    let mut change = Change {
        revision: after.revision,
        changed: true,
        ..Change::default()
    };
    for name in names {
        let (old, new) = (before.databases.get(name), after.databases.get(name));
        if let Some(old) = old {
            let hosts = old.active_hosts();
            let withdrawn = hosts.filter(|host| !after.leads_to(host, name));
            let pairs = withdrawn.map(|host| (old.name.clone(), host.clone()));
            change.withdrawn.extend(pairs);
        }
        if let Some(new) = new {
            let hosts = new.active_hosts();
            let exposed = hosts.filter(|host| !before.leads_to(host, name));
            let pairs = exposed.map(|host| (new.name.clone(), host.clone()));
            change.exposed.extend(pairs);
        }
        change
            .removed
            .extend(old.filter(|_| new.is_none()).map(|old| old.name.clone()));
    }
    change.withdrawn.sort_unstable();
    change.exposed.sort_unstable();
    change.removed.sort_unstable();
    let known: HashSet<&String> = before.notes.iter().collect();
    let news = after.notes.iter().filter(|note| !known.contains(note));
    change.news = news.cloned().collect();
    change
}
