//! Reads a client's first words: what comes before TLS, then the ClientHello, which stays in the
//! buffer. A MySQL client waits to be greeted before.
//!
//! Not here: the deadline, which the caller holds over all of it, and what becomes of the client.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::ListenerProtocol;
use crate::net::Buffered;
use crate::preface::mysql::{self, MysqlError, Profile, SCRAMBLE};
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

/// How a client that was greeted by MySQL's greeting began.
#[derive(Debug)]
pub enum MysqlOpening {
    /// With an `SSLRequest`, then TLS; the hello is still in the buffer, from its first byte.
    Tls(ClientHello),
    /// With a login in plaintext, which is still in the buffer.
    Login,
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
pub enum OpeningStage {
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
    /// Not the answer of a MySQL client to the greeting.
    #[error(transparent)]
    Mysql(#[from] MysqlError),
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
    stage: &mut OpeningStage,
) -> Result<Opening, HandshakeError> {
    let mut responder = Responder::default();
    if protocol != ListenerProtocol::Tls {
        loop {
            match responder.advance(client.ahead())? {
                Step::NeedMore => read_more(client, stage).await?,
                Step::Reply { consumed, reply } => {
                    client.consume(consumed);
                    client.send(&[reply]).await?;
                    *stage = OpeningStage::SslRequested;
                }
                Step::StartTls => break,
                Step::Cancel(_) => return Ok(Opening::Cancel),
                Step::Startup(_) => return Ok(Opening::Startup),
            }
        }
    }
    let hello = read_hello(client, stage).await?;
    Ok(Opening::Tls(TlsOpening {
        ssl_request: responder.ssl_requested(),
        hello,
    }))
}

/// Greets a client as a MySQL server does, and reads up to the end of its ClientHello or its
/// login.
///
/// `stage` and the buffer are as with [`read_opening`]; a login is bounded by MySQL's own limit
/// of a packet here.
///
/// # Errors
/// The client hung up, or what it sent is not allowed here.
pub async fn read_mysql_opening<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Buffered<S>,
    profile: &Profile<'_>,
    connection_id: u32,
    stage: &mut OpeningStage,
) -> Result<MysqlOpening, HandshakeError> {
    let greeting = profile.greeting(connection_id, &scramble()?);
    client.send(&greeting).await?;
    let mut responder = mysql::Responder::default();
    loop {
        match responder.advance(client.ahead())? {
            mysql::Step::NeedMore => read_more(client, stage).await?,
            mysql::Step::SslRequest { consumed, .. } => {
                client.consume(consumed);
                *stage = OpeningStage::SslRequested;
            }
            mysql::Step::StartTls => {
                return read_hello(client, stage).await.map(MysqlOpening::Tls);
            }
            mysql::Step::Response { .. } => return Ok(MysqlOpening::Login),
        }
    }
}

/// What a server makes anew for each client, so that logins cannot be replayed.
fn scramble() -> io::Result<[u8; SCRAMBLE]> {
    let mut scramble = [0; SCRAMBLE];
    aws_lc_rs::rand::fill(&mut scramble)
        .map_err(|_| io::Error::other("the system gives no random bytes"))?;
    // A NUL would end it; servers keep to ASCII.
    Ok(scramble.map(|byte| byte % 0x7f + 1))
}

async fn read_hello<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Buffered<S>,
    stage: &mut OpeningStage,
) -> Result<ClientHello, HandshakeError> {
    let mut parser = HelloParser::default();
    loop {
        if let Some(hello) = parser.advance(client.ahead())? {
            return Ok(hello);
        }
        read_more(client, stage).await?;
    }
}

async fn read_more<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Buffered<S>,
    stage: &mut OpeningStage,
) -> Result<(), HandshakeError> {
    if client.fill().await? == 0 {
        return Err(HandshakeError::Gone);
    }
    *stage = OpeningStage::InMessage;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const HELLO: &[u8] = include_bytes!("../tests/data/hello/node-mysql2.bin");

    /// Greets a client that answers with these bytes, cut into pieces of `step`.
    async fn greet(
        answer: &[u8],
        step: usize,
    ) -> (Result<MysqlOpening, HandshakeError>, OpeningStage) {
        let (near, mut far) = duplex(1024);
        let mut client = Buffered::new(near);
        let mut stage = OpeningStage::default();
        let server = read_mysql_opening(&mut client, &Profile::MYSQL, 7, &mut stage);
        let play = async {
            let mut greeting = [0; 128];
            let n = far.read(&mut greeting).await.unwrap();
            let opening = mysql::read_opening(&greeting[..n]).unwrap();
            assert!(
                matches!(&opening, mysql::ServerOpening::Greeting { greeting, .. }
                    if greeting.offers_tls() && greeting.connection_id == 7),
                "{opening:?}"
            );
            for piece in answer.chunks(step) {
                // The server may be satisfied, or have given up, before the end.
                if far.write_all(piece).await.is_err() {
                    break;
                }
            }
            far.shutdown().await.unwrap();
        };
        let (opening, ()) = tokio::join!(server, play);
        (opening, stage)
    }

    #[tokio::test]
    async fn a_mysql_client_is_greeted_and_read_up_to_its_hello_however_it_is_cut() {
        let answer = [&mysql::ssl_request(0, 45)[..], HELLO].concat();
        for step in [1, 3, 36, 40, answer.len()] {
            let (opening, _) = greet(&answer, step).await;
            let Ok(MysqlOpening::Tls(hello)) = opening else {
                panic!("in pieces of {step}: {opening:?}");
            };
            assert_eq!(hello.wire_len, HELLO.len());
        }
    }

    #[tokio::test]
    async fn a_mysql_client_that_stops_or_says_something_else_is_told_apart() {
        let request = mysql::ssl_request(0, 45);
        let (opening, stage) = greet(&request, 64).await;
        assert!(matches!(opening, Err(HandshakeError::Gone)), "{opening:?}");
        assert_eq!(stage, OpeningStage::SslRequested);
        let (opening, _) = greet(&[&request[..], b"x"].concat(), 64).await;
        assert!(
            matches!(opening, Err(HandshakeError::Mysql(MysqlError::NotTls(_)))),
            "{opening:?}"
        );
        let mut login = request.clone();
        // Capabilities without CLIENT_SSL, and a name behind the fixed part.
        login.splice(0..8, [38, 0, 0, 1, 0, 0x82, 0, 0]);
        login.extend(b"alice\0");
        let (opening, _) = greet(&login, 64).await;
        assert!(matches!(opening, Ok(MysqlOpening::Login)), "{opening:?}");
    }

    #[test]
    fn no_two_clients_get_the_same_scramble() {
        let [one, other] = [scramble().unwrap(), scramble().unwrap()];
        assert_ne!(one, other);
        for byte in one.into_iter().chain(other) {
            assert!((1..=0x7f).contains(&byte), "{byte}");
        }
    }
}
