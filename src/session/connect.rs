//! A connection with a backend: dial, run the initiator of the protocol, open TLS in reencrypt. The
//! backends are tried in turn until one is connected; whether it serves the client shows when it
//! has answered ([`super::first_answer`]).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustls::ClientConfig;
use rustls::pki_types::ServerName as PkiName;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tracing::{info, warn};

use super::Session;
use super::end::SessionEnd;
use super::flight::Flight;
use super::initiate::initiate;
use super::proxy_header::ProxyHeader;
use super::refuse;
use crate::admission::Slot;
use crate::gateway::Gateway;
use crate::net::cork;
use crate::net::dial::{DialError, dial};
use crate::net::hangup::hangup;
use crate::net::{Buffered, Stream};
use crate::preface::{AnyInitiator, TlsOpening, of};
use crate::route::Database;
use crate::route::database::Connecting;
use crate::stats::{BackendChange, CloseReason, Event, unix_ms};
use crate::tls::{ServerName, error};
use crate::upstream::{BackendAddr, BackendState, Candidates, Counted, Fault, Member};

/// A backend that takes the client's bytes.
pub(super) struct Connected {
    pub(super) stream: Stream,
    pub(super) address: SocketAddr,
    /// The backend's place in the order declared.
    pub(super) place: usize,
    /// Bytes that it has sent already for the client.
    pub(super) answer: Bytes,
    /// The session's count at the backend.
    pub(super) counted: Counted,
}

/// A client and a backend that is connected.
pub(super) struct Ready {
    pub(super) client: Stream,
    pub(super) flight: Flight,
    pub(super) connected: Connected,
    pub(super) backends: Backends,
    pub(super) waits: Option<Waits>,
}

/// A client's counts while it waits for an answer: among those that wait for a backend, and among
/// the handshakes if its hello is large.
pub(super) type Waits = (Connecting, Option<Slot>);

impl Session {
    /// Connects to a backend while the client stays.
    pub(super) async fn connect(
        &self,
        client: Stream,
        flight: Flight,
        database: &Arc<Database>,
        params: ConnectParams,
        slot: Option<Slot>,
        deadline: Instant,
    ) -> Result<Ready, SessionEnd> {
        let limit = self.settings.timeouts.connect;
        let client_ip = self.context.client.ip();
        let gateway = self.gateway.clone();
        let mut backends = Backends::new(
            gateway,
            database.clone(),
            client_ip,
            params,
            limit,
            deadline,
        );
        let connected = async {
            let waits = (self.begin_connect(database)?, slot);
            let refusal = match backends.next().await {
                Ok(connected) => return Ok((connected, waits)),
                Err(refusal) => refusal,
            };
            // Who is held is none of those who wait for an answer, nor in its handshake.
            drop(waits);
            let connected = Box::pin(self.hold(&mut backends, refusal)).await?;
            if flight.bytes().is_empty() {
                // Nothing may be said for long, so this is all that shows that it is ready.
                backends.release_held();
            }
            Ok((connected, (self.begin_connect(database)?, None)))
        };
        let connected = while_client_stays(&client, &flight, connected).await?;
        match connected {
            Ok((connected, waits)) => Ok(Ready {
                client,
                // A client that has said nothing yet may take its time before it does.
                waits: (!flight.bytes().is_empty()).then_some(waits),
                flight,
                connected,
                backends,
            }),
            Err(refusal) => {
                let channel = flight.channel();
                let reply = refuse::instead_of_backend(client, channel, refusal, &self.context);
                Err(Box::pin(reply).await)
            }
        }
    }

    /// Counts a client that begins to wait for a backend: a database may have as many of them as the
    /// gateway may have handshakes, so that one whose backends are dead does not hold everything.
    fn begin_connect(&self, database: &Database) -> Result<Connecting, SessionEnd> {
        let limit = u32::try_from(self.settings.limits.max_handshakes).unwrap_or(u32::MAX);
        database.live().connect(limit).ok_or_else(|| {
            SessionEnd::new(
                CloseReason::ConnectsFull,
                format!(
                    "{limit} clients (limits.max_handshakes) wait for the backends of {}",
                    database.name
                ),
            )
        })
    }
}

/// Does something while nobody reads from the client.
///
/// # Errors
/// The client hung up.
pub(super) async fn while_client_stays<T>(
    client: &Stream,
    flight: &Flight,
    step: impl Future<Output = T>,
) -> Result<T, SessionEnd> {
    tokio::select! {
        biased;
        done = step => Ok(done),
        () = hangup(client.tcp(), flight.gone()) => Err(SessionEnd::new(
            CloseReason::GoneWhileConnecting,
            "the client hung up while its backend was being reached",
        )),
    }
}

