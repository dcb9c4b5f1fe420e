//! TCP segments out of packets: link headers, VLAN tags, IPv4 and IPv6 with extension headers, and
//! the tunnels (`tunnel`) and fragments (`fragments`) in which they may come.
//!
//! The numbers are those of the LINKTYPE_ registry of tcpdump.org. IP and TCP headers are parsed
//! by `etherparse`. Packets that are not TCP, and those that cannot be read whole, give
//! [`Skipped`]; nothing is guessed. Not here: putting segments together (`reassembly`).

mod fragments;
mod layer;
mod names;
mod segment;
mod tunnel;

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, LaxIpSlice, LenSource, TcpSlice, ip_number};

use super::file::Packet;
use crate::wire::{Reader, Short};
use fragments::{Fragment, Fragments};
use layer::{Layer, MAX_DEPTH, Rest, ethertype};

pub use segment::{Segment, Skipped};

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

/// The most VLAN tags of a frame.
const MAX_TAGS: usize = 8;

/// The address families of IP in the NULL and LOOP headers: the same for IPv4 everywhere, and for
/// IPv6 that of Linux, Windows, NetBSD and OpenBSD, FreeBSD, macOS.
const FAMILIES: [u32; 6] = [2, 10, 23, 24, 28, 30];

/// Content of a packet.
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
            let Ok(Decoded::Fragment(part)) = descend(Layer::Ip(&whole), Rest::whole()) else {
                break;
            };
            whole = self.fragments.join(&part, packet.at)?;
        }
        self.joined = whole;
        only_segment(descend(Layer::Ip(&self.joined), Rest::whole())?)
    }

    /// Number of packets that have turned out to be fragments of joined ones since the last call;
    /// they were reported as [`Skipped::Fragment`].
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

/// Reads a packet down to its segment, or to a fragment of an IP packet.
fn decode<'a>(packet: &Packet<'a>) -> Result<Decoded<'a>, Skipped> {
    let rest = Rest {
        cut: packet.original.saturating_sub(packet.data.len()),
        ..Rest::whole()
    };
    descend(link_header(packet, rest)?, rest)
}

/// Reads layer by layer; each tunnel uses up some of the depth that is left.
fn descend(mut layer: Layer<'_>, mut rest: Rest) -> Result<Decoded<'_>, Skipped> {
    loop {
        (layer, rest) = match layer {
            Layer::Ethernet(reader) => (ethernet(reader, rest)?, rest),
            Layer::Typed(ether_type, reader) => typed(ether_type, reader, rest)?,
            Layer::Ip(packet) => match ip(packet, rest)? {
                Payload::Decoded(decoded) => return Ok(decoded),
                Payload::Layer(layer, rest) => (layer, rest),
            },
        };
    }
}

/// The layer below the link header, by the link type.
fn link_header<'a>(packet: &Packet<'a>, rest: Rest) -> Result<Layer<'a>, Skipped> {
    let mut reader = Reader::new(packet.data);
    let short = |Short| rest.short();
    match packet.link {
        linktype::ETHERNET => return Ok(Layer::Ethernet(reader)),
        linktype::LINUX_SLL => {
            reader.skip(14).map_err(short)?;
            let ether_type = reader.u16().map_err(short)?;
            return Ok(Layer::Typed(ether_type, reader));
        }
        linktype::LINUX_SLL2 => {
            let ether_type = reader.u16().map_err(short)?;
            reader.skip(18).map_err(short)?;
            return Ok(Layer::Typed(ether_type, reader));
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
    Ok(Layer::Ip(reader.rest()))
}

/// The layer below an Ethernet header.
fn ethernet(mut reader: Reader<'_>, rest: Rest) -> Result<Layer<'_>, Skipped> {
    reader.skip(12).map_err(|Short| rest.short())?;
    let ether_type = reader.u16().map_err(|Short| rest.short())?;
    Ok(Layer::Typed(ether_type, reader))
}

/// The layer behind an ethertype, VLAN tags skipped.
fn typed(
    mut ether_type: u16,
    mut reader: Reader<'_>,
    rest: Rest,
) -> Result<(Layer<'_>, Rest), Skipped> {
    for _ in 0..MAX_TAGS {
        if !ethertype::VLAN.contains(&ether_type) {
            break;
        }
        reader.skip(2).map_err(|Short| rest.short())?;
        ether_type = reader.u16().map_err(|Short| rest.short())?;
    }
    match ether_type {
        ethertype::IPV4 | ethertype::IPV6 => Ok((Layer::Ip(reader.rest()), rest)),
        ethertype::PPPOE => tunnel::pppoe(reader, rest.inside()?),
        mpls if ethertype::MPLS.contains(&mpls) => tunnel::mpls(reader, rest.inside()?),
        other => {
            let known = ethertype::OTHER.iter().find(|(number, _)| *number == other);
            Err(known.map_or(Skipped::NotTcp, |(_, name)| Skipped::Tunnel(name)))
        }
    }
}

/// Payload of an IP packet.
enum Payload<'a> {
    Decoded(Decoded<'a>),
    /// A tunnel.
    Layer(Layer<'a>, Rest),
}

fn ip(packet: &[u8], rest: Rest) -> Result<Payload<'_>, Skipped> {
    let layer = |(layer, rest)| Payload::Layer(layer, rest);
    let bad = rest.short();
    let (ip, stopped) = LaxIpSlice::from_slice(packet).map_err(|_| bad)?;
    let body = ip.payload();
    if body.fragmented {
        let fragment = fragments::parse(packet, rest)?;
        return Ok(Payload::Decoded(Decoded::Fragment(fragment)));
    }
    let payload: &[u8] = body.payload;
    match body.ip_number {
        ip_number::TCP => {}
        _ if stopped.is_some() => return Err(bad),
        ip_number::UDP => return tunnel::udp(payload, rest).map(layer),
        ip_number::GRE => return tunnel::gre(payload, rest.inside()?).map(layer),
        ip_number::IPV4 | ip_number::IPV6 => {
            return Ok(Payload::Layer(Layer::Ip(payload), rest.inside()?));
        }
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
    Ok(Payload::Decoded(Decoded::Segment(Segment {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: tcp.payload(),
        missing,
    })))
}
