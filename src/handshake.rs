//! Reads a client's first words: what comes before TLS, then the ClientHello, which stays in the
//! buffer.
//!
//! Not here: the deadline, which the caller holds over all of it, and what becomes of the client.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::ListenerProtocol;
use crate::net::Buffered;
use crate::preface::postgres::{PrefaceError, Responder, Step};
use crate::tls::ClientHello;
use crate::tls::hello::{HelloError, HelloParser};

/// How a client began.
#[derive(Debug)]
pub enum Opening {
    /// With TLS; the hello is still in the buffer, from its first byte.
    Tls(TlsOpening),
    /// With a plaintext Postgres `StartupMessage`.
    Startup,
    /// With a plaintext Postgres `CancelRequest`.
    Cancel,
}

/// A client that is about to do TLS.
#[derive(Debug)]
pub struct TlsOpening {
    /// It asked for TLS the Postgres way first.
    pub ssl_request: bool,
    /// What it offers and which name it asks for.
    pub hello: ClientHello,
}

impl TlsOpening {
    /// Whether the client has shown that it speaks Postgres. A tunnel's hello does not show it.
    #[must_use]
    pub fn speaks_postgres(&self) -> bool {
        self.ssl_request || self.hello.offers_alpn(crate::tls::config::ALPN_POSTGRES)
    }
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It has sent nothing.
    #[default]
    Nothing,
    /// Its SSLRequest is answered.
    SslRequested,
    /// It is in the middle of a message.
    InMessage,
}

/// Why a client's first words lead nowhere.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The client hung up.
    #[error("the client hung up")]
    Gone,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// Not the beginning of TLS or Postgres.
    #[error(transparent)]
    Preface(#[from] PrefaceError),
    /// Not a legal ClientHello.
    #[error(transparent)]
    Hello(#[from] HelloError),
}

/// Reads up to the end of the ClientHello, answering requests for TLS on the way.
///
/// `stage` follows the progress, so that it is known when the future is dropped at a deadline.
/// The buffer is bounded by what a preface or a hello may have.
///
/// # Errors
/// The client hung up, or what it sent is not allowed here.
pub async fn read_opening<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Buffered<S>,
    protocol: ListenerProtocol,
    stage: &mut Stage,
) -> Result<Opening, HandshakeError> {
    let mut responder = Responder::default();
    if protocol != ListenerProtocol::Tls {
        loop {
            match responder.advance(client.ahead())? {
                Step::NeedMore => read_more(client, stage).await?,
                Step::Reply { consumed, reply } => {
                    client.consume(consumed);
                    client.send(&[reply]).await?;
                    *stage = Stage::SslRequested;
                }
                Step::StartTls => break,
                Step::Cancel(_) => return Ok(Opening::Cancel),
                Step::Startup(_) => return Ok(Opening::Startup),
            }
        }
    }
    let mut parser = HelloParser::default();
    loop {
        if let Some(hello) = parser.advance(client.ahead())? {
            return Ok(Opening::Tls(TlsOpening {
                ssl_request: responder.ssl_requested(),
                hello,
            }));
        }
        read_more(client, stage).await?;
    }
}

async fn read_more<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Buffered<S>,
    stage: &mut Stage,
) -> Result<(), HandshakeError> {
    if client.fill().await? == 0 {
        return Err(HandshakeError::Gone);
    }
    *stage = Stage::InMessage;
    Ok(())
}
