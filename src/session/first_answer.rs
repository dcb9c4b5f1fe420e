//! From a connected backend to one that has answered the client: the first flight goes to the next
//! backend where the first one fails.
//!
//! Not here: the effect of bytes on a backend ([`crate::preface::flight`]).

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use tokio::time::{Instant, timeout_at};

use super::Session;
use super::connect::{Backends, Ready, Waits, while_client_stays};
use super::end::SessionEnd;
use super::flight::Flight;
use super::refuse;
use crate::net::pump::Tap;
use crate::net::relay::{Counts, FirstEvent, Relay, RelayEnd};
use crate::preface::{AnyMessageEnds, FlightKind, LoginEvent, LoginWatch, of};
use crate::route::Database;
use crate::sessions::{LiveSession, SessionGuard};
use crate::stats::{CloseReason, Event};
use crate::tls::TlsMode;

impl Session {
    /// Relays until a backend has answered the first flight, and goes on to the next one where it
    /// does not.
    pub(super) async fn until_answered(
        &self,
        entry: &SessionGuard,
        ready: Ready,
        waits: &mut Option<Waits>,
    ) -> Result<Relay, SessionEnd> {
        let Ready {
            mut client,
            mut flight,
            mut connected,
            mut backends,
            waits: _,
        } = ready;
        loop {
            entry.opened(connected.address, connected.place, connected.counted);
            let answered = !connected.answer.is_empty();
            let has_login = backends.has_login();
            let watch = BackendTap::of(&entry.database, has_login, &connected.answer);
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
                    return Ok(relay);
                }
                Outcome::Undecided => return Ok(relay),
                Outcome::Ended(end) => return Err(Box::pin(self.close(relay, end)).await),
                Outcome::Failed(refusal) => refusal,
            };
            backends.failed(refusal);
            client = relay.into_client();
            let next = if flight.kind().can_be_replayed() {
                let next = async {
                    match backends.next().await {
                        Err(refusal) => {
                            // Who is held waits neither for an answer nor in its handshake.
                            *waits = None;
                            self.hold(&mut backends, refusal).await
                        }
                        connected => connected,
                    }
                };
                Box::pin(while_client_stays(&client, &flight, next)).await?
            } else {
                Err(backends.give_up().after_request())
            };
            match next {
                Ok(next) => connected = next,
                Err(refusal) => {
                    let (channel, context) = (flight.channel(), &self.context);
                    let reply = refuse::instead_of_backend(client, channel, refusal, context);
                    return Err(Box::pin(reply).await);
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
        // Bytes that go to several backends count once.
        let sent = AtomicU64::new(0);
        let to_backend = Counts {
            bytes_in: &sent,
            bytes_out: &entry.bytes_out,
        };
        // The first bytes of a greeting start the clock; where none runs, each starts `idle` anew.
        let mut since = Instant::now();
        let mut kind = flight.kind();
        // The handshake of TLS has a deadline of its own.
        while kind != FlightKind::Unknown || flight.ends_here() {
            let before = sent.load(Relaxed);
            let limit = match kind {
                FlightKind::Greeting => Some(backends.timeout()),
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
                    if kind == FlightKind::Empty {
                        backends.extend(Instant::now() + self.settings.timeouts.handshake);
                    }
                    if kind != FlightKind::Greeting {
                        since = Instant::now();
                    }
                    kind = flight.kind();
                    continue;
                }
                Ok(FirstEvent::Unanswered(why)) => why,
                Err(_) if kind == FlightKind::Greeting => {
                    return Outcome::Failed(SessionEnd::new(
                        CloseReason::BackendSilent,
                        "the backend did not answer the client's first bytes within timeouts.connect",
                    ));
                }
                Err(_) => return Outcome::Ended(RelayEnd::Idle),
            };
            return match kind {
                // The end of a connection that nobody used.
                FlightKind::Empty if !backends.in_time() => Outcome::Undecided,
                FlightKind::Unknown => Outcome::Undecided,
                _ => Outcome::Failed(closed_early(why)),
            };
        }
        Outcome::Undecided
    }

    pub(super) fn emit_opened(&mut self, address: SocketAddr, database: &Database) {
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

/// The outcome of a backend that was connected.
enum Outcome {
    /// It has answered.
    Answered,
    /// It cannot be known whether it would have answered: the relay goes on to its end.
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

/// The counters of what a relay moves.
pub(super) fn counts(entry: &LiveSession) -> Counts<'_> {
    Counts {
        bytes_in: &entry.bytes_in,
        bytes_out: &entry.bytes_out,
    }
}

/// Watches what a backend sends: a login that passes through reencrypt for the channel-binding
/// failure, and where messages end, for whoever has to say last words.
struct BackendTap {
    /// Over soon, so that a session that goes on carries little.
    login: Option<Box<LoginWatch>>,
    /// The backend has refused the login because of the channel binding.
    refused: bool,
    ends: Option<AnyMessageEnds>,
}

impl BackendTap {
    /// A watch where there is something to see: where the gateway does TLS with both sides, and
    /// where it has read the client's login. `answer` is what the backend has sent already.
    fn of(database: &Database, has_login: bool, answer: &[u8]) -> Option<Box<dyn Tap + Send>> {
        let preface = of(database.spec.protocol);
        let both = database.spec.tls == TlsMode::Reencrypt;
        let login = preface.login_watch().filter(|_| both).map(Box::new);
        let inside = has_login && database.spec.tls.ends_client_tls();
        let ends = preface.message_ends().filter(|_| inside);
        let ends = ends.and_then(|mut ends| ends.feed(answer).then_some(ends));
        if login.is_none() && ends.is_none() {
            return None;
        }
        Some(Box::new(Self {
            login,
            refused: false,
            ends,
        }))
    }
}

impl Tap for BackendTap {
    fn see(&mut self, bytes: &[u8]) -> bool {
        if self.ends.as_mut().is_some_and(|ends| !ends.feed(bytes)) {
            self.ends = None;
        }
        if let Some(watch) = &mut self.login {
            let event = watch.feed(bytes);
            self.refused |= event == LoginEvent::ChannelBindingFailed;
            if event != LoginEvent::Watching {
                self.login = None;
            }
        }
        self.login.is_some() || self.ends.is_some() || self.refused
    }

    fn is_between_messages(&self) -> bool {
        self.ends.as_ref().is_some_and(AnyMessageEnds::is_between)
    }

    fn saw_failure(&self) -> bool {
        self.refused
    }
}
