//! Files that end too early, or are damaged, or whose packets were cut by a snapshot length: what
//! is told is true, or says what is missing.

use dbgate::probe::Report;

use super::write::{Frame, Order, pcap};
use super::{captures, ip_packets, read};

/// Asserts that two rows do not contradict each other: `less` may know less, and says so.
#[track_caller]
fn agrees(name: &str, less: &Report, whole: &Report) {
    let context = || format!("{name}\n{less:#?}\n{whole:#?}");
    assert_eq!(
        (&less.client, &less.server),
        (&whole.client, &whole.server),
        "{}",
        context()
    );
    assert!(whole.established || !less.established, "{}", context());
    for (known, truth) in [
        (&less.sni, &whole.sni),
        (&less.tls_version, &whole.tls_version),
        (&less.cipher, &whole.cipher),
        (&less.alert, &whole.alert),
    ] {
        assert!(known.is_none() || known == truth, "{}", context());
    }
    if less.code != whole.code {
        let stages: Vec<&str> = less
            .findings
            .iter()
            .map(|f| f.rule.stage.as_str())
            .collect();
        assert!(stages.contains(&"capture"), "{}", context());
    }
}

#[test]
fn a_file_cut_anywhere_tells_no_lies() {
    for (name, bytes) in captures() {
        let (whole, _) = read(&bytes);
        for length in (24..bytes.len()).step_by(97) {
            let (rows, faults) = read(&bytes[..length]);
            let name = format!("{name}, the first {length} bytes");
            assert!(rows.len() <= whole.len(), "{name}");
            assert!(
                faults.is_empty() || faults == ["capture-cut"],
                "{name}: {faults:?}"
            );
            for (less, whole) in rows.iter().zip(&whole) {
                agrees(&name, less, whole);
                let is_cut = less.findings.iter().any(|f| f.rule.code == "capture-cut");
                let cut = faults == ["capture-cut"];
                let closed = less.code == whole.code;
                assert!(!cut || is_cut || closed, "{name}: {less:#?}");
            }
        }
    }
}

#[test]
fn damage_ends_the_reading_and_is_told() {
    let (_, bytes) = captures().remove(5);
    // The length of the fifth record.
    let mut at = 24;
    for _ in 0..4 {
        let length = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap());
        at += 16 + usize::try_from(length).unwrap();
    }
    let mut damaged = bytes.clone();
    damaged[at + 8..at + 12].fill(0xff);
    let (rows, faults) = read(&damaged);
    assert_eq!(faults, ["capture-damaged"]);
    let finding = rows[0]
        .findings
        .iter()
        .find(|finding| finding.rule.code == "capture-damaged")
        .expect("the row tells it");
    assert!(
        finding.detail.starts_with(&format!("At byte {at}: ")),
        "{}",
        finding.detail
    );
}

#[test]
fn packets_cut_by_a_snapshot_length_are_told() {
    for (name, bytes) in captures() {
        let (whole, _) = read(&bytes);
        for snaplen in [60, 68, 100, 128, 200, 400, 1000] {
            let frames: Vec<Frame> = ip_packets(&bytes)
                .into_iter()
                .map(|(at, ip)| {
                    let mut frame = Frame::new(at, &[], &ip);
                    frame.bytes.truncate(snaplen);
                    frame
                })
                .collect();
            let (rows, _) = read(&pcap(Order::Big, true, 101, &frames));
            let name = format!("{name}, cut to {snaplen} bytes");
            assert_eq!(rows.len(), whole.len(), "{name}");
            for (less, whole) in rows.iter().zip(&whole) {
                agrees(&name, less, whole);
                let code = "capture-snaplen";
                let told = less.findings.iter().any(|f| f.rule.code == code);
                assert!(told || less.code == whole.code, "{name}: {less:#?}");
            }
        }
    }
}

#[test]
fn a_capture_that_begins_later_never_claims_a_handshake() {
    for (name, bytes) in captures() {
        let (whole, _) = read(&bytes);
        let ip = ip_packets(&bytes);
        for skipped in 1..ip.len() {
            let frames: Vec<Frame> = ip[skipped..]
                .iter()
                .map(|(at, ip)| Frame::new(*at, &[], ip))
                .collect();
            let (rows, _) = read(&pcap(Order::Little, false, 101, &frames));
            let name = format!("{name} without its first {skipped} packets");
            for less in &rows {
                let ends = |row: &&Report| {
                    [&row.client, &row.server].contains(&&less.client)
                        && [&row.client, &row.server].contains(&&less.server)
                };
                let whole = whole.iter().find(ends).expect("the same ends");
                let hello = less.hello.is_some();
                assert!(!less.established || hello, "{name}: {less:#?}");
                if hello || less.starttls {
                    agrees(&name, less, whole);
                }
                let told = less
                    .findings
                    .iter()
                    .any(|f| f.rule.stage.as_str() == "capture");
                let starts = less.code == whole.code && hello == whole.hello.is_some();
                assert!(told || starts, "{name}: {less:#?}");
            }
        }
    }
}

#[test]
fn one_direction_alone_is_told_as_such() {
    for (name, bytes) in captures() {
        let (whole, _) = read(&bytes);
        let ip = ip_packets(&bytes);
        for from in [1, 2] {
            let frames: Vec<Frame> = ip
                .iter()
                .filter(|(_, ip)| ip[15] == from)
                .map(|(at, ip)| Frame::new(*at, &[], ip))
                .collect();
            let (rows, _) = read(&pcap(Order::Little, false, 101, &frames));
            assert_eq!(rows.len(), whole.len(), "{name} from {from}");
            for (row, whole) in rows.iter().zip(&whole) {
                let codes: Vec<&str> = row.findings.iter().map(|f| f.rule.code).collect();
                assert!(
                    codes.contains(&"capture-one-sided"),
                    "{name} from {from}: {row:#?}"
                );
                assert!(!row.established, "{name} from {from}: {row:#?}");
                // An alert in the clear is one, whatever the other end has said.
                let known = row.verdict.as_str() == "unknown" || row.code == whole.code;
                assert!(known, "{name} from {from}: {row:#?}");
            }
        }
    }
}
