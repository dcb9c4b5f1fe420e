//! One end of a session: a bare socket, or TLS that the gateway terminates or originates.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use super::Buffered;
use super::pump::SCRATCH;

/// A connected client or backend.
#[derive(Debug)]
pub enum Stream {
    /// Bytes as they come.
    Tcp(TcpStream),
    /// A client whose TLS the gateway terminates.
    Terminated(Box<server::TlsStream<Buffered>>),
    /// A backend to which the gateway opened TLS.
    Originated(Box<client::TlsStream<Buffered>>),
}

impl Stream {
    /// Wraps a client whose TLS the gateway terminates; it takes as much at once as the pump reads
    /// at most.
    #[must_use]
    pub fn server(mut tls: Box<server::TlsStream<Buffered>>) -> Self {
        let (below, session) = tls.get_mut();
        below.lift_allowance();
        session.set_buffer_limit(Some(SCRATCH));
        Self::Terminated(tls)
    }

    /// The socket, if its bytes can be moved as they are.
    #[must_use]
    pub fn bare(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Terminated(_) | Self::Originated(_) => None,
        }
    }

    /// The socket, with or without TLS on top.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Terminated(tls) => tls.get_ref().0.tcp(),
            Self::Originated(tls) => tls.get_ref().0.tcp(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = match self.get_mut() {
            Self::Tcp(tcp) => return Pin::new(tcp).poll_read(cx, buf),
            Self::Terminated(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
            Self::Originated(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        };
        match read {
            // Databases and their clients often close without close_notify: an end all the same.
            Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Terminated(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
            Self::Originated(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Terminated(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
            Self::Originated(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Terminated(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
            Self::Originated(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}
