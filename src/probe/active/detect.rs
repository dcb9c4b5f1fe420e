//! Detection of the protocol of a server: first messages of several protocols in plaintext.
//!
//! Source: see [`super::database`]; Postgres documentation, "Message Formats" (`StartupMessage`);
//! RFC 9110 (`HEAD`).

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::database::{PING, mongodb_hello, preview};
use super::reach;
use crate::preface::postgres::{SSL_REQUEST, ServerError};
use crate::preface::sniff::{Spoken, speaks};
use crate::probe::{Rule, rules};
use crate::protocol::Protocol;
use crate::wire::printable;

/// Postgres login (protocol 3.0) in plaintext, for a user that does not exist.
const STARTUP: &[u8] = b"\0\0\0\x1b\0\x03\0\0user\0dbgate-probe\0\0";

/// First message of a protocol, and its name.
pub(super) struct Opener {
    /// As the report names it.
    pub(super) name: &'static str,
    bytes: Cow<'static, [u8]>,
}

/// A login without TLS.
pub(super) const LOGIN: Opener = Opener {
    name: "a Postgres login without TLS",
    bytes: Cow::Borrowed(STARTUP),
};

/// First message of a Postgres client.
pub(super) const SSL: Opener = Opener {
    name: "an SSLRequest of Postgres",
    bytes: Cow::Borrowed(&SSL_REQUEST),
};

/// Openers to find out what listens; the one of the expected protocol comes first.
pub(super) fn openers(meant: Option<Protocol>) -> Vec<Opener> {
    let opener = |name, bytes: &'static [u8]| Opener {
        name,
        bytes: Cow::Borrowed(bytes),
    };
    let mut all = vec![
        opener("PING of Redis in plaintext", PING),
        Opener {
            name: "hello of MongoDB in plaintext",
            bytes: Cow::Owned(mongodb_hello()),
        },
        SSL,
        opener("HEAD of HTTP in plaintext", b"HEAD / HTTP/1.0\r\n\r\n"),
    ];
    if meant == Some(Protocol::Mongodb) {
        all.swap(0, 1);
    }
    all
}

/// Answer to an opener.
pub(super) enum Answer {
    /// The connection failed.
    NoConnection(&'static str),
    /// Nothing, until the time was over.
    Nothing,
    /// The connection ended.
    HungUp,
    /// Bytes.
    Bytes {
        /// Protocol, where it is known.
        spoken: Option<Spoken>,
        /// The first of them.
        first: u8,
        /// Safe to print, and short.
        text: String,
    },
}

impl Answer {
    fn of(opener: &Opener, bytes: &[u8]) -> Self {
        let Some(&first) = bytes.first() else {
            return Self::HungUp;
        };
        // One letter is a whole answer to an SSLRequest, and to nothing else.
        let spoken = match bytes {
            [b'S' | b'N'] if *opener.bytes == SSL_REQUEST => Some(Spoken::Postgres),
            _ => speaks(bytes),
        };
        let text = match ServerError::parse(bytes) {
            Some(error) => printable(&String::from_utf8_lossy(error.message)),
            None if spoken == Some(Spoken::Mongodb) => "its own hello".to_owned(),
            None if spoken == Some(Spoken::Postgres) && first == b'R' => {
                "the login goes on".to_owned()
            }
            None => preview(bytes),
        };
        Self::Bytes {
            spoken,
            first,
            text,
        }
    }

    /// Rule for a server that answers so, to a client that has tried TLS or a preface before.
    pub(super) fn rule(&self, tls_was_tried: bool) -> Option<&'static Rule> {
        let Self::Bytes {
            spoken: Some(spoken),
            ..
        } = self
        else {
            return None;
        };
        Some(match spoken {
            Spoken::RedisReply if tls_was_tried => &rules::REDIS_PLAIN,
            Spoken::RedisReply => &rules::REDIS_SERVER,
            Spoken::Mongodb if tls_was_tried => &rules::MONGODB_PLAIN,
            Spoken::Mongodb => &rules::MONGODB_SERVER,
            Spoken::Postgres => &rules::POSTGRES_SERVER,
            Spoken::MysqlGreeting | Spoken::MysqlError => &rules::MYSQL_SERVER,
            Spoken::Http => &rules::HTTP_SERVER,
            Spoken::Ssh => &rules::SSH_SERVER,
            // It speaks TLS, which is known already, or what was said to it.
            Spoken::Tls
            | Spoken::TlsAlert
            | Spoken::MysqlRequest
            | Spoken::RedisCommand
            | Spoken::PostgresRequest
            | Spoken::PostgresStartup => return None,
            _ => &rules::OTHER_SERVER,
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection(why) => f.write_str(why),
            Self::Nothing => f.write_str("no answer"),
            Self::HungUp => f.write_str("it hung up"),
            Self::Bytes { text, .. } => f.write_str(text),
        }
    }
}

/// Sends an opener on a new connection.
pub(super) async fn send(opener: &Opener, address: SocketAddr, limit: Duration) -> Answer {
    let mut tcp = match reach::connect(address, limit).await {
        Ok((tcp, _)) => tcp,
        Err(finding) => return Answer::NoConnection(finding.rule.summary),
    };
    let mut bytes = [0; 512];
    let saying = async {
        tcp.write_all(&opener.bytes).await?;
        tcp.read(&mut bytes).await
    };
    match timeout(limit, saying).await {
        Ok(Ok(n)) => Answer::of(opener, bytes.get(..n).unwrap_or_default()),
        Ok(Err(_)) => Answer::HungUp,
        Err(_) => Answer::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preface::postgres;
    use crate::preface::{Message, MessageKind, Responder, ResponderStep};

    #[test]
    fn answers_tell_who_it_is() {
        let all = openers(Some(Protocol::Redis));
        let [ping, hello, request, head] = &all[..] else {
            panic!("four words");
        };
        for (opener, bytes, tls, code) in [
            (ping, &b"+PONG\r\n"[..], true, Some("redis-plain-port")),
            (
                ping,
                b"-NOAUTH Authentication required.\r\n",
                false,
                Some("is-redis"),
            ),
            (request, b"S", true, Some("is-postgres")),
            (request, b"N", true, Some("is-postgres")),
            (ping, b"S", true, None),
            (head, b"HTTP/1.1 200 OK\r\n", true, Some("http-server")),
            (hello, b"SSH-2.0-OpenSSH_9.2\r\n", true, Some("ssh-server")),
            (hello, b"\x15\x03\x03\0\x02\x02\x0a", true, None),
            (head, b"\xffwhat", true, None),
            (head, b"", true, None),
        ] {
            let answer = Answer::of(opener, bytes);
            let rule = answer.rule(tls).map(|rule| rule.code);
            assert_eq!(rule, code, "{} {}", opener.name, bytes.escape_ascii());
        }
    }

    #[test]
    fn the_login_is_a_login() {
        let step = postgres::Responder::default().advance(STARTUP);
        let login = ResponderStep::Message(Message {
            protocol: crate::protocol::Protocol::Postgres,
            kind: MessageKind::Login,
            len: STARTUP.len(),
        });
        assert_eq!(step, Ok(login));
    }
}
