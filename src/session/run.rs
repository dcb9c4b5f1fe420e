//! The story of a session, from accept to close, top to bottom.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::admission::Slot;
use super::connect::{Connected, Lead, connect};
use super::refuse::{Refusal, say};
use super::upgrade::{Upgraded, for_words, upgrade};
use crate::config::ListenerProtocol;
use crate::gateway::{Gateway, Listener, ListenerSettings, Settings};
use crate::handshake::{HandshakeError, Opening, Stage, TlsOpening, read_opening};
use crate::net::relay::{End, Relay, Tap};
use crate::net::{Buffered, Stream, linger};
use crate::preface::postgres::{AuthEvent, AuthWatch};
use crate::route::database::Entered;
use crate::route::{Database, Protocol, Route};
use crate::stats::registry::Registered;
use crate::stats::{CloseReason, Event, Record, Reject};
use crate::tls::{Sni, TlsMode};

/// A session that has not ended yet: what it shares and what is known of it.
struct Session {
    gateway: Arc<Gateway>,
    listener: Arc<Listener>,
    settings: Arc<Settings>,
    id: u64,
    client: SocketAddr,
    accepted: Instant,
    facts: Facts,
}

/// What the log will say of it, learnt on the way.
#[derive(Default)]
struct Facts {
    protocol: Option<&'static str>,
    sni: Option<Sni>,
    alpn: Option<Box<str>>,
    tls_version: Option<&'static str>,
    database: Option<Arc<Database>>,
    backend: Option<Box<str>>,
    ready: Option<Instant>,
    connected: Option<Instant>,
    bytes: (u64, u64),
}

/// The place of a session whose database is chosen: counted and known to `ctl`.
struct Place {
    entry: Registered,
    _count: Entered,
}

/// Serves one client to its end.
pub(super) async fn run(
    gateway: Arc<Gateway>,
    listener: Arc<Listener>,
    tcp: TcpStream,
    client: SocketAddr,
) {
    let mut session = Session {
        id: gateway.next_id(),
        settings: gateway.settings.load_full(),
        gateway,
        listener,
        client,
        accepted: Instant::now(),
        facts: Facts::default(),
    };
    let end = session.story(tcp).await;
    session.close(end);
}

impl Session {
    async fn story(&mut self, tcp: TcpStream) -> Refusal {
        let deadline = self.accepted + self.settings.timeouts.handshake;
        let slot = self
            .gateway
            .handshakes
            .enter(self.client.ip(), &self.settings.limits);
        let slot = match slot {
            Ok(slot) => slot,
            Err(reason) => return Refusal::new(reason, "closed at once"),
        };
        let listener = self.listener.settings.load_full();
        if listener.protocol == ListenerProtocol::Tcp {
            return self.by_port(tcp, &listener, slot, deadline).await;
        }
        let mut client = Buffered::new(tcp);
        let opening = match self.read_opening(&mut client, &listener, deadline).await {
            Ok(opening) => opening,
            Err(refusal) => return refusal_before_tls(client, refusal, &mut self.facts).await,
        };
        let place = match self.choose(&opening, &listener) {
            Ok(place) => place,
            Err(refusal) => return self.refuse(client, &opening, refusal, deadline).await,
        };
        tokio::select! {
            biased;
            reason = place.entry.wait_cut() => self.cut(&place, reason),
            end = self.serve(client, opening, &place, slot, deadline) => end,
        }
    }

    /// Reads up to the ClientHello; a client without one is told what is missing.
    async fn read_opening(
        &mut self,
        client: &mut Buffered,
        listener: &ListenerSettings,
        deadline: Instant,
    ) -> Result<TlsOpening, Refusal> {
        let mut stage = Stage::default();
        let read = timeout_at(deadline, read_opening(client, listener.protocol, &mut stage)).await;
        let opening = match read {
            Ok(Ok(Opening::Tls(opening))) => opening,
            Ok(Ok(Opening::Startup)) => {
                self.facts.protocol = Some(Protocol::Postgres.as_str());
                return Err(Refusal::new(
                    CloseReason::Plaintext,
                    "a StartupMessage without TLS (sslmode=disable, or prefer and allow after TLS failed)",
                ));
            }
            Ok(Ok(Opening::Cancel)) => {
                self.facts.protocol = Some(Protocol::Postgres.as_str());
                return Err(Refusal::new(
                    CloseReason::PlaintextCancel,
                    "a CancelRequest without TLS carries no name, so it reaches no database",
                ));
            }
            Ok(Err(error)) => return Err(opening_failed(&error, stage)),
            Err(_) => return Err(opening_timed_out(stage)),
        };
        self.facts.protocol = Some(if opening.speaks_postgres() {
            Protocol::Postgres.as_str()
        } else {
            Protocol::Tls.as_str()
        });
        self.facts.sni = Some(opening.hello.sni.clone());
        self.facts.alpn = opening.hello.alpn.first().map(|p| printable(p));
        Ok(opening)
    }

