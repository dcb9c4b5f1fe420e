//! What databases say once TLS is up, before anybody logs in.
//!
//! Source: Redis documentation, "Redis serialization protocol specification" and "Security"
//! (protected mode); MongoDB documentation, "MongoDB Wire Protocol" (`OP_MSG`) and "hello"; MySQL
//! documentation, "Connection Phase" (`Protocol::HandshakeResponse41`, `AuthSwitchRequest`).

mod mongodb;
mod mysql;
mod redis;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::attempt::{Attempt, Plan, Preface, REST};
use super::handshake::{HandshakeFailure, Wire};
use super::words_of_request;
use crate::preface::mysql::Greeting;
use crate::probe::hint::Hint;
use crate::probe::{Finding, rules};
use crate::tls::config::ALPN_POSTGRES;

pub(super) use mongodb::hello as mongodb_hello;
pub(super) use mysql::capabilities as mysql_capabilities;
pub(super) use redis::PING;

/// How long a server that has asked for a certificate gets at least to say what it thinks of it.
const LATE: Duration = Duration::from_millis(250);

/// Why a database gave no answer.
enum NoAnswer {
    /// Time was up.
    Silent,
    /// TLS ended first, or at once.
    HandshakeFailure(HandshakeFailure),
}

/// Asks the database for a word; whether there was anything to ask.
pub(super) async fn ask(
    tls: &mut TlsStream<Wire>,
    plan: &Plan,
    greeting: Option<&Greeting>,
    attempt: &mut Attempt,
) -> bool {
    let talking = async {
        match (plan.protocol, greeting) {
            (Hint::Redis, _) => Some(redis::ask(tls, plan, attempt).await),
            (Hint::Mongodb, _) => Some(mongodb::ask(tls, plan, attempt).await),
            (Hint::Mysql | Hint::Mariadb, Some(greeting)) => {
                Some(mysql::ask(tls, plan, greeting, attempt).await)
            }
            (Hint::Postgres, _) => {
                postgres(plan, attempt);
                late_refusal(tls, plan, attempt).await;
                None
            }
            _ => {
                late_refusal(tls, plan, attempt).await;
                None
            }
        }
    };
    // Answers have this limit themselves; what is sent has to leave, too.
    let result = match timeout(plan.limit + REST, talking).await {
        Ok(None) => return false,
        Ok(Some(result)) => result,
        Err(_) => Err(NoAnswer::Silent),
    };
    match result {
        Ok(()) => {}
        Err(NoAnswer::Silent) => attempt.findings.push(Finding::new(
            &rules::PROTOCOL_SILENT,
            format!("nothing came within {:?}", plan.limit),
        )),
        Err(NoAnswer::HandshakeFailure(HandshakeFailure::Ended)) => {
            attempt.findings.push(hung_up(plan, attempt));
        }
        Err(NoAnswer::HandshakeFailure(why)) => attempt.failed = Some(why),
    }
    true
}

/// Somebody hung up inside TLS. Where a certificate was asked for that may be why (nginx does so,
/// once the handshake is done); [`super::again`] finds out.
fn hung_up(plan: &Plan, attempt: &Attempt) -> Finding {
    let ended = "it hung up inside TLS without a word";
    if !attempt.certs.requested {
        return Finding::new(&rules::PROTOCOL_CLOSED, ended);
    }
    let (rule, asked) = words_of_request(attempt, plan);
    Finding::new(rule, format!("{asked}, and {ended}"))
}

fn postgres(plan: &Plan, attempt: &mut Attempt) {
    attempt.findings.push(Finding::new(
        &rules::PG_SAYS_NOTHING,
        "TLS was looked at, no login was tried",
    ));
    let negotiated = attempt
        .negotiated
        .as_ref()
        .and_then(|negotiated| negotiated.alpn.as_deref());
    if plan.preface == Preface::Direct && negotiated != Some(ALPN_POSTGRES) {
        attempt.findings.push(Finding::new(
            &rules::PG_DIRECT_NO_ALPN,
            "`postgresql` was offered, and the server chose nothing",
        ));
    }
}

/// Waits for what a server says about the certificate that it asked for: in TLS 1.3 it can do so
/// only after the handshake.
async fn late_refusal(tls: &mut TlsStream<Wire>, plan: &Plan, attempt: &mut Attempt) {
    if !attempt.certs.requested {
        return;
    }
    let connected = attempt.phases.iter().find(|(name, _)| *name == "tcp");
    let limit = connected.map_or(LATE, |(_, took)| LATE.max(5 * *took));
    match timeout(limit, tls.read(&mut [0; 256])).await {
        Ok(Ok(0)) => attempt.findings.push(hung_up(plan, attempt)),
        Ok(Err(error)) => match HandshakeFailure::of(&error) {
            HandshakeFailure::Ended => attempt.findings.push(hung_up(plan, attempt)),
            why => attempt.failed = Some(why),
        },
        Ok(Ok(_)) | Err(_) => {}
    }
}

/// Reads until `done` has seen enough, at most `most` bytes.
async fn answer(
    stream: &mut (impl AsyncRead + Unpin),
    most: usize,
    limit: Duration,
    mut done: impl FnMut(&[u8]) -> bool,
) -> Result<Vec<u8>, NoAnswer> {
    let mut all = Vec::new();
    let reading = async {
        let mut piece = [0; 2048];
        while all.len() < most {
            match stream.read(&mut piece).await {
                Ok(n @ 1..) => all.extend_from_slice(piece.get(..n).unwrap_or_default()),
                Ok(0) if all.is_empty() => return Err(HandshakeFailure::Ended),
                Err(error) if all.is_empty() => return Err(HandshakeFailure::of(&error)),
                Ok(0) | Err(_) => return Ok(()),
            }
            if done(&all) {
                return Ok(());
            }
        }
        Ok(())
    };
    match timeout(limit, reading).await {
        Ok(Ok(())) => Ok(all),
        Ok(Err(why)) => Err(NoAnswer::HandshakeFailure(why)),
        // What began to come is an answer, if not a whole one.
        Err(_) if !all.is_empty() => Ok(all),
        Err(_) => Err(NoAnswer::Silent),
    }
}

impl From<io::Error> for NoAnswer {
    fn from(error: io::Error) -> Self {
        Self::HandshakeFailure(HandshakeFailure::of(&error))
    }
}
