//! A conversation whose packets are cut, shuffled and repeated gives the same row: everything but
//! times, the number of segments, and the note about what came again.
//!
//! Shuffled packets keep the times at which they were recorded, as in captures that are merged from
//! several interfaces; repeated ones come later.

use std::fmt;
use std::net::SocketAddr;

use dbgate::probe::capture::Hints;
use dbgate::probe::capture::conversations::{Conversations, Pace};
use dbgate::probe::capture::file::{Next, Packets};
use dbgate::probe::capture::link::{Segment, segment};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

use super::captures;

/// A segment that owns its bytes, and when it was recorded.
#[derive(Clone)]
struct Piece {
    at: u64,
    from: SocketAddr,
    to: SocketAddr,
    seq: u32,
    ack: Option<u32>,
    syn: bool,
    fin: bool,
    rst: bool,
    payload: Vec<u8>,
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [(self.syn, "SYN "), (self.fin, "FIN "), (self.rst, "RST ")];
        write!(f, "{}: ", self.from.port())?;
        for (_, name) in flags.iter().filter(|(set, _)| *set) {
            f.write_str(name)?;
        }
        let length = self.payload.len();
        write!(f, "{} {length} bytes, ack {:?}", self.seq, self.ack)
    }
}

impl Piece {
    fn segment(&self) -> Segment<'_> {
        Segment {
            from: self.from,
            to: self.to,
            seq: self.seq,
            ack: self.ack,
            syn: self.syn,
            fin: self.fin,
            rst: self.rst,
            payload: &self.payload,
            missing: 0,
        }
    }

    /// Two segments that say the same.
    fn cut(self, at: usize) -> Vec<Self> {
        if at == 0 || at >= self.payload.len() {
            return vec![self];
        }
        let mut first = self.clone();
        let mut second = self;
        first.payload.truncate(at);
        first.fin = false;
        first.rst = false;
        second.payload.drain(..at);
        second.syn = false;
        let taken = u32::try_from(at).unwrap() + u32::from(first.syn);
        second.seq = second.seq.wrapping_add(taken);
        vec![first, second]
    }
}

/// The rows of these segments, without what may differ.
fn rows(pieces: &[Piece]) -> Vec<Value> {
    let mut conversations = Conversations::new(Hints::default(), Pace::Whole);
    for piece in pieces {
        conversations.add(&piece.segment(), piece.at);
    }
    conversations.end(None);
    std::iter::from_fn(|| conversations.row())
        .map(|mut report| {
            report.time = None;
            report.ts = None;
            report.phases_ms.clear();
            report
                .findings
                .retain(|finding| finding.rule.code != "capture-retransmissions");
            if let Some(hello) = &mut report.hello {
                hello.segments = 0;
            }
            serde_json::to_value(report).unwrap()
        })
        .collect()
}

/// The recorded conversations, each for itself.
fn recorded() -> Vec<Vec<Piece>> {
    let mut all: Vec<Vec<Piece>> = Vec::new();
    for (_, bytes) in captures() {
        let mut packets = Packets::new(&bytes[..]);
        let mut pieces = Vec::new();
        while let Next::Packet(packet) = packets.read().unwrap() {
            let segment = segment(&packet).unwrap();
            pieces.push(Piece {
                at: packet.at,
                from: segment.from,
                to: segment.to,
                seq: segment.seq,
                ack: segment.ack,
                syn: segment.syn,
                fin: segment.fin,
                rst: segment.rst,
                payload: segment.payload.to_vec(),
            });
        }
        let ports = |piece: &Piece| {
            let mut ports = [piece.from.port(), piece.to.port()];
            ports.sort_unstable();
            ports
        };
        pieces.sort_by_key(|piece| (ports(piece), piece.at));
        all.extend(
            pieces
                .chunk_by(|a, b| ports(a) == ports(b))
                .map(<[_]>::to_vec),
        );
    }
    assert_eq!(all.len(), 13);
    all
}

/// A change of a conversation that keeps its row.
#[derive(Clone, Debug)]
struct Mess {
    cuts: Vec<(Index, Index)>,
    repeats: Vec<Index>,
    order: Vec<Index>,
}

fn mess() -> impl Strategy<Value = Mess> {
    let index = any::<Index>;
    (
        prop::collection::vec((index(), index()), 0..12),
        prop::collection::vec(index(), 0..8),
        prop::collection::vec(index(), 1..64),
    )
        .prop_map(|(cuts, repeats, order)| Mess {
            cuts,
            repeats,
            order,
        })
}

fn messed(pieces: &[Piece], mess: &Mess) -> Vec<Piece> {
    let mut pieces = pieces.to_vec();
    for (which, at) in &mess.cuts {
        let which = which.index(pieces.len());
        let at = at.index(pieces[which].payload.len().max(1));
        let piece = pieces.remove(which);
        pieces.splice(which..which, piece.cut(at));
    }
    let last = pieces.iter().map(|piece| piece.at).max().unwrap();
    for (later, which) in (1..).zip(&mess.repeats) {
        let mut again = pieces[which.index(pieces.len())].clone();
        again.at = last + later;
        pieces.push(again);
    }
    // Fisher and Yates, with as many throws as there are.
    for (at, index) in (1..pieces.len()).rev().zip(mess.order.iter().cycle()) {
        pieces.swap(at, index.index(at + 1));
    }
    pieces
}

