//! The relay: bytes between client and backend in both directions until both have ended.
//!
//! Each direction is a [`super::pump`]; here is what they mean together:
//!
//! - A half-close is passed on, and the other direction goes on. A backend that takes no more
//!   bytes ends only that direction: what it sent before may still be on its way. A client that is
//!   gone ends both.
//!
//! Not here: what the bytes mean, and why somebody wants the session to end.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::Stream;
use super::pump::{Outcome, Pump, Tap, Untapped};

/// A client that has got the backend's last byte and its end, and neither ends its own side nor
/// sends anything for this long, will not meet the backend again. (The other way round there is no
/// limit: a client that has ended its side may wait hours for its result.)
const AFTER_BACKEND_END: Duration = Duration::from_secs(60);

/// How often it is looked whether a client that has ended its side is still there: nobody reads
/// from it any more, so a reset, or a keepalive without an answer, would go unnoticed.
const LOOK_AFTER_CLIENT: Duration = Duration::from_secs(15);

/// The same while the backend takes no bytes, so that the client is not read either.
const LOOK_WHEN_STUCK: Duration = Duration::from_secs(2);

/// How a relay ended.
#[derive(Debug)]
pub enum RelayEnd {
    /// The client ended first; everything was delivered, unless it or then the backend hung up
    /// with a reset.
    Client,
    /// The backend ended first; everything was delivered.
    Backend,
    /// The client's connection broke.
    ClientLost(io::Error),
    /// The backend's connection broke; what it sent before was delivered.
    BackendLost(io::Error),
    /// Nothing moved for the idle time.
    Idle,
}

/// What came first of a relay whose backend has not answered yet.
#[derive(Debug, PartialEq, Eq)]
pub enum FirstEvent {
    /// The backend has sent its first bytes.
    Answered,
    /// More of the client's bytes went to the backend.
    Sent,
    /// The client has ended its side, or is gone: whatever the backend does now may be due to that.
    ClientEnded,
    /// The backend has ended without a byte; says why where its connection broke.
    Unanswered(Option<String>),
}

/// Where a relay counts the bytes that it has delivered; nobody else adds to them meanwhile.
#[derive(Clone, Copy)]
pub struct Counts<'a> {
    /// From the client to the backend.
    pub bytes_in: &'a AtomicU64,
    /// From the backend to the client.
    pub bytes_out: &'a AtomicU64,
}

impl Counts<'_> {
    fn read(self) -> (u64, u64) {
        (
            self.bytes_in.load(Ordering::Relaxed),
            self.bytes_out.load(Ordering::Relaxed),
        )
    }
}

/// Both directions of one session.
pub struct Relay {
    client: Stream,
    backend: Stream,
    up: Pump,
    down: Pump,
    tap: Option<Box<dyn Tap + Send>>,
    client_ended_first: Option<bool>,
    client_lost: bool,
}

impl Relay {
    /// A relay that begins with `first`: bytes of the client and of the backend that were read
    /// ahead.
    ///
    /// `tap` sees what the backend sends; where the bytes could be spliced it is not asked.
    #[must_use]
    pub fn new(
        client: Stream,
        backend: Stream,
        first: (Bytes, Bytes),
        tap: Option<Box<dyn Tap + Send>>,
    ) -> Self {
        Self {
            client,
            backend,
            up: Pump::new(first.0),
            down: Pump::new(first.1),
            tap,
            client_ended_first: None,
            client_lost: false,
        }
    }

