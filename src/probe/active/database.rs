//! Answers of databases inside TLS, before any login.
//!
//! Source: Redis documentation, "Redis serialization protocol specification" and "Security"
//! (protected mode); MongoDB documentation, "MongoDB Wire Protocol" (`OP_MSG`) and "hello"; MySQL
//! documentation, "Connection Phase" (`Protocol::HandshakeResponse41`, `AuthSwitchRequest`).

mod answer;
mod mongodb;
mod mysql;
mod redis;

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::attempt::Attempt;
use super::handshake::{HandshakeFailure, Wire};
use super::plan::{Plan, Preface};
use super::read::REST;
use super::report::client_cert_rule;
use crate::preface::mysql::Greeting;
use crate::probe::{Finding, rules};
use crate::protocol::ALPN_POSTGRES;
use crate::protocol::Protocol;
use answer::NoAnswer;

pub(super) use answer::preview;
pub(super) use mongodb::hello as mongodb_hello;
pub(super) use mysql::capabilities as mysql_capabilities;
pub(super) use redis::PING;

/// Least time for a server that has requested a certificate to refuse it.
const LATE: Duration = Duration::from_millis(250);

/// Asks the database for an answer; returns whether there was anything to ask.
pub(super) async fn ask(
    tls: &mut TlsStream<Wire>,
    plan: &Plan,
    greeting: Option<&Greeting>,
    attempt: &mut Attempt,
) -> bool {
    let talking = async {
        match (plan.protocol, greeting) {
            (Some(Protocol::Redis), _) => Some(redis::ask(tls, plan, attempt).await),
            (Some(Protocol::Mongodb), _) => Some(mongodb::ask(tls, plan, attempt).await),
            (Some(Protocol::Mysql | Protocol::Mariadb), Some(greeting)) => {
                Some(mysql::ask(tls, plan, greeting, attempt).await)
            }
            (Some(Protocol::Postgres), _) => {
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

/// Finding for a server that closed inside TLS. A missing certificate may be why (nginx does so,
/// once the handshake is done); [`super::followup`] finds out.
fn hung_up(plan: &Plan, attempt: &Attempt) -> Finding {
    let ended = "it closed inside TLS without an answer";
    if !attempt.certs.requested {
        return Finding::new(&rules::PROTOCOL_CLOSED, ended);
    }
    let (rule, asked) = client_cert_rule(attempt, plan);
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
