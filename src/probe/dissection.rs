//! Dissection of a connection: the protocol, the name asked for, what
//! was agreed on and how it ended.
//!
//! A pure function of the [`Exchange`]: the order in which the bytes of the two sides arrived
//! changes nothing but times. Not here: what the facts mean ([`super::diagnose`]).

use std::time::Duration;

use super::exchange::{Exchange, Flow, Side};
use crate::preface::mysql::{self, ServerOpening};
use crate::preface::postgres::{self, PrefaceError, ServerError};
use crate::preface::sniff::{Spoken, speaks};
use crate::preface::{Message, MessageKind, Responder, ResponderStep};
use crate::protocol::ALPN_POSTGRES;
use crate::protocol::Protocol;
use crate::tls::Alert;
use crate::tls::observed::{End as TlsEnd, Observed, established, observe};
use crate::wire::{Reader, escape};

/// First message of a client, requests for TLS left aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Opening {
    /// Nothing (more).
    #[default]
    Nothing,
    /// The beginning of something that is not all there.
    Incomplete,
    /// TLS.
    Tls,
    /// A Postgres `StartupMessage` in plaintext.
    Startup,
    /// A Postgres `CancelRequest` in plaintext.
    Cancel,
    /// A MySQL login in plaintext.
    MysqlLogin,
    /// Something recognised that is neither.
    Other(Spoken),
    /// Something that breaks the rules of the protocol; how.
    Illegal(String),
    /// Nothing that is known here; the first bytes, escaped.
    Unknown(String),
}

/// One request of a Postgres client for encryption, and the byte that answered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// `SSLRequest`; otherwise `GSSENCRequest`.
    pub tls: bool,
    /// Offset in the client's stream.
    pub at: usize,
    /// The server's answer, where there is one.
    pub answer: Option<u8>,
}

/// Dissection of one connection.
#[derive(Clone, Debug, Default)]
pub struct Dissection {
    /// `postgres`, `mysql`, `mariadb`, `mongodb`, `redis`, `tls` or `unknown`.
    pub protocol: &'static str,
    /// The Postgres client's requests, in order; at most two.
    pub requests: Vec<Request>,
    /// The MySQL client's `SSLRequest` was seen.
    pub mysql_ssl_request: bool,
    /// First message of the client after that.
    pub opening: Opening,
    /// The MySQL server's greeting: its version, escaped, and whether it offers TLS.
    pub greeting: Option<(String, bool)>,
    /// The greeting is MariaDB's.
    pub is_mariadb: bool,
    /// The MySQL server's error in the place of a greeting, or its answer to a plaintext login.
    pub mysql_error: Option<(u16, String)>,
    /// The Postgres server's error in plaintext: `FATAL 28000: …`, escaped.
    pub server_error: Option<String>,
    /// The server's plaintext answer to a plaintext login or command: its first byte.
    pub plaintext_answer: Option<u8>,
    /// Protocol of the server's bytes where they should be TLS or an answer to a request.
    pub server_speaks: Option<Spoken>,
    /// Those bytes, escaped and capped.
    pub server_bytes: String,
    /// Start of TLS in the client's stream, and in the server's.
    pub tls_at: Option<(usize, usize)>,
    /// The client's side of TLS.
    pub client_tls: Observed,
    /// The server's side of TLS.
    pub server_tls: Observed,
    /// The alert that ended the handshake: its code, who sent it, when.
    pub alert: Option<(u8, Side)>,
    /// True if TLS was established.
    pub established: bool,
}

impl Dissection {
    /// Returns whether the client asked for TLS in the protocol's own way.
    #[must_use]
    pub fn starttls(&self) -> bool {
        self.mysql_ssl_request || self.requests.iter().any(|request| request.tls)
    }

    /// The answer to the `SSLRequest`, if one was sent and answered.
    #[must_use]
    pub fn ssl_answer(&self) -> Option<u8> {
        let request = self.requests.iter().find(|request| request.tls)?;
        request.answer
    }

    /// The name of the alert, or its number where it has none.
    #[must_use]
    pub fn alert_name(&self) -> Option<String> {
        let (code, _) = self.alert?;
        Some(alert_name(code))
    }
}

/// The name of an alert, or its number where it has none.
#[must_use]
pub fn alert_name(code: u8) -> String {
    Alert::from_code(code).map_or_else(|| code.to_string(), |alert| alert.name().into())
}

/// Reads the facts out of what was said.
#[must_use]
pub fn dissect(exchange: &Exchange, hint: Option<Protocol>) -> Dissection {
    let mut dissection = Dissection::default();
    let (client, server) = (exchange.client.bytes(), exchange.server.bytes());
    // A client that did not wait for the greeting is read by what it began to speak.
    let waited = !matches!(speaks(client), Some(Spoken::PostgresRequest | Spoken::Tls));
    let greeted = matches!(
        speaks(server),
        Some(Spoken::MysqlGreeting | Spoken::MysqlError)
    );
    let server_first = hint.is_some_and(Protocol::server_first) || (greeted && waited);
    let (client_at, server_at) = if server_first {
        read_mysql(&mut dissection, client, server)
    } else {
        read_client_first(&mut dissection, client, server)
    };
    let heard = rest(server, server_at);
    match dissection.opening {
        Opening::Tls => read_tls(&mut dissection, exchange, client_at, server_at),
        Opening::Startup | Opening::MysqlLogin | Opening::Other(_) => {
            dissection.plaintext_answer = heard.first().copied();
            dissection.server_error = dissection
                .server_error
                .take()
                .or_else(|| postgres_error(heard));
        }
        _ => {}
    }
    dissection.protocol = protocol(&dissection, hint);
    dissection
}

