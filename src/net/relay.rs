//! The relay: bytes between client and backend in both directions until both have ended.
//!
//! - Small messages are copied through one scratch buffer per thread; when bytes flow and both
//!   ends are bare sockets, they are spliced inside the kernel. An idle session holds no buffer.
//! - Backpressure: a direction reads only when all that it read before is written, so it holds
//!   at most one scratch buffer or one pipe.
//! - A half-close is passed on, and the other direction goes on. One direction's failure to write
//!   ends only that direction: what the failing side sent before may still be on its way.
//!
//! Not here: what the bytes mean, and why somebody wants the session to end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Stream;
use super::splice::Pipe;

/// The scratch buffer that all sessions of a thread share, in bytes: what one read may take.
const SCRATCH: usize = 64 * 1024;

/// A read of at least this much says that bytes flow, and that splicing pays.
const FLOWING: usize = 16 * 1024;

/// Reads of one direction before the other sessions of the thread get their turn.
const TURNS: u32 = 32;

/// A backend that has ended its side and a client that neither ends its own nor sends anything
/// for this long will not meet again. (The other way round there is no limit: a client that has
/// ended its side may wait hours for its result.)
const AFTER_BACKEND_END: Duration = Duration::from_secs(60);

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// How a relay ended.
#[derive(Debug)]
pub enum End {
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

/// Sees the bytes of one direction as they pass, up to the moment when it is no longer
/// interested.
pub trait Tap {
    /// Looks at the next bytes; false once it has seen enough.
    fn see(&mut self, bytes: &[u8]) -> bool;
}

enum Held {
    Nothing,
    Copied(Bytes),
    Piped(Pipe),
}

/// One direction.
struct Pump<'a> {
    moved: &'a AtomicU64,
    held: Held,
    /// The target has bytes that only a flush brings onto the wire.
    unflushed: bool,
    source_ended: bool,
    finished: Option<Result<(), Failure>>,
}

enum Failure {
    Read(io::Error),
    Write(io::Error),
}

impl<'a> Pump<'a> {
    fn new(moved: &'a AtomicU64, first: Bytes) -> Self {
        Self {
            moved,
            held: if first.is_empty() {
                Held::Nothing
            } else {
                Held::Copied(first)
            },
            unflushed: false,
            source_ended: false,
            finished: None,
        }
    }

