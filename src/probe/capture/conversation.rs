//! One TCP conversation: its two streams, who of the ends is the client, and the report on it.
//!
//! Not here: which packet belongs to which conversation ([`super::conversations`]).

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::hints::Hints;
use super::link::Segment;
use super::reassembly::{Arrival, Stream, earliest};
use crate::preface::sniff::{Spoken, speaks};
use crate::probe::diagnose::{self, Vantage};
use crate::probe::exchange::{Connect, Exchange, Flow, KEPT, Loss, Side, StreamEnd};
use crate::probe::report::{Finding, Report};
use crate::probe::rules;
use crate::protocol::Protocol;

/// Time after a SYN at which the same is no longer a copy of it in the recording: clients repeat it
/// after a second (RFC 6298 section 2.1), some after half of that.
const ASKS_AGAIN: Duration = Duration::from_millis(400);

/// A conversation that is being watched. Its ends are `0` and `1` until it is known which of them
/// is the client.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) id: u64,
    /// Time of its earliest packet, since 1970 like all times in here.
    began: Duration,
    ends: [Party; 2],
}

/// One end.
#[derive(Clone, Debug)]
struct Party {
    addr: SocketAddr,
    stream: Stream,
    /// Time of its first packet.
    first: Option<Duration>,
    /// Time of its SYN.
    syn_at: Option<Duration>,
    /// Time of its last SYN.
    last_syn_at: Option<Duration>,
    /// True if it has reset the connection in answer to the other's SYN.
    refused: bool,
    /// Time of its SYN ACK.
    syn_ack_at: Option<Duration>,
    /// True if it has acknowledged anything but by a reset.
    acked: bool,
}

impl Party {
    fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            stream: Stream::default(),
            first: None,
            syn_at: None,
            last_syn_at: None,
            refused: false,
            syn_ack_at: None,
            acked: false,
        }
    }
}

/// One of the two ends of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    First,
    Second,
}

impl Which {
    fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

impl Conversation {
    pub(super) fn new(id: u64, began: u64, first: SocketAddr, second: SocketAddr) -> Self {
        Self {
            id,
            began: Duration::from_nanos(began),
            ends: [Party::new(first), Party::new(second)],
        }
    }

    fn end(&self, which: Which) -> &Party {
        let [first, second] = &self.ends;
        match which {
            Which::First => first,
            Which::Second => second,
        }
    }

    fn end_mut(&mut self, which: Which) -> &mut Party {
        let [first, second] = &mut self.ends;
        match which {
            Which::First => first,
            Which::Second => second,
        }
    }

    /// Returns whether a SYN opens another connection between the same ends.
    pub(super) fn is_another(&self, from: Which, syn: u32) -> bool {
        !self.end(from).stream.may_begin_at(syn)
    }

    /// The sequence numbers of the two SYNs.
    pub(super) fn syns(&self) -> [Option<u32>; 2] {
        self.ends.each_ref().map(|end| end.stream.syn())
    }

    /// Adds a segment that the end `from` has sent.
    pub(super) fn add(&mut self, from: Which, segment: &Segment<'_>, at: u64) -> Arrival {
        let at = Duration::from_nanos(at);
        // Captures of several interfaces are not always in the order of time.
        self.began = self.began.min(at);
        if let Some(ack) = segment.ack {
            let other = self.end_mut(from.other());
            other.stream.acknowledge(ack, segment, at);
        }
        let end = self.end_mut(from);
        earliest(&mut end.first, at);
        if segment.syn {
            let when = match segment.ack {
                None => &mut end.syn_at,
                Some(_) => &mut end.syn_ack_at,
            };
            earliest(when, at);
            end.last_syn_at = end.last_syn_at.max(Some(at));
        }
        end.acked |= segment.ack.is_some() && !segment.rst;
        end.stream.add(segment, at)
    }

    /// Returns whether nothing more will come.
    pub(super) fn is_closed(&self) -> bool {
        let reset = self.ends.iter().any(|end| end.stream.reset().is_some());
        reset || self.ends.iter().all(|end| end.stream.is_complete())
    }

    /// Memory that its bytes take.
    pub(super) fn weight(&self) -> usize {
        self.ends.iter().map(|end| end.stream.weight()).sum()
    }

