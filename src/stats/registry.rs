//! The live sessions: what each is doing, and the means to end it.
//!
//! A session is here from the moment its database is chosen until it ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use serde::Serialize;
use tokio::sync::Notify;

use super::CloseReason;
use crate::backend::{BackendAddr, Known};
use crate::route::database::Live;
use crate::route::{Database, Host};
use crate::source::PerSource;
use crate::tls::{Sni, TlsMode};
use crate::traffic::{Bytes, PARTS};

/// Locks that the sessions are spread over, so that cores do not wait for each other.
const SHARDS: usize = PARTS;

/// Not a reason's number: nobody has asked for the session's end.
const NO_REASON: u8 = u8::MAX;

/// One live session.
#[derive(Debug)]
pub struct Entry {
    /// Unique in this process.
    pub id: u64,
    /// The client's address.
    pub client: SocketAddr,
    /// Where it came in.
    pub listener: Arc<str>,
    /// The database it is for.
    pub database: Arc<Database>,
    /// The name that it asked for, and the host that led there.
    pub asked: Asked,
    /// When it was accepted.
    pub accepted: Instant,
    /// Bytes from the client to the backend.
    pub bytes_in: AtomicU64,
    /// Bytes from the backend to the client.
    pub bytes_out: AtomicU64,
    /// Its address, and its place in the order declared.
    backend: Mutex<Option<(SocketAddr, usize)>>,
    /// The certificate that its client showed.
    user_cert: OnceLock<Box<str>>,
    /// The drain that this session is under; 0 for none.
    drain: AtomicU64,
    open: AtomicBool,
    /// Whether it counts towards the limits.
    counted: AtomicBool,
    cut_reason: AtomicU8,
    cut: Notify,
}

/// What a client asked for, and the host that it came to by that.
///
/// Most ask for the very name of a host, which is then kept once for all of them.
#[derive(Debug, Default)]
pub struct Asked {
    /// Which of the database's exposures; `None` where the listener's default led there.
    exposure: Option<u32>,
    /// `None` where nothing was sent, or the name of `host`.
    sni: Option<Box<Sni>>,
}

impl Asked {
    /// A client that sent `sni` and was led by `host`, the exposure of that place.
    #[must_use]
    pub fn new(host: Option<(u32, &Host)>, sni: &Sni) -> Self {
        let known = match (host, sni) {
            (Some((_, Host::Exact(name))), Sni::Name(sent)) => name == sent,
            (_, Sni::None) => true,
            _ => false,
        };
        Self {
            exposure: host.map(|(place, _)| place),
            sni: (!known).then(|| Box::new(sni.clone())),
        }
    }

    /// What was sent as server name where it is not that of the host: a name in its normal form,
    /// all else escaped and capped.
    #[must_use]
    pub fn other(&self) -> Option<&str> {
        self.sni.as_ref()?.sent()
    }
}

impl Entry {
    /// Counts bytes of the client that went to the backend before the relay began.
    pub fn count_in(&self, bytes: u64) {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes from and to the client so far.
    #[must_use]
    pub fn moved(&self) -> (u64, u64) {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (read(&self.bytes_in), read(&self.bytes_out))
    }

    /// The backend's address, once connected.
    #[must_use]
    pub fn backend(&self) -> Option<SocketAddr> {
        self.connected().map(|(address, _)| address)
    }

    /// Notes the certificate that the client showed: subject and fingerprint, safe to print.
    pub fn shown(&self, certificate: Box<str>) {
        let _ = self.user_cert.set(certificate);
    }

    /// The certificate that the client showed, where the gateway asked for one.
    #[must_use]
    pub fn user_cert(&self) -> Option<&str> {
        self.user_cert.get().map(AsRef::as_ref)
    }

    /// The backend as the database declares it, once connected; a name may have several
    /// addresses.
    #[must_use]
    pub fn declared(&self) -> Option<&BackendAddr> {
        let (_, place) = self.connected()?;
        self.database.spec.backends.get(place)
    }

    /// What is remembered of its backend, once connected.
    fn known_backend(&self) -> Option<&Arc<Known>> {
        let (_, place) = self.connected()?;
        self.database.known_backends().get(place)
    }

    fn connected(&self) -> Option<(SocketAddr, usize)> {
        *self.backend.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `connecting`, `open` or `draining`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match (self.open.load(Ordering::Relaxed), self.drain()) {
            (_, 1..) => "draining",
            (true, 0) => "open",
            (false, 0) => "connecting",
        }
    }

    /// The host that led there; `None` where the listener's default did.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        let exposure = self.database.exposure(self.asked.exposure?)?;
        Some(&exposure.host)
    }

