//! Marks in the streams of a conversation: positions where a message is complete, and its name.

use std::fmt::Write as _;

use crate::preface::mysql::{self, ServerOpening};
use crate::probe::dissection::{Dissection, Opening};
use crate::probe::exchange::{Exchange, Side};
use crate::tls::observed::{Encrypted, Message, Observed, SeenAlert};
use crate::tls::{Alert, names};
use crate::wire::escape;

/// The lengths of a Postgres request for encryption, of an alert and of a `change_cipher_spec`,
/// each in the clear with its header.
const REQUEST: usize = 8;
const ALERT: usize = 7;
const CHANGE_CIPHER_SPEC: usize = 6;
const RECORD_HEADER: usize = 5;

const ENCRYPTED: &str = "encrypted from here on";

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// Something that is said when this many bytes of a side are there.
pub(super) struct Mark {
    side: Side,
    pub(super) end: usize,
    words: String,
}

/// Names of the messages that were completed between two positions of a side.
pub(super) fn completed(marks: &[Mark], side: Side, before: usize, after: usize) -> Vec<String> {
    let mut done: Vec<String> = marks
        .iter()
        .filter(|mark| mark.side == side && before < mark.end && mark.end <= after)
        .map(|mark| mark.words.clone())
        .collect();
    if done.is_empty() && after > before {
        let mut of_side = marks.iter().filter(|mark| mark.side == side);
        if let Some(next) = of_side.clone().find(|mark| mark.end > after) {
            done.push(format!("part of: {}", next.words));
        } else if of_side.any(|mark| mark.words == ENCRYPTED) {
            done.push("encrypted".to_owned());
        }
    }
    done
}

/// All marks of a conversation, unsorted.
pub(super) fn marks(dissection: &Dissection, exchange: &Exchange) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut add = |side, end, words: String| marks.push(Mark { side, end, words });
    let mut answers = 0;
    for request in &dissection.requests {
        let end = request.at + REQUEST;
        // The answer to GSSENCRequest is never S, nor that to SSLRequest G.
        let is_gss = matches!(exchange.client.bytes().get(request.at + 7), Some(&0x30));
        let name = if is_gss {
            "GSSENCRequest"
        } else {
            "SSLRequest"
        };
        add(Side::Client, end, name.to_owned());
        if let Some(answer) = request.answer {
            answers += 1;
            let words = match answer {
                b'S' => "S: TLS granted".to_owned(),
                b'G' => "G: GSSAPI encryption granted".to_owned(),
                b'N' => "N: refused".to_owned(),
                other => format!("no answer to a {name}: it begins with {}", escape(&[other])),
            };
            add(Side::Server, answers, words);
        }
    }
    if let Ok(ServerOpening::Greeting { greeting, consumed }) =
        mysql::read_opening(exchange.server.bytes())
        && dissection.greeting.is_some()
    {
        let tls = if greeting.offers_tls() {
            "with"
        } else {
            "without"
        };
        let version = escape(&greeting.version);
        add(
            Side::Server,
            consumed,
            format!("greeting of version {version}, {tls} TLS"),
        );
    }
    if let Some(error) = &dissection.server_error {
        add(Side::Server, exchange.server.bytes().len(), error.clone());
    }
    if let (Some((client_at, _)), true) = (dissection.tls_at, dissection.mysql_ssl_request) {
        add(Side::Client, client_at, "SSLRequest".to_owned());
    }
    let plaintext = match &dissection.opening {
        Opening::Startup => Some("StartupMessage in plaintext".to_owned()),
        Opening::Cancel => Some("CancelRequest in plaintext".to_owned()),
        Opening::MysqlLogin => Some("login in plaintext".to_owned()),
        Opening::Other(spoken) => Some(spoken.to_string()),
        _ => None,
    };
    if let Some(words) = plaintext {
        let at = dissection
            .requests
            .last()
            .map_or(0, |last| last.at + REQUEST);
        add(Side::Client, at + 1, words);
    }
    if let Some((client_at, server_at)) = dissection.tls_at {
        tls(
            &mut marks,
            Side::Client,
            &dissection.client_tls,
            dissection,
            exchange,
            client_at,
        );
        tls(
            &mut marks,
            Side::Server,
            &dissection.server_tls,
            dissection,
            exchange,
            server_at,
        );
    }
    marks
}