/// Parameters of a connection with a backend, beside its address; by default none.
#[derive(Default)]
pub(super) struct ConnectParams {
    /// Runs before TLS.
    pub(super) before_tls: AnyInitiator,
    /// The name that the client asked for, sent on as SNI: some servers choose by it.
    pub(super) sni: Option<ServerName>,
    /// The ALPN protocol that was agreed with the client, where only the two ends know what it
    /// means.
    pub(super) alpn: Option<Vec<u8>>,
    /// Runs inside TLS and sends the client's login.
    pub(super) login: Option<AnyInitiator>,
    /// The length of that login.
    pub(super) login_len: usize,
    /// Sent before anything else.
    pub(super) proxy: Option<ProxyHeader>,
}

impl ConnectParams {
    /// The parameters for a client with this opening; `login` is all that it has sent inside TLS
    /// if it begins with a login.
    pub(super) fn new(database: &Database, opening: &TlsOpening, login: Option<&Bytes>) -> Self {
        let preface = of(database.spec.protocol);
        let tls = database.spec.tls.mode();
        let any_alpn = preface.agrees_to_any_alpn();
        Self {
            before_tls: preface.initiator(tls, Some(opening)),
            sni: opening.hello.sni.name().cloned(),
            alpn: any_alpn
                .then(|| opening.hello.alpn.first().cloned())
                .flatten(),
            login: login.and_then(|login| preface.login(tls, opening, login)),
            login_len: login.map_or(0, Bytes::len),
            proxy: None,
        }
    }
}

/// The backends of a database, as one session tries them: each at most once, those that serve
/// first.
pub(super) struct Backends {
    gateway: Arc<Gateway>,
    database: Arc<Database>,
    client: IpAddr,
    params: ConnectParams,
    /// Timeout of each, to be connected, and again to answer.
    timeout: Duration,
    deadline: Instant,
    /// The end of its waiting, once the client was held.
    held_until: Option<Instant>,
    candidates: Candidates,
    /// The one tried last, and its place in the order declared.
    current: Option<(usize, Arc<Member>)>,
    /// The refusal of the one tried last, if one was.
    last: Option<SessionEnd>,
}

impl Backends {
    /// The backends of `database`, each tried for `timeout` at most.
    ///
    /// The first is always tried; a further one only before `deadline`, so that a client is not
    /// kept waiting by a long list of dead backends.
    pub(super) fn new(
        gateway: Arc<Gateway>,
        database: Arc<Database>,
        client: IpAddr,
        params: ConnectParams,
        timeout: Duration,
        deadline: Instant,
    ) -> Self {
        Self {
            candidates: database.candidates(client, unix_time),
            current: None,
            last: None,
            gateway,
            database,
            client,
            params,
            timeout,
            deadline,
            held_until: None,
        }
    }

    /// The database.
    pub(super) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// The end of the client's waiting, for `limit` from the first time that it is held.
    pub(super) fn hold_until(&mut self, limit: Duration) -> Instant {
        *self
            .held_until
            .get_or_insert_with(|| Instant::now() + limit)
    }

    /// Lets the others go on that are held, if this client was.
    pub(super) fn release_held(&self) {
        if self.held_until.is_some() {
            self.database.live().held().release();
        }
    }

    /// Begins anew with all of them, further ones tried until `deadline`.
    pub(super) fn again(&mut self, deadline: Instant) {
        self.candidates = self.database.candidates(self.client, unix_time);
        self.current = None;
        self.deadline = deadline;
    }

    /// Timeout of each, to be connected, and again to answer.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// True if the client's login is what they get first.
    pub(super) fn has_login(&self) -> bool {
        self.params.login_len > 0
    }

    /// True if there is time for a further one.
    pub(super) fn in_time(&self) -> bool {
        Instant::now() < self.deadline
    }

    /// Waits until the state of a backend has changed.
    pub(super) async fn state_changes(&self) {
        // The sender lives as long as the gateway.
        let _ = self.gateway.backend_changed.subscribe().changed().await;
    }

    /// Gives further ones time until `deadline` at least.
    pub(super) fn extend(&mut self, deadline: Instant) {
        self.deadline = self.deadline.max(deadline);
    }

