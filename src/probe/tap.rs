//! Recorded stream: everything that passes goes into an [`Exchange`] as well.
//!
//! It changes nothing on the way and buffers nothing; what is kept is bounded by the exchange.
//! Not here: what the bytes mean ([`super::dissection`]).

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::exchange::{Connect, Exchange, Side, StreamEnd};

/// Recording of one connection; clones share it.
#[derive(Clone, Debug)]
pub struct Recording {
    exchange: Arc<Mutex<Exchange>>,
    start: Instant,
}

impl Recording {
    /// A recording whose times count from now.
    #[must_use]
    pub fn start() -> Self {
        let exchange = Exchange {
            open: true,
            ..Exchange::default()
        };
        Self {
            exchange: Arc::new(Mutex::new(exchange)),
            start: Instant::now(),
        }
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Notes how the attempt to connect went.
    pub fn connected(&self, connect: Connect) {
        self.change(|exchange, _| exchange.connect = connect);
    }

    /// Ends the recording.
    pub fn finish(&self) {
        self.change(|exchange, _| exchange.open = false);
    }

    /// Everything so far.
    #[must_use]
    pub fn exchange(&self) -> Exchange {
        self.change(|exchange, _| exchange.clone())
    }

    /// Adds bytes that passed outside a [`Tap`].
    pub fn push(&self, side: Side, bytes: &[u8]) {
        self.change(|exchange, at| exchange.side_mut(side).push(bytes, at));
    }

    /// Notes how a side ended.
    pub fn end(&self, side: Side, end: StreamEnd) {
        self.change(|exchange, at| exchange.side_mut(side).end(end, at));
    }

    fn change<R>(&self, change: impl FnOnce(&mut Exchange, Duration) -> R) -> R {
        let at = self.start.elapsed();
        // Whoever panicked while holding it has added some bytes or none.
        let mut exchange = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut exchange, at)
    }
}

/// A stream between us and a peer, recorded.
#[derive(Debug)]
pub struct Tap<S> {
    inner: S,
    recording: Recording,
    us: Side,
}

impl<S> Tap<S> {
    /// Records `inner`, whose near end plays the part of `us`.
    pub fn new(inner: S, recording: Recording, us: Side) -> Self {
        Self {
            inner,
            recording,
            us,
        }
    }

    /// The recording, to read it while the stream is in use.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Stops recording and returns the stream.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn failed(&self, error: &io::Error) {
        if matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
        ) {
            self.recording.end(self.us.other(), StreamEnd::Reset);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        match &read {
            Ok(()) => {
                let new = buf.filled().get(before..).unwrap_or_default();
                if !new.is_empty() {
                    self.recording.push(self.us.other(), new);
                } else if room > 0 {
                    self.recording.end(self.us.other(), StreamEnd::Closed);
                }
            }
            Err(e) => self.failed(e),
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf));
        match &written {
            Ok(n) => {
                let new = buf.get(..*n).unwrap_or(buf);
                self.recording.push(self.us, new);
            }
            Err(e) => self.failed(e),
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = ready!(Pin::new(&mut self.inner).poll_shutdown(cx));
        match &shut {
            Ok(()) => self.recording.end(self.us, StreamEnd::Closed),
            Err(e) => self.failed(e),
        }
        Poll::Ready(shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn both_directions_and_both_ends_are_recorded() {
        let (near, mut far) = duplex(64);
        let recording = Recording::start();
        let mut near = Tap::new(near, recording.clone(), Side::Client);
        near.write_all(b"ask").await.unwrap();
        near.shutdown().await.unwrap();
        far.write_all(b"answer").await.unwrap();
        drop(far);
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.unwrap();
        recording.finish();

        let exchange = recording.exchange();
        assert_eq!(exchange.client.bytes(), b"ask");
        assert_eq!(exchange.server.bytes(), b"answer");
        assert_eq!(exchange.server.bytes(), answer);
        let how = |side: Side| exchange.side(side).ended().map(|(end, _)| end);
        assert_eq!(how(Side::Client), Some(StreamEnd::Closed));
        assert_eq!(how(Side::Server), Some(StreamEnd::Closed));
        assert!(!exchange.open);
    }

    #[tokio::test]
    async fn a_reset_is_the_other_ends() {
        let io = reset();
        let recording = Recording::start();
        let mut near = Tap::new(io, recording.clone(), Side::Server);
        let error = near.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let ended = recording.exchange().client.ended().map(|(end, _)| end);
        assert_eq!(ended, Some(StreamEnd::Reset));
    }

    fn reset() -> impl AsyncRead + Unpin {
        struct Reset;
        impl AsyncRead for Reset {
            fn poll_read(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
                _: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Poll::Ready(Err(ErrorKind::ConnectionReset.into()))
            }
        }
        Reset
    }
}
