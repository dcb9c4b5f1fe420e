//! The blocks of pcapng that matter: sections, interfaces, packets old and new.
//!
//! Source: draft-ietf-opsawg-pcapng. Not here: where a block begins and ends.

use pcap_parser::OptionCode;
use pcap_parser::pcapng::{
    PcapNGOption, parse_enhancedpacketblock_be, parse_enhancedpacketblock_le,
    parse_interfacedescriptionblock_be, parse_interfacedescriptionblock_le,
    parse_sectionheaderblock, parse_simplepacketblock_be, parse_simplepacketblock_le,
};

use super::source::{NANOS, PacketSpan};
use crate::wire::{Reader, Short};

/// The most interfaces of a section; Wireshark's largest captures have some hundred.
const MAX_INTERFACES: usize = 4096;

#[derive(Clone, Copy, Debug)]
pub(super) struct Interface {
    link: u16,
    snaplen: u32,
    unit: Unit,
    /// Seconds to add to each time.
    offset: i64,
}

/// Resolution of an interface's clock.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// This many nanoseconds.
    Nanos(u64),
    /// A nanosecond divided by this.
    PartOfNano(u64),
    /// A second divided by two to this power.
    PowerOfTwo(u32),
}

impl Unit {
    /// From the option `if_tsresol`.
    fn new(resolution: u8) -> Option<Self> {
        let exponent = u32::from(resolution & 0x7f);
        if resolution & 0x80 != 0 {
            return (exponent < 64).then_some(Self::PowerOfTwo(exponent));
        }
        if exponent <= 9 {
            10_u64.checked_pow(9 - exponent).map(Self::Nanos)
        } else {
            10_u64.checked_pow(exponent - 9).map(Self::PartOfNano)
        }
    }

    fn nanos(self, units: u64) -> u64 {
        match self {
            Self::Nanos(nanos) => units.saturating_mul(nanos),
            Self::PartOfNano(parts) => units / parts.max(1),
            Self::PowerOfTwo(power) => {
                let nanos = (u128::from(units) * u128::from(NANOS)) >> power;
                u64::try_from(nanos).unwrap_or(u64::MAX)
            }
        }
    }
}

pub(super) fn section(block: &[u8]) -> Result<(), &'static str> {
    parse_sectionheaderblock(block)
        .map(drop)
        .map_err(|_| "a section header cannot be read")
}

pub(super) fn interface(
    block: &[u8],
    big_endian: bool,
    known: usize,
) -> Result<Interface, &'static str> {
    if known >= MAX_INTERFACES {
        return Err("there are more interfaces than any machine has");
    }
    let parse = if big_endian {
        parse_interfacedescriptionblock_be
    } else {
        parse_interfacedescriptionblock_le
    };
    let (_, block) = parse(block).map_err(|_| "an interface cannot be read")?;
    // pcap-parser knows neither resolutions in powers of two nor offsets in big-endian files.
    let resolution = option(&block.options, OptionCode::IfTsresol)
        .and_then(|value| Reader::new(value).u8().ok())
        .unwrap_or(6);
    let offset = option(&block.options, OptionCode::IfTsoffset)
        .and_then(|value| Fields::new(value, big_endian).u64().ok())
        .unwrap_or(0);
    let [.., high, low] = block.linktype.0.to_be_bytes();
    Ok(Interface {
        link: u16::from_be_bytes([high, low]),
        snaplen: block.snaplen,
        unit: Unit::new(resolution).ok_or("an interface's clock makes no sense")?,
        offset: i64::from_ne_bytes(offset.to_ne_bytes()),
    })
}