/// The two streams of a conversation as segments, with sequence numbers that begin anywhere.
fn resegmented(
    pieces: &[Piece],
    starts: [u32; 2],
    sizes: &[usize],
    turns: &[bool],
    filler: usize,
) -> Vec<Piece> {
    let client = pieces[0].from;
    let server = pieces[0].to;
    let said = |from: SocketAddr| -> Vec<u8> {
        let mut own: Vec<&Piece> = pieces.iter().filter(|piece| piece.from == from).collect();
        own.sort_by_key(|piece| piece.at);
        own.iter().flat_map(|piece| piece.payload.clone()).collect()
    };
    let mut streams = [said(client), said(server)];
    // Something encrypted behind it, so that some are longer than what is kept.
    for stream in &mut streams {
        for _ in 0..filler {
            stream.extend([23, 3, 3, 0x20, 0]);
            stream.extend(vec![0xa5; 0x2000]);
        }
    }
    let ends = [client, server];
    let mut at = 1_000_000_000;
    let mut sent: [usize; 2] = [0, 0];
    let seq = |side: usize, sent: usize| {
        starts[side]
            .wrapping_add(1)
            .wrapping_add(u32::try_from(sent).unwrap())
    };
    let mut made: Vec<Piece> = Vec::new();
    let mut add = |side: usize, seq, ack, flags: [bool; 2], payload: &[u8]| {
        at += 1000;
        made.push(Piece {
            at,
            from: ends[side],
            to: ends[1 - side],
            seq,
            ack,
            syn: flags[0],
            fin: flags[1],
            rst: false,
            payload: payload.to_vec(),
        });
    };
    add(0, starts[0], None, [true, false], &[]);
    add(1, starts[1], Some(seq(0, 0)), [true, false], &[]);
    add(0, seq(0, 0), Some(seq(1, 0)), [false, false], &[]);
    let mut sizes = sizes.iter().cycle();
    for &turn in turns.iter().cycle() {
        let mut side = usize::from(turn);
        if sent[side] == streams[side].len() {
            side = 1 - side;
        }
        let stream = &streams[side];
        if sent[side] == stream.len() {
            break;
        }
        let until = stream.len().min(sent[side] + sizes.next().unwrap());
        let ack = Some(seq(1 - side, sent[1 - side]));
        let payload = &stream[sent[side]..until];
        add(side, seq(side, sent[side]), ack, [false, false], payload);
        sent[side] = until;
    }
    for side in [0, 1] {
        let ack = Some(seq(1 - side, sent[1 - side]).wrapping_add(u32::try_from(side).unwrap()));
        add(side, seq(side, sent[side]), ack, [false, true], &[]);
    }
    let ack = Some(seq(1, sent[1]).wrapping_add(1));
    add(0, seq(0, sent[0]).wrapping_add(1), ack, [false, false], &[]);
    made
}

/// Fails with the segments in their order, as far as they fit, and both rows.
fn agree(messed: &[Piece], pieces: &[Piece]) -> Result<(), TestCaseError> {
    let (got, expected) = (rows(messed), rows(pieces));
    if got == expected && got.len() == 1 {
        return Ok(());
    }
    let list: Vec<&Piece> = messed.iter().take(100).collect();
    Err(TestCaseError::fail(format!(
        "{got:#?}\nshould be\n{expected:#?}\n{list:#?}"
    )))
}

#[test]
fn the_recorded_conversations_have_rows() {
    for pieces in recorded() {
        let rows = rows(&pieces);
        assert_eq!(rows.len(), 1, "{rows:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn recorded_conversations_cut_shuffled_and_repeated(
        pieces in select(recorded()),
        mess in mess(),
    ) {
        agree(&messed(&pieces, &mess), &pieces)?;
    }

    #[test]
    fn without_the_syns_too(
        pieces in select(recorded()),
        mess in mess(),
        kept in 0_usize..3,
    ) {
        // Without any SYN the client is told by its first bytes, or it is not claimed at all.
        let pieces: Vec<Piece> = pieces
            .into_iter()
            .filter(|piece| !piece.syn || (kept == 1 && piece.ack.is_none()) || (kept == 2 && piece.ack.is_some()))
            .collect();
        agree(&messed(&pieces, &mess), &pieces)?;
    }

    #[test]
    fn generated_conversations_cut_shuffled_and_repeated(
        pieces in select(recorded()),
        starts in [
            prop_oneof![any::<u32>(), Just(u32::MAX), u32::MAX - 3000..],
            prop_oneof![any::<u32>(), Just(u32::MAX), u32::MAX - 3000..],
        ],
        sizes in prop::collection::vec(1_usize..3000, 1..20),
        turns in prop::collection::vec(any::<bool>(), 1..20),
        filler in 0_usize..12,
        mess in mess(),
    ) {
        let made = resegmented(&pieces, starts, &sizes, &[turns, vec![true, false]].concat(), filler);
        agree(&messed(&made, &mess), &made)?;
    }
}
