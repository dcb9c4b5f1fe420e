//! The beginning of a client's connection, over a socket: what comes before TLS, then the
//! ClientHello, which stays in the buffer.
//!
//! Not here: the deadline, which the caller holds over all of it, and what follows for the client.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::net::Buffered;
use crate::preface::mysql::SCRAMBLE;
use crate::preface::{AnyResponder, Opening, Responder, ResponderError, ResponderStep, TlsOpening};
use crate::tls::ClientHello;
use crate::tls::hello::{HelloError, HelloParser};

/// A client that did not complete its beginning, or broke a rule in it.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The client hung up.
    #[error("the client hung up")]
    Gone,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The protocol does not allow what the client sent.
    #[error(transparent)]
    Preface(#[from] ResponderError),
    /// An illegal ClientHello.
    #[error(transparent)]
    Hello(#[from] HelloError),
}

/// Reads up to the end of the ClientHello, or of a message without TLS, and replies on the way.
///
/// `responder` keeps the progress, so that it is known when the future is dropped at a deadline.
/// The buffer is bounded by what a preface or a hello may have.
///
/// # Errors
/// The client hung up, or broke a rule of its protocol.
pub async fn read_opening<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Buffered<S>,
    responder: &mut AnyResponder,
) -> Result<Opening, HandshakeError> {
    loop {
        match responder.advance(client.ahead())? {
            ResponderStep::NeedMore => read_more(client).await?,
            ResponderStep::Reply { consumed, reply } => {
                client.consume(consumed);
                client.send(&reply).await?;
            }
            ResponderStep::StartTls => break,
            ResponderStep::Message(message) => return Ok(Opening::Plaintext(message)),
        }
    }
    let hello = read_hello(client).await?;
    Ok(Opening::Tls(TlsOpening {
        requested_by: responder.requested_tls(),
        hello,
    }))
}

/// Random bytes for a greeting of MySQL, which a server makes for each client, so that logins
/// cannot be replayed.
///
/// # Errors
/// The system gives no random bytes.
pub fn scramble() -> io::Result<[u8; SCRAMBLE]> {
    let mut scramble = [0; SCRAMBLE];
    aws_lc_rs::rand::fill(&mut scramble)
        .map_err(|_| io::Error::other("the system gives no random bytes"))?;
    // A NUL would end it; servers keep to ASCII.
    Ok(scramble.map(|byte| byte % 0x7f + 1))
}

async fn read_hello<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Buffered<S>,
) -> Result<ClientHello, HandshakeError> {
    let mut parser = HelloParser::default();
    loop {
        if let Some(hello) = parser.advance(client.ahead())? {
            return Ok(hello);
        }
        read_more(client).await?;
    }
}

async fn read_more<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Buffered<S>,
) -> Result<(), HandshakeError> {
    if client.fill().await? == 0 {
        return Err(HandshakeError::Gone);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::preface::MessageKind;
    use crate::preface::mysql::{self, MysqlError, Profile};
    use crate::protocol::{ListenerProtocol, Protocol};

    const HELLO: &[u8] = include_bytes!("../tests/data/hello/node-mysql2.bin");

    /// Greets a client that answers with these bytes, cut into pieces of `step`.
    async fn greet(answer: &[u8], step: usize) -> (Result<Opening, HandshakeError>, AnyResponder) {
        let (near, mut far) = duplex(1024);
        let mut client = Buffered::new(near);
        let greeting = mysql::Responder::greeting(&Profile::MYSQL, 7, &scramble().unwrap());
        let mut responder = AnyResponder::Mysql(greeting);
        let server = read_opening(&mut client, &mut responder);
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
        (opening, responder)
    }

    #[tokio::test]
    async fn a_mysql_client_is_greeted_and_read_up_to_its_hello_however_it_is_cut() {
        let answer = [&mysql::ssl_request(0, 45)[..], HELLO].concat();
        for step in [1, 3, 36, 40, answer.len()] {
            let (opening, _) = greet(&answer, step).await;
            let Ok(Opening::Tls(TlsOpening {
                requested_by,
                hello,
            })) = opening
            else {
                panic!("in pieces of {step}: {opening:?}");
            };
            assert_eq!(hello.wire_len, HELLO.len());
            assert_eq!(requested_by, Some(Protocol::Mysql));
        }
    }

    #[tokio::test]
    async fn a_mysql_client_that_stops_or_says_something_else_is_told_apart() {
        let request = mysql::ssl_request(0, 45);
        let (opening, responder) = greet(&request, 64).await;
        assert!(matches!(opening, Err(HandshakeError::Gone)), "{opening:?}");
        assert!(responder.has_replied());
        let (opening, _) = greet(&[&request[..], b"x"].concat(), 64).await;
        let error = opening.unwrap_err();
        assert!(
            matches!(
                error,
                HandshakeError::Preface(ResponderError::Mysql(MysqlError::NotTls(_)))
            ),
            "{error:?}"
        );
        let mut login = request.clone();
        // Capabilities without CLIENT_SSL, and a name behind the fixed part.
        login.splice(0..8, [38, 0, 0, 1, 0, 0x82, 0, 0]);
        login.extend(b"alice\0");
        let (opening, _) = greet(&login, 64).await;
        assert!(
            matches!(&opening, Ok(Opening::Plaintext(m)) if m.kind == MessageKind::Login),
            "{opening:?}"
        );
    }

    #[tokio::test]
    async fn a_listener_for_tls_reads_nothing_before_the_hello() {
        for protocol in [ListenerProtocol::Auto, ListenerProtocol::Tls] {
            let (near, mut far) = duplex(1024);
            far.write_all(HELLO).await.unwrap();
            let mut responder = AnyResponder::for_listener(protocol);
            let opening = read_opening(&mut Buffered::new(near), &mut responder).await;
            let Ok(Opening::Tls(opening)) = opening else {
                panic!("{protocol}: {opening:?}");
            };
            assert_eq!((opening.requested_by, opening.speaks()), (None, None));
        }
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