    fn poll_both(&mut self, cx: &mut Context<'_>, counts: Counts<'_>) -> Poll<RelayEnd> {
        let (client, backend) = (&mut self.client, &mut self.backend);
        let up = self
            .up
            .poll(cx, counts.bytes_in, client, backend, &mut Untapped);
        let down = self
            .down
            .poll(cx, counts.bytes_out, backend, client, &mut self.tap);
        let client_ended = self.up.source_ended;
        if self.client_ended_first.is_none() && (client_ended || self.down.source_ended) {
            self.client_ended_first = Some(client_ended);
        }
        // With the client gone there is nobody to deliver to, and no need to wait for the backend.
        if let Some(Outcome::ReadFailed(e)) = &self.up.finished {
            self.client_lost = true;
            // A client that closes with the backend's goodbye unread resets the connection.
            return Poll::Ready(if self.down.source_ended {
                RelayEnd::Backend
            } else {
                RelayEnd::ClientLost(copy_error(e))
            });
        }
        match &self.down.finished {
            // It had ended its side before: it hung up, and missed some bytes by its own choice.
            Some(Outcome::WriteFailed(_)) if client_ended => return Poll::Ready(RelayEnd::Client),
            Some(Outcome::WriteFailed(e)) => {
                self.client_lost = true;
                return Poll::Ready(RelayEnd::ClientLost(copy_error(e)));
            }
            // A server that closes with the client's goodbye unread resets the connection. Postgres
            // does so to every client that sends a close_notify behind its Terminate.
            Some(Outcome::ReadFailed(e))
                if client_ended && e.kind() == io::ErrorKind::ConnectionReset =>
            {
                return Poll::Ready(RelayEnd::Client);
            }
            Some(Outcome::ReadFailed(e)) => {
                return Poll::Ready(RelayEnd::BackendLost(copy_error(e)));
            }
            Some(Outcome::Delivered) | None => {}
        }
        ready!(up);
        ready!(down);
        let client_first = self.client_ended_first == Some(true);
        Poll::Ready(match &self.up.finished {
            // The backend ended properly, having said all it had to say, and took no more.
            Some(Outcome::WriteFailed(e)) if client_first => RelayEnd::BackendLost(copy_error(e)),
            _ if client_first => RelayEnd::Client,
            _ => RelayEnd::Backend,
        })
    }