    /// Finds the database and takes a place in it.
    fn choose(
        &mut self,
        opening: &TlsOpening,
        listener: &ListenerSettings,
    ) -> Result<Place, Refusal> {
        loop {
            let snapshot = self.gateway.store.snapshot();
            let revision = snapshot.revision;
            let route = opening
                .hello
                .sni
                .name()
                .and_then(|name| snapshot.table.lookup(name));
            let (database, host) = match (route, &listener.default) {
                (Some(Route { host, database }), _) => (database.clone(), Some(host.clone())),
                (None, Some(default)) => match snapshot.databases.get(default.as_str()) {
                    Some(database) => (database.clone(), None),
                    None => {
                        return Err(Refusal::new(
                            CloseReason::NoDefault,
                            format!("the listener's default database {default} does not exist"),
                        ));
                    }
                },
                (None, None) => return Err(no_route(&opening.hello.sni)),
            };
            drop(snapshot);
            self.facts.database = Some(database.clone());
            let protocol = database.spec.protocol;
            if protocol.server_first()
                || (opening.speaks_postgres() && protocol != Protocol::Postgres)
            {
                return Err(Refusal::new(
                    CloseReason::WrongProtocol,
                    format!("database {} speaks {protocol}", database.name),
                ));
            }
            self.facts.protocol = Some(protocol.as_str());
            let place = self.take_place(database, host)?;
            // A change between the look-up and the entry in the registry would have missed this
            // session: look again.
            if self.gateway.store.snapshot().revision == revision {
                return Ok(place);
            }
        }
    }

    /// Applies the policies of a database and enters the session in the registry.
    fn take_place(
        &self,
        database: Arc<Database>,
        host: Option<Arc<crate::route::Host>>,
    ) -> Result<Place, Refusal> {
        if !database.admits(self.client.ip()) {
            return Err(Refusal::new(
                CloseReason::NotAllowed,
                format!("allow and deny of {} keep {} out", database.name, self.client.ip()),
            ));
        }
        if self.gateway.registry.len() >= self.settings.limits.max_sessions {
            return Err(Refusal::new(
                CloseReason::GatewayFull,
                "limits.max_sessions is reached",
            ));
        }
        let Some(count) = database.live.enter(database.spec.max_sessions) else {
            return Err(Refusal::new(
                CloseReason::DatabaseFull,
                format!("max_sessions of {} is reached", database.name),
            ));
        };
        let entry = self.gateway.registry.enter(
            self.id,
            self.client,
            self.listener.name.clone(),
            self.accepted.into_std(),
            database,
            host,
        );
        Ok(Place {
            entry,
            _count: count,
        })
    }

    /// Ends the client's TLS where the mode says so, connects, relays.
    async fn serve(
        &mut self,
        client: Buffered,
        opening: TlsOpening,
        place: &Place,
        slot: Slot,
        deadline: Instant,
    ) -> Refusal {
        let database = place.entry.database.clone();
        let (client, first) = match &database.server_tls {
            None => {
                let (tcp, hello) = client.into_parts();
                (Stream::Tcp(tcp), hello)
            }
            Some(tls) => {
                let config = tls.config.clone();
                let upgraded = upgrade(client, &opening, &database, config, deadline);
                match Box::pin(upgraded).await {
                    Ok(Upgraded { stream, first }) => {
                        self.note_tls(&stream);
                        (Stream::Server(stream), first)
                    }
                    Err(refusal) => return refusal,
                }
            }
        };
        self.facts.ready = Some(Instant::now());
        let lead = Lead {
            ssl_request: needs_ssl_request(&database, &opening),
            tls: database.backend_tls.as_ref(),
            sni: opening.hello.sni.name(),
            alpn: (database.spec.protocol == Protocol::Tls)
                .then(|| opening.hello.alpn.first().cloned())
                .flatten(),
        };
        let patience = self.settings.timeouts.connect;
        let connected = match connect(&database, &lead, patience, deadline).await {
            Ok(connected) => connected,
            Err(refusal) => return self.refuse_ready(client, &database, refusal).await,
        };
        drop(opening);
        self.relay(client, first, connected, place, slot).await
    }

