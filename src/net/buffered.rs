//! A client's stream together with what was read from it ahead: the bytes that decide the route
//! are still needed afterwards, by rustls or by the backend.
//!
//! The gateway's stream is the bare socket; a diagnosis puts a recorder in its place.
//!
//! No `MSG_PEEK`: a peek that finds half a hello would have to spin until the rest arrives.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// Room made for each read: more than nearly every first message of a client.
const CHUNK: usize = 2048;

/// A stream that gives out what was read ahead before it reads on.
#[derive(Debug)]
pub struct Buffered<S = TcpStream> {
    stream: S,
    ahead: BytesMut,
}

impl<S> Buffered<S> {
    /// A stream from which nothing was read yet.
    #[must_use]
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: BytesMut::new(),
        }
    }

    /// What was read ahead and not consumed.
    #[must_use]
    pub fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Drops the first `n` bytes that were read ahead.
    pub fn consume(&mut self, n: usize) {
        self.ahead.advance(n.min(self.ahead.len()));
    }

    /// The bare stream and what was read ahead.
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
    /// Reads once, whatever is there, and gives the number of bytes; 0 is the end of the stream.
    ///
    /// The caller bounds how often: each call adds at most a few kilobytes.
    ///
    /// # Errors
    /// As the stream's.
    pub async fn fill(&mut self) -> io::Result<usize> {
        self.ahead.reserve(CHUNK);
        self.stream.read_buf(&mut self.ahead).await
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
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let n = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead.split_to(n));
        if self.ahead.is_empty() {
            // The buffer has done its work; an idle session holds none.
            self.ahead = BytesMut::new();
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
