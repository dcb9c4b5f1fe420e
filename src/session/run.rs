//! The story of a session, from accept to close, top to bottom.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::Session;
use super::accept::Arrived;
use super::admit::gave_way;
use super::answer;
use super::choose::Place;
use super::connect::{Connected, Lead, connect};
use super::ending::Ending;
use super::facts::Facts;
use super::identity;
use super::login;
use super::upgrade::{Upgraded, upgrade};
use crate::admission::Slot;
use crate::config::ListenerProtocol;
use crate::gateway::{Gateway, Listener, ListenerSettings};
use crate::handshake::{Stage, TlsOpening};
use crate::net::hangup::{Gone, hangup};
use crate::net::pump::Tap;
use crate::net::relay::{Counts, End, Relay};
use crate::net::{Buffered, Stream, linger};
use crate::preface::postgres::{AuthEvent, AuthWatch};
use crate::route::database::Connecting;
use crate::route::{Database, Protocol};
use crate::stats::registry::{Entry, Registered};
use crate::stats::{CloseReason, Event};
use crate::tls::TlsMode;

/// Serves one client to its end.
pub(super) fn run(
    gateway: Arc<Gateway>,
    listener: Arc<Listener>,
    tcp: Arrived,
    client: SocketAddr,
) -> impl Future<Output = ()> + Send {
    let session = Session {
        facts: Facts::new(gateway.next_id(), client),
        settings: gateway.settings.load_full(),
        gateway,
        listener,
    };
    session.run(tcp)
}

/// A session through which bytes flow.
struct Open {
    entry: Registered,
    relay: Relay,
    /// Says whether the backend refused the login because of its channel binding, where that is
    /// watched.
    refused: Option<Arc<AtomicBool>>,
}

impl Open {
    fn new(place: Place, opened: Result<Opened, Ending>) -> Result<Self, Ending> {
        opened.map(|(relay, refused)| Self {
            entry: place.entry,
            relay,
            refused,
        })
    }

    /// Moves bytes until one side ends or somebody cuts the session, and delivers the last of
    /// them.
    fn relay(self, session: &Session) -> impl Future<Output = Ending> + Send {
        let Self {
            entry,
            mut relay,
            refused,
        } = self;
        // A block uses in place what it captures; an async fn would keep a second copy of each
        // argument for as long as the session lasts.
        async move {
            let idle = session.settings.timeouts.idle;
            let counts = counts(&entry);
            let end = tokio::select! {
                biased;
                reason = entry.wait_cut() => Err(reason),
                end = relay.run(counts, idle) => Ok(end),
            };
            let end = match end {
                Ok(end) => {
                    let refused = refused.is_some_and(|refused| refused.load(Relaxed));
                    Box::pin(session.finish(relay, end, refused)).await
                }
                Err(reason) => Ending::new(reason, ""),
            };
            // Named as a whole, or the block would capture only what it borrows, and the session's
            // place would be given back before it begins.
            drop(entry);
            end
        }
    }
}

impl Session {
    fn run(mut self, tcp: Arrived) -> impl Future<Output = ()> + Send {
        // A box that is gone once bytes flow: an idle session carries nothing of its beginning.
        let opening = Box::pin(async move {
            match self.open(tcp).await {
                Ok(open) => Some((self, open)),
                Err(end) => {
                    self.tell(end);
                    None
                }
            }
        });
        async move {
            let Some((session, open)) = opening.await else {
                return;
            };
            let end = open.relay(&session).await;
            session.tell(end);
        }
    }

