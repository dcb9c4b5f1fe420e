//! One direction of a relay: bytes from a source to a target until the source ends.
//!
//! - Small messages are copied through one scratch buffer per thread; when bytes flow and both
//!   ends are bare sockets, they are spliced inside the kernel. An idle direction holds no buffer.
//! - Backpressure: it reads only when all that it read before is written (encrypted, where the
//!   target is TLS), so it holds at most one scratch buffer or one pipe.
//!
//! Not here: the meaning of one direction's end for the other ([`super::relay`]).

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::Stream;
use super::splice::Pipe;

/// Size of the scratch buffer that all sessions of a thread share, in bytes, and most bytes of one
/// read that goes into TLS, which takes all at once and keeps those that the socket does not take.
/// Larger reads save wake-ups of the receiver, until they no longer fit the processor's caches.
pub(super) const SCRATCH: usize = 256 * 1024;

/// Most bytes of one read that comes out of TLS: more shows no gain, and bytes that a bare socket
/// does not take are copied.
const DECRYPTED: usize = 64 * 1024;

/// Bytes of one read from which on they count as flowing, so that splicing pays.
const FLOWING: usize = 16 * 1024;

/// Bytes of one direction before other sessions of the thread get their turn: some two
/// milliseconds. (Tokio bounds the number of reads, where they are small.)
const TURN: usize = 2 * 1024 * 1024;

/// Spliced bytes that take about as long as one encrypted byte.
const SPLICED: usize = 4;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// An observer of the bytes of one direction, until it has seen enough.
pub trait Tap {
    /// Observes the next bytes; returns false once it has seen enough.
    fn see(&mut self, bytes: &[u8]) -> bool;

    /// True if it knows that all bytes so far are whole messages.
    fn is_between_messages(&self) -> bool {
        false
    }

    /// True if it has seen the failure that it watches for.
    fn saw_failure(&self) -> bool {
        false
    }
}

impl<T: Tap + ?Sized> Tap for Box<T> {
    fn see(&mut self, bytes: &[u8]) -> bool {
        (**self).see(bytes)
    }

    fn is_between_messages(&self) -> bool {
        (**self).is_between_messages()
    }

    fn saw_failure(&self) -> bool {
        (**self).saw_failure()
    }
}

/// Becomes `None` once it has seen enough.
impl<T: Tap> Tap for Option<T> {
    fn see(&mut self, bytes: &[u8]) -> bool {
        if self.as_mut().is_some_and(|tap| !tap.see(bytes)) {
            *self = None;
        }
        self.is_some()
    }

    fn is_between_messages(&self) -> bool {
        self.as_ref().is_some_and(T::is_between_messages)
    }

    fn saw_failure(&self) -> bool {
        self.as_ref().is_some_and(T::saw_failure)
    }
}

/// A tap that observes nothing.
pub(super) struct Untapped;

impl Tap for Untapped {
    fn see(&mut self, _: &[u8]) -> bool {
        false
    }
}

enum Unsent {
    Nothing,
    Copied(Bytes),
    Piped(Pipe),
}

/// One direction.
pub(super) struct Pump {
    unsent: Unsent,
    /// The target may hold bytes that are not on the wire yet.
    unflushed: bool,
    pub(super) source_ended: bool,
    /// The source's connection broke; earlier bytes are still to be flushed.
    broken: Option<io::Error>,
    pub(super) finished: Option<Outcome>,
}

/// End of one direction.
pub(super) enum Outcome {
    /// The source ended, and everything and the end went to the target.
    Delivered,
    /// The source's connection broke.
    ReadFailed(io::Error),
    /// The target takes no more.
    WriteFailed(io::Error),
}

impl Pump {
    /// Creates a direction that begins with `first`, which was read ahead.
    pub(super) fn new(first: Bytes) -> Self {
        Self {
            unsent: if first.is_empty() {
                Unsent::Nothing
            } else {
                Unsent::Copied(first)
            },
            unflushed: false,
            source_ended: false,
            broken: None,
            finished: None,
        }
    }