    /// Moves what can be moved; ready once this direction has ended.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        target: &mut Stream,
        tap: &mut Option<&mut (dyn Tap + Send)>,
    ) -> Poll<()> {
        if self.finished.is_some() {
            return Poll::Ready(());
        }
        let end = ready!(self.poll_move(cx, source, target, tap));
        if let Held::Piped(pipe) = std::mem::replace(&mut self.held, Held::Nothing) {
            pipe.give_back();
        }
        self.finished = Some(end);
        Poll::Ready(())
    }

    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        target: &mut Stream,
        tap: &mut Option<&mut (dyn Tap + Send)>,
    ) -> Poll<Result<(), Failure>> {
        for _ in 0..TURNS {
            ready!(self.poll_deliver(cx, target)).map_err(Failure::Write)?;
            if self.source_ended {
                return match ready!(Pin::new(target).poll_shutdown(cx)) {
                    // The target is gone already, so it needs no notice of the end.
                    Err(e) if e.kind() != io::ErrorKind::NotConnected => {
                        Poll::Ready(Err(Failure::Write(e)))
                    }
                    _ => Poll::Ready(Ok(())),
                };
            }
            let read = match (&mut self.held, source.bare()) {
                (Held::Piped(pipe), Some(tcp)) => poll_fill(pipe, cx, tcp),
                _ => self.poll_copy(cx, source, target, tap),
            };
            match read {
                Poll::Ready(Ok(0)) => self.source_ended = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                Poll::Pending => {
                    if let Held::Piped(pipe) = std::mem::replace(&mut self.held, Held::Nothing) {
                        pipe.give_back();
                    }
                    if self.unflushed {
                        ready!(Pin::new(target).poll_flush(cx)).map_err(Failure::Write)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is held; ready when nothing is.
    fn poll_deliver(&mut self, cx: &mut Context<'_>, target: &mut Stream) -> Poll<io::Result<()>> {
        match &mut self.held {
            Held::Nothing => return Poll::Ready(Ok(())),
            Held::Copied(bytes) => {
                while !bytes.is_empty() {
                    let n = ready!(Pin::new(&mut *target).poll_write(cx, bytes))?;
                    if n == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    bytes.advance(n);
                    self.unflushed = true;
                    count(self.moved, n);
                }
            }
            Held::Piped(pipe) => {
                let Some(tcp) = target.bare() else {
                    return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
                };
                while pipe.held() > 0 {
                    ready!(tcp.poll_write_ready(cx))?;
                    match tcp.try_io(Interest::WRITABLE, || pipe.drain(tcp)) {
                        Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        Ok(n) => count(self.moved, n),
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                        Err(e) => return Poll::Ready(Err(e)),
                    }
                }
                return Poll::Ready(Ok(()));
            }
        }
        self.held = Held::Nothing;
        Poll::Ready(Ok(()))
    }

    /// Reads into the scratch buffer and writes from it; keeps a copy of what could not be
    /// written. Ready with the number of bytes read.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        target: &mut Stream,
        tap: &mut Option<&mut (dyn Tap + Send)>,
    ) -> Poll<Result<usize, Failure>> {
        BUFFER.with_borrow_mut(|scratch| {
            let splices = source.bare().is_some() && target.bare().is_some();
            let limit = if splices { FLOWING } else { SCRATCH };
            let mut buf = ReadBuf::new(scratch.get_mut(..limit).unwrap_or_default());
            ready!(Pin::new(&mut *source).poll_read(cx, &mut buf)).map_err(Failure::Read)?;
            let mut bytes = buf.filled();
            let read = bytes.len();
            if read == 0 {
                return Poll::Ready(Ok(0));
            }
            if let Some(watcher) = tap
                && !watcher.see(bytes)
            {
                *tap = None;
            }
            while !bytes.is_empty() {
                match Pin::new(&mut *target).poll_write(cx, bytes) {
                    Poll::Ready(Ok(0)) => {
                        let error = io::ErrorKind::WriteZero.into();
                        return Poll::Ready(Err(Failure::Write(error)));
                    }
                    Poll::Ready(Ok(n)) => {
                        count(self.moved, n);
                        self.unflushed = true;
                        bytes = bytes.get(n..).unwrap_or_default();
                    }
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(Failure::Write(e))),
                    Poll::Pending => {
                        self.held = Held::Copied(Bytes::copy_from_slice(bytes));
                        return Poll::Ready(Ok(read));
                    }
                }
            }
            if splices
                && read == FLOWING
                && let Some(pipe) = Pipe::borrow()
            {
                self.held = Held::Piped(pipe);
            }
            Poll::Ready(Ok(read))
        })
    }
}

/// Adds to a counter that has only this one writer.
fn count(moved: &AtomicU64, n: usize) {
    let n = u64::try_from(n).unwrap_or(0);
    moved.store(moved.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

fn poll_fill(
    pipe: &mut Pipe,
    cx: &mut Context<'_>,
    source: &TcpStream,
) -> Poll<Result<usize, Failure>> {
    loop {
        ready!(source.poll_read_ready(cx)).map_err(Failure::Read)?;
        match source.try_io(Interest::READABLE, || pipe.fill(source)) {
            Ok(n) => return Poll::Ready(Ok(n)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Poll::Ready(Err(Failure::Read(e))),
        }
    }
}

/// Both directions of one session.
pub struct Relay<'a> {
    client: Stream,
    backend: Stream,
    up: Pump<'a>,
    down: Pump<'a>,
    tap: Option<&'a mut (dyn Tap + Send)>,
    client_ended_first: Option<bool>,
    client_lost: bool,
}

impl<'a> Relay<'a> {
    /// A relay that begins with `first`, bytes of the client that were read ahead.
    ///
    /// `bytes_in` counts what reaches the backend, `bytes_out` what reaches the client. `tap`
    /// sees what the backend sends; where the bytes could be spliced it is not asked.
    #[must_use]
    pub fn new(
        client: Stream,
        backend: Stream,
        first: Bytes,
        bytes_in: &'a AtomicU64,
        bytes_out: &'a AtomicU64,
        tap: Option<&'a mut (dyn Tap + Send)>,
    ) -> Self {
        Self {
            client,
            backend,
            up: Pump::new(bytes_in, first),
            down: Pump::new(bytes_out, Bytes::new()),
            tap,
            client_ended_first: None,
            client_lost: false,
        }
    }

    /// Bytes moved so far in both directions.
    fn moved(&self) -> (u64, u64) {
        (
            self.up.moved.load(Ordering::Relaxed),
            self.down.moved.load(Ordering::Relaxed),
        )
    }

    fn poll_both(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let up = self
            .up
            .poll(cx, &mut self.client, &mut self.backend, &mut None);
        let down = self
            .down
            .poll(cx, &mut self.backend, &mut self.client, &mut self.tap);
        let client_ended = self.up.source_ended;
        let backend_ended = self.down.source_ended;
        if self.client_ended_first.is_none() && (client_ended || backend_ended) {
            self.client_ended_first = Some(client_ended);
        }
        // With the client gone there is nobody to deliver to, and no need to wait for the backend.
        if let Some(Err(Failure::Read(e))) = failure(&mut self.up, Failure::is_read) {
            self.client_lost = true;
            return Poll::Ready(End::ClientLost(e));
        }
        match failure(&mut self.down, |_| true) {
            // It had ended its side before: it hung up, and missed some bytes by its own choice.
            Some(Err(Failure::Write(_))) if client_ended => return Poll::Ready(End::Client),
            Some(Err(Failure::Write(e))) => {
                self.client_lost = true;
                return Poll::Ready(End::ClientLost(e));
            }
            // A server that closes with the client's goodbye unread resets the connection. Postgres
            // does so to every client that sends a close_notify behind its Terminate.
            Some(Err(Failure::Read(e)))
                if client_ended && e.kind() == io::ErrorKind::ConnectionReset =>
            {
                return Poll::Ready(End::Client);
            }
            Some(Err(Failure::Read(e))) => return Poll::Ready(End::BackendLost(e)),
            Some(Ok(())) | None => {}
        }
        ready!(up);
        ready!(down);
        let client_first = self.client_ended_first == Some(true);
        Poll::Ready(match self.up.finished.take() {
            // The backend ended properly, having said all it had to say, and took no more.
            Some(Err(Failure::Write(e) | Failure::Read(e))) if client_first => End::BackendLost(e),
            _ if client_first => End::Client,
            _ => End::Backend,
        })
    }

    /// Relays until both sides have moved more than `(bytes_in, bytes_out)`, or the relay ends.
    ///
    /// In passthrough this is how the gateway knows that a TLS handshake goes on without seeing
    /// into it: the backend has answered the hello, and the client has answered that.
    pub async fn until_moved(&mut self, bytes_in: u64, bytes_out: u64) -> Option<End> {
        poll_fn(|cx| {
            let end = self.poll_both(cx);
            let (moved_in, moved_out) = self.moved();
            match end {
                Poll::Ready(end) => Poll::Ready(Some(end)),
                Poll::Pending if moved_in > bytes_in && moved_out > bytes_out => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Whether the backend has said anything.
    #[must_use]
    pub fn backend_has_answered(&self) -> bool {
        self.moved().1 > 0
    }

    /// Whether the client has ended its side, or is gone.
    #[must_use]
    pub fn client_has_ended(&self) -> bool {
        self.up.source_ended || self.client_lost
    }

    /// Relays to the end; `idle` is the longest time without a byte, for ever if `None`.
    pub async fn run(&mut self, idle: Option<Duration>) -> End {
        let mut before = self.moved();
        let mut since = Instant::now();
        loop {
            let limit = match (self.down.source_ended && !self.up.source_ended, idle) {
                (true, Some(idle)) => Some(idle.min(AFTER_BACKEND_END)),
                (true, None) => Some(AFTER_BACKEND_END),
                (false, idle) => idle,
            };
            let backend_ended = self.down.source_ended;
            // Woken early when the backend ends its side, since that sets a limit.
            let step = poll_fn(|cx| match self.poll_both(cx) {
                Poll::Ready(end) => Poll::Ready(Some(end)),
                Poll::Pending if self.down.source_ended != backend_ended => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            let Some(limit) = limit else {
                match step.await {
                    Some(end) => return end,
                    None => continue,
                }
            };
            match tokio::time::timeout_at(since + limit, step).await {
                Ok(Some(end)) => return end,
                Ok(None) => since = Instant::now(),
                Err(_) => {
                    let now = self.moved();
                    if now == before {
                        return if backend_ended {
                            End::Backend
                        } else {
                            End::Idle
                        };
                    }
                    before = now;
                    since = Instant::now();
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

impl Failure {
    fn is_read(&self) -> bool {
        matches!(self, Self::Read(_))
    }
}

/// Takes a direction's failure out, if it has one that fits.
fn failure(pump: &mut Pump<'_>, fits: impl Fn(&Failure) -> bool) -> Option<Result<(), Failure>> {
    pump.finished.take_if(|end| end.as_ref().is_err_and(&fits))
}