    /// A client of a listener that relays by port: no name, no preface.
    async fn by_port(
        &mut self,
        tcp: TcpStream,
        listener: &ListenerSettings,
        slot: Slot,
        deadline: Instant,
    ) -> Refusal {
        let name = listener.default.as_deref().unwrap_or_default();
        let database = self.gateway.store.snapshot().databases.get(name).cloned();
        let Some(database) = database else {
            return Refusal::new(
                CloseReason::NoDefault,
                format!("the listener's default database {name} does not exist"),
            );
        };
        self.facts.protocol = Some(database.spec.protocol.as_str());
        self.facts.database = Some(database.clone());
        let place = match self.take_place(database.clone(), None) {
            Ok(place) => place,
            Err(refusal) => {
                linger::close(tcp).await;
                return refusal;
            }
        };
        let lead = Lead {
            ssl_request: false,
            tls: None,
            sni: None,
            alpn: None,
        };
        self.facts.ready = Some(Instant::now());
        let patience = self.settings.timeouts.connect;
        let story = async {
            match connect(&database, &lead, patience, deadline).await {
                Ok(connected) => {
                    let client = Stream::Tcp(tcp);
                    self.relay(client, Bytes::new(), connected, &place, slot)
                        .await
                }
                Err(refusal) => {
                    linger::close(tcp).await;
                    refusal
                }
            }
        };
        tokio::select! {
            biased;
            reason = place.entry.wait_cut() => Refusal::new(reason, ""),
            end = story => end,
        }
    }

    async fn relay(
        &mut self,
        client: Stream,
        first: Bytes,
        connected: Connected,
        place: &Place,
        slot: Slot,
    ) -> Refusal {
        let database = &place.entry.database;
        let Connected { stream, address } = connected;
        self.facts.backend = Some(address.clone());
        self.facts.connected = Some(Instant::now());
        self.gateway.sessions_total.fetch_add(1, Ordering::Relaxed);
        self.gateway.events.tell(|| Event::SessionOpened {
            ts: SystemTime::now(),
            id: self.id,
            database: database.name.clone(),
            client: self.client,
            backend: address.to_string(),
        });
        place.entry.opened(address);
        let reencrypts_postgres = database.spec.tls == TlsMode::Reencrypt
            && database.spec.protocol == Protocol::Postgres;
        let mut watch = reencrypts_postgres.then(LoginWatch::default);
        let hello = u64::try_from(first.len()).unwrap_or(0);
        let tap = watch.as_mut().map(|w| w as &mut (dyn Tap + Send));
        let (bytes_in, bytes_out) = (&place.entry.bytes_in, &place.entry.bytes_out);
        let mut relay = Relay::new(client, stream, first, bytes_in, bytes_out, tap);
        let handshake_passes = hello > 0 && !database.spec.tls.ends_client_tls();
        let early_end = if handshake_passes {
            // The TLS handshake of two others: it is under way while they answer each other.
            let patience = self.settings.timeouts.handshake;
            let deadline = (self.accepted + patience).max(Instant::now() + self.settings.timeouts.connect);
            match timeout_at(deadline, relay.until_moved(hello, 0)).await {
                Ok(end) => end,
                Err(_) if relay.backend_has_answered() => {
                    return Refusal::new(
                        CloseReason::TlsTimeout,
                        "the backend answered the ClientHello, the client did not go on",
                    );
                }
                Err(_) => {
                    let refusal = Refusal::new(
                        CloseReason::BackendSilent,
                        "the backend did not answer the ClientHello",
                    );
                    say(relay.into_client(), &refusal.alert().record()).await;
                    return refusal;
                }
            }
        } else {
            None
        };
        drop(slot);
        let end = match early_end {
            Some(end) => end,
            None => relay.run(self.settings.timeouts.idle).await,
        };
        let client = relay.into_client();
        let end = self.judge(end, watch.as_ref());
        if end.reason != CloseReason::ClientClosed && end.reason != CloseReason::ClientLost {
            linger::close(client).await;
        }
        self.facts.bytes = (
            bytes_in.load(Ordering::Relaxed),
            bytes_out.load(Ordering::Relaxed),
        );
        end
    }

