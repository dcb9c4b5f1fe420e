//! Packets within packets, and packets in parts: the rows are those of the plain capture.

use super::shapes::agree;
use super::write::{Frame, Order, pcap};
use super::{captures, ip_packets, read};

/// The tunnel around an IP packet.
type Wrap = fn(&[u8]) -> Vec<u8>;

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap().to_be_bytes()
}

fn ethernet(ip: &[u8]) -> Vec<u8> {
    bytes(&[&MACS, &[8, 0], ip])
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = length(payload.len() + 20);
    let rest = [0, 7, 0, 0, 64, protocol, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2];
    bytes(&[&[0x45, 0], &total, &rest, payload])
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let (mut from, mut to) = ([0xfd; 16], [0xfd; 16]);
    (from[15], to[15]) = (1, 2);
    let size = length(payload.len());
    bytes(&[&[0x60, 0, 0, 0], &size, &[next, 64], &from, &to, payload])
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let size = length(payload.len() + 8);
    let datagram = bytes(&[&[0xc0, 1], &port.to_be_bytes(), &size, &[0, 0], payload]);
    ipv4(17, &datagram)
}

fn vxlan(ip: &[u8]) -> Vec<u8> {
    udp(4789, &bytes(&[&[8, 0, 0, 0, 0, 0, 42, 0], &ethernet(ip)]))
}

fn vxlan_of_linux(ip: &[u8]) -> Vec<u8> {
    udp(8472, &bytes(&[&[8, 0, 0, 0, 0, 0, 1, 0], &ethernet(ip)]))
}

fn geneve(ip: &[u8]) -> Vec<u8> {
    let header = [2, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 1, 1, 1, 0, 0, 0, 0];
    udp(6081, &bytes(&[&header, &ethernet(ip)]))
}

fn geneve_of_ip(ip: &[u8]) -> Vec<u8> {
    udp(6081, &bytes(&[&[0, 0, 8, 0, 0, 0, 42, 0], ip]))
}

fn gtp(ip: &[u8]) -> Vec<u8> {
    let size = length(ip.len());
    udp(2152, &bytes(&[&[0x30, 255], &size, &[0, 0, 0, 9], ip]))
}

/// With a sequence number, and the extension header of a 5G session.
fn gtp_extended(ip: &[u8]) -> Vec<u8> {
    let size = length(ip.len() + 8);
    let options = [0, 0, 0, 9, 0, 1, 0, 0x85, 1, 0x10, 9, 0];
    udp(2152, &bytes(&[&[0x36, 255], &size, &options, ip]))
}

fn gre(ip: &[u8]) -> Vec<u8> {
    ipv4(47, &bytes(&[&[0, 0, 8, 0], ip]))
}

/// With a checksum, a key and a sequence number.
fn gre_numbered(ip: &[u8]) -> Vec<u8> {
    let header = [0xb0, 0, 8, 0, 1, 2, 0, 0, 0, 0, 0, 42, 0, 0, 0, 1];
    ipv4(47, &bytes(&[&header, ip]))
}

fn gre_bridged(ip: &[u8]) -> Vec<u8> {
    let header = [0x20, 0, 0x65, 0x58, 0, 0, 0, 42];
    ipv6(47, &bytes(&[&header, &ethernet(ip)]))
}

fn erspan_1(ip: &[u8]) -> Vec<u8> {
    ipv4(47, &bytes(&[&[0, 0, 0x88, 0xbe], &ethernet(ip)]))
}

fn erspan_2(ip: &[u8]) -> Vec<u8> {
    let header = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 1, 0, 0, 0, 1];
    ipv4(47, &bytes(&[&header, &ethernet(ip)]))
}

