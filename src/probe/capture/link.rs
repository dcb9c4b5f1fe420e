//! TCP segments out of packets: link headers, VLAN tags, IPv4 and IPv6 with extension headers, and
//! the tunnels (`tunnel`) and fragments (`fragments`) in which they may come.
//!
//! The numbers are those of the LINKTYPE_ registry of tcpdump.org. IP and TCP headers are parsed
//! by `etherparse`. Packets that are no TCP, and those that cannot be read whole, are told by
//! [`Skipped`]; nothing is guessed. Not here: putting segments together (`reassembly`).

mod fragments;
mod names;
mod tunnel;

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, LaxIpSlice, LenSource, TcpSlice, ip_number};
use serde::{Serialize, Serializer};

use super::file::Packet;
use crate::wire::{Reader, Short};
use fragments::{Fragment, Fragments};

/// One TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// Whom it is for.
    pub to: SocketAddr,
    /// The sequence number of its first byte, or of the SYN.
    pub seq: u32,
    /// The next sequence number expected from the other end.
    pub ack: Option<u32>,
    /// Opens the stream.
    pub syn: bool,
    /// Closes the stream.
    pub fin: bool,
    /// Ends the connection at once.
    pub rst: bool,
    /// The bytes carried, as far as they were kept.
    pub payload: &'a [u8],
    /// How many more bytes it carried that were not kept.
    pub missing: usize,
}

/// Why a packet gave no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skipped {
    /// Ordinary traffic that is not TCP, such as ARP or DNS.
    NotTcp,
    /// A link type that is not read.
    LinkType(u16),
    /// A tunnel, or another layer in between, that is not read; its name.
    Tunnel(&'static str),
    /// A part of an IP packet of which others have not come.
    Fragment,
    /// Cut off within its headers.
    Cut,
    /// Headers that make no sense.
    Malformed,
}

impl Skipped {
    /// What is true of such packets, after their number.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::NotTcp => "that are not TCP".to_owned(),
            Self::LinkType(number) => match names::link_type(number) {
                Some(name) => format!("of link type {number} ({name})"),
                None => format!("of link type {number}"),
            },
            Self::Tunnel(name) => format!("in {name}"),
            Self::Fragment => "fragments of IP packets whose other parts are missing".to_owned(),
            Self::Cut => "cut off within their headers".to_owned(),
            Self::Malformed => "with headers that make no sense".to_owned(),
        }
    }
}

impl Serialize for Skipped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape {
            reason: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            link_type: Option<u16>,
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'static str>,
        }
        let (reason, link_type, name) = match *self {
            Self::NotTcp => ("not-tcp", None, None),
            Self::LinkType(number) => ("link-type", Some(number), names::link_type(number)),
            Self::Tunnel(name) => ("tunnel", None, Some(name)),
            Self::Fragment => ("fragment", None, None),
            Self::Cut => ("cut", None, None),
            Self::Malformed => ("malformed", None, None),
        };
        Shape {
            reason,
            link_type,
            name,
        }
        .serialize(serializer)
    }
}

mod linktype {
    pub(super) const NULL: u16 = 0;
    pub(super) const ETHERNET: u16 = 1;
    /// `LINKTYPE_RAW`, and the two values that BSDs wrote for it.
    pub(super) const RAW: [u16; 3] = [101, 12, 14];
    pub(super) const LOOP: u16 = 108;
    pub(super) const LINUX_SLL: u16 = 113;
    pub(super) const IPV4: u16 = 228;
    pub(super) const IPV6: u16 = 229;
    pub(super) const LINUX_SLL2: u16 = 276;
}

mod ethertype {
    pub(super) const IPV4: u16 = 0x0800;
    pub(super) const IPV6: u16 = 0x86dd;
    /// 802.1Q, 802.1ad, and what was used before 802.1ad.
    pub(super) const VLAN: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];
    /// MPLS, to one receiver and to many.
    pub(super) const MPLS: [u16; 2] = [0x8847, 0x8848];
    pub(super) const PPPOE: u16 = 0x8864;
    /// What is told by name, and not read.
    pub(super) const OTHER: [(u16, &str); 3] = [
        (0x88e5, "MACsec"),
        (0x8903, "FabricPath"),
        (0x8909, "Cisco metadata"),
    ];
}

