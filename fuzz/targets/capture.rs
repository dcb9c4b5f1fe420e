//! Captures: whatever the file holds, reading ends, in bounded memory, with rows that can be
//! printed; and where the same segments come in another order the same rows come out.

#![no_main]

use dbgate::probe::Report;
use dbgate::probe::capture::conversations::{Conversations, Pace};
use dbgate::probe::capture::file::{Next, Packets};
use dbgate::probe::capture::link::{self, Segment};
use dbgate::probe::capture::{Capture, Hints, Progress};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    for pace in [Pace::Whole, Pace::Live] {
        let mut capture = Capture::new(file, Hints::default(), pace).tracing(1);
        let mut rows = 0;
        loop {
            let read = capture.read(64);
            while let Some(row) = capture.row() {
                sane(&row);
                rows += 1;
            }
            match read {
                Ok(Progress::End) | Err(_) => break,
                Ok(Progress::More | Progress::Pause) => {}
            }
        }
        let counts = capture.counts();
        assert_eq!(rows, counts.told);
        assert!(counts.established <= counts.told);
        assert!(counts.told + counts.empty <= capture.tally().packets);
        if let Some(story) = capture.trace() {
            serde_json::to_string(&story).expect("a story is JSON");
        }
    }
    forth_and_back(file);
});

fn sane(row: &Report) {
    let json = serde_json::to_string(row).expect("a row is JSON");
    assert!(!json.contains('\n'));
    assert!(row.id.is_some() && row.client.is_some() && row.server.is_some());
}

/// The first conversation, from its SYN on, gives what it gives when it is read backwards.
///
/// Only where no two segments differ in what they say of one place, and no other connection of the
/// same ends follows.
fn forth_and_back(file: &[u8]) {
    let mut segments: Vec<(u64, OwnedSegment)> = Vec::new();
    let mut packets = Packets::new(file);
    while let Ok(Next::Packet(packet)) = packets.read() {
        let Ok(segment) = link::segment(&packet) else {
            continue;
        };
        let Some((_, first)) = segments.first() else {
            if segment.syn && segment.ack.is_none() {
                segments.push((packet.at, OwnedSegment::new(&segment)));
            }
            continue;
        };
        let ends = [first.head.from, first.head.to];
        // Data in the SYN's own place belongs to no connection that this SYN opens; whoever reads
        // it first takes the SYN for the next one.
        let near = |seq: u32| (1..60_000).contains(&seq.wrapping_sub(first.head.seq));
        if !ends.contains(&segment.from) || !ends.contains(&segment.to) || segment.syn {
            continue;
        }
        // One direction is enough: what the ends say about each other is not judged here.
        if segment.from == first.head.from && near(segment.seq) {
            let mut segment = OwnedSegment::new(&segment);
            segment.head.ack = None;
            segments.push((packet.at, segment));
        }
    }
    let forth = rows(segments.iter());
    let back = rows(segments.iter().rev());
    let conflict = |rows: &[Report]| {
        let codes = rows.iter().flat_map(|row| &row.findings);
        codes.map(|finding| finding.rule.code).any(|code| code == "capture-conflicting-data")
    };
    if conflict(&forth) || conflict(&back) {
        return;
    }
    let gist = |rows: &[Report]| -> Vec<_> {
        let gist = |row: &Report| {
            (row.protocol.clone(), row.starttls, row.sni.clone(), row.client.clone())
        };
        rows.iter().map(gist).collect()
    };
    assert_eq!(gist(&forth), gist(&back));
}

/// A segment with bytes of its own.
struct OwnedSegment {
    head: Segment<'static>,
    payload: Vec<u8>,
}

impl OwnedSegment {
    fn new(segment: &Segment<'_>) -> Self {
        let payload = segment.payload.to_vec();
        let head = Segment {
            payload: &[],
            ..*segment
        };
        Self { head, payload }
    }
}

fn rows<'a>(segments: impl Iterator<Item = &'a (u64, OwnedSegment)>) -> Vec<Report> {
    let mut conversations = Conversations::new(Hints::default(), Pace::Whole);
    for (at, segment) in segments {
        let segment = Segment {
            payload: &segment.payload,
            ..segment.head
        };
        conversations.add(&segment, *at);
    }
    conversations.end(None);
    std::iter::from_fn(|| conversations.row()).collect()
}