fn rest(bytes: &[u8], from: usize) -> &[u8] {
    let mut reader = Reader::new(bytes);
    match reader.skip(from) {
        Ok(()) => reader.rest(),
        Err(_) => &[],
    }
}

/// Requests for encryption, their answers, and what follows; gives how far both streams are read.
fn read_client_first(dissection: &mut Dissection, client: &[u8], server: &[u8]) -> (usize, usize) {
    let (mut client_at, mut server_at) = (0, 0);
    let mut responder = postgres::Responder::default();
    loop {
        let ahead = rest(client, client_at);
        // A request is read alone: what follows it came after the answer, as far as is known.
        let first = Reader::new(ahead).take_up_to(REQUEST);
        let step = match responder.advance(first) {
            Ok(ResponderStep::NeedMore) => responder.advance(ahead),
            judged => judged,
        };
        match step {
            Ok(ResponderStep::Reply { consumed, reply }) => {
                let heard = rest(server, server_at);
                // A yes is the letter S; the first line of SSH begins with it too.
                let foreign = speaks(heard) == Some(Spoken::Ssh);
                let answer = heard.first().copied();
                let tls = &*reply == b"S";
                let known = answer.filter(|byte| !foreign && matches!(byte, b'S' | b'N' | b'G'));
                dissection.requests.push(Request {
                    tls,
                    at: client_at,
                    answer: answer.filter(|_| !foreign),
                });
                client_at += consumed;
                server_at += usize::from(known.is_some());
                if known.is_none() && answer.is_some() {
                    note_server(dissection, rest(server, server_at));
                    dissection.server_error = postgres_error(rest(server, server_at));
                }
                // Refused TLS, the client may go on in plaintext as if it had not asked.
                if tls && answer == Some(b'N') {
                    responder = postgres::Responder::default();
                }
                if dissection.requests.len() == MAX_REQUESTS {
                    return (client_at, server_at);
                }
            }
            step => {
                dissection.opening = opening(&step, ahead);
                return (client_at, server_at);
            }
        }
    }
}

/// The length of the requests that ask for encryption.
const REQUEST: usize = 8;

/// One request of each kind, and one more after a refusal.
const MAX_REQUESTS: usize = 3;

fn opening(step: &Result<ResponderStep, PrefaceError>, ahead: &[u8]) -> Opening {
    match step {
        Ok(ResponderStep::NeedMore) if ahead.is_empty() => Opening::Nothing,
        Ok(ResponderStep::NeedMore | ResponderStep::Reply { .. }) => Opening::Incomplete,
        Ok(ResponderStep::StartTls) => Opening::Tls,
        Ok(ResponderStep::Message(Message {
            kind: MessageKind::Cancel,
            ..
        })) => Opening::Cancel,
        Ok(ResponderStep::Message(_)) => Opening::Startup,
        Err(error) => match (speaks(ahead), error) {
            (Some(spoken), _) => Opening::Other(spoken),
            (None, PrefaceError::NotPostgres(_) | PrefaceError::UnknownCode(_)) => {
                Opening::Unknown(first_bytes(ahead))
            }
            (None, error) => Opening::Illegal(error.to_string()),
        },
    }
}

/// Greeting, `SSLRequest` or login; gives how far both streams are read.
fn read_mysql(dissection: &mut Dissection, client: &[u8], server: &[u8]) -> (usize, usize) {
    let mut server_at = 0;
    match mysql::read_opening(server) {
        Ok(ServerOpening::Greeting { greeting, consumed }) => {
            server_at = consumed;
            dissection.is_mariadb = greeting.is_mariadb();
            dissection.greeting = Some((escape_text(&greeting.version), greeting.offers_tls()));
        }
        Ok(ServerOpening::Err { error, .. }) => {
            dissection.mysql_error = Some((error.code, escape_text(&error.message)));
        }
        Ok(ServerOpening::NeedMore) => {}
        Err(_) => note_server(dissection, server),
    }
    let mut client_at = 0;
    let mut responder = mysql::Responder::default();
    dissection.opening = loop {
        let ahead = rest(client, client_at);
        match responder.advance(ahead) {
            Ok(ResponderStep::NeedMore) if ahead.is_empty() => break Opening::Nothing,
            Ok(ResponderStep::NeedMore) => break Opening::Incomplete,
            Ok(ResponderStep::Reply { consumed, .. }) => {
                dissection.mysql_ssl_request = true;
                client_at += consumed;
            }
            Ok(ResponderStep::StartTls) => break Opening::Tls,
            Ok(ResponderStep::Message(_)) => break Opening::MysqlLogin,
            Err(error) => match speaks(ahead) {
                Some(spoken) => break Opening::Other(spoken),
                None => break Opening::Illegal(error.to_string()),
            },
        }
    };
    if dissection.opening == Opening::MysqlLogin
        && let Ok(Some(packet)) = mysql::Packet::read(rest(server, server_at))
        && let Ok(error) = mysql::ErrPacket::parse(packet.payload)
    {
        dissection.server_error = Some(format!(
            "error {}: {}",
            error.code,
            escape_text(&error.message)
        ));
    }
    (client_at, server_at)
}

