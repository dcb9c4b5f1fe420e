//! Packets within packets: what mirror ports, clouds, overlay networks and carriers put around the
//! traffic that they pass on.
//!
//! Each header is read as far as needed to find what is inside; nothing of it is kept. Sources:
//! RFC 7348 (VXLAN), RFC 8926 (Geneve), RFC 2784 and 2890 (GRE), RFC draft-foschiano-erspan-03,
//! 3GPP TS 29.281 (GTP-U), RFC 2516 (`PPPoE`), RFC 3032 (MPLS).

use super::layer::{Layer, Rest, ethertype};
use super::segment::Skipped;
use crate::wire::{Reader, Short};

/// VXLAN's port, and the one of Linux before there was one.
const VXLAN: [u16; 2] = [4789, 8472];
const GENEVE: u16 = 6081;
const GTP_U: u16 = 2152;

/// Ethernet in GRE and Geneve (transparent Ethernet bridging).
const BRIDGED: u16 = 0x6558;
const ERSPAN: u16 = 0x88be;
const ERSPAN_3: u16 = 0x22eb;

/// The most labels of an MPLS stack, and the most extension headers of GTP-U.
const MAX_HEADERS: usize = 8;

/// Payload of a UDP datagram, by its destination port.
pub(super) fn udp(datagram: &[u8], rest: Rest) -> Result<(Layer<'_>, Rest), Skipped> {
    let short = |Short| rest.short();
    let mut reader = Reader::new(datagram);
    reader.skip(2).map_err(short)?;
    let port = reader.u16().map_err(short)?;
    let length = usize::from(reader.u16().map_err(short)?);
    reader.skip(2).map_err(short)?;
    // A length of 0 is left to the network card.
    let inside = match length.checked_sub(8) {
        Some(length) => reader.take_up_to(length),
        None => reader.rest(),
    };
    let reader = Reader::new(inside);
    match port {
        GENEVE => geneve(reader, rest.inside()?),
        GTP_U => gtp(reader, rest.inside()?),
        port if VXLAN.contains(&port) => vxlan(reader, rest.inside()?),
        _ => Err(Skipped::NotTcp),
    }
}

fn vxlan(mut reader: Reader<'_>, rest: Rest) -> Result<(Layer<'_>, Rest), Skipped> {
    let flags = reader.u8().map_err(|Short| rest.short())?;
    // Without a valid network identifier it is something else on this port.
    if flags & 0x08 == 0 {
        return Err(Skipped::NotTcp);
    }
    reader.skip(7).map_err(|Short| rest.short())?;
    Ok((Layer::Ethernet(reader), rest))
}

fn geneve(mut reader: Reader<'_>, rest: Rest) -> Result<(Layer<'_>, Rest), Skipped> {
    let short = |Short| rest.short();
    let first = reader.u8().map_err(short)?;
    let flags = reader.u8().map_err(short)?;
    let protocol = reader.u16().map_err(short)?;
    // Another version, or a message between the tunnel's ends.
    if first >> 6 != 0 || flags & 0x80 != 0 {
        return Err(Skipped::NotTcp);
    }
    let options = usize::from(first & 0x3f) * 4;
    reader.skip(4 + options).map_err(short)?;
    Ok((by_protocol(protocol, reader), rest))
}