    /// Returns true while the target does not take bytes, so that the source is not read either.
    pub(super) fn is_stuck(&self) -> bool {
        let holds = match &self.unsent {
            Unsent::Nothing => false,
            Unsent::Copied(bytes) => !bytes.is_empty(),
            Unsent::Piped(pipe) => pipe.len() > 0,
        };
        self.finished.is_none() && (holds || self.unflushed)
    }

    /// Delivers what was read before, and reads nothing more.
    pub(super) fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        moved: &AtomicU64,
        target: &mut Stream,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_deliver(cx, moved, target))?;
        self.poll_flush(cx, target)
    }

    /// Moves as many bytes as possible and adds their number to `moved`, which has no other writer;
    /// ready once this direction has ended.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        moved: &AtomicU64,
        source: &mut Stream,
        target: &mut Stream,
        tap: &mut dyn Tap,
    ) -> Poll<()> {
        if self.finished.is_some() {
            return Poll::Ready(());
        }
        let outcome = ready!(self.poll_move(cx, moved, source, target, tap));
        self.give_pipe_back();
        self.finished = Some(outcome);
        Poll::Ready(())
    }

    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        moved: &AtomicU64,
        source: &mut Stream,
        target: &mut Stream,
        tap: &mut dyn Tap,
    ) -> Poll<Outcome> {
        let mut turn = 0;
        while turn < TURN {
            if let Err(e) = ready!(self.poll_deliver(cx, moved, target)) {
                return Poll::Ready(Outcome::WriteFailed(e));
            }
            if self.source_ended {
                return Poll::Ready(match ready!(Pin::new(&mut *target).poll_shutdown(cx)) {
                    // The target is gone already, so it needs no notice of the end.
                    Err(e) if e.kind() != io::ErrorKind::NotConnected => Outcome::WriteFailed(e),
                    _ => Outcome::Delivered,
                });
            }
            let flushed = ready!(self.poll_flush(cx, target));
            // Errors of the target no longer matter then.
            if let Some(e) = self.broken.take() {
                return Poll::Ready(Outcome::ReadFailed(e));
            }
            if let Err(e) = flushed {
                return Poll::Ready(Outcome::WriteFailed(e));
            }
            let (read, share) = match (&mut self.unsent, source.bare()) {
                (Unsent::Piped(pipe), Some(tcp)) => (poll_fill(pipe, cx, tcp), SPLICED),
                _ => (self.poll_copy(cx, moved, source, target, tap), 1),
            };
            match read {
                Poll::Ready(Ok(0)) => self.source_ended = true,
                Poll::Ready(Ok(n)) => turn += n / share,
                Poll::Ready(Err(Outcome::ReadFailed(e))) => self.broken = Some(e),
                Poll::Ready(Err(outcome)) => return Poll::Ready(outcome),
                Poll::Pending => {
                    self.give_pipe_back();
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Moves only the source's first bytes: ready with their number, or with 0 if the source ends
    /// without any, which the target does not see.
    ///
    /// The direction can go on by [`Self::poll`] either way.
    pub(super) fn poll_first(
        &mut self,
        cx: &mut Context<'_>,
        moved: &AtomicU64,
        source: &mut Stream,
        target: &mut Stream,
        tap: &mut dyn Tap,
    ) -> Poll<usize> {
        match ready!(self.poll_copy(cx, moved, source, target, tap)) {
            Ok(n) => {
                self.source_ended = n == 0;
                Poll::Ready(n)
            }
            Err(Outcome::ReadFailed(e)) => {
                self.broken = Some(e);
                Poll::Ready(0)
            }
            // The source has sent something; only the target takes no more.
            Err(outcome) => {
                self.finished = Some(outcome);
                Poll::Ready(1)
            }
        }
    }

    /// The error that broke the source's connection, if nothing of it has been delivered yet.
    pub(super) fn broken(&self) -> Option<&io::Error> {
        self.broken.as_ref()
    }

    fn give_pipe_back(&mut self) {
        if let Unsent::Piped(pipe) = std::mem::replace(&mut self.unsent, Unsent::Nothing) {
            pipe.give_back();
        }
    }

    /// Writes the unsent bytes; ready when there are none.
    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        moved: &AtomicU64,
        target: &mut Stream,
    ) -> Poll<io::Result<()>> {
        match &mut self.unsent {
            Unsent::Nothing => return Poll::Ready(Ok(())),
            Unsent::Copied(bytes) => {
                while !bytes.is_empty() {
                    let n = ready!(Pin::new(&mut *target).poll_write(cx, bytes))?;
                    if n == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    bytes.advance(n);
                    self.unflushed = true;
                    count(moved, n);
                }
            }
            Unsent::Piped(pipe) => {
                let Some(tcp) = target.bare() else {
                    return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
                };
                while pipe.len() > 0 {
                    ready!(tcp.poll_write_ready(cx))?;
                    match tcp.try_io(Interest::WRITABLE, || pipe.drain(tcp)) {
                        Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        Ok(n) => count(moved, n),
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                        Err(e) => return Poll::Ready(Err(e)),
                    }
                }
                return Poll::Ready(Ok(()));
            }
        }
        self.unsent = Unsent::Nothing;
        Poll::Ready(Ok(()))
    }

    /// Flushes the bytes that the target holds.
    fn poll_flush(&mut self, cx: &mut Context<'_>, target: &mut Stream) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(target).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads into the scratch buffer and writes from it; keeps a copy of bytes that could not be
    /// written. Ready with the number of bytes read.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        moved: &AtomicU64,
        source: &mut Stream,
        target: &mut Stream,
        tap: &mut dyn Tap,
    ) -> Poll<Result<usize, Outcome>> {
        BUFFER.with_borrow_mut(|scratch| {
            let bare = (source.bare().is_some(), target.bare().is_some());
            let limit = match bare {
                (true, true) => FLOWING,
                (true, false) => SCRATCH,
                (false, _) => DECRYPTED,
            };
            let mut buf = ReadBuf::new(scratch.get_mut(..limit).unwrap_or_default());
            ready!(Pin::new(&mut *source).poll_read(cx, &mut buf)).map_err(Outcome::ReadFailed)?;
            let mut bytes = buf.filled();
            let read = bytes.len();
            if read == 0 {
                return Poll::Ready(Ok(0));
            }
            tap.see(bytes);
            while !bytes.is_empty() {
                match Pin::new(&mut *target).poll_write(cx, bytes) {
                    Poll::Ready(Ok(0)) => {
                        let error = io::ErrorKind::WriteZero.into();
                        return Poll::Ready(Err(Outcome::WriteFailed(error)));
                    }
                    Poll::Ready(Ok(n)) => {
                        count(moved, n);
                        self.unflushed = true;
                        bytes = bytes.get(n..).unwrap_or_default();
                    }
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(Outcome::WriteFailed(e))),
                    Poll::Pending => {
                        self.unsent = Unsent::Copied(Bytes::copy_from_slice(bytes));
                        return Poll::Ready(Ok(read));
                    }
                }
            }
            if bare == (true, true)
                && read == FLOWING
                && let Some(pipe) = Pipe::borrow()
            {
                self.unsent = Unsent::Piped(pipe);
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
) -> Poll<Result<usize, Outcome>> {
    loop {
        ready!(source.poll_read_ready(cx)).map_err(Outcome::ReadFailed)?;
        match source.try_io(Interest::READABLE, || pipe.fill(source)) {
            Ok(n) => return Poll::Ready(Ok(n)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Poll::Ready(Err(Outcome::ReadFailed(e))),
        }
    }
}