fn option<'a>(options: &'a [PcapNGOption<'_>], code: OptionCode) -> Option<&'a [u8]> {
    let option = options.iter().find(|option| option.code == code)?;
    Some(option.value())
}

impl Interface {
    fn time(&self, high: u32, low: u32) -> u64 {
        let units = (u64::from(high) << 32) | u64::from(low);
        let offset = self.offset.saturating_mul(1_000_000_000);
        self.unit.nanos(units).saturating_add_signed(offset)
    }
}

const UNDECLARED: &str = "a packet names an interface that was not declared";
const UNREADABLE: &str = "a packet block cannot be read";

pub(super) fn enhanced(
    block: &[u8],
    big_endian: bool,
    interfaces: &[Interface],
) -> Result<PacketSpan, &'static str> {
    let parse = if big_endian {
        parse_enhancedpacketblock_be
    } else {
        parse_enhancedpacketblock_le
    };
    let (_, packet) = parse(block).map_err(|_| UNREADABLE)?;
    let interface = usize::try_from(packet.if_id)
        .ok()
        .and_then(|id| interfaces.get(id))
        .ok_or(UNDECLARED)?;
    Ok(PacketSpan {
        at: interface.time(packet.ts_high, packet.ts_low),
        link: interface.link,
        offset: 28,
        kept: usize::try_from(packet.caplen).map_err(|_| UNREADABLE)?,
        original: packet.origlen,
        record: block.len(),
    })
}

/// A packet without a time of its own: it has that of the packet before.
pub(super) fn simple(
    block: &[u8],
    big_endian: bool,
    interfaces: &[Interface],
    at: u64,
) -> Result<PacketSpan, &'static str> {
    let parse = if big_endian {
        parse_simplepacketblock_be
    } else {
        parse_simplepacketblock_le
    };
    let (_, packet) = parse(block).map_err(|_| UNREADABLE)?;
    let interface = interfaces.first().ok_or(UNDECLARED)?;
    let mut kept = packet.origlen;
    if interface.snaplen > 0 {
        kept = kept.min(interface.snaplen);
    }
    Ok(PacketSpan {
        at,
        link: interface.link,
        offset: 12,
        kept: usize::try_from(kept)
            .map_err(|_| UNREADABLE)?
            .min(packet.data.len()),
        original: packet.origlen,
        record: block.len(),
    })
}

pub(super) fn old(
    block: &[u8],
    big_endian: bool,
    interfaces: &[Interface],
) -> Result<PacketSpan, &'static str> {
    let read = || {
        let mut fields = Fields::new(block, big_endian);
        fields.u64()?;
        let interface = fields.u16()?;
        fields.u16()?;
        let time = (fields.u32()?, fields.u32()?);
        let lengths = (fields.u32()?, fields.u32()?);
        Ok((interface, time, lengths))
    };
    let (interface, (high, low), (kept, original)) = read().map_err(|Short| UNREADABLE)?;
    let interface = interfaces.get(usize::from(interface)).ok_or(UNDECLARED)?;
    let kept = usize::try_from(kept).map_err(|_| UNREADABLE)?;
    if kept.saturating_add(32) > block.len() {
        return Err(UNREADABLE);
    }
    Ok(PacketSpan {
        at: interface.time(high, low),
        link: interface.link,
        offset: 28,
        kept,
        original,
        record: block.len(),
    })
}

/// Integers in the byte order of a pcapng section.
pub(super) struct Fields<'a> {
    reader: Reader<'a>,
    big_endian: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8], big_endian: bool) -> Self {
        Self {
            reader: Reader::new(bytes),
            big_endian,
        }
    }

    pub(super) fn u16(&mut self) -> Result<u16, Short> {
        let value = self.reader.u16()?;
        Ok(if self.big_endian {
            value
        } else {
            value.swap_bytes()
        })
    }

    pub(super) fn u32(&mut self) -> Result<u32, Short> {
        let value = self.reader.u32()?;
        Ok(if self.big_endian {
            value
        } else {
            value.swap_bytes()
        })
    }

    pub(super) fn u64(&mut self) -> Result<u64, Short> {
        let (first, second) = (self.u32()?, self.u32()?);
        let (high, low) = if self.big_endian {
            (first, second)
        } else {
            (second, first)
        };
        Ok((u64::from(high) << 32) | u64::from(low))
    }
}