/// The most VLAN tags of a frame.
const MAX_TAGS: usize = 8;

/// The most layers of tunnels, and of fragments within them.
const MAX_DEPTH: usize = 8;

/// The address families of IP in the NULL and LOOP headers: the same for IPv4 everywhere, and for
/// IPv6 that of Linux, Windows, NetBSD and OpenBSD, FreeBSD, macOS.
const FAMILIES: [u32; 6] = [2, 10, 23, 24, 28, 30];

/// What lies in a packet.
#[derive(Clone, Copy)]
enum Decoded<'a> {
    Segment(Segment<'a>),
    /// A part of an IP packet.
    Fragment(Fragment<'a>),
}

/// Reads packets, and joins those that came in parts.
#[derive(Debug, Default)]
pub struct Decoder {
    fragments: Fragments,
    /// The IP packet that was joined last.
    joined: Vec<u8>,
}

impl Decoder {
    /// The segment that a packet carries, or completes.
    ///
    /// # Errors
    /// It carries none that can be read, or a part only.
    pub fn segment<'a>(&'a mut self, packet: &Packet<'a>) -> Result<Segment<'a>, Skipped> {
        let part = match decode(packet)? {
            Decoded::Segment(segment) => return Ok(segment),
            Decoded::Fragment(part) => part,
        };
        let mut whole = self.fragments.join(&part, packet.at)?;
        for _ in 0..MAX_DEPTH {
            let Ok(Decoded::Fragment(part)) = ip(&whole, Rest::whole()) else {
                break;
            };
            whole = self.fragments.join(&part, packet.at)?;
        }
        self.joined = whole;
        only_segment(ip(&self.joined, Rest::whole())?)
    }

    /// How many packets have turned out to be parts of joined ones since the last call; they were
    /// told as [`Skipped::Fragment`].
    pub fn take_joined(&mut self) -> u64 {
        self.fragments.take_joined()
    }
}

/// The segment that a packet carries, where it came in one piece.
///
/// # Errors
/// It carries none that can be read.
pub fn segment<'a>(packet: &Packet<'a>) -> Result<Segment<'a>, Skipped> {
    only_segment(decode(packet)?)
}

fn only_segment(found: Decoded<'_>) -> Result<Segment<'_>, Skipped> {
    match found {
        Decoded::Segment(segment) => Ok(segment),
        Decoded::Fragment(_) => Err(Skipped::Fragment),
    }
}

/// What is known of the bytes beyond a layer.
#[derive(Clone, Copy)]
struct Rest {
    /// How many bytes at the end were not kept.
    cut: usize,
    /// How many more tunnels may be inside.
    depth: usize,
}

impl Rest {
    fn whole() -> Self {
        let depth = MAX_DEPTH;
        Self { cut: 0, depth }
    }

    /// Why there are too few bytes.
    fn short(self) -> Skipped {
        if self.cut > 0 {
            Skipped::Cut
        } else {
            Skipped::Malformed
        }
    }

    /// The same within a tunnel.
    fn inside(self) -> Result<Self, Skipped> {
        let depth = self.depth.checked_sub(1);
        let depth = depth.ok_or(Skipped::Tunnel("more tunnels in each other than are read"))?;
        Ok(Self { depth, ..self })
    }
}

fn decode<'a>(packet: &Packet<'a>) -> Result<Decoded<'a>, Skipped> {
    let rest = Rest {
        cut: packet.original.saturating_sub(packet.data.len()),
        ..Rest::whole()
    };
    let mut reader = Reader::new(packet.data);
    let short = |Short| rest.short();
    match packet.link {
        linktype::ETHERNET => return ethernet(reader, rest),
        linktype::LINUX_SLL => {
            reader.skip(14).map_err(short)?;
            let ether_type = reader.u16().map_err(short)?;
            return tagged(ether_type, reader, rest);
        }
        linktype::LINUX_SLL2 => {
            let ether_type = reader.u16().map_err(short)?;
            reader.skip(18).map_err(short)?;
            return tagged(ether_type, reader, rest);
        }
        linktype::NULL | linktype::LOOP => {
            let family = reader.u32().map_err(short)?;
            if !FAMILIES.contains(&family) && !FAMILIES.contains(&family.swap_bytes()) {
                return Err(Skipped::NotTcp);
            }
        }
        linktype::IPV4 | linktype::IPV6 => {}
        raw if linktype::RAW.contains(&raw) => {}
        other => return Err(Skipped::LinkType(other)),
    }
    ip(reader.rest(), rest)
}