    /// From the first byte of the client to a connection between it and its database.
    async fn open(&mut self, tcp: Arrived) -> Result<Open, Ending> {
        let tcp = tcp
            .settle()
            .map_err(|e| Ending::new(CloseReason::Resources, e.to_string()))?;
        let deadline = self.facts.accepted + self.settings.timeouts.handshake;
        let listener = self.listener.settings.load_full();
        let (mut client, mut slot) = self.admit(tcp, listener.protocol, deadline).await?;
        if listener.protocol == ListenerProtocol::Tcp {
            drop(slot);
            let (tcp, _) = client.into_parts();
            return Box::pin(self.open_by_port(tcp, &listener, deadline)).await;
        }
        let mut stage = Stage::default();
        let greeted = slot
            .during(self.greet(&mut client, &listener, deadline, &mut stage))
            .await;
        let opening = match greeted {
            Ok(Ok(opening)) => opening,
            Ok(Err(refusal)) => return Err(Box::pin(answer::before_tls(client, refusal)).await),
            Err(reason) => {
                let told = self.without_place(client, Some(stage), gave_way(reason));
                return Err(Box::pin(told).await);
            }
        };
        let place = match self.choose(&opening, &listener) {
            Ok(place) => place,
            Err(refusal) => {
                let (facts, gateway) = (&self.facts, &self.gateway);
                let told = answer::to_hello(client, &opening, refusal, facts, gateway, deadline);
                let told = Box::pin(slot.during(told)).await;
                return Err(told.unwrap_or_else(gave_way));
            }
        };
        let opened = tokio::select! {
            biased;
            reason = place.entry.wait_cut() => Err(Ending::new(reason, "")),
            opened = self.serve(client, opening, &place, slot, deadline) => opened,
        };
        Open::new(place, opened)
    }

    /// A client of a listener that relays by port: no name, no preface.
    async fn open_by_port(
        &mut self,
        tcp: TcpStream,
        listener: &ListenerSettings,
        deadline: Instant,
    ) -> Result<Open, Ending> {
        let place = match self.place_by_port(listener) {
            Ok(place) => place,
            Err(refusal) => {
                linger::close(tcp).await;
                return Err(refusal);
            }
        };
        let database = place.entry.database.clone();
        self.note_ready();
        let patience = self.settings.timeouts.connect;
        let story = async {
            let connected = async {
                let _connecting = self.begin_connect(&database)?;
                connect(&database, &Lead::default(), patience, deadline).await
            };
            let connected = tokio::select! {
                biased;
                connected = connected => connected,
                () = hangup(&tcp, Gone::Broken) => return Err(gone_while_connecting()),
            };
            match connected {
                Ok(connected) => {
                    let client = Stream::Tcp(tcp);
                    self.establish(client, Bytes::new(), connected, &place, None)
                        .await
                }
                Err(refusal) => {
                    linger::close(tcp).await;
                    Err(refusal)
                }
            }
        };
        let opened = tokio::select! {
            biased;
            reason = place.entry.wait_cut() => Err(Ending::new(reason, "")),
            opened = story => opened,
        };
        Open::new(place, opened)
    }

    /// Ends the client's TLS where the mode says so, and connects.
    async fn serve(
        &mut self,
        client: Buffered,
        opening: TlsOpening,
        place: &Place,
        mut slot: Slot,
        deadline: Instant,
    ) -> Result<Opened, Ending> {
        let database = place.entry.database.clone();
        let (client, mut first, startup) = match &database.server_tls {
            None => {
                let (tcp, hello) = client.into_parts();
                (Stream::Tcp(tcp), hello, false)
            }
            Some(tls) => {
                let config = tls.config.clone();
                let upgraded = upgrade(client, &opening, &database, config, deadline);
                let Upgraded {
                    stream,
                    first,
                    startup,
                } = Box::pin(slot.during(upgraded)).await.map_err(gave_way)??;
                self.facts.note_tls(&stream);
                let known = identity::check(&stream, &place.entry, startup.then_some(&first))
                    .and_then(|()| self.count(place));
                let client = Stream::server(stream);
                if let Err(refusal) = known {
                    let told = answer::instead_of_backend(client, &database, refusal, &self.facts);
                    return Err(Box::pin(told).await);
                }
                (client, first, startup)
            }
        };
        self.note_ready();
        // What remains is the backend's part, but for a hello that waits for it.
        let slot = slot
            .settle()
            .filter(|_| !database.spec.tls.ends_client_tls());
        let lead = lead(&database, &opening);
        let patience = self.settings.timeouts.connect;
        let in_tunnel = startup && !opening.speaks_postgres();
        let ready = async {
            let _connecting = self.begin_connect(&database)?;
            let mut connected = connect(&database, &lead, patience, deadline).await?;
            if in_tunnel && database.spec.tls == TlsMode::Reencrypt {
                let login = login::begin(&mut connected.stream, &first, patience);
                connected.answer = Box::pin(login).await?;
                place.entry.count_in(first.len());
                first.clear();
            }
            Ok(connected)
        };
        // Nobody reads from the client meanwhile.
        let ready = tokio::select! {
            biased;
            ready = ready => ready,
            () = hangup(client.tcp(), may_end(&database)) => return Err(gone_while_connecting()),
        };
        match ready {
            Ok(connected) => self.establish(client, first, connected, place, slot).await,
            Err(refusal) => {
                let told = answer::instead_of_backend(client, &database, refusal, &self.facts);
                Err(Box::pin(told).await)
            }
        }
    }