    /// Returns whether there is anything to report: a connection attempt, or data.
    pub(super) fn has_content(&self) -> bool {
        let tells =
            |end: &Party| end.stream.spoke() || end.syn_at.is_some() || end.syn_ack_at.is_some();
        self.ends.iter().any(tells)
    }

    /// The number of bytes each side has said without a gap so far.
    pub(super) fn contiguous(&self, which: Which) -> usize {
        self.end(which).stream.flow().bytes().len()
    }

    /// Returns whether one side has said all that is kept of a side.
    pub(super) fn is_full(&self) -> bool {
        let full = |end: &Party| end.stream.flow().bytes().len() >= KEPT;
        self.ends.iter().any(full)
    }

    /// Returns whether a SYN of either end was seen.
    fn opened(&self) -> bool {
        self.syns().iter().any(Option::is_some)
    }

    /// Diagnosis so far.
    pub(super) fn diagnose(&self, hints: &Hints) -> Diagnosis {
        self.clone().conclude(hints)
    }

    /// The same, when nothing more is awaited.
    pub(super) fn conclude(mut self, hints: &Hints) -> Diagnosis {
        let opened = self.opened();
        let open = !self.is_closed();
        let conflict = self.conflict();
        let again = self.ends.each_ref().map(|end| end.stream.again());
        let [first, second] = &mut self.ends;
        first.refused = first.stream.refuses(second.stream.syn());
        second.refused = second.stream.refuses(first.stream.syn());
        let mut flow = (
            std::mem::take(&mut first.stream).finish(opened),
            std::mem::take(&mut second.stream).finish(opened),
        );
        let (client, starts) = self.client(&flow, hints);
        if client == Which::Second {
            flow = (flow.1, flow.0);
        }
        if !opened && !starts {
            flow = (forget(&flow.0), forget(&flow.1));
        }
        flow.0.count_from(self.began);
        flow.1.count_from(self.began);
        let (client_end, server_end) = (self.end(client), self.end(client.other()));
        let hint = hints.of(server_end.addr.port());
        let exchange = Exchange {
            connect: connect(client_end, server_end, &flow.1, self.began),
            client: flow.0,
            server: flow.1,
            open,
        };
        let mut report = diagnose::report(&exchange, hint, Vantage::Capture);
        if !opened {
            let rule = if starts {
                &rules::CAPTURE_SYN_MISSING
            } else {
                &rules::CAPTURE_START_UNKNOWN
            };
            report.find(Finding::new(
                rule,
                "No SYN of this connection was recorded.",
            ));
        }
        for side in [Side::Client, Side::Server] {
            let [silent, other] = match side {
                Side::Client => [client_end, server_end],
                Side::Server => [server_end, client_end],
            };
            if silent.first.is_none() && other.acked {
                report.find(one_sided(side));
            }
        }
        if let Some((which, position)) = conflict {
            let side = if which == client {
                Side::Client
            } else {
                Side::Server
            };
            report.find(conflicting(side, position));
        }
        let [first, second] = again;
        let again = match client {
            Which::First => [first, second],
            Which::Second => [second, first],
        };
        if again != [0, 0] {
            report.find(retransmitted(again));
        }
        report.conclude_recorded();
        report.id = Some(self.id);
        report.client = Some(client_end.addr.to_string());
        report.server = Some(server_end.addr.to_string());
        if let Some(time) = SystemTime::UNIX_EPOCH.checked_add(self.began) {
            report.began(time);
            report.ts.clone_from(&report.time);
        }
        Diagnosis {
            report,
            exchange,
            hint,
            client,
        }
    }

    fn conflict(&self) -> Option<(Which, u64)> {
        [Which::First, Which::Second]
            .into_iter()
            .find_map(|which| Some((which, self.end(which).stream.conflict()?)))
    }

