//! The same conversation in every shape of file and of link gives the same row.

use dbgate::probe::Report;

use super::write::{Block, Clock, Frame, Order, block, interface, packet, pcap, section};
use super::{captures, ip_packets, read};

const MICROSECONDS: Clock = Clock {
    resolution: None,
    offset: 0,
};

/// The layers below IP: the link type, and the header for an IP packet.
type Below = (u16, fn(&[u8]) -> Vec<u8>);

const ETHERTYPE: [u8; 2] = [8, 0];
const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

fn ethernet(_: &[u8]) -> Vec<u8> {
    [&ADDRESSES[..], &ETHERTYPE].concat()
}

fn vlan(_: &[u8]) -> Vec<u8> {
    [&ADDRESSES[..], &[0x81, 0, 0, 42], &ETHERTYPE].concat()
}

fn stacked_vlan(_: &[u8]) -> Vec<u8> {
    [
        &ADDRESSES[..],
        &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 42],
        &ETHERTYPE,
    ]
    .concat()
}

fn cooked(_: &[u8]) -> Vec<u8> {
    [&[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &ETHERTYPE].concat()
}

fn cooked_2(_: &[u8]) -> Vec<u8> {
    let rest = [0, 0, 0, 0, 0, 2, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    [&ETHERTYPE[..], &rest].concat()
}

fn nothing(_: &[u8]) -> Vec<u8> {
    Vec::new()
}

const LINKS: &[(&str, Below)] = &[
    ("ethernet", (1, ethernet)),
    ("802.1Q", (1, vlan)),
    ("802.1ad", (1, stacked_vlan)),
    ("cooked v1", (113, cooked)),
    ("cooked v2", (276, cooked_2)),
    ("raw", (101, nothing)),
    ("raw, BSD/OS", (12, nothing)),
    ("raw, OpenBSD", (14, nothing)),
    ("IPv4", (228, nothing)),
    ("loopback, little endian", (0, |_| vec![2, 0, 0, 0])),
    ("loopback, big endian", (0, |_| vec![0, 0, 0, 2])),
    ("loopback of OpenBSD", (108, |_| vec![0, 0, 0, 2])),
];

fn frames(ip: &[(u64, Vec<u8>)], below: Below) -> Vec<Frame> {
    ip.iter()
        .map(|(at, ip)| Frame::new(*at, &below.1(ip), ip))
        .collect()
}

/// Everything of a row; times to the millisecond, or not at all.
fn row(report: &Report, timed: bool) -> String {
    let mut value = serde_json::to_value(report).unwrap();
    let fields = value.as_object_mut().unwrap();
    // Whole microseconds and nanoseconds are rounded in different places.
    fields.remove("phases_ms");
    if !timed {
        fields.remove("time");
        fields.remove("ts");
    }
    value.to_string()
}

#[track_caller]
pub(super) fn agree(name: &str, shape: &str, timed: bool, file: &[u8], whole: &[Report]) {
    let (rows, faults) = read(file);
    assert!(faults.is_empty(), "{name} as {shape}: {faults:?}");
    let shown = |reports: &[Report]| -> Vec<String> {
        reports.iter().map(|report| row(report, timed)).collect()
    };
    assert_eq!(shown(&rows), shown(whole), "{name} as {shape}");
}

#[test]
fn links_and_byte_orders_and_clocks_of_pcap() {
    for (name, bytes) in captures() {
        let (whole, _) = read(&bytes);
        let ip = ip_packets(&bytes);
        for &(shape, below) in LINKS {
            let frames = frames(&ip, below);
            for order in [Order::Little, Order::Big] {
                for nanoseconds in [false, true] {
                    let file = pcap(order, nanoseconds, u32::from(below.0), &frames);
                    let shape = format!("pcap, {shape}, {order:?} endian, ns: {nanoseconds}");
                    agree(&name, &shape, true, &file, &whole);
                }
            }
        }
        // The upper half of the link type tells of a frame check sequence of four bytes.
        let mut frames = frames(&ip, (1, ethernet));
        for frame in &mut frames {
            frame.bytes.extend([0xde, 0xad, 0xbe, 0xef]);
            frame.original += 4;
        }
        let file = pcap(Order::Little, false, 0x2400_0001, &frames);
        agree(&name, "pcap with check sequences", true, &file, &whole);
    }
}

#[test]
fn blocks_and_byte_orders_and_clocks_of_pcapng() {
    let clocks = [
        MICROSECONDS,
        Clock {
            resolution: Some(9),
            offset: 0,
        },
        Clock {
            resolution: Some(3 | 0x80),
            offset: 0,
        },
        Clock {
            resolution: Some(0x1e | 0x80),
            offset: 1_000_000_000,
        },
        Clock {
            resolution: Some(12),
            offset: 1_790_000_000,
        },
    ];
    for (name, bytes) in captures() {
        let (whole, _) = read(&bytes);
        let frames = frames(&ip_packets(&bytes), (1, ethernet));
        for order in [Order::Little, Order::Big] {
            for kind in [Block::Enhanced, Block::Old, Block::Simple] {
                for clock in clocks {
                    let mut file = [section(order), interface(order, 1, clock)].concat();
                    for frame in &frames {
                        file.extend(packet(order, kind, 0, clock, frame));
                    }
                    // An eighth of a second is too coarse to compare times.
                    let timed = !matches!(kind, Block::Simple) && clock.resolution != Some(0x83);
                    let shape = format!("pcapng, {kind:?}, {order:?} endian, {clock:?}");
                    agree(&name, &shape, timed, &file, &whole);
                }
            }
        }
    }
}

#[test]
fn a_pcapng_file_may_hold_sections_and_interfaces_of_every_kind() {
    let (name, bytes) = captures()
        .into_iter()
        .find(|(name, _)| name == "pg-starttls-psql15.pcap")
        .unwrap();
    let (whole, _) = read(&bytes);
    let ip = ip_packets(&bytes);
    let nanoseconds = Clock {
        resolution: Some(9),
        offset: 5,
    };
    let mut file = Vec::new();
    for (at, (time, ip)) in ip.iter().enumerate() {
        if at % 5 == 0 {
            file.extend(section(Order::Big));
            file.extend(interface(Order::Big, 113, MICROSECONDS));
            // Statistics, names, and a block that nobody knows, too long for any buffer.
            file.extend(block(Order::Big, 5, &[0; 12]));
            file.extend(block(Order::Big, 0x4bad, &vec![7; 5 << 20]));
            file.extend(interface(Order::Big, 0, nanoseconds));
        }
        let (number, clock, below) = match at % 2 {
            0 => (0, MICROSECONDS, cooked(ip)),
            _ => (1, nanoseconds, vec![2, 0, 0, 0]),
        };
        let frame = Frame::new(*time, &below, ip);
        file.extend(packet(Order::Big, Block::Enhanced, number, clock, &frame));
    }
    agree(&name, "many sections", true, &file, &whole);
}

#[test]
fn padding_of_short_frames_is_not_said_by_anybody() {
    for (name, bytes) in captures() {
        let (whole, _) = read(&bytes);
        let mut frames = frames(&ip_packets(&bytes), (1, ethernet));
        for frame in &mut frames {
            let length = frame.bytes.len().max(60) + 4;
            frame.bytes.resize(length, 0x5a);
            frame.original = length;
        }
        let file = pcap(Order::Little, false, 1, &frames);
        agree(&name, "padded", true, &file, &whole);
    }
}

#[test]
fn packets_recorded_before_the_card_cut_them_have_no_length() {
    for (name, bytes) in captures() {
        let (whole, _) = read(&bytes);
        let mut ip = ip_packets(&bytes);
        for (_, ip) in &mut ip {
            ip[2..4].fill(0);
        }
        let file = pcap(Order::Little, false, 101, &frames(&ip, (101, nothing)));
        agree(&name, "without lengths", true, &file, &whole);
    }
}

#[test]
fn ipv6_with_extension_headers() {
    // Hop-by-hop and destination options, each of eight bytes.
    const OPTIONS: [u8; 16] = [60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0];
    for (name, bytes) in captures() {
        let (whole, _) = read(&bytes);
        let ip: Vec<(u64, Vec<u8>)> = ip_packets(&bytes)
            .into_iter()
            .map(|(at, ip)| {
                let header = usize::from(ip[0] & 15) * 4;
                let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
                let tcp = &ip[header..total];
                let length = u16::try_from(OPTIONS.len() + tcp.len()).unwrap();
                let mut six = vec![0x60, 0, 0, 0];
                six.extend(length.to_be_bytes());
                six.extend([0, 64]);
                for address in [&ip[12..16], &ip[16..20]] {
                    six.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                    six.extend(address);
                }
                six.extend(OPTIONS);
                six.extend(tcp);
                (at, six)
            })
            .collect();
        let links: [(&str, Below); 3] = [
            (
                "IPv6 in Ethernet",
                (1, |_| [&ADDRESSES[..], &[0x86, 0xdd]].concat()),
            ),
            ("IPv6 in macOS's loopback", (0, |_| vec![30, 0, 0, 0])),
            ("IPv6 alone", (229, nothing)),
        ];
        for (shape, below) in links {
            let file = pcap(
                Order::Little,
                false,
                u32::from(below.0),
                &frames(&ip, below),
            );
            let (rows, faults) = read(&file);
            assert!(faults.is_empty(), "{name} as {shape}: {faults:?}");
            for (six, four) in rows.iter().zip(&whole) {
                let client = six.client.as_deref().unwrap_or_default();
                assert!(client.starts_with("[fd00::a4d:1]:"), "{client}");
                let mut six = six.clone();
                six.client.clone_from(&four.client);
                six.server.clone_from(&four.server);
                assert_eq!(row(&six, true), row(four, true), "{name} as {shape}");
            }
            assert_eq!(rows.len(), whole.len(), "{name} as {shape}");
        }
    }
}

#[test]
fn what_is_not_tcp_or_not_whole_is_counted_and_not_guessed() {
    let (_, bytes) = captures().remove(3);
    let (whole, _) = read(&bytes);
    let ip = ip_packets(&bytes);
    let mut frames = frames(&ip, (1, ethernet));
    let at = frames[0].at;
    let mut fragment = ip[0].1.clone();
    fragment[6] |= 0x20;
    let mut udp = ip[0].1.clone();
    udp[9] = 17;
    let mut tunnel = ip[0].1.clone();
    tunnel[9] = 47;
    let short = &ip[0].1[..30];
    let mut odd: Vec<Frame> = [&fragment[..], &udp, &tunnel, short, &[], &[0x45; 25]]
        .map(|ip| Frame::new(at, &ethernet(ip), ip))
        .into();
    odd[3].original = 74;
    odd.push(Frame::new(at, &ADDRESSES, &[8, 6, 0, 1, 8, 0]));
    odd.push(Frame::new(at, &ADDRESSES, &[0x88, 0x64, 0, 1]));
    frames.splice(4..4, odd);
    let (rows, faults) = read(&pcap(Order::Little, false, 1, &frames));
    assert_eq!(faults, ["capture-unreadable-packets"]);
    assert_eq!(row(&rows[0], true), row(&whole[0], true));

    let unknown = pcap(Order::Little, false, 147, &frames);
    let (rows, faults) = read(&unknown);
    assert!(rows.is_empty());
    assert_eq!(faults, ["capture-unreadable-packets"]);
}
