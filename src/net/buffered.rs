//! A client's socket together with what was read from it ahead: the bytes that decide the route
//! are still needed afterwards, by rustls or by the backend.
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

/// A TCP stream that gives out what was read ahead before it reads on.
#[derive(Debug)]
pub struct Buffered {
    tcp: TcpStream,
    ahead: BytesMut,
}

impl Buffered {
    /// A stream from which nothing was read yet.
    #[must_use]
    pub fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            ahead: BytesMut::new(),
        }
    }

    /// What was read ahead and not consumed.
    #[must_use]
    pub fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Reads once, whatever is there, and gives the number of bytes; 0 is the end of the stream.
    ///
    /// The caller bounds how often: each call adds at most a few kilobytes.
    ///
    /// # Errors
    /// As the socket's.
    pub async fn fill(&mut self) -> io::Result<usize> {
        self.ahead.reserve(CHUNK);
        self.tcp.read_buf(&mut self.ahead).await
    }

    /// Drops the first `n` bytes that were read ahead.
    pub fn consume(&mut self, n: usize) {
        self.ahead.advance(n.min(self.ahead.len()));
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// As the socket's.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tcp.write_all(bytes).await
    }

    /// The socket.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// The bare socket and what was read ahead.
    #[must_use]
    pub fn into_parts(self) -> (TcpStream, Bytes) {
        (self.tcp, self.ahead.freeze())
    }
}

impl AsyncRead for Buffered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.tcp).poll_read(cx, buf);
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

impl AsyncWrite for Buffered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