    /// Asks the session to end now; the first reason given stays.
    pub fn cut(&self, reason: CloseReason) {
        let _ = self.cut_reason.compare_exchange(
            NO_REASON,
            reason as u8,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        self.cut.notify_one();
    }

    /// Waits until somebody asks for the end, and tells why.
    pub async fn wait_cut(&self) -> CloseReason {
        loop {
            self.cut.notified().await;
            if let Some(reason) = CloseReason::from_index(self.cut_reason.load(Ordering::Acquire)) {
                return reason;
            }
        }
    }

    /// Marks it as draining under `drain`, or as not draining with 0.
    pub fn set_drain(&self, drain: u64) {
        self.drain.store(drain, Ordering::Relaxed);
    }

    /// The drain it is under; 0 for none.
    #[must_use]
    pub fn drain(&self) -> u64 {
        self.drain.load(Ordering::Relaxed)
    }

    /// What `ctl sessions` shows of it.
    #[must_use]
    pub fn view(&self) -> SessionView {
        let host = self.host().map(ToString::to_string);
        let other = self.asked.other().map(ToOwned::to_owned);
        SessionView {
            id: self.id,
            database: self.database.name.to_string(),
            sni: other.or_else(|| host.clone()),
            host,
            client: self.client,
            user_cert: self.user_cert().map(ToOwned::to_owned),
            listener: self.listener.to_string(),
            protocol: self.database.spec.protocol.as_str(),
            tls: self.database.spec.tls,
            backend: self.backend(),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            age_ms: u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(u64::MAX),
            state: self.state(),
        }
    }
}

/// One row of `ctl sessions`.
#[derive(Clone, Debug, Serialize)]
pub struct SessionView {
    /// Unique in this process.
    pub id: u64,
    /// The database's name.
    pub database: String,
    /// The host that led there.
    pub host: Option<String>,
    /// The server name that the client sent, normalised or escaped.
    pub sni: Option<String>,
    /// The client's address.
    pub client: SocketAddr,
    /// Subject and SHA-256 fingerprint of its certificate, where the gateway asked for one.
    pub user_cert: Option<String>,
    /// Where it came in.
    pub listener: String,
    /// What it speaks.
    pub protocol: &'static str,
    /// Where the client's TLS ends.
    pub tls: TlsMode,
    /// The backend's address, once connected.
    pub backend: Option<SocketAddr>,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// Milliseconds since it was accepted.
    pub age_ms: u64,
    /// `connecting`, `open` or `draining`.
    pub state: &'static str,
}

/// What sessions have done at one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendUse {
    /// Sessions there now.
    pub sessions: u32,
    /// Bytes from and to clients, by all sessions that there are and have been.
    pub moved: Bytes,
}

impl BackendUse {
    fn add(&mut self, (bytes_in, bytes_out): Bytes) {
        self.moved.0 += bytes_in;
        self.moved.1 += bytes_out;
    }
}

type Shard = HashMap<u64, Arc<Entry>>;

/// All live sessions.
#[derive(Debug, Default)]
pub struct Registry {
    shards: [Mutex<Shard>; SHARDS],
    count: AtomicUsize,
    /// Sessions that count towards the limits.
    counted: AtomicUsize,
    sources: PerSource,
}

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionLimits {
    /// In all.
    pub all: usize,
    /// In all, from one source.
    pub per_source: Option<u32>,
    /// Of the database.
    pub database: Option<u32>,
    /// Of the database, from one source.
    pub database_per_source: Option<u32>,
}

/// Which limit of sessions is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The gateway's.
    Gateway,
    /// The gateway's for one source.
    GatewaySource,
    /// The database's.
    Database,
    /// The database's for one source.
    DatabaseSource,
}