fn tls(
    marks: &mut Vec<Mark>,
    side: Side,
    seen: &Observed,
    dissection: &Dissection,
    exchange: &Exchange,
    start: usize,
) {
    let mut add = |end: usize, words: String| {
        marks.push(Mark {
            side,
            end: start + end,
            words,
        });
    };
    let mut hellos = 0;
    for message in &seen.messages {
        let words = match message.kind {
            CLIENT_HELLO | SERVER_HELLO => {
                hellos += 1;
                hello(*message, hellos, dissection, exchange, start)
            }
            kind => names::handshake_message(kind).into_owned(),
        };
        add(message.end, words);
    }
    if let Some(at) = seen.change_cipher_spec {
        add(at + CHANGE_CIPHER_SPEC, "ChangeCipherSpec".to_owned());
    }
    for alert in [&seen.warning, &seen.alert].into_iter().flatten() {
        add(alert.at + ALERT, alert_words(alert));
    }
    if let Some(at) = seen.close {
        add(at + ALERT, "close_notify".to_owned());
    }
    encrypted(&seen.encrypted, add);
}

fn encrypted(seen: &Encrypted, mut add: impl FnMut(usize, String)) {
    let end = |at: usize, length: usize| at + RECORD_HEADER + length;
    if let Some(first) = seen.first {
        add(end(first.at, first.len), ENCRYPTED.to_owned());
    }
    if let Some(last) = seen.last
        && last.likely_alert
    {
        let words = "encrypted, and as long as an alert (close_notify is one, too)";
        add(end(last.at, last.len), words.to_owned());
    }
}

fn alert_words(alert: &SeenAlert) -> String {
    let level = if alert.level == 1 { "warning" } else { "alert" };
    let name = alert.alert().map_or_else(
        || alert.code.to_string(),
        |known: Alert| known.name().into(),
    );
    format!("{level} {name}")
}

/// A hello of either end; `number` counts those of this end.
fn hello(
    message: Message,
    number: usize,
    dissection: &Dissection,
    exchange: &Exchange,
    start: usize,
) -> String {
    match (
        message.kind,
        &dissection.client_tls.hello,
        &dissection.server_tls.server_hello,
    ) {
        (CLIENT_HELLO, Some((hello, _)), _) if number == 1 => {
            let mut words = match &hello.sni_raw {
                Some(name) => format!("ClientHello for {}", escape(name)),
                None => "ClientHello without a name".to_owned(),
            };
            let pieces = exchange
                .client
                .pieces_between(start, start + hello.wire_len);
            let segments = if pieces == 1 { "segment" } else { "segments" };
            // Writing to a String cannot fail.
            let _ = write!(
                words,
                " (TLS {}, {} bytes in {pieces} {segments})",
                names::version(hello.newest_version()),
                hello.wire_len
            );
            words
        }
        (CLIENT_HELLO, ..) => "ClientHello again, as the server asked".to_owned(),
        (_, _, _) if number == 1 && dissection.server_tls.hello_retry => {
            let group = dissection.server_tls.retry_group;
            let group = group.map(|group| format!(" with a key for {}", names::group(group)));
            format!(
                "HelloRetryRequest: asks for another ClientHello{}",
                group.unwrap_or_default()
            )
        }
        (_, _, Some(chosen)) => format!(
            "ServerHello (TLS {}, {})",
            names::version(chosen.version),
            names::cipher_suite(chosen.suite)
        ),
        (kind, ..) => names::handshake_message(kind).into_owned(),
    }
}
