//! The story of a session, from accept to close, top to bottom.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use super::accept::Accepted;
use super::admit::gave_way;
use super::choose::Choice;
use super::connect::{ConnectParams, Ready};
use super::context::SessionContext;
use super::end::SessionEnd;
use super::first_answer::counts;
use super::flight::Flight;
use super::proxy_header::ProxyHeader;
use super::refuse;
use super::{Session, unless_cut};
use crate::admission::Slot;
use crate::gateway::{Gateway, Listener, ListenerSettings};
use crate::net::relay::{Relay, RelayEnd};
use crate::net::{Buffered, Stream, linger};
use crate::preface::{Channel, TlsOpening};
use crate::protocol::ListenerProtocol;
use crate::sessions::SessionGuard;
use crate::stats::CloseReason;

/// Time for a client to receive why the gateway ends its session.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves one client to its end.
pub(super) fn run(
    gateway: Arc<Gateway>,
    listener: Arc<Listener>,
    accepted: Accepted,
    client: SocketAddr,
) -> impl Future<Output = ()> + Send {
    let session = Session {
        context: SessionContext::new(gateway.next_id(), client),
        settings: gateway.settings.load_full(),
        gateway,
        listener,
    };
    // A box that is gone once bytes flow: an idle session carries nothing of its beginning.
    let begun = Box::pin(session.begin(accepted));
    async move {
        let Some((session, open)) = begun.await else {
            return;
        };
        let end = open.relay(&session).await;
        session.report(end);
    }
}

impl Session {
    /// Goes on until bytes flow; reports the end of a session that does not come so far.
    async fn begin(mut self, accepted: Accepted) -> Option<(Self, Open)> {
        // A box of its own: a client may take its time before it says anything to the backend.
        let open = match Box::pin(self.open(accepted)).await {
            Ok((choice, ready)) => self.establish(choice, ready).await,
            Err(end) => Err(end),
        };
        match open {
            Ok(open) => Some((self, open)),
            Err(end) => {
                self.report(end);
                None
            }
        }
    }

    /// From accept to a connection with the client's database.
    async fn open(&mut self, accepted: Accepted) -> Result<(Choice, Ready), SessionEnd> {
        let tcp = accepted
            .into_local()
            .map_err(|e| SessionEnd::new(CloseReason::Resources, e.to_string()))?;
        let deadline = self.context.accepted + self.settings.timeouts.handshake;
        let listener = self.listener.settings.load_full();
        let mut client = Buffered::new(tcp);
        if let Some(proxies) = &listener.proxy_protocol {
            let brought = self.read_proxy_header(client, listener.protocol, proxies, deadline);
            client = Box::pin(brought).await?;
        }
        let (client, slot) = self.admit(client, listener.protocol, deadline).await?;
        if listener.protocol == ListenerProtocol::Tcp {
            drop(slot);
            return Box::pin(self.open_by_port(client, &listener, deadline)).await;
        }
        let greeted = self.greet(client, &listener, slot, deadline);
        let (client, opening, mut slot) = greeted.await?;
        let choice = match self.choose(&opening, &listener) {
            Ok(choice) => choice,
            Err(refusal) => {
                let (context, gateway) = (&self.context, &self.gateway);
                let reply = refuse::to_hello(client, &opening, refusal, context, gateway, deadline);
                let end = Box::pin(slot.during(reply)).await;
                return Err(end.unwrap_or_else(gave_way));
            }
        };
        let ready = self.serve(client, opening, &choice, slot, deadline);
        let ready = unless_cut(&choice.entry, ready).await?;
        Ok((choice, ready))
    }

    /// The same at a listener that relays by port: no name, no preface.
    async fn open_by_port(
        &mut self,
        client: Buffered,
        listener: &ListenerSettings,
        deadline: Instant,
    ) -> Result<(Choice, Ready), SessionEnd> {
        let choice = match self.choose_by_port(listener) {
            Ok(choice) => choice,
            Err(refusal) => {
                linger::close(client).await;
                return Err(refusal);
            }
        };
        self.note_ready();
        let database = &choice.entry.database;
        let (tcp, first) = client.into_parts();
        let flight = Flight::new(Channel::Port(database.spec.protocol), first);
        let client = Stream::Tcp(tcp);
        let more = !flight.bytes().is_empty();
        let params = ConnectParams {
            proxy: ProxyHeader::of(&self.context, database, &client, more),
            ..ConnectParams::default()
        };
        let ready = self.connect(client, flight, database, params, None, deadline);
        let ready = unless_cut(&choice.entry, ready).await?;
        Ok((choice, ready))
    }

