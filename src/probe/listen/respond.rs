//! Response to one client: reads its opening with the gateway's own code, answers,
//! and records the reaction.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::certify::certify;
use super::client_report::ClientReport;
use super::connection::{Connection, Mode};
use super::first_message;
use super::history::{ClientAttempt, Reconnect};
use super::reaction::Answer;
use crate::handshake::{HandshakeError, read_opening, scramble};
use crate::net::{Buffered, linger};
use crate::preface::mysql::{self, Profile};
use crate::preface::{AnyResponder, MessageKind, Opening, ResponderError, TlsOpening};
use crate::probe::dissection;
use crate::probe::exchange::{Exchange, Side};
use crate::probe::tap::Tap;
use crate::protocol::ListenerProtocol;
use crate::protocol::Protocol;
use crate::tls::hello::HelloError;
use crate::tls::{Alert, ClientHello, Sni, ja4};
use crate::wire::Reader;

/// Time for the client's reaction before the listener closes.
const REACTION: Duration = Duration::from_secs(2);

/// Bytes of a client that are read after its answer.
const MAX_AFTER: usize = 64 * 1024;

/// Refusal for clients without TLS.
const NEEDS_TLS: &str = "your client came without TLS";

type Client = Buffered<Tap<TcpStream>>;

/// Opening of a client, whatever its protocol.
enum ClientOpening {
    /// With TLS, or with a request for it before.
    Tls { starttls: bool, hello: ClientHello },
    /// With a login in the clear.
    Login,
    /// With a Postgres CancelRequest in the clear.
    Cancel,
}

/// Response to a client.
enum Response {
    Nothing,
    Alert(Alert),
    Words(Vec<u8>),
}

/// Serves the client to its end, and reports on it.
pub(super) async fn respond(connection: &Connection, tcp: TcpStream) -> ClientReport {
    let settings = &connection.shared.settings;
    let deadline = connection.accepted + settings.timeout;
    let mut client = Buffered::new(Tap::new(tcp, connection.recording.clone(), Side::Server));
    let reading = open(&mut client, connection);
    let opening = match timeout_at(deadline, reading).await {
        Ok(opening) => opening.map_err(Some),
        Err(_) => Err(None),
    };
    let exchange = connection.recording.exchange();
    let opened = opening.as_ref().ok();
    let attempt = opened.and_then(|opening| attempt(opening, &exchange, settings.hint));
    let reconnect = attempt
        .as_ref()
        .and_then(|attempt| compare(connection, attempt));
    let mut client_report = match &opening {
        // rustls takes no hello with an illegal name.
        Ok(ClientOpening::Tls { hello, .. })
            if matches!(settings.mode, Mode::Certify) && !matches!(hello.sni, Sni::Invalid(_)) =>
        {
            show_certificate(connection, client, hello, attempt).await
        }
        opening => {
            let response = response(opening, &client, settings.hint);
            reply(connection, client, response, attempt).await
        }
    };
    if matches!(opening, Err(None)) {
        client_report.fell_silent(settings.timeout);
    }
    if let Some(reconnect) = reconnect {
        client_report.reconnected(reconnect);
    }
    client_report
}

/// Reads the client's opening, as a server of the expected protocol.
async fn open(
    client: &mut Client,
    connection: &Connection,
) -> Result<ClientOpening, HandshakeError> {
    let mut responder = match connection.shared.settings.hint {
        Some(Protocol::Mysql) => greeting(&Profile::MYSQL, connection)?,
        Some(Protocol::Mariadb) => greeting(&Profile::MARIADB, connection)?,
        Some(Protocol::Mongodb | Protocol::Redis | Protocol::Tls) => {
            AnyResponder::for_listener(ListenerProtocol::Tls)
        }
        None | Some(Protocol::Postgres) => AnyResponder::for_listener(ListenerProtocol::Auto),
    };
    Ok(match read_opening(client, &mut responder).await? {
        Opening::Tls(TlsOpening {
            requested_by,
            hello,
        }) => ClientOpening::Tls {
            starttls: requested_by.is_some(),
            hello,
        },
        Opening::Plaintext(message) if message.kind == MessageKind::Cancel => ClientOpening::Cancel,
        Opening::Plaintext(_) => ClientOpening::Login,
    })
}

fn greeting(
    profile: &Profile<'_>,
    connection: &Connection,
) -> Result<AnyResponder, HandshakeError> {
    let id = u32::try_from(connection.id).unwrap_or(u32::MAX);
    let responder = mysql::Responder::greeting(profile, id, &scramble()?);
    Ok(AnyResponder::Mysql(responder))
}

