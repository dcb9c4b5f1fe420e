//! The story of one conversation: packet by packet, who sent what, and what that completed.
//!
//! What a packet completed is taken from the facts that are read at the end, so the story and the
//! report cannot disagree. Not here: how it looks on a terminal.

use std::fmt::Write as _;

use serde::Serialize;

use super::conversation::{Conversation, Diagnosis, Which};
use super::link::Segment;
use super::reassembly::Arrival;
use crate::preface::mysql::{self, ServerOpening};
use crate::probe::dissection::{self, Dissection, Opening};
use crate::probe::exchange::{Exchange, Side};
use crate::probe::report::Report;
use crate::tls::observed::{Encrypted, Message, Observed, SeenAlert};
use crate::tls::{Alert, names};
use crate::wire::escape;

/// The most packets told; a handshake has fewer than thirty.
const MAX_PACKETS: usize = 500;

/// The lengths of a Postgres request for encryption, of an alert and of a `change_cipher_spec`,
/// each in the clear with its header.
const REQUEST: usize = 8;
const ALERT: usize = 7;
const CHANGE_CIPHER_SPEC: usize = 6;
const RECORD_HEADER: usize = 5;

const ENCRYPTED: &str = "encrypted from here on";

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// One conversation, told.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    /// What it came to.
    #[serde(flatten)]
    pub report: Report,
    /// Its packets, in the order of the capture.
    pub packets: Vec<TracedPacket>,
    /// How many more there were.
    pub more_packets: u64,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TracedPacket {
    /// Milliseconds since the first packet; below zero where the capture is not in order.
    pub ms: f64,
    /// `client` or `server`.
    pub from: &'static str,
    /// What it is to TCP: `SYN`, `ACK`, `322 bytes`, `again`, `FIN`.
    pub tcp: String,
    /// What it completed, in words; safe to print.
    pub done: Vec<String>,
}

/// What is kept of each packet until the end is known.
#[derive(Debug)]
pub(super) struct Recorder {
    id: u64,
    events: Vec<Event>,
    more: u64,
}

#[derive(Debug)]
struct Event {
    at: u64,
    from: Which,
    flags: Flags,
    length: usize,
    missing: usize,
    arrival: Arrival,
    /// How much of its side is there without a gap after it, in bytes.
    received: usize,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a bit of the header")]
struct Flags {
    syn: bool,
    ack: bool,
    fin: bool,
    rst: bool,
}

impl Recorder {
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            events: Vec::new(),
            more: 0,
        }
    }

    /// Notes a packet, if it is of the conversation that is to be told.
    pub(super) fn note(
        &mut self,
        conversation: &Conversation,
        from: Which,
        segment: &Segment<'_>,
        at: u64,
        arrival: Arrival,
    ) {
        if conversation.id != self.id {
            return;
        }
        if self.events.len() >= MAX_PACKETS {
            self.more += 1;
            return;
        }
        self.events.push(Event {
            at,
            from,
            flags: Flags {
                syn: segment.syn,
                ack: segment.ack.is_some(),
                fin: segment.fin,
                rst: segment.rst,
            },
            length: segment.payload.len() + segment.missing,
            missing: segment.missing,
            arrival,
            received: conversation.contiguous(from),
        });
    }

    pub(super) fn finish(self, diagnosis: Diagnosis) -> Trace {
        let dissection = dissection::dissect(&diagnosis.exchange, diagnosis.hint);
        let mut marks = marks(&dissection, &diagnosis.exchange);
        marks.sort_by_key(|mark| mark.end);
        let start = self.events.first().map_or(0, |event| event.at);
        let mut received = [0, 0];
        let packets = self.events.iter().map(|event| {
            let side = if event.from == diagnosis.client {
                Side::Client
            } else {
                Side::Server
            };
            let [client, server] = &mut received;
            let before = std::mem::replace(
                if side == Side::Client { client } else { server },
                event.received,
            );
            let done = completed(&marks, side, before, event.received);
            TracedPacket {
                ms: milliseconds(start, event.at),
                from: side.as_str(),
                tcp: tcp(event),
                done,
            }
        });
        Trace {
            packets: packets.collect(),
            more_packets: self.more,
            report: diagnosis.report,
        }
    }
}

/// Milliseconds with three digits from one time in nanoseconds to another.
fn milliseconds(from: u64, to: u64) -> f64 {
    let micros = |nanos: u64| std::time::Duration::from_nanos(nanos).as_secs_f64() * 1e6;
    let distance = micros(to.abs_diff(from)).round() / 1e3;
    if to < from { -distance } else { distance }
}

/// What a packet is to TCP.
fn tcp(event: &Event) -> String {
    let mut words = Vec::new();
    let flags = &event.flags;
    match (flags.syn, flags.ack) {
        (true, true) => words.push("SYN ACK".to_owned()),
        (true, false) => words.push("SYN".to_owned()),
        _ => {}
    }
    if event.arrival.keepalive {
        words.push("keepalive".to_owned());
    } else if event.length > 0 {
        let plural = if event.length == 1 { "" } else { "s" };
        words.push(format!("{} byte{plural}", event.length));
        if event.missing > 0 {
            words.push(format!("of which {} were not captured", event.missing));
        }
    }
    if event.arrival.again {
        words.push("again".to_owned());
    }
    if event.arrival.early {
        words.push("out of order: something before it is missing so far".to_owned());
    }
    if flags.fin {
        words.push("FIN".to_owned());
    }
    if flags.rst {
        words.push("RST".to_owned());
    }
    if words.is_empty() {
        words.push("ACK".to_owned());
    }
    words.join(", ")
}

/// Something that is said when this many bytes of a side are there.
struct Mark {
    side: Side,
    end: usize,
    words: String,
}

/// The words for what was completed between two positions of a side.
fn completed(marks: &[Mark], side: Side, before: usize, after: usize) -> Vec<String> {
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

fn marks(dissection: &Dissection, exchange: &Exchange) -> Vec<Mark> {
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
