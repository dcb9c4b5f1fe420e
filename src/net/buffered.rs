//! A stream and the bytes that were read ahead from it: those of a client that decide the route
//! are still needed by rustls or the backend, and rustls reads in small pieces.
//!
//! The gateway's stream is the bare socket; `probe` uses a recorder.
//!
//! There is no `MSG_PEEK`: a peek that finds half a hello would have to spin until the rest arrives.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::ReadAllowance;

/// Buffer for one read, in bytes: more than nearly every first message of a client.
const CHUNK: usize = 2048;

/// Room that is worth a read; with less the buffer grows first.
const LEAST: usize = 512;

/// Bytes read at once while they flow: rustls asks for 4 KiB at a time, a quarter of a record.
const FLOW: usize = 64 * 1024;

/// A stream that returns the bytes read ahead before it reads on.
#[derive(Debug)]
pub struct Buffered<S = TcpStream> {
    stream: S,
    ahead: BytesMut,
    /// The last read filled its buffer, so there is likely more.
    flows: bool,
    /// Bound of what is read, where there is one.
    allowance: Option<Arc<ReadAllowance>>,
}

impl<S> Buffered<S> {
    /// Wraps a stream from which nothing was read yet.
    #[must_use]
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: BytesMut::new(),
            flows: false,
            allowance: None,
        }
    }

    /// Reads no more than `allowance` has from now on; what was read ahead is counted.
    pub fn bind(&mut self, allowance: Arc<ReadAllowance>) {
        allowance.count(self.ahead.len());
        self.allowance = Some(allowance);
    }

    /// Reads without a bound from now on.
    pub fn lift_allowance(&mut self) {
        self.allowance = None;
    }

    /// Drops all but the first `n` bytes that were read ahead, and their memory.
    pub fn truncate(&mut self, n: usize) {
        if self.ahead.len() > n {
            self.ahead = self.ahead.get(..n).unwrap_or_default().into();
        }
    }

    /// The bytes read ahead and not consumed.
    #[must_use]
    pub fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Drops the first `n` bytes of those read ahead.
    pub fn consume(&mut self, n: usize) {
        self.ahead.advance(n.min(self.ahead.len()));
    }

    /// Returns the bare stream and the bytes read ahead.
    #[must_use]
    pub fn into_parts(self) -> (S, Bytes) {
        (self.stream, self.ahead.freeze())
    }
}

impl Buffered<TcpStream> {
    /// The socket.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.stream
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Buffered<S> {
    /// Reads once and returns the number of bytes; 0 is the end of the stream.
    ///
    /// Each call adds at most a few kilobytes; the caller bounds their number.
    ///
    /// # Errors
    /// As the stream's.
    pub async fn fill(&mut self) -> io::Result<usize> {
        let Some(allowance) = &self.allowance else {
            self.ahead.reserve(CHUNK);
            return self.stream.read_buf(&mut self.ahead).await;
        };
        let left = poll_fn(|_| match allowance.left() {
            0 => Poll::Pending,
            left => Poll::Ready(left),
        });
        let left = left.await;
        if self.ahead.capacity() - self.ahead.len() < LEAST {
            // By just so much: what grows by doubling holds twice what is counted.
            let mut larger = BytesMut::with_capacity(self.ahead.len() + CHUNK);
            larger.extend_from_slice(&self.ahead);
            self.ahead = larger;
        }
        let n = self
            .stream
            .read_buf(&mut (&mut self.ahead).limit(left))
            .await?;
        allowance.count(n);
        Ok(n)
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// As the stream's.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Buffered<S> {
    /// Returns the bytes read ahead. While bytes flow it reads ahead in large pieces; once they
    /// stop it holds no buffer.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self {
            stream,
            ahead,
            flows,
            allowance,
        } = &mut *self;
        if let (Some(allowance), true) = (allowance, ahead.is_empty()) {
            let left = allowance.left();
            if left == 0 {
                return Poll::Pending;
            }
            let room = left.min(buf.remaining());
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
            ready!(Pin::new(stream).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buf.advance(read);
            allowance.count(read);
            return Poll::Ready(Ok(()));
        }
        if ahead.is_empty() && !*flows {
            let room = buf.remaining();
            ready!(Pin::new(stream).poll_read(cx, buf))?;
            *flows = room < FLOW && buf.remaining() == 0;
            return Poll::Ready(Ok(()));
        }
        if ahead.is_empty() {
            ahead.reserve(FLOW);
            let read = pin!(stream.read_buf(ahead)).poll(cx);
            if !matches!(read, Poll::Ready(Ok(1..))) {
                *ahead = BytesMut::new();
                *flows = false;
            }
            let read = ready!(read)?;
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let n = ahead.len().min(buf.remaining());
        buf.put_slice(ahead.get(..n).unwrap_or_default());
        ahead.advance(n);
        if ahead.is_empty() && !*flows {
            // An idle session holds no buffer.
            *ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Buffered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn it_reads_large_pieces_while_bytes_flow_and_holds_nothing_after() {
        let sent: Vec<u8> = (0..200_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let (near, mut far) = duplex(sent.len());
        far.write_all(&sent).await.unwrap();
        let mut client = Buffered::new(near);
        let mut got = Vec::new();
        let mut most_ahead = 0;
        while got.len() < sent.len() {
            let mut piece = [0; 4096];
            let n = client.read(&mut piece).await.unwrap();
            got.extend_from_slice(&piece[..n]);
            most_ahead = most_ahead.max(client.ahead().len());
        }
        assert!(got == sent, "other bytes than were sent");
        assert!(most_ahead > FLOW / 2, "only {most_ahead} bytes ahead");
        let waiting = tokio::time::timeout(std::time::Duration::ZERO, client.read_u8()).await;
        assert!(waiting.is_err(), "{waiting:?}");
        assert_eq!(client.ahead.capacity(), 0);
        far.write_all(b"xy").await.unwrap();
        assert_eq!(client.read_u16().await.unwrap(), u16::from_be_bytes(*b"xy"));
        drop(far);
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