/// A session's place in the registry, given back when dropped.
#[derive(Debug)]
pub struct Registered {
    registry: Arc<Registry>,
    entry: Arc<Entry>,
}

impl Registered {
    /// What is known of the session, also after it has given back its place.
    #[must_use]
    pub fn entry(&self) -> Arc<Entry> {
        self.entry.clone()
    }

    /// Says that the backend is connected and bytes flow: where, and which of those declared it
    /// is, counted from 0. Once more where the next backend takes the place of one that did not
    /// answer: what went to that one stays counted there.
    pub fn opened(&self, backend: SocketAddr, place: usize) {
        let entry = &self.entry;
        // Under the lock, so that no total falls meanwhile.
        let shard = self.registry.shard(entry.id);
        if let Some(before) = entry.known_backend() {
            before.add_ended(Registry::part(entry.id), entry.moved());
        }
        let mut connected = entry.backend.lock().unwrap_or_else(PoisonError::into_inner);
        *connected = Some((backend, place));
        drop((connected, shard));
        entry.open.store(true, Ordering::Relaxed);
    }

    /// Counts the session towards the limits, once, until it ends.
    ///
    /// # Errors
    /// The limit that is reached; nothing is counted then.
    pub fn count(&self, limits: SessionLimits) -> Result<(), Full> {
        let Self {
            registry, entry, ..
        } = self;
        let client = entry.client.ip();
        let live = entry.database.live();
        let more = |n: usize| (n < limits.all).then_some(n + 1);
        let all = &registry.counted;
        if all
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_err()
        {
            return Err(Full::Gateway);
        }
        if !registry.sources.enter(client, limits.per_source) {
            all.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::GatewaySource);
        }
        let full = if live.sources().enter(client, limits.database_per_source) {
            if live.enter(limits.database) {
                entry.counted.store(true, Ordering::Relaxed);
                return Ok(());
            }
            live.sources().leave(client);
            Full::Database
        } else {
            Full::DatabaseSource
        };
        registry.sources.leave(client);
        all.fetch_sub(1, Ordering::Relaxed);
        Err(full)
    }

    /// The limit that [`Self::count`] would find reached now, if any.
    #[must_use]
    pub fn full(&self, limits: SessionLimits) -> Option<Full> {
        let Self {
            registry, entry, ..
        } = self;
        let client = entry.client.ip();
        let reached = |count: u32, limit: Option<u32>| limit.is_some_and(|limit| count >= limit);
        let live = entry.database.live();
        if registry.counted.load(Ordering::Relaxed) >= limits.all {
            Some(Full::Gateway)
        } else if reached(registry.sources.count(client), limits.per_source) {
            Some(Full::GatewaySource)
        } else if reached(live.sources().count(client), limits.database_per_source) {
            Some(Full::DatabaseSource)
        } else {
            reached(live.sessions(), limits.database).then_some(Full::Database)
        }
    }
}