    /// Ends the client's TLS where the mode says so, and connects.
    async fn serve(
        &mut self,
        client: Buffered,
        opening: TlsOpening,
        choice: &Choice,
        mut slot: Slot,
        deadline: Instant,
    ) -> Result<Ready, SessionEnd> {
        let database = &choice.entry.database;
        let (client, mut first, channel, has_login) = match &database.server_tls {
            None => {
                let (tcp, hello) = client.into_parts();
                let channel = Channel::Hello(opening.hello.wire_len);
                (Stream::Tcp(tcp), hello, channel, false)
            }
            Some(tls) => {
                let config = tls.config.clone();
                let upgraded = self.upgrade(client, &opening, choice, config, &mut slot, deadline);
                let upgraded = upgraded.await?;
                let channel = Channel::Inside(database.spec.protocol);
                (upgraded.client, upgraded.first, channel, upgraded.has_login)
            }
        };
        self.note_ready();
        // What remains is the backend's part, but for a hello that waits for it.
        let slot = slot
            .settle()
            .filter(|_| !database.spec.tls.ends_client_tls());
        let params = ConnectParams {
            proxy: ProxyHeader::of(&self.context, database, &client, !first.is_empty()),
            ..ConnectParams::new(database, &opening, has_login.then_some(&first))
        };
        if params.login.is_some() {
            first = Bytes::new();
        }
        let flight = Flight::new(channel, first);
        self.connect(client, flight, database, params, slot, deadline)
            .await
    }

    /// Brings client and backend together until the backend has answered, in passthrough up to the
    /// end of their handshake.
    async fn establish(&mut self, choice: Choice, ready: Ready) -> Result<Open, SessionEnd> {
        let entry = choice.entry;
        let relay = unless_cut(&entry, self.until_established(&entry, ready)).await?;
        Ok(Open { entry, relay })
    }

    async fn until_established(
        &mut self,
        entry: &SessionGuard,
        mut ready: Ready,
    ) -> Result<Relay, SessionEnd> {
        let database = &entry.database;
        self.emit_opened(ready.connected.address, database);
        entry.count_in(ready.backends.login_bytes());
        let hello = u64::try_from(ready.flight.bytes().len()).unwrap_or(0);
        let mut waits = ready.waits.take();
        let mut relay = self.until_answered(entry, ready, &mut waits).await?;
        if hello > 0 && !database.spec.tls.ends_client_tls() {
            // The handshake is between client and backend; it is up, as far as can be seen from
            // here, once each has answered the other.
            let timeouts = &self.settings.timeouts;
            let deadline =
                (self.context.accepted + timeouts.handshake).max(Instant::now() + timeouts.connect);
            match timeout_at(deadline, relay.until_moved(counts(entry), hello, 0)).await {
                Ok(None) => {}
                Ok(Some(end)) => return Err(Box::pin(self.close(relay, end)).await),
                Err(_) => return Err(Box::pin(refuse::stalled_handshake(relay, entry)).await),
            }
        }
        drop(waits);
        Ok(relay)
    }

    /// Closes so that the last bytes arrive.
    pub(super) async fn close(&self, relay: Relay, end: RelayEnd) -> SessionEnd {
        let login_refused = relay.saw_failure();
        if !relay.client_has_ended() {
            linger::close(relay.into_client()).await;
        }
        if login_refused {
            return self.context.channel_binding_failed();
        }
        end.into()
    }
}

/// A session through which bytes flow.
struct Open {
    entry: SessionGuard,
    relay: Relay,
}

impl Open {
    /// Moves bytes until one side ends or the session is cut, and delivers the last of them.
    fn relay(self, session: &Session) -> impl Future<Output = SessionEnd> + Send {
        let Self { entry, mut relay } = self;
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
            // All of it goes along: a session that runs carries nothing of its end.
            Box::pin(finish(session, end, relay, entry)).await
        }
    }
}

/// Delivers the last bytes of a session, or the last words to one that was cut.
async fn finish(
    session: &Session,
    end: Result<RelayEnd, CloseReason>,
    relay: Relay,
    entry: SessionGuard,
) -> SessionEnd {
    match end {
        Ok(end) => {
            let end = session.close(relay, end).await;
            drop(entry);
            end
        }
        Err(reason) => cut(reason, relay, entry).await,
    }
}

/// Ends a session that was cut, with last words where the client can hear them.
async fn cut(reason: CloseReason, relay: Relay, entry: SessionGuard) -> SessionEnd {
    let end = SessionEnd::new(reason, "");
    if let Ok(Some(client)) = timeout(LAST_WORDS, end.tell(relay, &entry)).await {
        // The session is over; only its socket stays until the client has read, for a second at most.
        tokio::spawn(linger::close(client));
    }
    end
}