    /// Brings client and backend together, in passthrough up to the end of their handshake.
    async fn establish(
        &mut self,
        client: Stream,
        first: Bytes,
        connected: Connected,
        place: &Place,
        slot: Option<Slot>,
    ) -> Result<Opened, Ending> {
        let entry = &place.entry;
        let database = &entry.database;
        self.tell_open(connected.address, database);
        entry.opened(connected.address, connected.place);
        let (watch, refused) = LoginWatch::of(database).unzip();
        let hello = u64::try_from(first.len()).unwrap_or(0);
        let mut relay = Relay::new(client, connected.stream, (first, connected.answer), watch);
        if hello > 0 && !database.spec.tls.ends_client_tls() {
            // The handshake is between client and backend; it is up, as far as can be seen from
            // here, once each has answered the other.
            let timeouts = &self.settings.timeouts;
            let deadline =
                (self.facts.accepted + timeouts.handshake).max(Instant::now() + timeouts.connect);
            match timeout_at(deadline, relay.until_moved(counts(entry), hello, 0)).await {
                Ok(None) => {}
                Ok(Some(end)) => return Err(Box::pin(self.finish(relay, end, false)).await),
                Err(_) => return Err(Box::pin(handshake_stalled(relay, entry)).await),
            }
        }
        drop(slot);
        Ok((relay, refused))
    }

    /// Closes so that the last bytes arrive, and tells what the end means.
    async fn finish(&self, relay: Relay, end: End, login_refused: bool) -> Ending {
        if !relay.client_has_ended() {
            linger::close(relay.into_client()).await;
        }
        self.judge(end, login_refused)
    }

    /// What the end of a relay means.
    fn judge(&self, end: End, login_refused: bool) -> Ending {
        if login_refused {
            let database = self.facts.database.as_ref().map_or("", |d| &*d.name);
            warn!(
                database,
                client = %self.facts.client,
                reason = %CloseReason::ScramChannelBinding,
                "the backend refused a login because the client bound it to the gateway's certificate (SCRAM channel binding): let the client say channel_binding=disable, give gateway and backend the same certificate, or use passthrough"
            );
            return Ending::new(CloseReason::ScramChannelBinding, "");
        }
        match end {
            End::Client => Ending::new(CloseReason::ClientClosed, ""),
            End::Backend => Ending::new(CloseReason::BackendClosed, ""),
            End::ClientLost(e) => Ending::new(CloseReason::ClientLost, e.to_string()),
            End::BackendLost(e) => Ending::new(CloseReason::BackendLost, e.to_string()),
            End::Idle => Ending::new(CloseReason::Idle, "timeouts.idle"),
        }
    }

    /// Counts a client that begins to wait for a backend: a database may have as many of them as the
    /// gateway may have handshakes, so that one whose backends are dead does not hold everything.
    fn begin_connect(&self, database: &Database) -> Result<Connecting, Ending> {
        let limit = u32::try_from(self.settings.limits.max_handshakes).unwrap_or(u32::MAX);
        database.live().connect(limit).ok_or_else(|| {
            Ending::new(
                CloseReason::ConnectsFull,
                format!(
                    "{limit} clients (limits.max_handshakes) wait for the backends of {}",
                    database.name
                ),
            )
        })
    }

    fn note_ready(&mut self) {
        let now = Instant::now();
        self.facts.ready = Some(now);
        let took = now - self.facts.accepted;
        self.listener.handshakes.observe(took);
    }

    fn tell_open(&mut self, address: SocketAddr, database: &Database) {
        let now = Instant::now();
        self.facts.connected = Some(now);
        if let Some(ready) = self.facts.ready {
            database.live().connects.observe(now - ready);
        }
        self.gateway.sessions_total.fetch_add(1, Relaxed);
        self.gateway.events.tell(|| Event::SessionOpened {
            ts: SystemTime::now(),
            id: self.facts.id,
            database: database.name.clone(),
            client: self.facts.client,
            backend: address,
        });
    }

