//! A database: what a session needs to serve it.
//!
//! Not here: its declaration ([`super::spec`]), finding it by name ([`super::table`]) and where declarations come from
//! ([`super::store`]).

mod material;
mod state;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use serde::Serialize;

use super::Host;
use super::admin::Admin;
use super::health;
use super::runtime::Lease;
use super::shards::Keyed;
use super::source::{Declared, Origin};
use super::spec::DatabaseSpec;
use crate::held_clients::HeldClients;
use crate::histogram::Histogram;
use crate::one_or_many::OneOrMany;
use crate::per_ip::PerIp;
use crate::protocol::ALPN_POSTGRES;
use crate::rate::NewSessions;
use crate::tls::config::{Loader, MinVersion, ServerSettings, ServerTls};
use crate::tls::material::{MaterialError, MaterialOrigin};
use crate::traffic::Traffic;
use crate::upstream::{BackendView, Backends, Candidates, Checked, Member, Pool};

pub use state::DatabaseState;

/// The certificate that the gateway shows where a database names none of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayTls {
    /// Certificate chain, PEM.
    pub cert: MaterialOrigin,
    /// Its key, PEM.
    pub key: MaterialOrigin,
    /// Oldest version accepted.
    pub min_version: MinVersion,
}

impl GatewayTls {
    /// True if dbgate made the pair itself, so that no client can be expected to trust it.
    #[must_use]
    pub fn is_minted(&self) -> bool {
        matches!(self.cert, MaterialOrigin::Minted(_))
    }

    /// The settings that the gateway uses without a database.
    #[must_use]
    pub fn settings(&self) -> ServerSettings {
        ServerSettings {
            cert: self.cert.clone(),
            key: self.key.clone(),
            client_ca: None,
            client_crl: None,
            min_version: self.min_version,
            alpn: &[ALPN_POSTGRES],
        }
    }
}

/// One host of a database and whether it leads there now.
#[derive(Clone, Debug, PartialEq)]
pub struct Exposure {
    /// The name.
    pub host: Host,
    /// Its origin.
    pub origin: Origin,
    /// Its state.
    pub state: ExposureState,
    /// Its lease; `None` where nothing but a change ends it.
    pub lease: Option<Box<Lease>>,
}

impl Exposure {
    /// A host of the configuration.
    #[must_use]
    pub fn of_config(host: Host, state: ExposureState) -> Self {
        Self {
            host,
            origin: Origin::Config,
            state,
            lease: None,
        }
    }

    /// Its lease.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.lease.as_deref().copied().unwrap_or_default()
    }
}

/// The state of an exposure: active, or the reason why it is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExposureState {
    /// Clients reach the database under this host.
    Active,
    /// Switched off by `ctl hide`.
    Hidden,
    /// Another database has the host; the configuration wins over `ctl`.
    Shadowed,
}

/// A database, ready to serve: immutable, shared by the snapshot and by every session on it.
///
/// There may be very many without sessions, so counters are made for the first session.
#[derive(Debug)]
pub struct Database {
    /// Its unique name.
    pub name: Arc<str>,
    /// As declared.
    pub spec: DatabaseSpec,
    /// Its origin.
    pub origin: Origin,
    /// The configuration towards clients; absent in passthrough.
    pub server_tls: Option<Arc<ServerTls>>,
    /// The configuration towards backends; present in reencrypt.
    pub backend_tls: Option<Arc<ClientConfig>>,
    /// Its hosts.
    pub exposures: OneOrMany<Exposure>,
    /// What an operator has ordered; `None` where nothing was.
    pub admin: Option<Arc<Admin>>,
    /// The backends in use by any database.
    backends: Arc<Backends>,
    used: OnceLock<Box<Used>>,
    /// The same database with other certificates, whose counters and backends are its own; it is
    /// kept only where there had been no session yet.
    earlier: Option<Arc<Self>>,
}

/// The parts that all databases are built with.
#[derive(Debug)]
pub struct Shared<'a> {
    /// The certificate of the gateway.
    pub gateway: &'a GatewayTls,
    /// The TLS configurations in use.
    pub loader: &'a mut Loader,
    /// The backends in use.
    pub backends: &'a Arc<Backends>,
    /// True to leave the certificates of a database that names the same files as before as they
    /// are.
    pub keep: bool,
}

/// The part that outlives a change of the declaration.
#[derive(Clone, Debug)]
struct Used {
    live: Arc<Live>,
    pool: Arc<Pool>,
}

