//! Files that are no captures.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::write::{Block, Clock, Frame, Order, interface, packet, pcap as pcap_file, section};
use super::{folder, ip_packets, pcap};

#[track_caller]
fn refused(file: &str, what: &str) {
    for output in ["text", "json"] {
        let ran = pcap(&["-o", output, file]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.err.contains(what), "{what}: {ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    }
}

#[test]
fn each_is_told_what_it_looks_like() {
    refused("/dev/null", "it is empty");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let name = file.to_str().unwrap();
    refused(name, "No such file");
    refused(dir.path().to_str().unwrap(), "it is a directory");

    fs::write(&file, "12:00:00.1 IP 10.0.0.1.1 > 10.0.0.2.2: Flags [S]\n").unwrap();
    refused(name, "it is text");
    fs::write(&file, [0x0a, 0x0d, 0x0d]).unwrap();
    refused(name, "not a pcap or pcapng capture");

    let capture = folder().join("pg-plaintext.pcap");
    fs::write(&file, &fs::read(&capture).unwrap()[..10]).unwrap();
    refused(name, "ends within the file header");

    let mut gzip = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(fs::File::create(&file).unwrap())
        .spawn()
        .unwrap();
    let content = fs::read(&capture).unwrap();
    gzip.stdin.take().unwrap().write_all(&content).unwrap();
    assert!(gzip.wait().unwrap().success());
    refused(name, &format!("gunzip -c {name} | dbgate probe pcap -"));
}

#[test]
fn a_capture_without_packets_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("empty.pcap");
    let capture = fs::read(folder().join("pg-plaintext.pcap")).unwrap();
    fs::write(&file, &capture[..24]).unwrap();
    let ran = pcap(&[file.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.out,
        "0 conversations, 0 established, 0 failed, 0 packets\n"
    );
}

/// A capture of a failed handshake, as packets.
fn failed() -> Vec<(u64, Vec<u8>)> {
    ip_packets(&fs::read(folder().join("pg-unknown-ca.pcap")).unwrap())
}

#[test]
fn a_capture_in_which_nothing_can_be_read_is_an_error_that_names_the_link_type() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.pcap");
    let file = path.to_str().unwrap();
    for (link, name) in [
        (239, "239 (NFLOG)"),
        (127, "127 (IEEE802_11_RADIOTAP, Wi-Fi)"),
        (9, "9 (PPP)"),
        (299, "299"),
    ] {
        let frames = failed()
            .into_iter()
            .map(|(at, ip)| Frame::new(at, &[0; 8], &ip));
        let frames: Vec<_> = frames.collect();
        fs::write(&path, pcap_file(Order::Little, false, link, &frames)).unwrap();
        let words = format!("Of 13 packets, none of which could be read: 13 of link type {name}.");
        let text = pcap(&[file]);
        assert_eq!(text.code, Some(1), "{text:?}");
        assert!(text.err.contains(&words), "{words}: {text:?}");
        let json = pcap(&["-o", "json", "--only-failed", file]);
        assert_eq!(json.code, Some(1), "{json:?}");
        let rows = json.rows();
        assert_eq!(rows.len(), 1, "{json:?}");
        assert_eq!(
            (&rows[0]["packets"], &rows[0]["schema"]),
            (&13.into(), &"dbgate.probe/1".into())
        );
        let unread = &rows[0]["unread"][0];
        assert_eq!(
            (&unread["reason"], &unread["packets"]),
            (&"link-type".into(), &13.into())
        );
        assert_eq!(unread["link_type"], link, "{json:?}");
        assert!(json.err.contains(&words), "{words}: {json:?}");
    }
}

#[test]
fn what_could_be_read_beside_what_could_not_decides() {
    let clock = Clock {
        resolution: None,
        offset: 0,
    };
    let order = Order::Little;
    let mut bytes = [
        section(order),
        interface(order, 101, clock),
        interface(order, 239, clock),
    ]
    .concat();
    let whole = fs::read(folder().join("redis-cli-sni.pcap")).unwrap();
    for (at, ip) in ip_packets(&whole) {
        let frame = Frame::new(at, &[], &ip);
        bytes.extend(packet(order, Block::Enhanced, 0, clock, &frame));
        bytes.extend(packet(order, Block::Enhanced, 1, clock, &frame));
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("two.pcapng");
    fs::write(&file, &bytes).unwrap();
    let ran = pcap(&["-o", "json", file.to_str().unwrap()]);
    let rows = ran.rows();
    assert_eq!((ran.code, rows.len()), (Some(0), 2), "{ran:?}");
    assert_eq!(rows[0]["verdict"], "ok");
    assert_eq!(rows[1]["unread"][0]["name"], "NFLOG");

    // A damaged file: what came before the damage is told, and without any it is an error.
    for (kept, code) in [(2, 1), (20, 0)] {
        let mut at = 0;
        for _ in 0..=kept {
            let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap());
            at += usize::try_from(length).unwrap();
        }
        let mut damaged = bytes.clone();
        damaged[at + 4..at + 8].copy_from_slice(&7_u32.to_le_bytes());
        fs::write(&file, &damaged).unwrap();
        let ran = pcap(&[file.to_str().unwrap()]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.err.contains(&format!("At byte {at}: ")), "{ran:?}");
    }
}
