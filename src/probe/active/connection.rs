//! One connection to a server, from the first byte to the answer of the database.
//!
//! Every wait ends with the limit of its stage, and every read is bounded. Not here: connecting,
//! and what the recorded bytes mean.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::attempt::{Attempt, Negotiated};
use super::database;
use super::handshake::{self, Wire};
use super::plan::{Plan, Preface};
use super::read::{REST, read_for, read_until};
use crate::preface::mysql::{self, Greeting, ServerOpening};
use crate::preface::postgres::{Reply, SSL_REQUEST};
use crate::preface::sniff::{Spoken, speaks};
use crate::probe::exchange::{Connect, Side};
use crate::probe::tap::{Recording, Tap};
use crate::probe::{Finding, rules};
use crate::tls::names;
use crate::wire::escape;

/// The most bytes of an answer in plaintext.
const MAX_ANSWER: usize = 8 * 1024;

/// Runs one connection, which took `connected` to make.
pub(super) async fn run(tcp: TcpStream, connected: Duration, plan: &Plan) -> Attempt {
    let recording = Recording::start();
    recording.connected(Connect::Accepted(connected));
    let mut attempt = Attempt::new(connected);
    let wire = Tap::new(tcp, recording.clone(), Side::Client);
    run_stages(wire, plan, &mut attempt).await;
    recording.finish();
    attempt.exchange = recording.exchange();
    attempt
}

/// Sends `hello` where a handshake would begin; what comes back until it is `enough`, at most
/// `most` bytes. `None` where it does not get as far.
pub(super) async fn answer(
    tcp: TcpStream,
    connected: Duration,
    plan: &Plan,
    hello: &[u8],
    most: usize,
    enough: impl Fn(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let mut wire = Tap::new(tcp, Recording::start(), Side::Client);
    begin(&mut wire, plan, &mut Attempt::new(connected)).await?;
    let sent = timeout(plan.limit, wire.write_all(hello)).await;
    sent.ok()?.ok()?;
    Some(read_until(&mut wire, most, plan.limit, enough).await)
}

/// Exchanges the preface; `None` where no TLS follows, else the greeting of MySQL,
/// if there is one.
async fn begin(
    wire: &mut Tap<TcpStream>,
    plan: &Plan,
    attempt: &mut Attempt,
) -> Option<Option<Greeting>> {
    match plan.preface {
        Preface::Direct => Some(None),
        Preface::SslRequest => {
            let granted = ssl_request(wire, plan.limit, attempt).await;
            granted.then_some(None)
        }
        Preface::Greeting => greeted(wire, plan.limit, attempt).await.map(Some),
    }
}

async fn run_stages(mut wire: Tap<TcpStream>, plan: &Plan, attempt: &mut Attempt) {
    let start = Instant::now();
    let begun = begin(&mut wire, plan, attempt).await;
    if plan.preface != Preface::Direct {
        attempt.phases.push(("preface", start.elapsed()));
    }
    let Some(greeting) = begun else {
        return;
    };
    let start = Instant::now();
    let (result, certs) = handshake::handshake(wire, &plan.offer, plan.limit).await;
    attempt.phases.push(("tls", start.elapsed()));
    attempt.certs = certs;
    let mut tls = match result {
        Ok(tls) => tls,
        Err(why) => {
            attempt.failed = Some(why);
            return;
        }
    };
    attempt.negotiated = Some(negotiated(&tls));
    if attempt.certs.wrong_key.is_some() {
        // Every client closes here: the server is not authenticated.
        let _ = timeout(REST, tls.shutdown()).await;
        return;
    }
    let start = Instant::now();
    let asked = database::ask(&mut tls, plan, greeting.as_ref(), attempt).await;
    if asked {
        attempt.phases.push(("protocol", start.elapsed()));
    }
    // The server may have closed already.
    let _ = timeout(REST, tls.shutdown()).await;
}

/// Asks for TLS as Postgres has it; whether it was granted.
async fn ssl_request(wire: &mut Tap<TcpStream>, limit: Duration, attempt: &mut Attempt) -> bool {
    let asked = async {
        wire.write_all(&SSL_REQUEST).await?;
        // Exactly one byte: what comes with it was never encrypted.
        wire.read_u8().await
    };
    let Ok(Ok(answer)) = timeout(limit, asked).await else {
        return false;
    };
    match Reply::from_byte(answer) {
        Some(Reply::Tls) => {}
        Some(Reply::Refused) => return false,
        Some(Reply::Error) | None => {
            read_for(wire, MAX_ANSWER, REST.min(limit)).await;
            return false;
        }
    }
    let mut early = [0; 64];
    if let Ok(n @ 1..) = wire.get_ref().try_read(&mut early) {
        let early = early.get(..n).unwrap_or_default();
        wire.recording().push(Side::Server, early);
        if speaks(&[&[answer], early].concat()) == Some(Spoken::Ssh) {
            return false;
        }
        let detail = format!("with the S came {}", escape(early));
        attempt
            .findings
            .push(Finding::new(&rules::PG_EARLY_BYTES, detail));
        return false;
    }
    true
}

/// Reads the greeting of MySQL and asks for TLS; `None` where that cannot be.
async fn greeted(
    wire: &mut Tap<TcpStream>,
    limit: Duration,
    attempt: &mut Attempt,
) -> Option<Greeting> {
    let mut input = Vec::new();
    let reading = async {
        loop {
            match mysql::read_opening(&input) {
                Ok(ServerOpening::NeedMore) => {}
                Ok(ServerOpening::Greeting { greeting, .. }) => return Some(greeting),
                Ok(ServerOpening::Err { .. }) | Err(_) => return None,
            }
            let mut piece = [0; 1024];
            match wire.read(&mut piece).await {
                Ok(n @ 1..) => input.extend_from_slice(piece.get(..n).unwrap_or_default()),
                Ok(0) | Err(_) => return None,
            }
        }
    };
    let greeting = timeout(limit, reading).await.ok()??;
    attempt.told.insert("version", escape(greeting.release()));
    if let Some(plugin) = &greeting.plugin {
        attempt.told.insert("plugin", escape(plugin));
    }
    if !greeting.offers_tls() {
        return None;
    }
    let request = mysql::ssl_request(database::mysql_capabilities(&greeting), greeting.charset);
    match timeout(limit, wire.write_all(&request)).await {
        Ok(Ok(())) => Some(greeting),
        _ => None,
    }
}

fn negotiated(tls: &TlsStream<Wire>) -> Negotiated {
    let connection = tls.get_ref().1;
    let version = connection.protocol_version().map_or(0, u16::from);
    let suite = connection.negotiated_cipher_suite();
    let group = connection.negotiated_key_exchange_group();
    Negotiated {
        version: names::version(version).into_owned(),
        cipher: suite.map_or_else(String::new, |suite| {
            names::cipher_suite(suite.suite().into()).into_owned()
        }),
        group: group.map(|group| names::group(group.name().into()).into_owned()),
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
    }
}