/// An Ethernet frame.
fn ethernet(mut reader: Reader<'_>, rest: Rest) -> Result<Decoded<'_>, Skipped> {
    reader.skip(12).map_err(|Short| rest.short())?;
    let ether_type = reader.u16().map_err(|Short| rest.short())?;
    tagged(ether_type, reader, rest)
}

/// What is behind an ethertype; VLAN tags may come first.
fn tagged(mut ether_type: u16, mut reader: Reader<'_>, rest: Rest) -> Result<Decoded<'_>, Skipped> {
    for _ in 0..MAX_TAGS {
        if !ethertype::VLAN.contains(&ether_type) {
            break;
        }
        reader.skip(2).map_err(|Short| rest.short())?;
        ether_type = reader.u16().map_err(|Short| rest.short())?;
    }
    match ether_type {
        ethertype::IPV4 | ethertype::IPV6 => ip(reader.rest(), rest),
        ethertype::PPPOE => tunnel::pppoe(reader, rest.inside()?),
        mpls if ethertype::MPLS.contains(&mpls) => tunnel::mpls(reader, rest.inside()?),
        other => {
            let known = ethertype::OTHER.iter().find(|(number, _)| *number == other);
            Err(known.map_or(Skipped::NotTcp, |(_, name)| Skipped::Tunnel(name)))
        }
    }
}

/// What is in an IP packet.
fn ip(packet: &[u8], rest: Rest) -> Result<Decoded<'_>, Skipped> {
    let bad = rest.short();
    let (ip, stopped) = LaxIpSlice::from_slice(packet).map_err(|_| bad)?;
    let body = ip.payload();
    if body.fragmented {
        return fragments::parse(packet, rest).map(Decoded::Fragment);
    }
    let payload: &[u8] = body.payload;
    match body.ip_number {
        ip_number::TCP => {}
        _ if stopped.is_some() => return Err(bad),
        ip_number::UDP => return tunnel::udp(payload, rest),
        ip_number::GRE => return tunnel::gre(payload, rest.inside()?),
        ip_number::IPV4 | ip_number::IPV6 => return self::ip(payload, rest.inside()?),
        ip_number::ENCAP_SEC => return Err(Skipped::Tunnel("IPsec (ESP)")),
        IpNumber(_) => return Err(Skipped::NotTcp),
    }
    let (from, to): (IpAddr, IpAddr) = (ip.source_addr(), ip.destination_addr());
    let claimed = match &ip {
        LaxIpSlice::Ipv4(ip) => usize::from(ip.header().total_len()),
        LaxIpSlice::Ipv6(ip) => match ip.header().payload_length() {
            0 => 0,
            length => usize::from(length) + 40,
        },
    };
    let missing = if body.incomplete {
        claimed.saturating_sub(packet.len())
    } else if body.len_source == LenSource::Slice {
        // Recorded before the network card cut it into packets and filled in the length.
        rest.cut
    } else {
        0
    };
    let bad = if missing > 0 { Skipped::Cut } else { bad };
    let tcp = TcpSlice::from_slice(payload).map_err(|_| bad)?;
    Ok(Decoded::Segment(Segment {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: tcp.payload(),
        missing,
    }))
}