    /// Relays until the backend has sent its first bytes or has ended without any, or until more
    /// than `bytes_in` of the client's were sent to it; `flight` sees the client's as they pass.
    ///
    /// A client whose backend has ended so has seen nothing of it, neither bytes nor their end.
    pub async fn until_answered(
        &mut self,
        counts: Counts<'_>,
        bytes_in: u64,
        flight: &mut (dyn Tap + Send),
    ) -> FirstEvent {
        poll_fn(|cx| {
            let (client, backend) = (&mut self.client, &mut self.backend);
            // Should the backend take no more, its own end tells; it may have answered before.
            let _ = self.up.poll(cx, counts.bytes_in, client, backend, flight);
            if self.up.source_ended || matches!(self.up.finished, Some(Outcome::ReadFailed(_))) {
                return Poll::Ready(FirstEvent::ClientEnded);
            }
            let tap = &mut self.tap;
            match self
                .down
                .poll_first(cx, counts.bytes_out, backend, client, tap)
            {
                Poll::Ready(0) => {
                    let why = self.down.broken().map(ToString::to_string);
                    Poll::Ready(FirstEvent::Unanswered(why))
                }
                Poll::Ready(_) => Poll::Ready(FirstEvent::Answered),
                Poll::Pending if counts.read().0 > bytes_in => Poll::Ready(FirstEvent::Sent),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Relays until both sides have moved more than `(bytes_in, bytes_out)`, or the relay ends.
    ///
    /// In passthrough this is how the gateway knows that a TLS handshake goes on without seeing
    /// into it: the backend has answered the hello, and the client has answered that. A client that
    /// has ended its side with nothing behind the hello can do no such thing, so the relay ends
    /// with it.
    pub async fn until_moved(
        &mut self,
        counts: Counts<'_>,
        bytes_in: u64,
        bytes_out: u64,
    ) -> Option<RelayEnd> {
        poll_fn(|cx| {
            let end = self.poll_both(cx, counts);
            let (moved_in, moved_out) = counts.read();
            match end {
                Poll::Ready(end) => Poll::Ready(Some(end)),
                Poll::Pending if moved_in > bytes_in && moved_out > bytes_out => Poll::Ready(None),
                Poll::Pending if self.up.source_ended && moved_in <= bytes_in => {
                    Poll::Ready(Some(RelayEnd::Client))
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Whether the client has ended its side, or is gone.
    #[must_use]
    pub fn client_has_ended(&self) -> bool {
        self.up.source_ended || self.client_lost
    }

    /// Which of the two have ended, as far as it decides how long to wait for the other.
    fn phase(&self) -> Phase {
        match (self.up.source_ended, &self.down.finished) {
            (true, _) => Phase::ClientEnded,
            (false, Some(_)) => Phase::BackendEnded,
            (false, None) => Phase::Open,
        }
    }

    /// Relays to the end; `idle` is the longest time without a byte, for ever if `None`.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn would keep a second copy of its arguments as long as it lasts"
    )]
    pub fn run(
        &mut self,
        counts: Counts<'_>,
        idle: Option<Duration>,
    ) -> impl Future<Output = RelayEnd> + Send {
        async move {
            let mut moved = counts.read();
            let mut since = Instant::now();
            // A timer for each time that the backend is slow would cost more than it is worth: once
            // set, it runs on, and is set again only if the backend is still slow then.
            let mut looks = false;
            loop {
                let phase = self.phase();
                let expires = phase.timeout(idle).map(|timeout| since + timeout);
                let look = match phase {
                    _ if looks => Some(LOOK_WHEN_STUCK),
                    Phase::ClientEnded => Some(LOOK_AFTER_CLIENT),
                    Phase::Open | Phase::BackendEnded => None,
                };
                let look = look.map(|pause| Instant::now() + pause);
                let wake = expires.into_iter().chain(look).min();
                // Ends early when the phase changes, since that changes the limit.
                let step = poll_fn(|cx| {
                    let end = self.poll_both(cx, counts);
                    if wake.is_some() && counts.read() != moved {
                        moved = counts.read();
                        since = Instant::now();
                    }
                    match end {
                        Poll::Ready(end) => Poll::Ready(Some(end)),
                        Poll::Pending if self.phase() != phase => Poll::Ready(None),
                        Poll::Pending if !looks && self.up.is_stuck() => Poll::Ready(None),
                        Poll::Pending => Poll::Pending,
                    }
                });
                let ended = match wake {
                    None => Ok(step.await),
                    Some(wake) => timeout_at(wake, step).await,
                };
                let timeout = phase.timeout(idle);
                match ended {
                    Ok(Some(end)) => return end,
                    Ok(None) if self.phase() == phase => looks = true,
                    Ok(None) => {
                        moved = counts.read();
                        since = Instant::now();
                    }
                    Err(_) if timeout.is_some_and(|time| since + time <= Instant::now()) => {
                        return match phase {
                            Phase::BackendEnded => RelayEnd::Backend,
                            Phase::Open | Phase::ClientEnded => RelayEnd::Idle,
                        };
                    }
                    Err(_) => {
                        if let Ok(Some(e)) = self.client.tcp().take_error() {
                            self.client_lost = true;
                            return RelayEnd::ClientLost(e);
                        }
                        looks = self.up.is_stuck();
                    }
                }
            }
        }
    }

    /// The client's end, when the relay is over.
    #[must_use]
    pub fn into_client(self) -> Stream {
        self.client
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    ClientEnded,
    BackendEnded,
}

impl Phase {
    /// How long nothing may move in it, where `idle` is what the settings say.
    fn timeout(self, idle: Option<Duration>) -> Option<Duration> {
        match self {
            Self::BackendEnded => Some(idle.unwrap_or(AFTER_BACKEND_END).min(AFTER_BACKEND_END)),
            Self::Open | Self::ClientEnded => idle,
        }
    }
}

/// A copy of an error; what rustls says stays what it is.
fn copy_error(error: &io::Error) -> io::Error {
    if let Some(code) = error.raw_os_error() {
        return io::Error::from_raw_os_error(code);
    }
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match tls {
        Some(tls) => io::Error::new(error.kind(), rustls::Error::clone(tls)),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