    /// Connects to the next backend that can be connected.
    ///
    /// # Errors
    /// The reason why the last one tried was not ready.
    pub(super) async fn next(&mut self) -> Result<Connected, SessionEnd> {
        while self.current.is_none() || self.in_time() {
            let Some((place, member)) = self.candidates.next() else {
                break;
            };
            let (_, member) = &*self.current.insert((place, member));
            let counted = member.count();
            match reach(&self.database, member.addr(), &self.params, self.timeout).await {
                Ok((stream, address, answer)) => {
                    return Ok(Connected {
                        stream,
                        address,
                        place,
                        answer,
                        counted,
                    });
                }
                Err(refusal) if refusal.reason == CloseReason::Resources => return Err(refusal),
                Err(refusal) => {
                    let refusal = fails(&self.gateway, &self.database, member, refusal);
                    self.last = Some(refusal);
                }
            }
        }
        Err(self.give_up())
    }

    /// The refusal of the last one tried, or that none was.
    pub(super) fn give_up(&mut self) -> SessionEnd {
        let last = self.last.take();
        last.unwrap_or_else(|| none_ready(&self.database))
    }

    /// Number of the client's bytes that each was sent to log in.
    pub(super) fn login_bytes(&self) -> u64 {
        let sent = self
            .params
            .login
            .as_ref()
            .map_or(0, |_| self.params.login_len);
        u64::try_from(sent).unwrap_or(0)
    }

    /// Notes why the backend that was connected last did not serve the client.
    pub(super) fn failed(&mut self, refusal: SessionEnd) {
        if let Some((_, member)) = &self.current {
            let refusal = fails(&self.gateway, &self.database, member, refusal);
            self.last = Some(refusal);
        }
    }

    /// Notes that the backend which was connected last has answered the client.
    pub(super) fn answered(&self) {
        self.release_held();
        let Some((place, member)) = &self.current else {
            return;
        };
        if let Some(check) = self.database.pool().check(*place) {
            check.answered(unix_ms(SystemTime::now()));
        }
        if member.answered() {
            info!(database = %self.database.name, backend = %member.addr(), "backend answers again");
            let change = change(&self.database, member, None);
            self.gateway.events.emit_change(Event::BackendUp(change));
        }
    }
}

/// Seconds of Unix time.
fn unix_time() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// Notes that a backend fails, and gives the refusal to tell.
fn fails(
    gateway: &Gateway,
    database: &Database,
    member: &Member,
    refusal: SessionEnd,
) -> SessionEnd {
    let now = unix_time();
    let reason = refusal.reason.index();
    let is_news = match refusal.reason {
        CloseReason::BackendUnresolved | CloseReason::BackendUnreachable => {
            member.unreachable(reason, now)
        }
        _ => member.failed(reason, now),
    };
    if is_news {
        warn!(database = %database.name, backend = %member.addr(), reason = %refusal.reason,
            detail = %refusal.detail, remedy = refusal.reason.remedy(), "backend fails");
        let change = change(database, member, Some(&refusal));
        gateway.events.emit_change(Event::BackendDown(change));
    }
    refusal.of_backend(member.addr())
}

/// A change that a session has found out.
fn change(
    database: &Database,
    member: &Member,
    refusal: Option<&SessionEnd>,
) -> Arc<BackendChange> {
    Arc::new(BackendChange {
        ts: SystemTime::now(),
        backend: member.addr().to_string(),
        databases: vec![database.name.to_string()],
        by: "session",
        reason: refusal.map(|refusal| refusal.reason),
        detail: refusal.map(|refusal| refusal.detail.to_string()),
    })
}

/// The refusal where no backend is to be tried: each is drained, or its checks fail.
fn none_ready(database: &Database) -> SessionEnd {
    let failing = database
        .backends()
        .find_map(|backend| match (backend.state, backend.fault) {
            (BackendState::Down, Some(Fault::Checks(failure))) => Some((backend.addr, failure)),
            _ => None,
        });
    let Some((addr, failure)) = failing else {
        let none = "every backend of the database is draining";
        return SessionEnd::new(CloseReason::BackendUnreachable, none);
    };
    let words = format!("its checks fail: {}", failure.detail);
    let reason = CloseReason::from_index(failure.reason);
    let refusal = SessionEnd::new(reason.unwrap_or(CloseReason::BackendSilent), words);
    if refusal.may_pass() {
        refusal.of_backend(addr)
    } else {
        // Whatever a check dislikes may be another thing at the next.
        let detail = refusal.detail.as_str();
        SessionEnd::new(CloseReason::BackendSilent, detail).of_backend(addr)
    }
}

