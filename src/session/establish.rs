//! From a connected backend to one that has answered the client: the first flight goes to the next
//! backend where the first one fails, and in passthrough the TLS handshake has to come up.
//!
//! Not here: what may be sent again ([`super::flight`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::SystemTime;

use tokio::time::{Instant, timeout_at};

use super::Session;
use super::answer;
use super::choose::Choice;
use super::connect::{Backends, Connected};
use super::end::SessionEnd;
use super::flight::{Flight, Meaning};
use crate::admission::Slot;
use crate::net::pump::Tap;
use crate::net::relay::{Counts, FirstEvent, Relay, RelayEnd};
use crate::net::{Stream, linger};
use crate::preface::postgres::{AuthEvent, AuthWatch};
use crate::route::database::Connecting;
use crate::route::{Database, Protocol};
use crate::sessions::{LiveSession, SessionGuard};
use crate::stats::{CloseReason, Event};
use crate::tls::TlsMode;

/// A client and a backend that is connected.
pub(super) struct Ready {
    pub(super) client: Stream,
    pub(super) flight: Flight,
    pub(super) connected: Connected,
    pub(super) backends: Backends,
    /// What it is counted as while it waits for an answer: among those that wait for a backend, and
    /// among the handshakes if its hello is large.
    pub(super) waits: Option<(Connecting, Option<Slot>)>,
}

/// A session through which bytes flow.
pub(super) struct Open {
    entry: SessionGuard,
    relay: Relay,
    /// Says whether the backend refused the login because of its channel binding, where that is
    /// watched.
    refused: Option<Arc<AtomicBool>>,
}

impl Open {
    fn new(choice: Choice, opened: Result<Opened, SessionEnd>) -> Result<Self, SessionEnd> {
        opened.map(|(relay, refused)| Self {
            entry: choice.entry,
            relay,
            refused,
        })
    }

    /// Moves bytes until one side ends or somebody cuts the session, and delivers the last of
    /// them.
    pub(super) fn relay(self, session: &Session) -> impl Future<Output = SessionEnd> + Send {
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
                Err(reason) => SessionEnd::new(reason, ""),
            };
            // Named as a whole, or the block would capture only what it borrows, and the session's
            // choice would be dropped before it begins.
            drop(entry);
            end
        }
    }
}

impl Session {
    /// Brings client and backend together until the backend has answered, in passthrough up to the
    /// end of their handshake.
    pub(super) async fn establish(
        &mut self,
        choice: Choice,
        ready: Ready,
    ) -> Result<Open, SessionEnd> {
        let opened = tokio::select! {
            biased;
            reason = choice.entry.wait_cut() => Err(SessionEnd::new(reason, "")),
            opened = self.until_established(&choice.entry, ready) => opened,
        };
        Open::new(choice, opened)
    }

    async fn until_established(
        &mut self,
        entry: &SessionGuard,
        ready: Ready,
    ) -> Result<Opened, SessionEnd> {
        let database = &entry.database;
        self.emit_opened(ready.connected.address, database);
        entry.count_in(ready.backends.login_bytes());
        let hello = u64::try_from(ready.flight.bytes().len()).unwrap_or(0);
        let waits = ready.waits;
        let (mut relay, refused) = self
            .until_answered(
                entry,
                ready.client,
                ready.flight,
                ready.connected,
                ready.backends,
            )
            .await?;
        if hello > 0 && !database.spec.tls.ends_client_tls() {
            // The handshake is between client and backend; it is up, as far as can be seen from
            // here, once each has answered the other.
            let timeouts = &self.settings.timeouts;
            let deadline =
                (self.context.accepted + timeouts.handshake).max(Instant::now() + timeouts.connect);
            match timeout_at(deadline, relay.until_moved(counts(entry), hello, 0)).await {
                Ok(None) => {}
                Ok(Some(end)) => return Err(Box::pin(self.finish(relay, end, false)).await),
                Err(_) => return Err(Box::pin(handshake_stalled(relay, entry)).await),
            }
        }
        drop(waits);
        Ok((relay, refused))
    }

    /// Relays until a backend has answered the first flight, and goes on to the next one where it
    /// does not.
    async fn until_answered(
        &self,
        entry: &SessionGuard,
        mut client: Stream,
        mut flight: Flight,
        mut connected: Connected,
        mut backends: Backends,
    ) -> Result<Opened, SessionEnd> {
        loop {
            entry.opened(connected.address, connected.place);
            let answered = !connected.answer.is_empty();
            let (watch, refused) = LoginWatch::of(&entry.database).unzip();
            let first = (flight.bytes(), connected.answer);
            let mut relay = Relay::new(client, connected.stream, first, watch);
            let first = if answered {
                Outcome::Answered
            } else {
                let wait = self.first_answer(&mut relay, entry, &mut flight, &mut backends);
                wait.await
            };
            let refusal = match first {
                Outcome::Answered => {
                    backends.answered();
                    return Ok((relay, refused));
                }
                Outcome::Undecided => return Ok((relay, refused)),
                Outcome::Ended(end) => return Err(Box::pin(self.finish(relay, end, false)).await),
                Outcome::Failed(refusal) => refusal,
            };
            backends.failed(refusal);
            client = relay.into_client();
            let next = match flight.meaning() {
                Meaning::Nothing | Meaning::Greeting => Box::pin(backends.next()).await,
                Meaning::Request | Meaning::Unknown => Err(backends.give_up().after_request()),
            };
            match next {
                Ok(next) => connected = next,
                Err(refusal) if flight.is_by_port() => {
                    linger::close(client).await;
                    return Err(refusal);
                }
                Err(refusal) => {
                    let (database, context) = (&entry.database, &self.context);
                    let told = answer::instead_of_backend(client, database, refusal, context);
                    return Err(Box::pin(told).await);
                }
            }
        }
    }