fn erspan_3(ip: &[u8]) -> Vec<u8> {
    let gre = [0x10, 0, 0x22, 0xeb, 0, 0, 0, 1];
    let header = [0x20, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    ipv4(47, &bytes(&[&gre, &header, &[0; 8], &ethernet(ip)]))
}

fn ip_in_ip(ip: &[u8]) -> Vec<u8> {
    ipv4(4, ip)
}

fn ip_in_ip6(ip: &[u8]) -> Vec<u8> {
    ipv6(4, ip)
}

fn ip_in_6in4(ip: &[u8]) -> Vec<u8> {
    ipv4(41, &ipv6(4, ip))
}

fn nested(ip: &[u8]) -> Vec<u8> {
    vxlan(&gre_numbered(&geneve(&ip_in_6in4(ip))))
}

const WRAPS: &[(&str, Wrap)] = &[
    ("VXLAN", vxlan),
    ("VXLAN on Linux's port", vxlan_of_linux),
    ("Geneve", geneve),
    ("Geneve around IP", geneve_of_ip),
    ("GTP-U", gtp),
    ("GTP-U with an extension header", gtp_extended),
    ("GRE", gre),
    ("GRE with all fields", gre_numbered),
    ("Ethernet in GRE", gre_bridged),
    ("ERSPAN I", erspan_1),
    ("ERSPAN II", erspan_2),
    ("ERSPAN III", erspan_3),
    ("IP in IP", ip_in_ip),
    ("IP in IPv6", ip_in_ip6),
    ("6in4", ip_in_6in4),
    ("tunnels in tunnels", nested),
];

/// A capture of raw IP.
fn file(packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let frames = packets.iter().map(|(at, ip)| Frame::new(*at, &[], ip));
    pcap(Order::Little, true, 101, &frames.collect::<Vec<_>>())
}

#[test]
fn tunnels_are_read_through() {
    for (name, bytes) in captures() {
        let (whole, _) = read(&bytes);
        let ip = ip_packets(&bytes);
        for (shape, wrap) in WRAPS {
            let wrapped: Vec<_> = ip.iter().map(|(at, ip)| (*at, wrap(ip))).collect();
            agree(&name, shape, true, &file(&wrapped), &whole);
        }
        let link = |header: &[u8]| {
            let frames = ip.iter().map(|(at, ip)| Frame::new(*at, header, ip));
            pcap(Order::Little, true, 1, &frames.collect::<Vec<_>>())
        };
        let pppoe = [&MACS[..], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 0, 0, 0x21]].concat();
        agree(&name, "PPPoE", true, &link(&pppoe), &whole);
        let mpls = [&MACS[..], &[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64]].concat();
        agree(&name, "MPLS", true, &link(&mpls), &whole);
    }
}

#[test]
fn a_snapshot_length_cuts_what_is_in_a_tunnel_too() {
    let (name, bytes) = captures().remove(3);
    let ip = ip_packets(&bytes);
    let frames = ip.iter().map(|(at, ip)| {
        let mut frame = Frame::new(*at, &[], &vxlan(ip));
        frame.bytes.truncate(50 + 100);
        frame
    });
    let file = pcap(Order::Little, true, 101, &frames.collect::<Vec<_>>());
    let (rows, _) = read(&file);
    let codes: Vec<_> = rows[0].findings.iter().map(|f| f.rule.code).collect();
    assert!(codes.contains(&"capture-snaplen"), "{name}: {codes:?}");
}