fn read_tls(dissection: &mut Dissection, exchange: &Exchange, client_at: usize, server_at: usize) {
    let (client, server) = (exchange.client.bytes(), exchange.server.bytes());
    dissection.tls_at = Some((client_at, server_at));
    dissection.client_tls = observe(rest(client, client_at), TlsEnd::Client);
    dissection.server_tls = observe(rest(server, server_at), TlsEnd::Server);
    let heard = rest(server, server_at);
    let tls_answer =
        dissection.server_tls.server_hello.is_some() || dissection.server_tls.alert.is_some();
    if !heard.is_empty() && !tls_answer {
        note_server(dissection, heard);
    }
    dissection.alert = first_alert(dissection, exchange);
    dissection.established =
        dissection.alert.is_none() && established(&dissection.client_tls, &dissection.server_tls);
}

/// The alert that came first; of two at the same time the server's, since clients answer alerts.
fn first_alert(dissection: &Dissection, exchange: &Exchange) -> Option<(u8, Side)> {
    let (client_at, server_at) = dissection.tls_at?;
    let seen = |tls: &Observed, flow: &Flow, start: usize, side: Side| {
        let alert = tls.alert.as_ref()?;
        let at = flow.time_of(start + alert.at).unwrap_or(Duration::MAX);
        Some((at, side, alert.code))
    };
    let server = seen(
        &dissection.server_tls,
        &exchange.server,
        server_at,
        Side::Server,
    );
    let client = seen(
        &dissection.client_tls,
        &exchange.client,
        client_at,
        Side::Client,
    );
    let first = match (server, client) {
        (Some(server), Some(client)) if client.0 < server.0 => Some(client),
        (Some(server), _) => Some(server),
        (None, client) => client,
    };
    first.map(|(_, side, code)| (code, side))
}

fn note_server(dissection: &mut Dissection, bytes: &[u8]) {
    dissection.server_speaks = speaks(bytes);
    dissection.server_bytes = first_bytes(bytes);
}

/// The first bytes of something unknown, escaped.
fn first_bytes(bytes: &[u8]) -> String {
    escape(Reader::new(bytes).take_up_to(24))
}

/// A sentence of a peer: spaces stay, all else as [`escape`].
fn escape_text(text: &[u8]) -> String {
    escape(text).replace("\\x20", " ")
}

/// Text of an error in the form before protocol 3.0: type, text, NUL. A server that cannot start
/// a process for the client still uses it (Postgres documentation, "Message Flow", "Start-up").
fn old_postgres_error(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    reader.skip(1).ok()?;
    let text = reader.until_nul().ok()?.trim_ascii_end();
    // Where the newer form has its length there are letters.
    text.first()
        .is_some_and(|&byte| byte >= b' ')
        .then_some(text)
}

/// A Postgres server's error in one line.
fn postgres_error(bytes: &[u8]) -> Option<String> {
    let text = |field: &[u8]| escape_text(field);
    let Some(error) = ServerError::parse(bytes) else {
        return old_postgres_error(bytes).map(text);
    };
    Some(format!(
        "{} {}: {}",
        text(error.severity),
        text(error.code),
        text(error.message)
    ))
}

fn protocol(dissection: &Dissection, hint: Option<Protocol>) -> &'static str {
    let alpn_postgres = || {
        let hello = dissection.client_tls.hello.as_ref();
        hello.is_some_and(|(hello, _)| hello.offers_alpn(ALPN_POSTGRES))
    };
    if dissection.greeting.is_some() {
        let mariadb = dissection.is_mariadb || hint == Some(Protocol::Mariadb);
        return if mariadb { "mariadb" } else { "mysql" };
    }
    match &dissection.opening {
        _ if dissection.mysql_ssl_request || dissection.mysql_error.is_some() => "mysql",
        Opening::MysqlLogin => "mysql",
        _ if !dissection.requests.is_empty() => "postgres",
        Opening::Startup | Opening::Cancel => "postgres",
        Opening::Tls if alpn_postgres() => "postgres",
        Opening::Other(spoken) => match spoken {
            Spoken::RedisCommand => "redis",
            Spoken::Mongodb => "mongodb",
            _ => hint.map_or("unknown", Protocol::as_str),
        },
        Opening::Tls => hint.map_or("tls", Protocol::as_str),
        _ => hint.map_or("unknown", Protocol::as_str),
    }
}