    fn tell(self, end: Ending) {
        let log = self.settings.access;
        self.facts.tell(end, &self.gateway, &self.listener, log);
    }
}

/// Ends a passthrough session whose TLS handshake does not go on; a client that has seen nothing
/// of the backend yet can still be told.
async fn handshake_stalled(relay: Relay, entry: &Entry) -> Ending {
    if entry.moved().1 > 0 {
        return Ending::new(
            CloseReason::TlsTimeout,
            "the backend answered the ClientHello, the client did not go on",
        );
    }
    let refusal = Ending::new(
        CloseReason::BackendSilent,
        "the backend did not answer the ClientHello",
    );
    answer::say(relay.into_client(), &refusal.alert().record()).await;
    refusal
}

/// What shows that a client of this database is gone while its backend is being reached.
///
/// One that has sent a hello for the backend, or a Postgres client's first message, needs an answer
/// before it can go on. Any other may have said all it has to say, and ended its side.
fn may_end(database: &Database) -> Gone {
    let spec = &database.spec;
    if spec.protocol == Protocol::Postgres || !spec.tls.ends_client_tls() {
        Gone::Ended
    } else {
        Gone::Broken
    }
}

fn gone_while_connecting() -> Ending {
    Ending::new(
        CloseReason::GoneWhileConnecting,
        "the client hung up while its backend was being reached",
    )
}

/// What a backend of this database needs before the client's bytes.
fn lead<'a>(database: &'a Database, opening: &'a TlsOpening) -> Lead<'a> {
    let postgres = database.spec.protocol == Protocol::Postgres;
    let ssl_request = match database.spec.tls {
        TlsMode::Terminate => false,
        TlsMode::Reencrypt => postgres,
        // A hello that offers `postgresql` was made for direct TLS and goes on as it came; a
        // tunnel's was not, and any Postgres takes it behind an SSLRequest.
        TlsMode::Passthrough => postgres && (opening.ssl_request || !opening.speaks_postgres()),
    };
    let agreed = (database.spec.protocol == Protocol::Tls)
        .then(|| opening.hello.alpn.first().cloned())
        .flatten();
    Lead {
        ssl_request,
        tls: database.backend_tls.as_ref(),
        sni: opening.hello.sni.name(),
        alpn: agreed,
    }
}

/// Where the relay counts what it moves.
fn counts(entry: &Entry) -> Counts<'_> {
    Counts {
        bytes_in: &entry.bytes_in,
        bytes_out: &entry.bytes_out,
    }
}

/// A relay, and the word about the login that it watches.
type Opened = (Relay, Option<Arc<AtomicBool>>);

/// Watches a login that passes through reencrypt for the channel-binding failure.
struct LoginWatch {
    watch: AuthWatch,
    refused: Arc<AtomicBool>,
}

impl LoginWatch {
    /// A watch where the failure can happen: where gateway and backend both do TLS with Postgres.
    fn of(database: &Database) -> Option<(Box<dyn Tap + Send>, Arc<AtomicBool>)> {
        let both =
            database.spec.tls == TlsMode::Reencrypt && database.spec.protocol == Protocol::Postgres;
        both.then(|| {
            let refused = Arc::<AtomicBool>::default();
            let watch = Self {
                watch: AuthWatch::default(),
                refused: refused.clone(),
            };
            (Box::new(watch) as Box<dyn Tap + Send>, refused)
        })
    }
}

impl Tap for LoginWatch {
    fn see(&mut self, bytes: &[u8]) -> bool {
        let event = self.watch.feed(bytes);
        if event == AuthEvent::ChannelBindingFailed {
            self.refused.store(true, Relaxed);
        }
        event == AuthEvent::Watching
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, F>(_: fn(A, B, C, D) -> F) -> usize {
        std::mem::size_of::<F>()
    }

    /// Every idle session holds this much; steps that rarely run are boxed to keep them out of it.
    /// Tokio's task around it has 176 bytes more, and comes in steps of 128.
    #[test]
    fn a_session_is_small() {
        let size = size_of_future(run);
        assert!(size <= 848, "the future of a session has {size} bytes");
    }
}
