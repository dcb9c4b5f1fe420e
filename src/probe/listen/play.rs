//! Plays the server for one client: reads its opening with the gateway's own driver, answers,
//! and watches.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::certify::certify;
use super::heard::{Answer, Heard};
use super::history::{Again, Attempt};
use super::{Mode, Visit, words};
use crate::config::ListenerProtocol;
use crate::handshake::{
    HandshakeError, MysqlOpening, Opening, OpeningStage, TlsOpening, read_mysql_opening,
    read_opening,
};
use crate::net::{Buffered, linger};
use crate::preface::mysql::Profile;
use crate::probe::exchange::{Exchange, Side};
use crate::probe::facts::{self, Hint};
use crate::probe::tap::Tap;
use crate::tls::hello::HelloError;
use crate::tls::{Alert, ClientHello, Sni, ja4};
use crate::wire::Reader;

/// How long a client gets to react to its answer before the listener hangs up.
const REACTION: Duration = Duration::from_secs(2);

/// How much of what a client says after its answer is read.
const MAX_AFTER: usize = 64 * 1024;

/// What is said to clients without TLS.
const NEEDS_TLS: &str = "your client came without TLS";

type Client = Buffered<Tap<TcpStream>>;

/// How a client began, whatever its protocol.
enum Came {
    /// With TLS, or with a request for it before.
    Tls { starttls: bool, hello: ClientHello },
    /// With a login in the clear.
    Login,
    /// With a Postgres CancelRequest in the clear.
    Cancel,
}

/// What a client is answered.
enum Plan {
    Nothing,
    Alert(Alert),
    Words(Vec<u8>),
}

/// Serves the client to its end and tells what was heard.
pub(super) async fn play(visit: &Visit, tcp: TcpStream) -> Heard {
    let settings = &visit.shared.settings;
    let deadline = visit.accepted + settings.patience;
    let mut client = Buffered::new(Tap::new(tcp, visit.recording.clone(), Side::Server));
    let mut stage = OpeningStage::default();
    let reading = open(&mut client, visit, &mut stage);
    let came = match timeout_at(deadline, reading).await {
        Ok(came) => came.map_err(Some),
        Err(_) => Err(None),
    };
    let exchange = visit.recording.exchange();
    let opened = came.as_ref().ok();
    let attempt = opened.and_then(|came| attempt(came, &exchange, settings.hint));
    let again = attempt.as_ref().and_then(|attempt| compare(visit, attempt));
    let mut heard = match &came {
        // rustls takes no hello with an illegal name.
        Ok(Came::Tls { hello, .. })
            if matches!(settings.mode, Mode::Certify) && !matches!(hello.sni, Sni::Invalid(_)) =>
        {
            show_certificate(visit, client, hello, attempt).await
        }
        came => {
            let plan = plan(came, &client, settings.hint);
            carry_out(visit, client, plan, attempt).await
        }
    };
    if matches!(came, Err(None)) {
        heard.fell_silent(settings.patience);
    }
    if let Some(again) = again {
        heard.comes_again(again);
    }
    heard
}

/// Reads the client's opening; `stage` is only of use to a gateway that must tell why it ended.
async fn open(
    client: &mut Client,
    visit: &Visit,
    stage: &mut OpeningStage,
) -> Result<Came, HandshakeError> {
    let protocol = match visit.shared.settings.hint {
        Hint::Mysql => return open_mysql(client, &Profile::MYSQL, visit, stage).await,
        Hint::Mariadb => return open_mysql(client, &Profile::MARIADB, visit, stage).await,
        Hint::Mongodb | Hint::Redis | Hint::Tls => ListenerProtocol::Tls,
        Hint::None | Hint::Postgres => ListenerProtocol::Auto,
    };
    Ok(match read_opening(client, protocol, stage).await? {
        Opening::Tls(TlsOpening { ssl_request, hello }) => Came::Tls {
            starttls: ssl_request,
            hello,
        },
        Opening::Startup => Came::Login,
        Opening::Cancel => Came::Cancel,
    })
}

async fn open_mysql(
    client: &mut Client,
    profile: &Profile<'_>,
    visit: &Visit,
    stage: &mut OpeningStage,
) -> Result<Came, HandshakeError> {
    let id = u32::try_from(visit.id).unwrap_or(u32::MAX);
    Ok(
        match read_mysql_opening(client, profile, id, stage).await? {
            MysqlOpening::Tls(hello) => Came::Tls {
                starttls: true,
                hello,
            },
            MysqlOpening::Login => Came::Login,
        },
    )
}

