//! Sessions recorded badly: packets lost, cut, repeated, out of order, one direction only, a
//! beginning or an end missing.
//!
//! Bad recordings: a healthy session never counts as failed, and of a
//! failed one nothing is claimed but what the whole recording says, too.

use dbgate::probe::capture::conversations::Pace;
use dbgate::probe::capture::{Capture, Hints, Progress};
use dbgate::probe::{Report, Verdict};

use super::write::{Frame, Order, pcap};
use super::{captures, ip_packets};

/// A recording: its name, its packets, and what all of them say.
struct Recording {
    name: String,
    frames: Vec<Frame>,
    whole: Vec<Report>,
}

/// Every recorded conversation, each on the port it ran on and on one that tells nothing.
fn recordings() -> Vec<Recording> {
    let mut all = Vec::new();
    for (name, bytes) in captures() {
        let ip = ip_packets(&bytes);
        for other_port in [false, true] {
            let frames: Vec<Frame> = ip
                .iter()
                .map(|(at, ip)| {
                    let mut ip = ip.clone();
                    if other_port {
                        move_port(&mut ip);
                    }
                    Frame::new(*at, &[], &ip)
                })
                .collect();
            let whole = rows(&frames, Pace::Whole);
            let name = format!("{name}, elsewhere: {other_port}");
            all.push(Recording {
                name,
                frames,
                whole,
            });
        }
    }
    all
}

/// Moves the server's port, the lower one, to where no database is expected.
fn move_port(ip: &mut [u8]) {
    let tcp = usize::from(ip[0] & 15) * 4;
    let port = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
    let (from, to) = (port(tcp), port(tcp + 2));
    let server = if from < to { tcp } else { tcp + 2 };
    let moved = 20_000 + from.min(to) % 1000;
    ip[server..server + 2].copy_from_slice(&moved.to_be_bytes());
}

fn rows(frames: &[Frame], pace: Pace) -> Vec<Report> {
    let file = pcap(Order::Little, true, 101, frames);
    let mut capture = Capture::new(&file[..], Hints::default(), pace);
    while capture.read(1000).expect("a capture") != Progress::End {}
    std::iter::from_fn(|| capture.row()).collect()
}

/// Every bad recording of these packets, with what is bad about it.
fn badly(frames: &[Frame], tell: &mut impl FnMut(String, &[Frame])) {
    let number = frames.len();
    let without = |lost: &dyn Fn(usize) -> bool| -> Vec<Frame> {
        let kept = (0..number).filter(|&at| !lost(at));
        kept.map(|at| frames[at].clone()).collect()
    };
    for first in 0..number {
        tell(format!("without {first}"), &without(&|at| at == first));
        for second in first + 1..number {
            let lost = |at| at == first || at == second;
            tell(format!("without {first} and {second}"), &without(&lost));
            let lost = |at| at < first || at > second;
            tell(format!("only {first} to {second}"), &without(&lost));
        }
        tell(format!("from {first} on"), &frames[first..]);
        tell(format!("up to {first}"), &frames[..first]);
        let mut twice = frames.to_vec();
        twice.insert(first, frames[first].clone());
        tell(format!("{first} twice"), &twice);
        let mut late = frames.to_vec();
        let moved = late.remove(first);
        late.push(moved);
        tell(format!("{first} last"), &late);
        let mut swapped = frames.to_vec();
        swapped.swap(first, (first + 1) % number);
        tell(format!("{first} and the next swapped"), &swapped);
    }
    let backwards: Vec<Frame> = frames.iter().rev().cloned().collect();
    tell("backwards".to_owned(), &backwards);
    for snaplen in (40..200).chain([256, 300, 400, 600, 1000, 1400]) {
        let cut = frames.iter().cloned().map(|mut frame| {
            frame.bytes.truncate(snaplen);
            frame
        });
        tell(format!("{snaplen} bytes each"), &cut.collect::<Vec<_>>());
    }
    // One direction, and the last packets of it missing.
    for direction in [1, 2] {
        let one: Vec<Frame> = frames
            .iter()
            .filter(|frame| frame.bytes[15] == direction)
            .cloned()
            .collect();
        for end in 0..=one.len() {
            tell(format!("{direction} alone, {end} of it"), &one[..end]);
            tell(format!("{direction} alone, from {end}"), &one[end..]);
        }
    }
    // More losses than one, always the same: a linear congruential generator (Knuth's MMIX).
    let mut state = 1_u64;
    for round in 0..300_u64 {
        let mut lost = Vec::new();
        for _ in 0..number {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            lost.push((state >> 33) % 100 < 10 + round % 60);
        }
        tell(format!("losses, round {round}"), &without(&|at| lost[at]));
    }
}

