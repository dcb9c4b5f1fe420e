//! The story of a session, from accept to close, top to bottom.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::warn;

use super::Session;
use super::accept::Accepted;
use super::admit::gave_way;
use super::answer;
use super::choose::Choice;
use super::connect::{Backends, ConnectParams};
use super::context::SessionContext;
use super::end::SessionEnd;
use super::establish::Ready;
use super::flight::{Flight, From};
use super::identity;
use super::upgrade::{Upgraded, upgrade};
use crate::admission::Slot;
use crate::config::ListenerProtocol;
use crate::gateway::{Gateway, Listener, ListenerSettings};
use crate::handshake::{OpeningStage, TlsOpening};
use crate::net::hangup::{Gone, hangup};
use crate::net::relay::{Relay, RelayEnd};
use crate::net::{Buffered, Stream, linger};
use crate::route::database::Connecting;
use crate::route::{Database, Protocol};
use crate::stats::CloseReason;
use crate::tls::{TlsMode, error};

/// Serves one client to its end.
pub(super) fn run(
    gateway: Arc<Gateway>,
    listener: Arc<Listener>,
    tcp: Accepted,
    client: SocketAddr,
) -> impl Future<Output = ()> + Send {
    let session = Session {
        context: SessionContext::new(gateway.next_id(), client),
        settings: gateway.settings.load_full(),
        gateway,
        listener,
    };
    session.run(tcp)
}