    /// What the end of a relay means.
    fn judge(&self, end: End, watch: Option<&LoginWatch>) -> Refusal {
        if watch.is_some_and(|w| w.failed) {
            let database = self.facts.database.as_ref().map_or("", |d| &*d.name);
            warn!(
                database,
                client = %self.client,
                "scram_channel_binding: the backend refused the login because the client bound it to the gateway's certificate; let the client say channel_binding=disable, give gateway and backend the same certificate, or use passthrough"
            );
            return Refusal::new(CloseReason::ScramChannelBinding, "");
        }
        match end {
            End::Client => Refusal::new(CloseReason::ClientClosed, ""),
            End::Backend => Refusal::new(CloseReason::BackendClosed, ""),
            End::ClientLost(e) => Refusal::new(CloseReason::ClientLost, e.to_string()),
            End::BackendLost(e) => Refusal::new(CloseReason::BackendLost, e.to_string()),
            End::Idle => Refusal::new(CloseReason::Idle, "timeouts.idle"),
        }
    }

    /// Turns a client away that waits for the answer to its hello.
    async fn refuse(
        &mut self,
        client: Buffered,
        opening: &TlsOpening,
        refusal: Refusal,
        deadline: Instant,
    ) -> Refusal {
        let name = opening.hello.sni.name();
        let config = match &self.facts.database {
            Some(database) => database.server_tls.clone(),
            // Only a certificate that the client would accept lets it see the text; one that it
            // would not accept hides the true reason behind a certificate error.
            None => self
                .gateway
                .store
                .snapshot()
                .gateway_tls
                .clone()
                .filter(|tls| name.is_none_or(|name| tls.covers(name))),
        };
        match config {
            Some(tls) if opening.speaks_postgres() => {
                let config = tls.config.clone();
                if let Some(stream) = Box::pin(for_words(client, config, deadline)).await {
                    let text = refusal.error_response(name.map(AsRef::as_ref));
                    say(stream, &text).await;
                }
            }
            _ => say(client, &refusal.alert().record()).await,
        }
        refusal
    }

    /// Turns a client away for which no backend is ready.
    async fn refuse_ready(
        &mut self,
        client: Stream,
        database: &Database,
        refusal: Refusal,
    ) -> Refusal {
        let words = match (&client, database.spec.protocol) {
            (Stream::Tcp(_), _) => refusal.alert().record().to_vec(),
            (_, Protocol::Postgres) => {
                let name = self.facts.sni.as_ref().and_then(Sni::name);
                refusal.error_response(name.map(AsRef::as_ref))
            }
            (_, protocol) => refusal.plain_words(protocol).to_vec(),
        };
        say(client, &words).await;
        refusal
    }

    fn note_tls(&mut self, stream: &tokio_rustls::server::TlsStream<Buffered>) {
        let (_, tls) = stream.get_ref();
        self.facts.alpn = tls.alpn_protocol().map(printable);
        self.facts.tls_version = match tls.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => Some("1.2"),
            Some(rustls::ProtocolVersion::TLSv1_3) => Some("1.3"),
            _ => None,
        };
    }

    fn cut(&mut self, place: &Place, reason: CloseReason) -> Refusal {
        self.facts.bytes = (
            place.entry.bytes_in.load(Ordering::Relaxed),
            place.entry.bytes_out.load(Ordering::Relaxed),
        );
        Refusal::new(reason, "")
    }

    /// Tells the end: log line, counters, followers.
    fn close(self, end: Refusal) {
        let Refusal { reason, detail, .. } = end;
        let facts = self.facts;
        let now = Instant::now();
        let ts = SystemTime::now();
        let sni_status = facts.sni.as_ref().map(Sni::status);
        let sni: Option<Box<str>> = facts.sni.as_ref().and_then(Sni::sent).map(Into::into);
        debug!(id = self.id, client = %self.client, %reason, %detail, "session ended");
        let record = Record {
            ts,
            id: self.id,
            listener: self.listener.name.clone(),
            client: self.client,
            protocol: facts.protocol,
            tls: facts.database.as_ref().map(|d| d.spec.tls.as_str()),
            sni: sni.clone(),
            sni_status,
            alpn: facts.alpn,
            tls_version: facts.tls_version,
            database: facts.database.as_ref().map(|d| d.name.clone()),
            backend: facts.backend,
            handshake_ms: ms(facts.ready.unwrap_or(now) - self.accepted),
            connect_ms: facts.ready.zip(facts.connected).map(|(a, b)| ms(b - a)),
            duration_ms: ms(now - self.accepted),
            bytes_in: facts.bytes.0,
            bytes_out: facts.bytes.1,
            close: reason.by().as_str(),
            reason,
        };
        if self.settings.access && !reason.is_scanner() {
            self.gateway.access_log.write(&record);
        }
        if reason.is_reject() {
            let reject = Arc::new(Reject {
                time: ts,
                client: self.client,
                listener: self.listener.name.clone(),
                protocol: facts.protocol,
                reason,
                sni,
                sni_status,
                detail,
            });
            self.gateway.rejects.add(reject.clone());
            self.gateway.events.tell(|| Event::Rejected(reject));
        } else {
            self.gateway
                .events
                .tell(|| Event::SessionClosed(Arc::new(record)));
        }
    }
}

