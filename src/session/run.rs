//! The story of a session, from accept to close, top to bottom.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::Session;
use super::answer;
use super::choose::Place;
use super::connect::{Connected, Lead, connect};
use super::ending::Ending;
use super::facts::Facts;
use super::login;
use super::upgrade::{Upgraded, upgrade};
use crate::admission::Slot;
use crate::config::ListenerProtocol;
use crate::gateway::{Gateway, Listener, ListenerSettings};
use crate::handshake::TlsOpening;
use crate::net::pump::Tap;
use crate::net::relay::{End, Relay};
use crate::net::{Buffered, Stream, linger};
use crate::preface::postgres::{AuthEvent, AuthWatch};
use crate::route::{Database, Protocol};
use crate::stats::{CloseReason, Event};
use crate::tls::TlsMode;

/// Serves one client to its end.
pub(super) async fn run(
    gateway: Arc<Gateway>,
    listener: Arc<Listener>,
    tcp: TcpStream,
    client: SocketAddr,
) {
    let mut session = Session {
        facts: Facts::new(gateway.next_id(), client),
        settings: gateway.settings.load_full(),
        gateway,
        listener,
    };
    let end = session.story(tcp).await;
    let log = session.settings.access;
    session
        .facts
        .tell(end, &session.gateway, &session.listener, log);
}

impl Session {
    /// From the first byte to the reason why it ended.
    async fn story(&mut self, tcp: TcpStream) -> Ending {
        let deadline = self.facts.accepted + self.settings.timeouts.handshake;
        let source = self.facts.client.ip();
        let slot = match self.gateway.handshakes.enter(source, &self.settings.limits) {
            Ok(slot) => slot,
            Err(reason) => return Ending::new(reason, "closed at once"),
        };
        let listener = self.listener.settings.load_full();
        if listener.protocol == ListenerProtocol::Tcp {
            return Box::pin(self.by_port(tcp, &listener, slot, deadline)).await;
        }
        let mut client = Buffered::new(tcp);
        let opening = match self.greet(&mut client, &listener, deadline).await {
            Ok(opening) => opening,
            Err(refusal) => return Box::pin(answer::before_tls(client, refusal)).await,
        };
        let place = match self.choose(&opening, &listener) {
            Ok(place) => place,
            Err(refusal) => {
                let (facts, gateway) = (&self.facts, &self.gateway);
                let told = answer::to_hello(client, &opening, refusal, facts, gateway, deadline);
                return Box::pin(told).await;
            }
        };
        let end = tokio::select! {
            biased;
            reason = place.entry.wait_cut() => Ending::new(reason, ""),
            end = self.serve(client, opening, &place, slot, deadline) => end,
        };
        self.note_bytes(&place);
        end
    }

