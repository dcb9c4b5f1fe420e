//! The relay: bytes between client and backend in both directions until both have ended.
//!
//! Each direction is a [`super::pump`]. A half-close is passed on, and the other direction goes on.
//! A backend that takes no more bytes ends only that direction, since bytes that it sent before may
//! still be on their way. A client that is gone ends both.
//!
//! Not here: the meaning of the bytes, and ending a session early.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};

use super::Stream;
use super::pump::{Outcome, Pump, Tap, Untapped};

/// Time that a client has, after the backend's last byte and its end, to send something or to end
/// its own side. (There is no such limit the other way round: a client that has ended its side may
/// wait hours for its result.)
const AFTER_BACKEND_END: Duration = Duration::from_secs(60);

/// Interval of checks for an error on the socket of a client that has ended its side: it is no
/// longer read, so a reset or an unanswered keepalive probe would go unnoticed.
const CHECK_AFTER_CLIENT_END: Duration = Duration::from_secs(15);

/// The same while the backend takes no bytes, so that the client is not read either.
const CHECK_WHEN_STUCK: Duration = Duration::from_secs(2);

/// End of a relay.
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

/// First event of a relay whose backend has not answered yet.
#[derive(Debug, PartialEq, Eq)]
pub enum FirstEvent {
    /// The backend has sent its first bytes.
    Answered,
    /// More of the client's bytes went to the backend.
    Sent,
    /// The client has ended its side, or is gone, which may be why the backend ends.
    ClientEnded,
    /// The backend has ended without a byte, with the error if its connection broke.
    Unanswered(Option<String>),
}

/// Counters of the bytes that a relay has delivered; it is their only writer.
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
    /// Creates a relay that begins with `first`: bytes of the client and of the backend that were
    /// read ahead.
    ///
    /// `tap` sees the bytes of the backend, except spliced ones.
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
        // Without a client there is nothing to deliver, and no need to wait for the backend.
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
            // It had ended its side before, so it hung up and chose to miss some bytes.
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
            // The backend sent its end properly, and took no more.
            Some(Outcome::WriteFailed(e)) if client_first => RelayEnd::BackendLost(copy_error(e)),
            _ if client_first => RelayEnd::Client,
            _ => RelayEnd::Backend,
        })
    }

    /// Relays until the backend has sent its first bytes or has ended without any, or until more
    /// than `bytes_in` of the client's were sent to it; `flight` sees the client's as they pass.
    ///
    /// A client whose backend ended without any has received neither bytes nor an end.
    pub async fn until_answered(
        &mut self,
        counts: Counts<'_>,
        bytes_in: u64,
        flight: &mut (dyn Tap + Send),
    ) -> FirstEvent {
        poll_fn(|cx| {
            let (client, backend) = (&mut self.client, &mut self.backend);
            // A backend that takes no more is noticed by its own end; it may have answered before.
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

    /// Returns true once the client has ended its side, or is gone.
    #[must_use]
    pub fn client_has_ended(&self) -> bool {
        self.up.source_ended || self.client_lost
    }

    /// The sides that have ended, which decides how long to wait for the other.
    fn phase(&self) -> Phase {
        match (self.up.source_ended, &self.down.finished) {
            (true, _) => Phase::ClientEnded,
            (false, Some(_)) => Phase::BackendEnded,
            (false, None) => Phase::Open,
        }
    }

    /// Relays to the end; `idle` is the longest time without a byte, unlimited if `None`.
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
            // A timer for each time that the backend is slow would cost too much: once set, it runs
            // on, and is set again only if the backend is still slow then.
            let mut checks = false;
            loop {
                let phase = self.phase();
                let expires = phase.timeout(idle).map(|timeout| since + timeout);
                let check = match phase {
                    _ if checks => Some(CHECK_WHEN_STUCK),
                    Phase::ClientEnded => Some(CHECK_AFTER_CLIENT_END),
                    Phase::Open | Phase::BackendEnded => None,
                };
                let check = check.map(|pause| Instant::now() + pause);
                let wake = expires.into_iter().chain(check).min();
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
                        Poll::Pending if !checks && self.up.is_stuck() => Poll::Ready(None),
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
                    Ok(None) if self.phase() == phase => checks = true,
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
                        checks = self.up.is_stuck();
                    }
                }
            }
        }
    }

    /// True if the tap has seen the failure that it watches for.
    #[must_use]
    pub fn saw_failure(&self) -> bool {
        self.tap.saw_failure()
    }

    /// Puts last words behind what the backend has sent, where that ends with a whole message: the
    /// client's stream then, to be read until the client hangs up. `None` where nothing can be said.
    ///
    /// It takes as long as the client takes to receive.
    pub async fn end_with(mut self, words: &[u8], counts: Counts<'_>) -> Option<Stream> {
        let can_be_told = self.down.finished.is_none()
            && !self.down.source_ended
            && !self.client_lost
            && self.up.finished.is_none();
        if words.is_empty() || !can_be_told || !self.tap.is_between_messages() {
            return None;
        }
        let (client, down) = (&mut self.client, &mut self.down);
        let rest = poll_fn(|cx| down.poll_rest(cx, counts.bytes_out, client));
        rest.await.ok()?;
        client.write_all(words).await.ok()?;
        client.shutdown().await.ok()?;
        Some(self.client)
    }

    /// Returns the client's stream, when the relay is over.
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
    /// Longest time without a byte; `idle` is the configured one.
    fn timeout(self, idle: Option<Duration>) -> Option<Duration> {
        match self {
            Self::BackendEnded => Some(idle.unwrap_or(AFTER_BACKEND_END).min(AFTER_BACKEND_END)),
            Self::Open | Self::ClientEnded => idle,
        }
    }
}

/// Copies an error, with the rustls error in it.
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