impl Session {
    fn run(mut self, tcp: Accepted) -> impl Future<Output = ()> + Send {
        // A box that is gone once bytes flow: an idle session carries nothing of its beginning.
        let opening = Box::pin(async move {
            // A box of its own: a client may take its time before it says anything to the backend.
            let ready = Box::pin(self.open(tcp)).await;
            let open = match ready {
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
        });
        async move {
            let Some((session, open)) = opening.await else {
                return;
            };
            let end = open.relay(&session).await;
            session.report(end);
        }
    }

    /// From the first byte of the client to a connection with its database.
    async fn open(&mut self, tcp: Accepted) -> Result<(Choice, Ready), SessionEnd> {
        let tcp = tcp
            .into_local()
            .map_err(|e| SessionEnd::new(CloseReason::Resources, e.to_string()))?;
        let deadline = self.context.accepted + self.settings.timeouts.handshake;
        let listener = self.listener.settings.load_full();
        let (mut client, mut slot) = self.admit(tcp, listener.protocol, deadline).await?;
        if listener.protocol == ListenerProtocol::Tcp {
            drop(slot);
            let (tcp, _) = client.into_parts();
            return Box::pin(self.open_by_port(tcp, &listener, deadline)).await;
        }
        let mut stage = OpeningStage::default();
        let greeted = slot
            .during(self.greet(&mut client, &listener, deadline, &mut stage))
            .await;
        let opening = match greeted {
            Ok(Ok(opening)) => opening,
            Ok(Err(refusal)) => return Err(Box::pin(answer::before_tls(client, refusal)).await),
            Err(reason) => {
                slot.surrender(&mut client);
                let told = self.without_slot(client, Some(stage), gave_way(reason));
                return Err(Box::pin(told).await);
            }
        };
        let choice = match self.choose(&opening, &listener) {
            Ok(choice) => choice,
            Err(refusal) => {
                let (context, gateway) = (&self.context, &self.gateway);
                let told = answer::to_hello(client, &opening, refusal, context, gateway, deadline);
                let told = Box::pin(slot.during(told)).await;
                return Err(told.unwrap_or_else(gave_way));
            }
        };
        let ready = tokio::select! {
            biased;
            reason = choice.entry.wait_cut() => Err(SessionEnd::new(reason, "")),
            ready = self.serve(client, opening, &choice, slot, deadline) => ready,
        };
        ready.map(|ready| (choice, ready))
    }

    /// A client of a listener that relays by port: no name, no preface.
    async fn open_by_port(
        &mut self,
        tcp: TcpStream,
        listener: &ListenerSettings,
        deadline: Instant,
    ) -> Result<(Choice, Ready), SessionEnd> {
        let choice = match self.choose_by_port(listener) {
            Ok(choice) => choice,
            Err(refusal) => {
                linger::close(tcp).await;
                return Err(refusal);
            }
        };
        let database = choice.entry.database.clone();
        self.note_ready();
        let from = From::Port(database.spec.protocol);
        let limit = self.settings.timeouts.connect;
        let mut backends =
            Backends::new(database.clone(), ConnectParams::default(), limit, deadline);
        let story = async {
            let connected = async {
                let _connecting = self.begin_connect(&database)?;
                backends.next().await
            };
            let connected = tokio::select! {
                biased;
                connected = connected => connected,
                () = hangup(&tcp, Gone::Broken) => return Err(gone_while_connecting()),
            };
            match connected {
                Ok(connected) => Ok(Ready {
                    client: Stream::Tcp(tcp),
                    flight: Flight::new(from, Bytes::new()),
                    connected,
                    backends,
                    waits: None,
                }),
                Err(refusal) => {
                    linger::close(tcp).await;
                    Err(refusal)
                }
            }
        };
        let ready = tokio::select! {
            biased;
            reason = choice.entry.wait_cut() => Err(SessionEnd::new(reason, "")),
            ready = story => ready,
        };
        ready.map(|ready| (choice, ready))
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
        let database = choice.entry.database.clone();
        let (client, mut first, startup, from) = match &database.server_tls {
            None => {
                let (tcp, hello) = client.into_parts();
                let from = From::Hello(opening.hello.wire_len);
                (Stream::Tcp(tcp), hello, false, from)
            }
            Some(tls) => {
                let config = tls.config.clone();
                let upgraded = upgrade(client, &opening, &database, config, deadline);
                let Upgraded {
                    stream,
                    first,
                    startup,
                } = Box::pin(slot.during(upgraded)).await.map_err(gave_way)??;
                self.context.note_tls(&stream);
                let known = identity::check(&stream, &choice.entry, startup.then_some(&first))
                    .and_then(|()| self.count(choice));
                let client = Stream::server(stream);
                if let Err(refusal) = known {
                    let told =
                        answer::instead_of_backend(client, &database, refusal, &self.context);
                    return Err(Box::pin(told).await);
                }
                (client, first, startup, From::Inside(database.spec.protocol))
            }
        };
        self.note_ready();
        // What remains is the backend's part, but for a hello that waits for it.
        let slot = slot
            .settle()
            .filter(|_| !database.spec.tls.ends_client_tls());
        let mut params = connect_params(&database, &opening);
        let in_tunnel = startup && !opening.speaks_postgres();
        if in_tunnel && database.spec.tls == TlsMode::Reencrypt {
            params.login = Some(std::mem::take(&mut first));
        }
        let limit = self.settings.timeouts.connect;
        let mut backends = Backends::new(database.clone(), params, limit, deadline);
        let connected = async {
            let connecting = self.begin_connect(&database)?;
            Ok((backends.next().await?, connecting))
        };
        // Nobody reads from the client meanwhile.
        let connected = tokio::select! {
            biased;
            connected = connected => connected,
            () = hangup(client.tcp(), may_end(&database)) => return Err(gone_while_connecting()),
        };
        match connected {
            Ok((connected, connecting)) => Ok(Ready {
                client,
                // A client that has said nothing yet may take its time before it does.
                waits: (!first.is_empty()).then_some((connecting, slot)),
                flight: Flight::new(from, first),
                connected,
                backends,
            }),
            Err(refusal) => {
                let told = answer::instead_of_backend(client, &database, refusal, &self.context);
                Err(Box::pin(told).await)
            }
        }
    }

    /// Closes so that the last bytes arrive, and tells what the end means.
    pub(super) async fn finish(
        &self,
        relay: Relay,
        end: RelayEnd,
        login_refused: bool,
    ) -> SessionEnd {
        if !relay.client_has_ended() {
            linger::close(relay.into_client()).await;
        }
        self.classify(end, login_refused)
    }

    /// What the end of a relay means.
    fn classify(&self, end: RelayEnd, login_refused: bool) -> SessionEnd {
        if login_refused {
            let database = self.context.database.as_ref().map_or("", |d| &*d.name);
            warn!(
                database,
                client = %self.context.client,
                reason = %CloseReason::ScramChannelBinding,
                "the backend refused a login because the client bound it to the gateway's certificate (SCRAM channel binding): let the client say channel_binding=disable, give gateway and backend the same certificate, or use passthrough"
            );
            return SessionEnd::new(CloseReason::ScramChannelBinding, "");
        }
        match end {
            RelayEnd::Client => SessionEnd::new(CloseReason::ClientClosed, ""),
            RelayEnd::Backend => SessionEnd::new(CloseReason::BackendClosed, ""),
            RelayEnd::ClientLost(e) => SessionEnd::new(CloseReason::ClientLost, error::words(&e)),
            RelayEnd::BackendLost(e) => SessionEnd::new(CloseReason::BackendLost, error::words(&e)),
            RelayEnd::Idle => SessionEnd::new(CloseReason::Idle, "timeouts.idle"),
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

    fn note_ready(&mut self) {
        let now = Instant::now();
        self.context.ready = Some(now);
        let took = now - self.context.accepted;
        self.listener.handshakes.observe(took);
    }

    fn report(self, end: SessionEnd) {
        let log = self.settings.access;
        self.context.report(end, &self.gateway, &self.listener, log);
    }
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

fn gone_while_connecting() -> SessionEnd {
    SessionEnd::new(
        CloseReason::GoneWhileConnecting,
        "the client hung up while its backend was being reached",
    )
}

/// What a backend of this database needs before the client's bytes.
fn connect_params(database: &Database, opening: &TlsOpening) -> ConnectParams {
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
    ConnectParams {
        ssl_request,
        sni: opening.hello.sni.name().cloned(),
        alpn: agreed,
        login: None,
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
