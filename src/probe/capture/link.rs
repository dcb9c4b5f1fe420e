//! TCP segments out of packets: link headers, VLAN tags, IPv4 and IPv6 with extension headers.
//!
//! The numbers are those of the LINKTYPE_ registry of tcpdump.org. IP and TCP headers are parsed
//! by `etherparse`. Packets that are no TCP, and those that cannot be read whole, are told by
//! [`Skipped`]; nothing is guessed. Not here: putting segments together (`reassembly`).

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, LaxIpSlice, LenSource, TcpSlice, ip_number};

use super::file::Packet;
use crate::wire::{Reader, Short};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// Ordinary traffic that is not TCP, such as ARP or DNS.
    NotTcp,
    /// A link type that is not read.
    LinkType,
    /// A tunnel, or another layer in between (`PPPoE`, MPLS, GRE).
    Tunnel,
    /// A part of an IP packet.
    Fragment,
    /// Cut off within its headers.
    Cut,
    /// Headers that make no sense.
    Malformed,
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
    /// MPLS, `PPPoE`, `MACsec`, and Cisco's `FabricPath` and metadata.
    pub(super) const TUNNEL: [u16; 6] = [0x8847, 0x8848, 0x8864, 0x88e5, 0x8903, 0x8909];
}

/// The most VLAN tags of a frame.
const MAX_TAGS: usize = 8;

/// The address families of IP in the NULL and LOOP headers: the same for IPv4 everywhere, and for
/// IPv6 that of Linux, Windows, NetBSD and OpenBSD, FreeBSD, macOS.
const FAMILIES: [u32; 6] = [2, 10, 23, 24, 28, 30];

/// The segment that a packet carries.
///
/// # Errors
/// It carries none that can be read.
pub fn segment<'a>(packet: &Packet<'a>) -> Result<Segment<'a>, Skipped> {
    let cut = packet.original.saturating_sub(packet.data.len());
    let mut reader = Reader::new(packet.data);
    let short = |Short| {
        if cut > 0 {
            Skipped::Cut
        } else {
            Skipped::Malformed
        }
    };
    let ether_type = match packet.link {
        linktype::ETHERNET => {
            reader.skip(12).map_err(short)?;
            Some(reader.u16().map_err(short)?)
        }
        linktype::LINUX_SLL => {
            reader.skip(14).map_err(short)?;
            Some(reader.u16().map_err(short)?)
        }
        linktype::LINUX_SLL2 => {
            let ether_type = reader.u16().map_err(short)?;
            reader.skip(18).map_err(short)?;
            Some(ether_type)
        }
        linktype::NULL | linktype::LOOP => {
            let family = reader.u32().map_err(short)?;
            if !FAMILIES.contains(&family) && !FAMILIES.contains(&family.swap_bytes()) {
                return Err(Skipped::NotTcp);
            }
            None
        }
        linktype::IPV4 | linktype::IPV6 => None,
        raw if linktype::RAW.contains(&raw) => None,
        _ => return Err(Skipped::LinkType),
    };
    if let Some(mut ether_type) = ether_type {
        for _ in 0..MAX_TAGS {
            if !ethertype::VLAN.contains(&ether_type) {
                break;
            }
            reader.skip(2).map_err(short)?;
            ether_type = reader.u16().map_err(short)?;
        }
        match ether_type {
            ethertype::IPV4 | ethertype::IPV6 => {}
            other if ethertype::TUNNEL.contains(&other) => return Err(Skipped::Tunnel),
            _ => return Err(Skipped::NotTcp),
        }
    }
    ip(reader.rest(), cut)
}

/// The segment in an IP packet whose last `cut` bytes were not kept.
fn ip(packet: &[u8], cut: usize) -> Result<Segment<'_>, Skipped> {
    let bad = if cut > 0 {
        Skipped::Cut
    } else {
        Skipped::Malformed
    };
    let (ip, stopped) = LaxIpSlice::from_slice(packet).map_err(|_| bad)?;
    let body = ip.payload();
    if body.fragmented {
        return Err(Skipped::Fragment);
    }
    match body.ip_number {
        ip_number::TCP => {}
        _ if stopped.is_some() => return Err(bad),
        ip_number::IPV4 | ip_number::IPV6 | ip_number::GRE | ip_number::ENCAP_SEC => {
            return Err(Skipped::Tunnel);
        }
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
        cut
    } else {
        0
    };
    let bad = if missing > 0 { Skipped::Cut } else { bad };
    let payload: &[u8] = body.payload;
    let tcp = TcpSlice::from_slice(payload).map_err(|_| bad)?;
    Ok(Segment {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: tcp.payload(),
        missing,
    })
}