/// The row of the same two ends, whoever of them was taken for the client.
fn same<'a>(row: &Report, whole: &'a [Report]) -> &'a Report {
    let ends = |row: &Report| {
        let mut ends = [row.client.clone(), row.server.clone()];
        ends.sort();
        ends
    };
    let found = whole.iter().find(|other| ends(other) == ends(row));
    found.expect("the same ends")
}

/// The contradictions between the row of a bad recording and `truth`, the row of the whole one.
fn wrong(row: &Report, truth: &Report) -> Option<&'static str> {
    let stage = row.leading().map(|finding| finding.rule.stage.as_str());
    match row.verdict {
        Verdict::Ok if truth.verdict != Verdict::Ok => Some("what has failed is well"),
        Verdict::Unknown if stage != Some("capture") => Some("unknown, and not for the recording"),
        Verdict::Failed if truth.verdict != Verdict::Failed => Some("what is well has failed"),
        Verdict::Failed if row.code != truth.code => Some("it has failed for another cause"),
        Verdict::Warn | Verdict::Fail => Some("a verdict that recordings do not have"),
        _ if row.established && row.verdict != Verdict::Ok => Some("established, and not well"),
        _ => None,
    }
}

#[test]
fn nothing_healthy_counts_as_failed_and_no_cause_is_made_up() {
    let mut faults = Vec::new();
    for Recording {
        name,
        frames,
        whole,
    } in recordings()
    {
        badly(&frames, &mut |what, frames| {
            for pace in [Pace::Whole, Pace::Live] {
                for row in rows(frames, pace) {
                    if let Some(wrong) = wrong(&row, same(&row, &whole)) {
                        faults.push(format!("{name}, {what}, {pace:?}: {wrong}: {}", row.code));
                    }
                }
            }
        });
    }
    let number = faults.len();
    faults.truncate(20);
    assert!(faults.is_empty(), "{number}, the first: {faults:#?}");
}

#[test]
fn a_lost_packet_that_says_nothing_changes_nothing() {
    for Recording {
        name,
        frames,
        whole,
    } in recordings()
    {
        for lost in 0..frames.len() {
            let ip = &frames[lost].bytes;
            let tcp = usize::from(ip[0] & 15) * 4;
            let data = tcp + usize::from(ip[tcp + 12] >> 4) * 4;
            let flags = ip[tcp + 13] & 7;
            if flags != 0 || data < usize::from(u16::from_be_bytes([ip[2], ip[3]])) {
                continue;
            }
            let mut less = frames.clone();
            less.remove(lost);
            for (row, truth) in rows(&less, Pace::Whole).iter().zip(&whole) {
                let told = (row.verdict, &row.code);
                assert_eq!(told, (truth.verdict, &truth.code), "{name} without {lost}");
            }
        }
    }
}

#[test]
fn what_has_failed_is_still_told_when_the_proof_was_recorded() {
    let failed = [
        ("pg-plaintext.pcap", "client-plaintext"),
        (
            "pg-starttls-to-tls-first-server.pcap",
            "pg-closed-after-request",
        ),
        ("pg-unknown-ca.pcap", "client-unknown-ca"),
        ("tls-version-mismatch.pcap", "alert-protocol-version"),
    ];
    for recording in recordings() {
        let file = recording.name.split(',').next().unwrap();
        let expected = failed.iter().find(|(name, _)| *name == file);
        for pace in [Pace::Whole, Pace::Live] {
            for row in rows(&recording.frames, pace) {
                let (verdict, code) =
                    expected.map_or((Verdict::Ok, "ok"), |(_, code)| (Verdict::Failed, *code));
                assert_eq!((row.verdict, row.code.as_str()), (verdict, code), "{file}");
            }
        }
        if expected.is_none() {
            continue;
        }
        // Whatever comes behind the proof may be missing.
        let last = recording.frames.len() - 1;
        let rows = rows(&recording.frames[..last], Pace::Whole);
        assert_eq!(rows[0].verdict, Verdict::Failed, "{file}: {rows:#?}");
    }
}