    /// Finds the client, and whether the bytes begin as conversations do.
    ///
    /// By the SYN; without one by the first bytes, then by the ports.
    fn client(&self, flow: &(Flow, Flow), hints: &Hints) -> (Which, bool) {
        let [first, second] = &self.ends;
        let starts = start(&flow.0, &flow.1);
        let by_syn = match (first.syn_at, second.syn_at) {
            (Some(_), None) => Some(Which::First),
            (None, Some(_)) => Some(Which::Second),
            _ => match (first.syn_ack_at, second.syn_ack_at) {
                (Some(_), None) => Some(Which::Second),
                (None, Some(_)) => Some(Which::First),
                _ => None,
            },
        };
        let by_port = || {
            let known = |end: &Party| hints.of(end.addr.port()).is_some();
            match (known(first), known(second)) {
                (true, false) => Which::Second,
                (false, true) => Which::First,
                _ if first.addr.port() < second.addr.port() => Which::Second,
                _ => Which::First,
            }
        };
        (by_syn.or(starts).unwrap_or_else(by_port), starts.is_some())
    }
}

/// A report with what it was made of.
#[derive(Clone, Debug)]
pub(super) struct Diagnosis {
    pub(super) report: Report,
    pub(super) exchange: Exchange,
    pub(super) hint: Option<Protocol>,
    pub(super) client: Which,
}

/// Reduces a flow of which only a later part is known.
fn forget(flow: &Flow) -> Flow {
    let mut none = Flow::default();
    none.lose(Loss::Start);
    if let Some((end, at)) = flow.ended() {
        none.end(end, at);
    }
    none
}

/// Finds the client by the first bytes, if they are those of a beginning.
fn start(first: &Flow, second: &Flow) -> Option<Which> {
    match (begins(first.bytes()), begins(second.bytes())) {
        (Some(Side::Client), other) if other != Some(Side::Client) => Some(Which::First),
        (other, Some(Side::Client)) if other != Some(Side::Client) => Some(Which::Second),
        (Some(Side::Server), None) => Some(Which::Second),
        (None, Some(Side::Server)) => Some(Which::First),
        _ => None,
    }
}

/// Side that begins a conversation with such bytes. Only what cannot be in its middle counts.
fn begins(bytes: &[u8]) -> Option<Side> {
    match speaks(bytes)? {
        // A handshake record with a ClientHello (RFC 8446 section 4).
        Spoken::Tls if matches!(bytes, [_, _, _, _, _, 1, ..]) => Some(Side::Client),
        Spoken::PostgresRequest | Spoken::PostgresStartup => Some(Side::Client),
        Spoken::MysqlGreeting | Spoken::MysqlError => Some(Side::Server),
        _ => None,
    }
}

fn connect(client: &Party, server: &Party, flow: &Flow, began: Duration) -> Connect {
    let Some(syn_at) = client.syn_at else {
        return Connect::Unseen;
    };
    if let Some(syn_ack_at) = server.syn_ack_at {
        return Connect::Accepted(syn_ack_at.saturating_sub(syn_at));
    }
    match (flow.ended(), server.first) {
        (Some((StreamEnd::Reset, at)), _) if !server.acked && server.refused => {
            // Times of what was said count from the beginning already.
            Connect::Refused((at + began).saturating_sub(syn_at))
        }
        (_, Some(first)) => Connect::Accepted(first.saturating_sub(syn_at)),
        // The client goes on, so there was an answer.
        (_, None) if client.acked => Connect::Unseen,
        // One SYN may have been answered after the end of the recording. A client that asks again
        // says itself that no answer has come.
        (_, None) if client.last_syn_at >= Some(syn_at + ASKS_AGAIN) => Connect::Unanswered,
        (_, None) => Connect::Unseen,
    }
}

fn one_sided(silent: Side) -> Finding {
    let detail = format!(
        "No packet of the {} was recorded, though the {} answers it.",
        silent.as_str(),
        silent.other().as_str()
    );
    Finding::new(&rules::CAPTURE_ONE_SIDED, detail)
}

fn conflicting(side: Side, position: u64) -> Finding {
    let detail = format!(
        "The {} sent different bytes for the place {position} bytes into what it says.",
        side.as_str()
    );
    Finding::new(&rules::CAPTURE_CONFLICT, detail)
}

fn retransmitted([client, server]: [u32; 2]) -> Finding {
    let detail = format!(
        "Segments that repeat what was there before: {client} of the client, {server} of the \
         server. A capture on all interfaces (-i any) can show the same packet twice, too."
    );
    Finding::new(&rules::CAPTURE_RETRANSMISSIONS, detail)
}