    /// Relays until this backend has answered, or has failed to.
    async fn first_answer(
        &self,
        relay: &mut Relay,
        entry: &LiveSession,
        flight: &mut Flight,
        backends: &mut Backends,
    ) -> Outcome {
        // What goes to several backends counts once.
        let sent = AtomicU64::new(0);
        let to_backend = Counts {
            bytes_in: &sent,
            bytes_out: &entry.bytes_out,
        };
        // The first bytes of a greeting start the clock; where none runs, each starts `idle` anew.
        let mut since = Instant::now();
        let mut meaning = flight.meaning();
        // The handshake of TLS has a deadline of its own.
        while meaning != Meaning::Unknown || flight.ends_here() {
            let before = sent.load(Relaxed);
            let limit = match meaning {
                Meaning::Greeting => Some(backends.timeout()),
                _ => self.settings.timeouts.idle,
            };
            let wait = relay.until_answered(to_backend, before, flight);
            let first = match limit {
                Some(limit) => timeout_at(since + limit, wait).await,
                None => Ok(wait.await),
            };
            entry.count_in(flight.newly_sent(sent.load(Relaxed)));
            let why = match first {
                Ok(FirstEvent::Answered) => return Outcome::Answered,
                Ok(FirstEvent::ClientEnded)
                    if flight.needs_answer() && relay.client_has_ended() =>
                {
                    return Outcome::Ended(RelayEnd::Client);
                }
                Ok(FirstEvent::ClientEnded) => return Outcome::Undecided,
                Ok(FirstEvent::Sent) => {
                    if meaning == Meaning::Nothing {
                        backends.extend(Instant::now() + self.settings.timeouts.handshake);
                    }
                    if meaning != Meaning::Greeting {
                        since = Instant::now();
                    }
                    meaning = flight.meaning();
                    continue;
                }
                Ok(FirstEvent::Unanswered(why)) => why,
                Err(_) if meaning == Meaning::Greeting => {
                    return Outcome::Failed(SessionEnd::new(
                        CloseReason::BackendSilent,
                        "the backend did not answer the client's first bytes within timeouts.connect",
                    ));
                }
                Err(_) => return Outcome::Ended(RelayEnd::Idle),
            };
            return match meaning {
                // The end of a connection that nobody used.
                Meaning::Nothing if !backends.in_time() => Outcome::Undecided,
                Meaning::Unknown => Outcome::Undecided,
                _ => Outcome::Failed(closed_early(why)),
            };
        }
        Outcome::Undecided
    }

    fn emit_opened(&mut self, address: SocketAddr, database: &Database) {
        let now = Instant::now();
        self.context.connected = Some(now);
        if let Some(ready) = self.context.ready {
            database.live().connects.observe(now - ready);
        }
        self.gateway.sessions_total.fetch_add(1, Relaxed);
        self.gateway.events.emit(|| Event::SessionOpened {
            ts: SystemTime::now(),
            id: self.context.id,
            database: database.name.clone(),
            client: self.context.client,
            backend: address,
        });
    }
}

/// What came of a backend that was connected.
enum Outcome {
    /// It has answered.
    Answered,
    /// Whether it would have answered cannot be known: the relay goes on to its end.
    Undecided,
    /// The client has hung up, or nothing moved for `timeouts.idle`.
    Ended(RelayEnd),
    /// It has closed, or is silent, where it should have answered.
    Failed(SessionEnd),
}

fn closed_early(why: Option<String>) -> SessionEnd {
    let why = why.map_or_else(String::new, |why| format!(" ({why})"));
    SessionEnd::new(
        CloseReason::BackendClosedEarly,
        format!("the backend accepted and closed without an answer{why}"),
    )
}

/// Ends a passthrough session whose TLS handshake does not go on; a client that has seen nothing
/// of the backend yet can still be told.
async fn handshake_stalled(relay: Relay, entry: &LiveSession) -> SessionEnd {
    if entry.moved().1 > 0 {
        return SessionEnd::new(
            CloseReason::TlsTimeout,
            "the backend answered the ClientHello, the client did not go on",
        );
    }
    let refusal = SessionEnd::new(
        CloseReason::BackendSilent,
        "the backend did not answer the ClientHello",
    );
    answer::say(relay.into_client(), &refusal.alert().record()).await;
    refusal
}

/// Where the relay counts what it moves.
fn counts(entry: &LiveSession) -> Counts<'_> {
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