/// Answers a client that has not begun TLS, as far as its protocol has words.
async fn refusal_before_tls(client: Buffered, refusal: Refusal, facts: &mut Facts) -> Refusal {
    let words = match refusal.reason {
        CloseReason::Plaintext => refusal.error_response(None),
        CloseReason::BadHello => {
            facts.protocol = Some(Protocol::Tls.as_str());
            refusal.alert().record().to_vec()
        }
        _ => Vec::new(),
    };
    say(client, &words).await;
    refusal
}

fn opening_failed(error: &HandshakeError, stage: Stage) -> Refusal {
    if let HandshakeError::Hello(hello) = error {
        return Refusal::new(CloseReason::BadHello, error.to_string()).with_alert(hello.alert());
    }
    let reason = match (error, stage) {
        (HandshakeError::Preface(crate::preface::postgres::PrefaceError::EarlyData(_)), _) => {
            CloseReason::EarlyData
        }
        (HandshakeError::Preface(_), _) => CloseReason::BadPreface,
        (_, Stage::Nothing) => CloseReason::NothingSent,
        (_, Stage::SslRequested) => CloseReason::GoneAfterSslRequest,
        (_, Stage::InMessage) => CloseReason::GoneInHandshake,
    };
    Refusal::new(reason, error.to_string())
}

fn opening_timed_out(stage: Stage) -> Refusal {
    match stage {
        Stage::Nothing => Refusal::new(
            CloseReason::Silent,
            "the client sent nothing (a MySQL client waits for the server to speak first)",
        ),
        Stage::SslRequested => Refusal::new(
            CloseReason::SilentAfterSslRequest,
            "the client sent nothing after its SSLRequest was granted",
        ),
        Stage::InMessage => Refusal::new(
            CloseReason::HelloTimeout,
            "the client did not finish its first message",
        ),
    }
}

fn no_route(sni: &Sni) -> Refusal {
    match sni {
        Sni::None => Refusal::new(CloseReason::NoSni, "the ClientHello carries no server name"),
        Sni::Ip(_) => Refusal::new(CloseReason::IpSni, "the server name is an IP address"),
        Sni::Invalid(_) => Refusal::new(CloseReason::InvalidSni, "the server name is no DNS name"),
        Sni::Name(name) => Refusal::new(
            CloseReason::UnknownHost,
            format!("no database is exposed under {name}"),
        ),
    }
}

/// Whether a backend has to be asked for TLS the Postgres way.
fn needs_ssl_request(database: &Database, opening: &TlsOpening) -> bool {
    database.spec.protocol == Protocol::Postgres
        && match database.spec.tls {
            TlsMode::Terminate => false,
            TlsMode::Reencrypt => true,
            // A hello that offers `postgresql` was made for direct TLS and goes on as it came; a
            // tunnel's was not, and any Postgres takes it behind an SSLRequest.
            TlsMode::Passthrough => opening.ssl_request || !opening.speaks_postgres(),
        }
}

fn printable(alpn: &[u8]) -> Box<str> {
    crate::wire::escape(alpn).into()
}

fn ms(duration: std::time::Duration) -> f64 {
    // Microseconds are enough, and short to print.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Watches a login that passes through reencrypt for the channel-binding failure.
#[derive(Default)]
struct LoginWatch {
    watch: AuthWatch,
    failed: bool,
}

impl Tap for LoginWatch {
    fn see(&mut self, bytes: &[u8]) -> bool {
        let event = self.watch.feed(bytes);
        self.failed |= event == AuthEvent::ChannelBindingFailed;
        event == AuthEvent::Watching
    }
}