/// Attempt of a client, as far as it has sent anything.
fn attempt(
    opening: &ClientOpening,
    exchange: &Exchange,
    hint: Option<Protocol>,
) -> Option<ClientAttempt> {
    match opening {
        ClientOpening::Tls { starttls, hello } => Some(ClientAttempt {
            tls: true,
            starttls: *starttls,
            sni: hello.sni_raw.clone(),
            program: program(exchange, hint),
        }),
        ClientOpening::Login => {
            let bytes = exchange.client.bytes();
            // The answer to a greeting carries a scramble, which differs each time.
            let fixed = match first_message::read(bytes, hint) {
                Some(words) if hint.is_some_and(Protocol::server_first) => words.harmless,
                _ => bytes.len(),
            };
            Some(ClientAttempt::plaintext(
                Reader::new(bytes).take_up_to(fixed),
            ))
        }
        ClientOpening::Cancel => None,
    }
}

/// Fingerprint and ALPN of a hello: two programs seldom have both in common.
fn program(exchange: &Exchange, hint: Option<Protocol>) -> Box<[u8]> {
    let dissection = dissection::dissect(exchange, hint);
    let Some((hello, offer)) = &dissection.client_tls.hello else {
        return Box::default();
    };
    let mut program = ja4::ja4(hello, offer).into_bytes();
    for protocol in &hello.alpn {
        program.push(0);
        program.extend_from_slice(protocol);
    }
    program.into()
}

fn compare(connection: &Connection, attempt: &ClientAttempt) -> Option<Reconnect> {
    let history = connection.shared.history();
    history.compare(connection.ip(), attempt, connection.accepted)
}

fn refused(connection: &Connection, attempt: Option<ClientAttempt>) {
    if let Some(attempt) = attempt {
        let now = Instant::now();
        connection
            .shared
            .history()
            .refused(connection.ip(), attempt, now);
    }
}

/// Response to the client where no certificate is shown.
fn response(
    opening: &Result<ClientOpening, Option<HandshakeError>>,
    client: &Client,
    hint: Option<Protocol>,
) -> Response {
    match opening {
        Ok(ClientOpening::Tls { .. }) => Response::Alert(Alert::UnrecognizedName),
        Ok(ClientOpening::Login)
        | Err(Some(
            HandshakeError::Preface(ResponderError::Postgres(_))
            | HandshakeError::Hello(HelloError::NotTls(_)),
        )) => match first_message::refusal(client.ahead(), hint, NEEDS_TLS) {
            words if words.is_empty() => Response::Nothing,
            words => Response::Words(words),
        },
        Err(Some(HandshakeError::Hello(error))) => Response::Alert(error.alert()),
        Ok(ClientOpening::Cancel) | Err(_) => Response::Nothing,
    }
}

/// Answers, and watches what the client does about it.
async fn reply(
    connection: &Connection,
    mut client: Client,
    response: Response,
    attempt: Option<ClientAttempt>,
) -> ClientReport {
    let (what, bytes) = match response {
        Response::Nothing => {
            linger::close(client).await;
            connection.recording.finish();
            return ClientReport::of(connection);
        }
        Response::Alert(alert) => (
            format!("alert {} {alert}", alert.code()),
            alert.record().to_vec(),
        ),
        Response::Words(words) => ("an error in words".to_owned(), words),
    };
    let answer = Answer {
        what,
        received: connection.recording.exchange().client.bytes().len(),
        at: connection.recording.elapsed(),
    };
    // Before the answer: it may be back before this goes on.
    refused(connection, attempt);
    if client.send(&bytes).await.is_ok() {
        let _ = timeout(REACTION, watch(&mut client)).await;
    }
    linger::close(client).await;
    connection.recording.finish();
    let mut client_report = ClientReport::of(connection);
    client_report.answered(answer, connection);
    client_report
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
    connection: &Connection,
    client: Client,
    hello: &ClientHello,
    attempt: Option<ClientAttempt>,
) -> ClientReport {
    let settings = &connection.shared.settings;
    let deadline = connection.accepted + settings.timeout;
    refused(connection, attempt);
    let certified = certify(client, hello, settings.hint, deadline).await;
    connection.recording.finish();
    let mut client_report = ClientReport::of(connection);
    match certified {
        Ok((name, outcome)) => client_report.certified(&name, outcome),
        Err(error) => client_report.answer = Some(format!("nothing: no certificate: {error}")),
    }
    client_report
}