impl Database {
    /// Builds what sessions need, reading the material that the declaration names.
    ///
    /// State that must outlive a change (open sessions, the backends' turn) is taken over from
    /// `before`, the same database as it was. Where nothing has changed, that is the result.
    ///
    /// # Errors
    /// A certificate, key or authority cannot be used.
    pub fn build(
        name: &Arc<str>,
        spec: DatabaseSpec,
        (origin, exposures, admin): (Origin, OneOrMany<Exposure>, Option<Arc<Admin>>),
        shared: Shared<'_>,
        before: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, MaterialError> {
        let Shared {
            gateway,
            loader,
            backends,
            keep,
        } = shared;
        let server = material::server(&spec, gateway);
        let backend = material::backend(&spec);
        // What is in force stays in force, whatever its files hold by now: they are for a reload
        // and for `renewal`, which take what fits together.
        let kept = before.filter(|before| {
            keep && material::server(&before.spec, gateway) == server
                && material::backend(&before.spec) == backend
        });
        let (server_tls, backend_tls) = match kept {
            Some(before) => (before.server_tls.clone(), before.backend_tls.clone()),
            None => (
                server.map(|server| loader.server(&server)).transpose()?,
                backend
                    .map(|backend| loader.backend(&backend))
                    .transpose()?,
            ),
        };
        let used = OnceLock::new();
        if let Some(before) = before {
            if before.spec == spec
                && before.origin == origin
                && before.exposures == exposures
                && before.admin == admin
                && same(before.server_tls.as_ref(), server_tls.as_ref())
                && same(before.backend_tls.as_ref(), backend_tls.as_ref())
            {
                return Ok(before.clone());
            }
            let was = before.used();
            let checks = checked(backends, &spec);
            let is_same = before.spec.backends == spec.backends && was.pool.is_checked_by(&checks);
            let pool = if is_same {
                was.pool.clone()
            } else {
                Arc::new(was.pool.with(backends, &spec.backends, checks))
            };
            let live = was.live.clone();
            let _ = used.set(Box::new(Used { live, pool }));
        } else {
            let checks = checked(backends, &spec);
            if !checks.is_empty() {
                // Checks do not wait for a session.
                let pool = Arc::new(Pool::new(backends, &spec.backends, checks));
                let live = Arc::default();
                let _ = used.set(Box::new(Used { live, pool }));
            }
        }
        Ok(Arc::new(Self {
            name: before.map_or(name, |before| &before.name).clone(),
            spec,
            origin,
            server_tls,
            backend_tls,
            exposures,
            admin,
            backends: backends.clone(),
            used,
            earlier: None,
        }))
    }

    fn used(&self) -> &Used {
        self.used.get_or_init(|| {
            Box::new(match &self.earlier {
                Some(earlier) => earlier.used().clone(),
                None => Used {
                    live: Arc::default(),
                    pool: Arc::new(Pool::new(
                        &self.backends,
                        &self.spec.backends,
                        // Where there are any it is there already.
                        Box::default(),
                    )),
                },
            })
        })
    }

    /// The part that the first session made, if there has been one.
    fn used_so_far(&self) -> Option<&Used> {
        let earlier = self.earlier.as_ref();
        let used = self.used.get().or_else(|| earlier?.used.get());
        used.map(|used| &**used)
    }

    /// Its counters.
    #[must_use]
    pub fn live(&self) -> &Arc<Live> {
        &self.used().live
    }

    /// Its counters; `None` before the first session.
    #[must_use]
    pub fn counted(&self) -> Option<&Arc<Live>> {
        self.used_so_far().map(|used| &used.live)
    }

    /// Sessions open now.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.counted().map_or(0, |live| live.sessions())
    }

    /// The backends in the order in which the next session tries them, without drained ones, for a client of this
    /// address at `now`, in seconds of Unix time.
    #[must_use]
    pub fn candidates(&self, client: IpAddr, now: fn() -> u64) -> Candidates {
        let balancing = self.spec.upstream.balancing();
        let drained = |place| self.is_drained(place);
        self.used().pool.candidates(balancing, client, drained, now)
    }