impl std::ops::Deref for Registered {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let entry = &self.entry;
        let mut shard = self.registry.shard(entry.id);
        shard.remove(&entry.id);
        // Under the lock, so that its bytes are counted once at any time.
        let live = entry.database.live();
        let (part, moved) = (Registry::part(entry.id), entry.moved());
        live.ended.add(part, moved);
        if let Some(backend) = entry.known_backend() {
            backend.add_ended(part, moved);
        }
        drop(shard);
        self.registry.count.fetch_sub(1, Ordering::Relaxed);
        if entry.counted.load(Ordering::Relaxed) {
            live.leave();
            live.sources().leave(entry.client.ip());
            self.registry.sources.leave(entry.client.ip());
            self.registry.counted.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Registry {
    /// Adds a session whose database has just been chosen.
    #[must_use]
    pub fn enter(
        self: &Arc<Self>,
        id: u64,
        client: SocketAddr,
        listener: Arc<str>,
        accepted: Instant,
        database: Arc<Database>,
        asked: Asked,
    ) -> Registered {
        let entry = Arc::new(Entry {
            id,
            client,
            listener,
            database,
            asked,
            accepted,
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            backend: Mutex::new(None),
            user_cert: OnceLock::new(),
            drain: AtomicU64::new(0),
            open: AtomicBool::new(false),
            counted: AtomicBool::new(false),
            cut_reason: AtomicU8::new(NO_REASON),
            cut: Notify::new(),
        });
        self.shard(id).insert(id, entry.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        Registered {
            registry: self.clone(),
            entry,
        }
    }

    /// The session with this id.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Arc<Entry>> {
        self.shard(id).get(&id).cloned()
    }

    /// All sessions for which `wanted` holds, by id.
    pub fn select(&self, mut wanted: impl FnMut(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            found.extend(shard.values().filter(|e| wanted(e)).cloned());
        }
        found.sort_unstable_by_key(|e| e.id);
        found
    }

    /// Number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes from and to the clients of each of these databases, in their order, by all sessions
    /// that there are and have been. They never fall.
    #[must_use]
    pub fn moved(&self, databases: &[&Arc<Database>]) -> Vec<(u64, u64)> {
        let used = databases.iter().map(|database| database.counted());
        let used = used.enumerate();
        let used: Vec<_> = used.filter_map(|(at, live)| Some((at, live?))).collect();
        let places: HashMap<*const Live, usize> = used
            .iter()
            .map(|(place, live)| (Arc::as_ptr(live), *place))
            .collect();
        let mut totals = vec![(0, 0); databases.len()];
        let mut add = |place: usize, (bytes_in, bytes_out): (u64, u64)| {
            if let Some((of_in, of_out)) = totals.get_mut(place) {
                *of_in += bytes_in;
                *of_out += bytes_out;
            }
        };
        for (part, shard) in self.shards.iter().enumerate() {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for entry in shard.values() {
                if let Some(place) = places.get(&Arc::as_ptr(entry.database.live())) {
                    add(*place, entry.moved());
                }
            }
            for (place, live) in &used {
                add(*place, live.ended.part(part));
            }
        }
        totals
    }

    /// What was done at each backend of each of these databases, in their order; nothing for those
    /// that no session has used. Bytes never fall.
    ///
    /// The bytes of a client go to several backends where the first do not answer, and count for
    /// each of them.
    #[must_use]
    pub fn by_backend(&self, databases: &[&Arc<Database>]) -> Vec<Vec<BackendUse>> {
        let mut uses: Vec<Vec<BackendUse>> = Vec::with_capacity(databases.len());
        let mut places: HashMap<*const Known, (usize, usize)> = HashMap::new();
        for (at, database) in databases.iter().enumerate() {
            let known = database.known_backends();
            let known = known.iter().map(Arc::as_ptr).enumerate();
            places.extend(known.map(|(place, known)| (known, (at, place))));
            uses.push(vec![BackendUse::default(); database.known_backends().len()]);
        }
        for (part, shard) in self.shards.iter().enumerate() {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for entry in shard.values() {
                let place = entry.known_backend().map(Arc::as_ptr);
                if let Some((at, place)) = place.and_then(|known| places.get(&known))
                    && let Some(used) = uses.get_mut(*at).and_then(|used| used.get_mut(*place))
                {
                    used.sessions += 1;
                    used.add(entry.moved());
                }
            }
            for (database, uses) in databases.iter().zip(&mut uses) {
                for (known, used) in database.known_backends().iter().zip(uses) {
                    used.add(known.ended(part));
                }
            }
        }
        uses
    }

    fn shard(&self, id: u64) -> MutexGuard<'_, Shard> {
        #[expect(clippy::indexing_slicing, reason = "a remainder of the length")]
        self.shards[Self::part(id)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn part(id: u64) -> usize {
        // SHARDS is a power of two, so it makes no difference what a smaller usize cuts off.
        usize::try_from(id).unwrap_or(0) % SHARDS
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::config;
    use crate::few::Few;
    use crate::route::database::{GatewayTls, Origin};
    use crate::tls::config::{Loader, MinVersion};

    fn database(backends: &str) -> Arc<Database> {
        let text = format!("[database.a]\nprotocol = \"redis\"\nbackends = [{backends}]\n");
        let mut config = config::parse(&text, std::path::Path::new("gate.toml"))
            .config
            .unwrap();
        let declared = config.databases.remove("a").unwrap();
        let gateway = GatewayTls {
            cert: "none".into(),
            key: "none".into(),
            min_version: MinVersion::default(),
            minted: false,
        };
        let loader = &mut Loader::default();
        let hosts = Few::default();
        let database = Database::build(
            &"a".into(),
            declared.spec,
            Origin::Config,
            hosts,
            &gateway,
            loader,
            None,
        );
        database.unwrap()
    }

    #[test]
    fn a_name_is_kept_only_where_it_is_not_the_host() {
        let host = |text: &str| Some(text.parse::<Host>().unwrap());
        for (led_by, sent, other) in [
            (host("a.example"), Sni::from_host_name(b"A.example."), None),
            (
                host("*.example"),
                Sni::from_host_name(b"A.example."),
                Some("a.example"),
            ),
            (None, Sni::from_host_name(b"b.example"), Some("b.example")),
            (None, Sni::from_host_name(b"a\n"), Some(r"a\x0a")),
            (None, Sni::None, None),
        ] {
            let asked = Asked::new(led_by.as_ref().map(|host| (0, host)), &sent);
            assert_eq!(asked.other(), other, "{asked:?}");
        }
    }

    #[test]
    fn what_went_to_a_backend_stays_counted_there() {
        let registry = Arc::new(Registry::default());
        let database = database("\"10.0.0.5:6379\", \"10.0.0.6:6379\"");
        let client = SocketAddr::from(([192, 0, 2, 1], 4711));
        let (asked, now) = (Asked::default(), Instant::now());
        let session = registry.enter(1, client, "main".into(), now, database.clone(), asked);
        let uses = || {
            let uses = registry.by_backend(&[&database]).remove(0);
            uses.iter()
                .map(|used| (used.sessions, used.moved))
                .collect::<Vec<_>>()
        };
        let _ = database.live();
        assert_eq!(uses(), [(0, (0, 0)), (0, (0, 0))]);
        session.opened(client, 0);
        session.count_in(7);
        assert_eq!(uses(), [(1, (7, 0)), (0, (0, 0))]);
        session.opened(client, 1);
        session.count_in(3);
        assert_eq!(uses(), [(0, (7, 0)), (1, (10, 0))]);
        drop(session);
        assert_eq!(uses(), [(0, (7, 0)), (0, (10, 0))]);
    }

    #[test]
    fn a_total_never_falls_and_counts_everybody_once() {
        const THREADS: u64 = 4;
        const SESSIONS: u64 = 2_000;
        let (registry, database) = (Arc::new(Registry::default()), database("\"10.0.0.5:6379\""));
        let client = SocketAddr::from(([192, 0, 2, 1], 4711));
        let session = |id| {
            let (listener, now) = ("main".into(), Instant::now());
            let entry = registry.enter(
                id,
                client,
                listener,
                now,
                database.clone(),
                Asked::default(),
            );
            entry.count_in(1);
            entry.count_in(2);
            entry.bytes_out.store(5, Ordering::Relaxed);
            entry.opened(client, 0);
        };
        let at_backend = || {
            let uses = registry.by_backend(&[&database]).remove(0);
            uses.first().map_or((0, 0), |used| used.moved)
        };
        let total = || registry.moved(&[&database])[0];
        thread::scope(|scope| {
            let session = &session;
            let work = |thread| move || (0..SESSIONS).for_each(|n| session(THREADS * n + thread));
            let workers: Vec<_> = (0..THREADS).map(|t| scope.spawn(work(t))).collect();
            let mut before = (0, 0);
            let mut backend_before = (0, 0);
            while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
                let now = total();
                assert!(
                    now.0 >= before.0 && now.1 >= before.1,
                    "{now:?} after {before:?}"
                );
                before = now;
                let now = at_backend();
                assert!(
                    now.0 >= backend_before.0 && now.1 >= backend_before.1,
                    "{now:?} after {backend_before:?}"
                );
                backend_before = now;
            }
        });
        assert_eq!(at_backend(), total());
        assert_eq!(total(), (3 * THREADS * SESSIONS, 5 * THREADS * SESSIONS));
        assert!(registry.is_empty());
    }
}