#[test]
fn too_many_tunnels_and_what_is_none_are_not_guessed() {
    let (_, bytes) = captures().remove(3);
    let ip = ip_packets(&bytes);
    let deep = |ip: &[u8]| (0..9).fold(ip.to_vec(), |inner, _| ip_in_ip(&inner));
    let wrapped: Vec<_> = ip.iter().map(|(at, ip)| (*at, deep(ip))).collect();
    let (rows, faults) = read(&file(&wrapped));
    assert_eq!(
        (rows.len(), faults),
        (0, vec!["capture-unreadable-packets"])
    );
    // DNS, and packets between the ends of tunnels.
    let others: Vec<_> = [
        udp(53, &[0; 40]),
        udp(4789, &[0; 40]),
        udp(6081, &[0, 0x80, 8, 0, 0, 0, 0, 0]),
        udp(2152, &[0x32, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ]
    .map(|packet| (1, packet))
    .into();
    let (rows, faults) = read(&file(&others));
    assert_eq!((rows.len(), faults.len()), (0, 0), "{faults:?}");
}

/// The parts of an IPv4 packet, each with at most `size` bytes; `id` tells whose they are.
fn parts(ip: &[u8], id: u16, size: usize) -> Vec<Vec<u8>> {
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let header = usize::from(ip[0] & 15) * 4;
    let payload = &ip[header..total];
    let number = payload.chunks(size).len();
    let part = |(at, chunk): (usize, &[u8])| {
        let mut part = ip[..header].to_vec();
        part[2..4].copy_from_slice(&length(header + chunk.len()));
        part[4..6].copy_from_slice(&id.to_be_bytes());
        let more = if at + 1 < number { 0x2000 } else { 0 };
        let field = more | u16::try_from(at * size / 8).unwrap();
        part[6..8].copy_from_slice(&field.to_be_bytes());
        part.extend(chunk);
        part
    };
    payload.chunks(size).enumerate().map(part).collect()
}

/// The same of an IPv6 packet around this IPv4 packet.
fn parts_6(ip: &[u8], id: u16, size: usize) -> Vec<Vec<u8>> {
    let number = ip.chunks(size).len();
    let part = |(at, chunk): (usize, &[u8])| {
        let more = u16::from(at + 1 < number);
        let field = more | u16::try_from(at * size).unwrap();
        let options = [44, 0, 1, 4, 0, 0, 0, 0];
        let header = bytes(&[&[4, 0], &field.to_be_bytes(), &[0, 0], &id.to_be_bytes()]);
        ipv6(0, &bytes(&[&options, &header, chunk]))
    };
    ip.chunks(size).enumerate().map(part).collect()
}

/// Each packet in parts, by `cut`, put into an order by `order`.
fn in_parts(
    ip: &[(u64, Vec<u8>)],
    cut: impl Fn(&[u8], u16) -> Vec<Vec<u8>>,
    order: impl Fn(Vec<Vec<u8>>) -> Vec<Vec<u8>>,
) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    for (id, (at, packet)) in (0..).zip(ip) {
        let parts = order(cut(packet, id));
        all.extend(parts.into_iter().map(|part| (*at, part)));
    }
    all
}

#[test]
fn packets_in_parts_are_joined_in_any_order() {
    let as_they_are = |parts: Vec<Vec<u8>>| parts;
    let backwards = |mut parts: Vec<Vec<u8>>| {
        parts.reverse();
        parts
    };
    // As in a capture of all interfaces: the copies come while the packet is not complete.
    let twice = |parts: Vec<Vec<u8>>| {
        let last = parts.len() - 1;
        let copies = parts[..last].iter().cloned();
        copies
            .clone()
            .chain(copies)
            .chain([parts[last].clone()])
            .collect()
    };
    for (name, bytes) in captures() {
        let (whole, _) = read(&bytes);
        let ip = ip_packets(&bytes);
        let check = |shape: &str, packets: &[(u64, Vec<u8>)]| {
            agree(&name, shape, true, &file(packets), &whole);
        };
        for size in [8, 64, 512] {
            let four = |ip: &[u8], id| parts(ip, id, size);
            check("parts", &in_parts(&ip, four, as_they_are));
            check("parts, the last first", &in_parts(&ip, four, backwards));
            check("parts, twice", &in_parts(&ip, four, twice));
            let six = |ip: &[u8], id| parts_6(ip, id, size);
            check("parts of IPv6", &in_parts(&ip, six, backwards));
            let outer = |ip: &[u8], id| parts(&vxlan(ip), id, size);
            check("parts of VXLAN", &in_parts(&ip, outer, as_they_are));
        }
        let both = |ip: &[u8], id| -> Vec<Vec<u8>> {
            let inner = parts(ip, id, 256);
            let outer = inner
                .iter()
                .zip(0..)
                .flat_map(|(part, number)| parts(&vxlan(part), id * 64 + number, 64));
            outer.collect()
        };
        check("parts of parts", &in_parts(&ip, both, as_they_are));
    }
}

#[test]
fn a_lost_part_is_told_and_no_failure() {
    for (name, bytes) in captures() {
        let (whole, _) = read(&bytes);
        let ip = ip_packets(&bytes);
        let all = in_parts(&ip, |ip, id| parts(ip, id, 256), |parts| parts);
        let cut = |at: usize| all[at].1[6] & 0x20 != 0 || all[at].1[7] != 0;
        for lost in (0..all.len()).filter(|&at| cut(at)) {
            let mut packets = all.clone();
            packets.remove(lost);
            let (rows, faults) = read(&file(&packets));
            let context = || format!("{name} without part {lost}: {faults:?} {rows:#?}");
            assert_eq!(faults, ["capture-unreadable-packets"], "{}", context());
            for (row, whole) in rows.iter().zip(&whole) {
                let same = row.code == whole.code;
                assert!(same || !row.has_failed(), "{}", context());
            }
        }
    }
}

#[test]
fn parts_that_contradict_each_other_join_to_nothing() {
    let (_, bytes) = captures().remove(3);
    let ip = ip_packets(&bytes);
    let long = ip.iter().find(|(_, ip)| ip.len() > 300).unwrap();
    let contradict = |change: fn(&mut Vec<Vec<u8>>)| {
        let mut parts = parts(&long.1, 1, 64);
        change(&mut parts);
        let packets: Vec<_> = parts.into_iter().map(|part| (long.0, part)).collect();
        read(&file(&packets))
    };
    let same = contradict(|parts| parts.insert(1, parts[0].clone()));
    assert_eq!((same.0.len(), same.1.len()), (1, 0), "{same:?}");
    let other_bytes = contradict(|parts| {
        let mut other = parts[0].clone();
        *other.last_mut().unwrap() ^= 1;
        parts.insert(1, other);
    });
    let overlapping = contradict(|parts| {
        let mut other = parts[1].clone();
        other[7] -= 1;
        parts.insert(1, other);
    });
    for (rows, faults) in [other_bytes, overlapping] {
        assert_eq!(
            (rows.len(), faults),
            (0, vec!["capture-unreadable-packets"])
        );
    }
}