/// Connects to one backend and prepares the connection, all within `limit`, then logs in where that is asked for,
/// within `limit` once more.
async fn reach(
    database: &Database,
    addr: &BackendAddr,
    params: &ConnectParams,
    limit: Duration,
) -> Result<(Stream, SocketAddr, Bytes), SessionEnd> {
    let mut stage = ConnectStage::default();
    let tls = database.backend_tls.as_ref();
    let reached = timeout(limit, connect_one(addr, params, tls, &mut stage)).await;
    let timed_out = |_| Err(stage.timed_out(addr, "timeouts.connect"));
    let (mut stream, address) = reached.unwrap_or_else(timed_out)?;
    let answer = match &params.login {
        Some(login) => {
            let answer = timeout(limit, Box::pin(initiate(&mut stream, login.clone())));
            answer.await.unwrap_or_else(|_| {
                Err(SessionEnd::new(
                    CloseReason::BackendSilent,
                    "the backend did not answer the login",
                ))
            })?
        }
        None => Bytes::new(),
    };
    Ok((stream, address, answer))
}

/// The stage at which a backend is.
#[derive(Default)]
pub(super) struct ConnectStage {
    resolved: bool,
    connected: bool,
}

impl ConnectStage {
    /// The session end for a connection, or an answer on it, that did not come within the timeout
    /// of this name.
    pub(super) fn timed_out(&self, addr: &BackendAddr, limit: &str) -> SessionEnd {
        match addr {
            _ if self.connected => SessionEnd::new(
                CloseReason::BackendSilent,
                "connected, but the backend did not answer in time",
            ),
            BackendAddr::Name(name, _) if !self.resolved => SessionEnd::new(
                CloseReason::BackendUnresolved,
                format!("{name} did not resolve within {limit}"),
            ),
            _ => SessionEnd::new(
                CloseReason::BackendUnreachable,
                format!("no connection within {limit}"),
            ),
        }
    }
}

/// Connects to one backend and prepares the connection; how far it came is in `stage`.
pub(super) async fn connect_one(
    addr: &BackendAddr,
    params: &ConnectParams,
    tls: Option<&Arc<ClientConfig>>,
    stage: &mut ConnectStage,
) -> Result<(Stream, SocketAddr), SessionEnd> {
    let (mut tcp, address) = dial(addr, &mut stage.resolved).await.map_err(|e| {
        let reason = match &e {
            _ if e.is_exhaustion() => CloseReason::Resources,
            DialError::Name(..) => CloseReason::BackendUnresolved,
            DialError::Connect(_) => CloseReason::BackendUnreachable,
        };
        SessionEnd::new(reason, e.to_string())
    })?;
    stage.connected = true;
    if let Some(header) = &params.proxy {
        let more = header.more || tls.is_some() || !matches!(params.before_tls, AnyInitiator::None);
        let sent = cork::write(&mut tcp, &header.bytes, more).await;
        sent.map_err(|e| {
            let words = format!(
                "the connection broke at the PROXY header: {}",
                error::words(&e)
            );
            SessionEnd::new(CloseReason::BackendClosedEarly, words)
        })?;
    }
    initiate(&mut tcp, params.before_tls.clone()).await?;
    let Some(config) = tls else {
        return Ok((Stream::Tcp(tcp), address));
    };
    let name = tls_name(params.sni.as_ref(), addr)
        .map_err(|e| SessionEnd::new(CloseReason::BackendTls, e.to_string()))?;
    let connector = TlsConnector::from(config.clone());
    let tcp = Buffered::new(tcp);
    let connected = match &params.alpn {
        Some(protocol) => {
            connector
                .with_alpn(vec![protocol.clone()])
                .connect(name, tcp)
                .await
        }
        None => connector.connect(name, tcp).await,
    };
    let stream =
        connected.map_err(|e| SessionEnd::new(CloseReason::BackendTls, error::words(&e)))?;
    Ok((Stream::Originated(Box::new(stream)), address))
}

/// The name to send to a backend as SNI, and to verify unless `backend_name` says another.
pub(super) fn tls_name(
    sni: Option<&ServerName>,
    addr: &BackendAddr,
) -> Result<PkiName<'static>, rustls::pki_types::InvalidDnsNameError> {
    match (sni, addr) {
        (Some(name), _) | (None, BackendAddr::Name(name, _)) => {
            PkiName::try_from(name.as_ref().to_owned())
        }
        (None, BackendAddr::Ip(ip, _)) => Ok(PkiName::IpAddress((*ip).into())),
        (None, BackendAddr::Zoned(addr, _)) => Ok(PkiName::from(IpAddr::from(addr.ip))),
    }
}
