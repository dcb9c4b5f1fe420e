//! Trace of one conversation: packet by packet, its sender and the messages it completes.
//!
//! Messages are those of the dissection at the end of the capture, so the trace and the
//! report cannot disagree. Not here: its layout on a terminal.

mod marks;

use serde::Serialize;

use super::conversation::{Conversation, Diagnosis, Which};
use super::link::Segment;
use super::reassembly::Arrival;
use crate::probe::dissection;
use crate::probe::exchange::Side;
use crate::probe::report::Report;
use marks::{completed, marks};

/// The most packets in a trace; a handshake has fewer than thirty.
const MAX_PACKETS: usize = 500;

/// Trace of one conversation.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    /// Report on the conversation.
    #[serde(flatten)]
    pub report: Report,
    /// Its packets, in the order of the capture.
    pub packets: Vec<TracedPacket>,
    /// Number of further ones.
    pub more_packets: u64,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TracedPacket {
    /// Milliseconds since the first packet; below zero where the capture is not in order.
    pub ms: f64,
    /// `client` or `server`.
    pub from: &'static str,
    /// Description in terms of TCP: `SYN`, `ACK`, `322 bytes`, `again`, `FIN`.
    pub tcp: String,
    /// Messages that it completed; safe to print.
    pub done: Vec<String>,
}

/// Packets of the conversation to be traced, until its end is known.
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
    /// Bytes of its side without a gap after it.
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

    /// Records a packet, if it is of the traced conversation.
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

/// Describes a packet in terms of TCP.
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