    /// Ends the client's TLS where the mode says so, connects, relays.
    async fn serve(
        &mut self,
        client: Buffered,
        opening: TlsOpening,
        place: &Place,
        slot: Slot,
        deadline: Instant,
    ) -> Ending {
        let database = place.entry.database.clone();
        let (client, mut first, startup) = match &database.server_tls {
            None => {
                let (tcp, hello) = client.into_parts();
                (Stream::Tcp(tcp), hello, false)
            }
            Some(tls) => {
                let config = tls.config.clone();
                let upgraded = upgrade(client, &opening, &database, config, deadline);
                match Box::pin(upgraded).await {
                    Ok(Upgraded {
                        stream,
                        first,
                        startup,
                    }) => {
                        self.facts.note_tls(&stream);
                        (Stream::Server(stream), first, startup)
                    }
                    Err(refusal) => return refusal,
                }
            }
        };
        self.note_ready();
        let lead = lead(&database, &opening);
        let patience = self.settings.timeouts.connect;
        let in_tunnel = startup && !opening.speaks_postgres();
        let ready = async {
            let mut connected = connect(&database, &lead, patience, deadline).await?;
            if in_tunnel && database.spec.tls == TlsMode::Reencrypt {
                let login = login::begin(&mut connected.stream, &first, patience);
                connected.answer = Box::pin(login).await?;
                place.entry.count_in(first.len());
                first.clear();
            }
            Ok(connected)
        };
        let connected = match Box::pin(ready).await {
            Ok(connected) => connected,
            Err(refusal) => {
                let told = answer::instead_of_backend(client, &database, refusal, &self.facts);
                return Box::pin(told).await;
            }
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
    ) -> Ending {
        let place = match self.place_by_port(listener) {
            Ok(place) => place,
            Err(refusal) => {
                linger::close(tcp).await;
                return refusal;
            }
        };
        let database = place.entry.database.clone();
        self.note_ready();
        let patience = self.settings.timeouts.connect;
        let story = async {
            match connect(&database, &Lead::default(), patience, deadline).await {
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
        let end = tokio::select! {
            biased;
            reason = place.entry.wait_cut() => Ending::new(reason, ""),
            end = story => end,
        };
        self.note_bytes(&place);
        end
    }

    /// Moves bytes until one side ends, and delivers the last of them.
    async fn relay(
        &mut self,
        client: Stream,
        first: Bytes,
        connected: Connected,
        place: &Place,
        slot: Slot,
    ) -> Ending {
        let entry = &place.entry;
        let database = &entry.database;
        let Connected {
            stream,
            address,
            place,
            answer,
        } = connected;
        self.tell_open(address, database);
        entry.opened(address, place);
        let mut watch = LoginWatch::of(database);
        let tap = watch.as_mut().map(|w| w as &mut (dyn Tap + Send));
        let hello = u64::try_from(first.len()).unwrap_or(0);
        let mut relay = Relay::new(
            client,
            stream,
            (first, answer),
            &entry.bytes_in,
            &entry.bytes_out,
            tap,
        );
        let mut end = None;
        if hello > 0 && !database.spec.tls.ends_client_tls() {
            // The handshake is between client and backend; it is up, as far as can be seen from
            // here, once each has answered the other.
            let timeouts = &self.settings.timeouts;
            let deadline =
                (self.facts.accepted + timeouts.handshake).max(Instant::now() + timeouts.connect);
            end = match timeout_at(deadline, relay.until_moved(hello, 0)).await {
                Ok(end) => end,
                Err(_) => return Box::pin(handshake_stalled(relay)).await,
            };
        }
        drop(slot);
        let end = match end {
            Some(end) => end,
            None => relay.run(self.settings.timeouts.idle).await,
        };
        if !relay.client_has_ended() {
            Box::pin(linger::close(relay.into_client())).await;
        }
        self.judge(end, watch.as_ref())
    }

    /// What the end of a relay means.
    fn judge(&self, end: End, watch: Option<&LoginWatch>) -> Ending {
        if watch.is_some_and(|w| w.failed) {
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

    fn note_ready(&mut self) {
        let now = Instant::now();
        self.facts.ready = Some(now);
        let took = now - self.facts.accepted;
        self.listener.handshakes.observe(took);
    }

    fn tell_open(&mut self, address: SocketAddr, database: &Database) {
        let now = Instant::now();
        self.facts.backend = Some(address);
        self.facts.connected = Some(now);
        if let Some(ready) = self.facts.ready {
            database.live().connects.observe(now - ready);
        }
        self.gateway.sessions_total.fetch_add(1, Ordering::Relaxed);
        self.gateway.events.tell(|| Event::SessionOpened {
            ts: SystemTime::now(),
            id: self.facts.id,
            database: database.name.clone(),
            client: self.facts.client,
            backend: address,
        });
    }

    fn note_bytes(&mut self, place: &Place) {
        self.facts.bytes = place.entry.moved();
    }
}

/// Ends a passthrough session whose TLS handshake does not go on; a client that has seen nothing
/// of the backend yet can still be told.
async fn handshake_stalled(relay: Relay<'_>) -> Ending {
    if relay.backend_has_answered() {
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

/// Watches a login that passes through reencrypt for the channel-binding failure.
#[derive(Default)]
struct LoginWatch {
    watch: AuthWatch,
    failed: bool,
}

impl LoginWatch {
    /// A watch where the failure can happen: where gateway and backend both do TLS with Postgres.
    fn of(database: &Database) -> Option<Self> {
        (database.spec.tls == TlsMode::Reencrypt && database.spec.protocol == Protocol::Postgres)
            .then(Self::default)
    }
}

impl Tap for LoginWatch {
    fn see(&mut self, bytes: &[u8]) -> bool {
        let event = self.watch.feed(bytes);
        self.failed |= event == AuthEvent::ChannelBindingFailed;
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
    #[test]
    fn a_session_is_small() {
        let size = size_of_future(run);
        assert!(size <= 2688, "the future of a session has {size} bytes");
    }
}