/// Payload that GRE and Geneve name by an ethertype.
fn by_protocol(protocol: u16, reader: Reader<'_>) -> Layer<'_> {
    match protocol {
        BRIDGED => Layer::Ethernet(reader),
        other => Layer::Typed(other, reader),
    }
}

/// GRE, and the mirror ports of Cisco in it.
pub(super) fn gre(packet: &[u8], rest: Rest) -> Result<(Layer<'_>, Rest), Skipped> {
    let short = |Short| rest.short();
    let mut reader = Reader::new(packet);
    let flags = reader.u16().map_err(short)?;
    let protocol = reader.u16().map_err(short)?;
    match flags & 7 {
        0 => {}
        1 => return Err(Skipped::Tunnel("PPTP (GRE version 1)")),
        _ => return Err(Skipped::Tunnel("GRE of an unknown version")),
    }
    if flags & 0x4000 != 0 {
        return Err(Skipped::Tunnel("GRE with source routes"));
    }
    let numbered = flags & 0x1000 != 0;
    // Checksum, key and sequence number, four bytes each.
    let fields = [0x8000, 0x2000, 0x1000].iter();
    let fields = fields.filter(|&&flag| flags & flag != 0).count();
    reader.skip(4 * fields).map_err(short)?;
    match protocol {
        // Type I has no header of its own, and no sequence number either.
        ERSPAN => {
            let header = if numbered { 8 } else { 0 };
            reader.skip(header).map_err(short)?;
            Ok((Layer::Ethernet(reader), rest))
        }
        ERSPAN_3 => {
            reader.skip(11).map_err(short)?;
            let optional = reader.u8().map_err(short)? & 1 != 0;
            let header = if optional { 8 } else { 0 };
            reader.skip(header).map_err(short)?;
            Ok((Layer::Ethernet(reader), rest))
        }
        other => Ok((by_protocol(other, reader), rest)),
    }
}

fn gtp(mut reader: Reader<'_>, rest: Rest) -> Result<(Layer<'_>, Rest), Skipped> {
    /// A packet of the subscriber (G-PDU); the others are between the tunnel's ends.
    const PACKET: u8 = 255;
    let short = |Short| rest.short();
    let flags = reader.u8().map_err(short)?;
    let kind = reader.u8().map_err(short)?;
    // Version 1, and GTP itself rather than the charging protocol.
    if flags >> 4 != 3 || kind != PACKET {
        return Err(Skipped::NotTcp);
    }
    reader.skip(6).map_err(short)?;
    if flags & 7 != 0 {
        reader.skip(3).map_err(short)?;
        let mut next = reader.u8().map_err(short)?;
        for _ in 0..MAX_HEADERS {
            if next == 0 {
                break;
            }
            let length = usize::from(reader.u8().map_err(short)?) * 4;
            let length = length.checked_sub(2).ok_or(Skipped::Malformed)?;
            reader.skip(length).map_err(short)?;
            next = reader.u8().map_err(short)?;
        }
        if next != 0 {
            return Err(Skipped::Malformed);
        }
    }
    by_version(reader, rest, Skipped::NotTcp)
}

/// An IP packet whose version is only in itself.
fn by_version(
    reader: Reader<'_>,
    rest: Rest,
    other: Skipped,
) -> Result<(Layer<'_>, Rest), Skipped> {
    let packet = reader.rest();
    match packet.first().map(|first| first >> 4) {
        Some(4 | 6) => Ok((Layer::Ip(packet), rest)),
        Some(_) => Err(other),
        None => Err(rest.short()),
    }
}

/// A session of PPP over Ethernet.
pub(super) fn pppoe(mut reader: Reader<'_>, rest: Rest) -> Result<(Layer<'_>, Rest), Skipped> {
    let short = |Short| rest.short();
    reader.skip(6).map_err(short)?;
    match reader.u16().map_err(short)? {
        0x0021 => Ok((Layer::Typed(ethertype::IPV4, reader), rest)),
        0x0057 => Ok((Layer::Typed(ethertype::IPV6, reader), rest)),
        // PPP's own messages.
        _ => Err(Skipped::NotTcp),
    }
}

/// Labels, and an IP packet behind the last one.
pub(super) fn mpls(mut reader: Reader<'_>, rest: Rest) -> Result<(Layer<'_>, Rest), Skipped> {
    for _ in 0..MAX_HEADERS {
        let label = reader.u32().map_err(|Short| rest.short())?;
        if label & 0x100 != 0 {
            let other = Skipped::Tunnel("MPLS around something that is not IP");
            return by_version(reader, rest, other);
        }
    }
    Err(Skipped::Malformed)
}
