//! Reaching a backend: dial, begin with the SSLRequest where Postgres wants one, open TLS in
//! reencrypt. The backends are tried in turn until one is connected; whether it serves the client
//! shows when that has spoken ([`super::establish`]).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use rustls::ClientConfig;
use rustls::pki_types::ServerName as PkiName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tracing::{info, warn};

use super::end::SessionEnd;
use super::login;
use crate::net::dial::{DialError, dial};
use crate::net::{Buffered, Stream};
use crate::preface::postgres::{SSL_REQUEST, SslReplyError, error_before_tls, read_ssl_reply};
use crate::route::Database;
use crate::stats::CloseReason;
use crate::tls::{ServerName, error};
use crate::upstream::{BackendAddr, Candidates, Member};

/// A backend that takes the client's bytes.
pub(super) struct Connected {
    pub(super) stream: Stream,
    pub(super) address: SocketAddr,
    /// The backend's place in the order declared.
    pub(super) place: usize,
    /// What it has said already that is for the client.
    pub(super) answer: Bytes,
}

/// What to do once the TCP connection stands; by default nothing.
#[derive(Default)]
pub(super) struct ConnectParams {
    /// Send an SSLRequest and wait for the `S`.
    pub(super) ssl_request: bool,
    /// The name that the client asked for, sent on as SNI: MongoDB picks its host list by it.
    pub(super) sni: Option<ServerName>,
    /// The ALPN protocol that was agreed with the client, where only the two ends know what it
    /// means.
    pub(super) alpn: Option<Vec<u8>>,
    /// Send this StartupMessage and read ahead what answers it, as [`login`] does.
    pub(super) login: Option<Bytes>,
}

/// The backends of a database, as one session tries them: each at most once, from the one whose
/// turn it is.
pub(super) struct Backends {
    database: Arc<Database>,
    params: ConnectParams,
    /// How long each may take to be connected, and then to answer.
    timeout: Duration,
    deadline: Instant,
    candidates: Candidates,
    /// The one tried last.
    current: Option<Arc<Member>>,
    last: SessionEnd,
}

impl Backends {
    /// The backends of `database`, each tried for `timeout` at most.
    ///
    /// The first is always tried; a further one only before `deadline`, so that a client is not
    /// kept for ever by a long list of dead backends.
    pub(super) fn new(
        database: Arc<Database>,
        params: ConnectParams,
        timeout: Duration,
        deadline: Instant,
    ) -> Self {
        let none = "the database has no backend";
        Self {
            candidates: database.candidates(),
            current: None,
            database,
            params,
            timeout,
            deadline,
            last: SessionEnd::new(CloseReason::BackendUnreachable, none),
        }
    }

    /// How long each may take to be connected, and then to answer.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether there is time for a further one.
    pub(super) fn in_time(&self) -> bool {
        Instant::now() < self.deadline
    }

    /// Gives further ones time until `deadline` at least.
    pub(super) fn extend(&mut self, deadline: Instant) {
        self.deadline = self.deadline.max(deadline);
    }

    /// Connects to the next backend that can be connected.
    ///
    /// # Errors
    /// Why the last one tried was not ready.
    pub(super) async fn next(&mut self) -> Result<Connected, SessionEnd> {
        while self.current.is_none() || self.in_time() {
            let Some((place, member)) = self.candidates.next() else {
                break;
            };
            let member = &*self.current.insert(member);
            match reach(&self.database, member.addr(), &self.params, self.timeout).await {
                Ok((stream, address, answer)) => {
                    return Ok(Connected {
                        stream,
                        address,
                        place,
                        answer,
                    });
                }
                Err(refusal) if refusal.reason == CloseReason::Resources => return Err(refusal),
                Err(refusal) => self.last = fails(&self.database, member, refusal),
            }
        }
        Err(self.give_up())
    }