    /// The backends, each with its state, in the order declared; made where there has been no
    /// session.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.used().pool
    }

    /// The backends, in the order declared; none while there has been no session.
    #[must_use]
    pub fn members(&self) -> &[Arc<Member>] {
        self.used_so_far().map_or(&[], |used| used.pool.members())
    }

    /// What is known of each backend by checks; empty where none are made.
    #[must_use]
    pub fn checks(&self) -> &[Arc<Checked>] {
        self.used_so_far().map_or(&[], |used| used.pool.checks())
    }

    /// Every backend as it is now, in the order declared, drains left aside.
    pub fn backends(&self) -> impl Iterator<Item = BackendView<'_>> {
        let pool = self.used_so_far().map(|used| &used.pool);
        let view = move |(place, addr): (usize, _)| match pool {
            Some(pool) => pool.view(place, addr),
            None => BackendView::unused(addr, self.backends.failure(addr)),
        };
        self.spec.backends.iter().enumerate().map(view)
    }

    /// One of its exposures, counted from 0.
    #[must_use]
    pub fn exposure(&self, place: u32) -> Option<&Exposure> {
        self.exposures.get(usize::try_from(place).ok()?)
    }

    /// True if `allow` and `deny` let this address in.
    #[must_use]
    pub fn admits(&self, client: IpAddr) -> bool {
        self.spec.access.rule(client).admits()
    }

    /// The hosts that lead here now.
    pub fn active_hosts(&self) -> impl Iterator<Item = &Host> {
        self.exposures
            .iter()
            .filter(|e| e.state == ExposureState::Active)
            .map(|e| &e.host)
    }

    /// The hosts that the configuration gives it, hidden ones included.
    pub fn config_hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts_from(|origin| origin == Origin::Config)
    }

    /// The hosts that such sources give it, hidden ones included.
    pub fn hosts_from(&self, is: fn(Origin) -> bool) -> impl Iterator<Item = &Host> {
        let exposures = self.exposures.iter().filter(move |e| is(e.origin));
        exposures.map(|e| &e.host)
    }

    /// True if the configuration declares it like this.
    #[must_use]
    pub fn is_declared_as(&self, declared: &Declared) -> bool {
        self.origin == Origin::Config
            && self.spec == declared.spec
            && self.config_hosts().eq(declared.hosts.iter())
    }
}

impl Keyed for Arc<Database> {
    fn key(&self) -> &str {
        &self.name
    }
}

/// What is known by checks of each backend of a database; empty where none are made.
fn checked(backends: &Backends, spec: &DatabaseSpec) -> Box<[Arc<Checked>]> {
    let Some((timing, checks)) = health::checks(spec) else {
        return Box::default();
    };
    let checks = checks.into_iter();
    let checked = checks.map(|check| backends.checks.get_or_create(check, timing));
    checked.collect()
}

/// True if both are the same object, or there is none.
pub(super) fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
}

/// The number of kinds of session ends that are counted apart.
pub const ENDINGS: usize = 7;

/// Counters of a database that outlive a change of its declaration.
#[derive(Debug, Default)]
pub struct Live {
    sessions: AtomicU32,
    per_ip: PerIp,
    connecting: AtomicU32,
    /// Made for the first client that waits.
    held: OnceLock<Box<HeldClients>>,
    /// Made for the first session that is counted against a rate.
    new_sessions: OnceLock<Box<NewSessions>>,
    /// Bytes of sessions that have ended.
    pub ended: Traffic,
    endings: [AtomicU64; ENDINGS],
    /// Time that it took to reach a backend.
    pub connects: Histogram,
}

impl Live {
    /// Counts one more session, unless `limit` is reached.
    #[must_use]
    pub fn enter(&self, limit: Option<u32>) -> bool {
        let limit = limit.unwrap_or(u32::MAX);
        let more = |n: u32| (n < limit).then(|| n + 1);
        self.sessions
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// Counts one session less.
    pub fn leave(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts one more client that waits for a backend, unless `limit` is reached, until the result
    /// is dropped.
    #[must_use]
    pub fn connect(self: &Arc<Self>, limit: u32) -> Option<Connecting> {
        self.connecting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < limit).then(|| n + 1)
            })
            .ok()?;
        Some(Connecting(self.clone()))
    }

    /// The clients that wait while no backend is ready.
    #[must_use]
    pub fn held(&self) -> &HeldClients {
        self.held.get_or_init(Box::default)
    }

    /// The new sessions, as its rates count them.
    #[must_use]
    pub fn new_sessions(&self) -> &NewSessions {
        self.new_sessions.get_or_init(Box::default)
    }

    /// The number of clients that wait now.
    #[must_use]
    pub fn held_now(&self) -> u32 {
        self.held.get().map_or(0, |held| held.count())
    }

    /// Sessions open now, by source.
    #[must_use]
    pub fn per_ip(&self) -> &PerIp {
        &self.per_ip
    }

    /// Sessions open now.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Counts one more session that has ended in this way, a number below [`ENDINGS`].
    pub fn count_ending(&self, kind: usize) {
        if let Some(count) = self.endings.get(kind) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of sessions that have ended in this way.
    #[must_use]
    pub fn endings(&self, kind: usize) -> u64 {
        self.endings
            .get(kind)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// A client that waits for a backend of its database.
#[derive(Debug)]
pub struct Connecting(Arc<Live>);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.connecting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_what_is_open() {
        let live = Arc::new(Live::default());
        assert!(live.enter(Some(2)) && live.enter(Some(2)));
        assert!(!live.enter(Some(2)));
        live.leave();
        assert!(live.enter(Some(2)));
        assert_eq!(live.sessions(), 2);
        let first = live.connect(1).unwrap();
        assert!(live.connect(1).is_none());
        drop(first);
        assert!(live.connect(1).is_some());
    }
}