/// What a client came with, as far as it has sent anything.
fn attempt(came: &Came, exchange: &Exchange, hint: Hint) -> Option<Attempt> {
    match came {
        Came::Tls { starttls, hello } => Some(Attempt {
            tls: true,
            starttls: *starttls,
            sni: hello.sni_raw.clone(),
            program: program(exchange, hint),
        }),
        Came::Login => {
            let bytes = exchange.client.bytes();
            // The answer to a greeting carries a scramble, which differs each time.
            let fixed = match words::read(bytes, hint) {
                Some(words) if hint.is_server_first() => words.harmless,
                _ => bytes.len(),
            };
            Some(Attempt::plaintext(Reader::new(bytes).take_up_to(fixed)))
        }
        Came::Cancel => None,
    }
}

/// Fingerprint and ALPN of a hello: two programs seldom have both in common.
fn program(exchange: &Exchange, hint: Hint) -> Box<[u8]> {
    let facts = facts::read(exchange, hint);
    let Some((hello, offer)) = &facts.client_tls.hello else {
        return Box::default();
    };
    let mut program = ja4::ja4(hello, offer).into_bytes();
    for protocol in &hello.alpn {
        program.push(0);
        program.extend_from_slice(protocol);
    }
    program.into()
}

fn compare(visit: &Visit, attempt: &Attempt) -> Option<Again> {
    let history = visit.shared.history();
    history.compare(visit.ip(), attempt, visit.accepted)
}

fn refused(visit: &Visit, attempt: Option<Attempt>) {
    if let Some(attempt) = attempt {
        let now = Instant::now();
        visit.shared.history().refused(visit.ip(), attempt, now);
    }
}

/// What the client is answered where no certificate is shown.
fn plan(came: &Result<Came, Option<HandshakeError>>, client: &Client, hint: Hint) -> Plan {
    match came {
        Ok(Came::Tls { .. }) => Plan::Alert(Alert::UnrecognizedName),
        Ok(Came::Login)
        | Err(Some(HandshakeError::Preface(_) | HandshakeError::Hello(HelloError::NotTls(_)))) => {
            match words::refusal(client.ahead(), hint, NEEDS_TLS) {
                words if words.is_empty() => Plan::Nothing,
                words => Plan::Words(words),
            }
        }
        Err(Some(HandshakeError::Hello(error))) => Plan::Alert(error.alert()),
        Ok(Came::Cancel) | Err(_) => Plan::Nothing,
    }
}

/// Answers, and watches what the client does about it.
async fn carry_out(
    visit: &Visit,
    mut client: Client,
    plan: Plan,
    attempt: Option<Attempt>,
) -> Heard {
    let (what, bytes) = match plan {
        Plan::Nothing => {
            linger::close(client).await;
            visit.recording.finish();
            return Heard::of(visit);
        }
        Plan::Alert(alert) => (
            format!("alert {} {alert}", alert.code()),
            alert.record().to_vec(),
        ),
        Plan::Words(words) => ("an error in words".to_owned(), words),
    };
    let answer = Answer {
        what,
        heard: visit.recording.exchange().client.bytes().len(),
        at: visit.recording.elapsed(),
    };
    // Before it is told: it may be back before this goes on.
    refused(visit, attempt);
    if client.send(&bytes).await.is_ok() {
        let _ = timeout(REACTION, watch(&mut client)).await;
    }
    linger::close(client).await;
    visit.recording.finish();
    let mut heard = Heard::of(visit);
    heard.answered(answer, visit);
    heard
}

/// Reads to the end, for the recording.
async fn watch(client: &mut Client) {
    let mut read = 0;
    while let Ok(n @ 1..) = client.fill().await {
        client.consume(n);
        read += n;
        if read > MAX_AFTER {
            return;
        }
    }
}

/// Goes one step further: completes TLS.
async fn show_certificate(
    visit: &Visit,
    client: Client,
    hello: &ClientHello,
    attempt: Option<Attempt>,
) -> Heard {
    let settings = &visit.shared.settings;
    let deadline = visit.accepted + settings.patience;
    refused(visit, attempt);
    let certified = certify(client, hello, settings.hint, deadline).await;
    visit.recording.finish();
    let mut heard = Heard::of(visit);
    match certified {
        Ok((name, outcome)) => heard.certified(&name, outcome),
        Err(error) => heard.answer = Some(format!("nothing: no certificate: {error}")),
    }
    heard
}