    /// The refusal of the last one tried.
    pub(super) fn give_up(&mut self) -> SessionEnd {
        let given = SessionEnd::new(self.last.reason, "");
        std::mem::replace(&mut self.last, given)
    }

    /// How many bytes of the client each was sent to log in.
    pub(super) fn login_bytes(&self) -> u64 {
        let bytes = self.params.login.as_ref().map_or(0, Bytes::len);
        u64::try_from(bytes).unwrap_or(0)
    }

    /// Notes why the backend that was connected last did not serve the client.
    pub(super) fn failed(&mut self, refusal: SessionEnd) {
        if let Some(member) = &self.current {
            self.last = fails(&self.database, member, refusal);
        }
    }

    /// Notes that the backend which was connected last has answered the client.
    pub(super) fn answered(&self) {
        if let Some(member) = &self.current
            && member.answered()
        {
            info!(database = %self.database.name, backend = %member.addr(), "backend answers again");
        }
    }
}

/// Notes that a backend fails, and gives the refusal to tell.
fn fails(database: &Database, member: &Member, refusal: SessionEnd) -> SessionEnd {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
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
    }
    refusal.of_backend(member.addr())
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
        Some(startup) => Box::pin(login::begin(&mut stream, startup, limit)).await?,
        None => Bytes::new(),
    };
    Ok((stream, address, answer))
}

/// How far a backend was reached.
#[derive(Default)]
pub(super) struct ConnectStage {
    resolved: bool,
    connected: bool,
}

impl ConnectStage {
    /// Why there is no connection, or no answer on it, within a time of this name.
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
    if params.ssl_request {
        request_tls(&mut tcp).await?;
    }
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
    Ok((Stream::Client(Box::new(stream)), address))
}

/// Asks a Postgres backend for TLS and reads its one byte.
async fn request_tls(tcp: &mut TcpStream) -> Result<(), SessionEnd> {
    let lost = |e: io::Error| SessionEnd::new(CloseReason::BackendBadReply, error::words(&e));
    tcp.write_all(&SSL_REQUEST).await.map_err(lost)?;
    // Room for two, to see what must not be there: bytes that came with the `S` were never
    // encrypted, and would be taken for the beginning of TLS (CVE-2021-23222).
    let mut reply = [0; 2];
    let len = tcp.read(&mut reply).await.map_err(lost)?;
    let bad = |detail: String| SessionEnd::new(CloseReason::BackendBadReply, detail);
    match reply.get(..len).unwrap_or_default() {
        [] => Err(bad(
            "the backend closed the connection instead of answering the SSLRequest".to_owned(),
        )),
        begin @ [b'E', ..] => {
            let mut all = BytesMut::from(begin);
            // The rest follows at once, if it does.
            let _ = timeout(REST_OF_ERROR, read_error(tcp, &mut all)).await;
            let error = SslReplyError::ErrorResponse;
            Err(match error_before_tls(&all) {
                Some(said) => bad(format!("{error}: {said}")).with_said(said),
                None => bad(error.to_string()),
            })
        }
        [byte] => read_ssl_reply(*byte).map_err(|e| {
            let reason = match byte {
                b'N' => CloseReason::BackendNoTls,
                _ => CloseReason::BackendBadReply,
            };
            SessionEnd::new(reason, e.to_string())
        }),
        _ => Err(bad(
            "the backend sent unencrypted bytes behind its answer to the SSLRequest".to_owned(),
        )),
    }
}

/// What is read at most of an error that answers the SSLRequest, in bytes.
const MOST_SAID: usize = 2048;

/// How long the rest of an error may take whose first bytes are there.
const REST_OF_ERROR: Duration = Duration::from_millis(500);

/// Reads on until an error is complete, the backend ends, or there is too much of it.
async fn read_error(tcp: &mut TcpStream, reply: &mut BytesMut) {
    while error_before_tls(reply).is_none() && reply.len() < MOST_SAID {
        if !matches!(tcp.read_buf(reply).await, Ok(1..)) {
            return;
        }
    }
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
