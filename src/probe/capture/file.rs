//! Packets out of a capture file or pipe: pcap and pcapng.
//!
//! It reads from any [`Read`] through one buffer of bounded size, so that captures of any length
//! and live pipes are read alike. The formats are those of the IETF drafts
//! draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng, the record and block layouts are parsed by
//! `pcap-parser`. Not here: what is inside a packet ([`super::link`]).

use std::io::{self, ErrorKind, Read};

use pcap_parser::pcapng::{
    PcapNGOption, parse_enhancedpacketblock_be, parse_enhancedpacketblock_le,
    parse_interfacedescriptionblock_be, parse_interfacedescriptionblock_le,
    parse_sectionheaderblock, parse_simplepacketblock_be, parse_simplepacketblock_le,
};
use pcap_parser::{OptionCode, PcapHeader, parse_pcap_frame, parse_pcap_frame_be};
use pcap_parser::{parse_pcap_frame_modified, parse_pcap_header};

use super::foreign;
use crate::wire::{Reader, Short};

/// The longest record or block that is taken into memory, in bytes: four times the largest
/// snapshot length of tcpdump, and more than the largest segment that Linux offloads.
const MAX_RECORD: usize = 1 << 20;

/// How much is read at a time, in bytes: it fits into the second-level cache.
const BUFFER: usize = 1 << 18;

/// The most interfaces of a section; Wireshark's largest captures have some hundred.
const MAX_INTERFACES: usize = 4096;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
/// The Packet Block, which the Enhanced Packet Block has replaced.
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// The length of pcap's file header, in bytes.
const PCAP_HEADER: usize = 24;

const NANOS: u64 = 1_000_000_000;

/// Why a capture cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It is something else.
    #[error("this is not a pcap or pcapng capture: {0}")]
    NotACapture(&'static str),
    /// Reading failed.
    #[error("cannot read the capture: {0}")]
    Read(#[from] io::Error),
}

/// One packet as it was recorded.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When it was recorded, in nanoseconds since 1970 in UTC; 0 when unknown.
    pub at: u64,
    /// Its link type, a LINKTYPE_ number.
    pub link: u16,
    /// The bytes that were kept.
    pub data: &'a [u8],
    /// How long it was on the wire, in bytes.
    pub original: usize,
}

/// How a capture ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// At the end of a packet, as it should.
    Whole,
    /// In the middle of the record that begins at this offset, in bytes.
    Cut(u64),
    /// The record that begins at this offset, in bytes, makes no sense, for this reason.
    Damaged(u64, &'static str),
}

/// What comes next.
#[derive(Debug)]
pub enum Next<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// Nothing just now: the source would block. Ask again.
    Pause,
    /// Nothing any more.
    End(Ended),
}

/// Reads the packets of a capture.
#[derive(Debug)]
pub struct Packets<R> {
    source: Source<R>,
    format: Format,
    /// The length of the record whose packet was given out last.
    taken: usize,
    last_at: u64,
}

#[derive(Debug)]
enum Format {
    /// Nothing has been read yet.
    Unknown,
    Pcap {
        parse: Order,
        nanoseconds: bool,
        link: u16,
    },
    Pcapng {
        big_endian: bool,
        interfaces: Vec<Interface>,
    },
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Little,
    Big,
    /// Alexey Kuznetsov's variant with longer record headers.
    Modified,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    snaplen: u32,
    unit: Unit,
    /// Seconds to add to each time.
    offset: i64,
}

/// How long one unit of an interface's clock is.
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

/// What one step over the file gave.
enum Step {
    Found(Found),
    /// Something that is not a packet.
    Passed,
    Pause,
    End(Ended),
}

/// Where in the buffer a packet lies.
#[derive(Clone, Copy)]
struct Found {
    at: u64,
    link: u16,
    offset: usize,
    kept: usize,
    original: u32,
    record: usize,
}

/// Leaves a step early when there are not enough bytes.
macro_rules! need {
    ($packets:expr, $bytes:expr) => {
        match $packets.source.fill($bytes)? {
            Fill::Ready => {}
            Fill::Pause => return Ok(Step::Pause),
            Fill::Ended if $packets.source.is_empty() => return Ok(Step::End(Ended::Whole)),
            Fill::Ended => return Ok(Step::End(Ended::Cut($packets.source.offset))),
        }
    };
}

impl<R: Read> Packets<R> {
    /// Reads from `source`; a source that would block makes [`read`](Self::read) pause.
    pub fn new(source: R) -> Self {
        Self {
            source: Source::new(source),
            format: Format::Unknown,
            taken: 0,
            last_at: 0,
        }
    }

    /// How many bytes of the file lie before the current packet.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.source.offset
    }

    /// The next packet.
    ///
    /// After [`Next::End`] it is the end for ever.
    ///
    /// # Errors
    /// The source cannot be read, or is no capture.
    pub fn read(&mut self) -> Result<Next<'_>, CaptureError> {
        let found = loop {
            let taken = std::mem::take(&mut self.taken);
            self.source.consume(taken);
            match self.step()? {
                Step::Found(found) => break found,
                Step::Passed => {}
                Step::Pause => return Ok(Next::Pause),
                Step::End(ended) => return Ok(Next::End(ended)),
            }
        };
        self.taken = found.record;
        self.last_at = found.at;
        let mut record = Reader::new(self.source.bytes());
        let data = match record.skip(found.offset) {
            Ok(()) => record.take_up_to(found.kept),
            Err(Short) => &[],
        };
        Ok(Next::Packet(Packet {
            at: found.at,
            link: found.link,
            data,
            // Some writers leave the original length 0.
            original: usize::try_from(found.original)
                .unwrap_or(usize::MAX)
                .max(data.len()),
        }))
    }

    fn step(&mut self) -> Result<Step, CaptureError> {
        match self.format {
            Format::Unknown => self.begin(),
            Format::Pcap { .. } => self.record(),
            Format::Pcapng { .. } => self.block(),
        }
    }

    /// Finds out what the file is.
    fn begin(&mut self) -> Result<Step, CaptureError> {
        // Enough for pcap's header, and for telling other files apart.
        match self.source.fill(foreign::ENOUGH)? {
            Fill::Pause if self.source.left() < PCAP_HEADER => return Ok(Step::Pause),
            Fill::Ready | Fill::Pause | Fill::Ended => {}
        }
        let start = self.source.bytes();
        let magic = Reader::new(start).u32();
        if magic == Ok(SECTION_HEADER) {
            self.format = Format::Pcapng {
                big_endian: false,
                interfaces: Vec::new(),
            };
            return Ok(Step::Passed);
        }
        let Ok((_, header)) = parse_pcap_header(start) else {
            return Err(CaptureError::NotACapture(foreign::looks_like(start)));
        };
        self.format = pcap(&header);
        self.source.consume(PCAP_HEADER);
        Ok(Step::Passed)
    }

    /// One record of a pcap file.
    fn record(&mut self) -> Result<Step, CaptureError> {
        let Format::Pcap {
            parse,
            nanoseconds,
            link,
        } = self.format
        else {
            return Ok(Step::Passed);
        };
        let header = match parse {
            Order::Little | Order::Big => 16,
            Order::Modified => 24,
        };
        need!(self, header);
        let mut fields = Reader::new(self.source.bytes());
        let kept = fields.skip(8).and_then(|()| fields.u32()).unwrap_or(0);
        let kept = match parse {
            Order::Big => kept,
            Order::Little | Order::Modified => kept.swap_bytes(),
        };
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        if kept > MAX_RECORD {
            return Ok(self.damaged("a packet claims to be longer than any packet is"));
        }
        need!(self, header + kept);
        let bytes = self.source.bytes();
        let frame = match parse {
            Order::Little => parse_pcap_frame(bytes),
            Order::Big => parse_pcap_frame_be(bytes),
            Order::Modified => parse_pcap_frame_modified(bytes),
        };
        let Ok((_, frame)) = frame else {
            return Ok(self.damaged("a packet header cannot be read"));
        };
        let fraction = u64::from(frame.ts_usec);
        if fraction >= NANOS {
            return Ok(self.damaged("a packet's time makes no sense"));
        }
        let fraction = if nanoseconds {
            fraction
        } else {
            fraction * 1000
        };
        Ok(Step::Found(Found {
            at: u64::from(frame.ts_sec) * NANOS + fraction,
            link,
            offset: header,
            kept,
            original: frame.origlen,
            record: header + kept,
        }))
    }

    /// One block of a pcapng file.
    fn block(&mut self) -> Result<Step, CaptureError> {
        need!(self, 12);
        let Format::Pcapng { big_endian, .. } = self.format else {
            return Ok(Step::Passed);
        };
        let mut fields = Fields::new(self.source.bytes(), big_endian);
        let kind = fields.u32().unwrap_or(0);
        let mut length = fields.u32().unwrap_or(0);
        if kind == SECTION_HEADER {
            // The section says its byte order itself, and this block is already in it.
            let order = fields.u32().unwrap_or(0);
            let swapped = match order {
                0x1a2b_3c4d => false,
                0x4d3c_2b1a => true,
                _ => return Ok(self.damaged("a section has no byte order")),
            };
            if swapped {
                length = length.swap_bytes();
            }
            self.format = Format::Pcapng {
                big_endian: big_endian != swapped,
                interfaces: Vec::new(),
            };
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length < 12 || length % 4 != 0 {
            return Ok(self.damaged("a block has an impossible length"));
        }
        let wanted = matches!(
            kind,
            SECTION_HEADER | INTERFACE_DESCRIPTION | OLD_PACKET | SIMPLE_PACKET | ENHANCED_PACKET
        );
        if !wanted {
            self.source.pass(length);
            return Ok(Step::Passed);
        }
        if length > MAX_RECORD {
            return Ok(self.damaged("a packet claims to be longer than any packet is"));
        }
        need!(self, length);
        let Ok(block) = Reader::new(self.source.bytes()).take(length) else {
            return Ok(Step::Passed);
        };
        let Format::Pcapng {
            big_endian,
            ref mut interfaces,
        } = self.format
        else {
            return Ok(Step::Passed);
        };
        let last_at = self.last_at;
        let found = match kind {
            SECTION_HEADER => section(block).map(|()| None),
            INTERFACE_DESCRIPTION => {
                interface(block, big_endian, interfaces.len()).map(|interface| {
                    interfaces.push(interface);
                    None
                })
            }
            ENHANCED_PACKET => enhanced(block, big_endian, interfaces).map(Some),
            SIMPLE_PACKET => simple(block, big_endian, interfaces, last_at).map(Some),
            _ => old(block, big_endian, interfaces).map(Some),
        };
        match found {
            Ok(Some(found)) => Ok(Step::Found(found)),
            Ok(None) => {
                self.source.consume(length);
                Ok(Step::Passed)
            }
            Err(why) => Ok(self.damaged(why)),
        }
    }

    fn damaged(&self, why: &'static str) -> Step {
        Step::End(Ended::Damaged(self.source.offset, why))
    }
}

fn pcap(header: &PcapHeader) -> Format {
    // The upper half tells the length of a checksum behind each frame.
    let [.., high, low] = header.network.0.to_be_bytes();
    Format::Pcap {
        parse: match (header.is_modified_format(), header.is_bigendian()) {
            (true, _) => Order::Modified,
            (false, true) => Order::Big,
            (false, false) => Order::Little,
        },
        nanoseconds: header.is_nanosecond_precision(),
        link: u16::from_be_bytes([high, low]),
    }
}

fn section(block: &[u8]) -> Result<(), &'static str> {
    parse_sectionheaderblock(block)
        .map(drop)
        .map_err(|_| "a section header cannot be read")
}

fn interface(block: &[u8], big_endian: bool, known: usize) -> Result<Interface, &'static str> {
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

fn enhanced(
    block: &[u8],
    big_endian: bool,
    interfaces: &[Interface],
) -> Result<Found, &'static str> {
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
    Ok(Found {
        at: interface.time(packet.ts_high, packet.ts_low),
        link: interface.link,
        offset: 28,
        kept: usize::try_from(packet.caplen).map_err(|_| UNREADABLE)?,
        original: packet.origlen,
        record: block.len(),
    })
}

/// A packet without a time of its own: it has that of the packet before.
fn simple(
    block: &[u8],
    big_endian: bool,
    interfaces: &[Interface],
    at: u64,
) -> Result<Found, &'static str> {
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
    Ok(Found {
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

fn old(block: &[u8], big_endian: bool, interfaces: &[Interface]) -> Result<Found, &'static str> {
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
    Ok(Found {
        at: interface.time(high, low),
        link: interface.link,
        offset: 28,
        kept,
        original,
        record: block.len(),
    })
}

/// Integers in the byte order of a pcapng section.
struct Fields<'a> {
    reader: Reader<'a>,
    big_endian: bool,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8], big_endian: bool) -> Self {
        Self {
            reader: Reader::new(bytes),
            big_endian,
        }
    }

    fn u16(&mut self) -> Result<u16, Short> {
        let value = self.reader.u16()?;
        Ok(if self.big_endian {
            value
        } else {
            value.swap_bytes()
        })
    }

    fn u32(&mut self) -> Result<u32, Short> {
        let value = self.reader.u32()?;
        Ok(if self.big_endian {
            value
        } else {
            value.swap_bytes()
        })
    }

    fn u64(&mut self) -> Result<u64, Short> {
        let (first, second) = (self.u32()?, self.u32()?);
        let (high, low) = if self.big_endian {
            (first, second)
        } else {
            (second, first)
        };
        Ok((u64::from(high) << 32) | u64::from(low))
    }
}

/// A window over what is read.
#[derive(Debug)]
struct Source<R> {
    inner: R,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    ended: bool,
    /// Where `from` is in the file.
    offset: u64,
    /// Bytes that are to be passed over before anything else.
    passing: usize,
}

enum Fill {
    Ready,
    Pause,
    Ended,
}

impl<R: Read> Source<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            buffer: vec![0; BUFFER],
            from: 0,
            to: 0,
            ended: false,
            offset: 0,
            passing: 0,
        }
    }

    fn left(&self) -> usize {
        self.to - self.from
    }

    /// Whether all that was asked for has been read or passed over.
    fn is_empty(&self) -> bool {
        self.left() == 0 && self.passing == 0
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(self.from..self.to).unwrap_or_default()
    }

    /// Makes at least `n` bytes available.
    fn fill(&mut self, n: usize) -> io::Result<Fill> {
        loop {
            if self.passing > 0 {
                let now = self.passing.min(self.left());
                self.passing -= now;
                self.consume(now);
            }
            if self.passing == 0 && self.left() >= n {
                return Ok(Fill::Ready);
            }
            if self.ended {
                return Ok(Fill::Ended);
            }
            if self.from + n > self.buffer.len() || self.from == self.to {
                self.buffer.copy_within(self.from..self.to, 0);
                self.to = self.left();
                self.from = 0;
                if n > self.buffer.len() {
                    self.buffer.resize(n.next_power_of_two(), 0);
                }
            }
            let room = self.buffer.get_mut(self.to..).unwrap_or_default();
            match self.inner.read(room) {
                Ok(0) => self.ended = true,
                Ok(read) => self.to += read.min(room.len()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Fill::Pause),
                Err(e) => return Err(e),
            }
        }
    }

    fn consume(&mut self, n: usize) {
        let n = n.min(self.left());
        self.from += n;
        self.offset += n as u64;
    }

    /// Passes over `n` bytes without ever holding them all.
    fn pass(&mut self, n: usize) {
        self.passing = n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &[u8] = include_bytes!("../../../tests/data/captures/pg-plaintext.pcap");
    const RECORDED_NG: &[u8] = include_bytes!("../../../tests/data/captures/any-sll2.pcapng");

    /// Gives one byte, then would block.
    struct Slow<'a>(&'a [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::WouldBlock.into());
            }
            let room = buffer.len().min(1);
            self.0.read(buffer.get_mut(..room).unwrap_or_default())
        }
    }

    fn all(source: impl Read) -> (Vec<(u64, Vec<u8>)>, Ended) {
        let mut packets = Packets::new(source);
        let mut found = Vec::new();
        loop {
            match packets.read().unwrap() {
                Next::Packet(packet) => found.push((packet.at, packet.data.to_vec())),
                Next::Pause => {}
                Next::End(ended) => return (found, ended),
            }
        }
    }

    #[test]
    fn a_source_that_gives_one_byte_at_a_time_gives_the_same_packets() {
        for (recorded, number) in [(RECORDED, 17), (RECORDED_NG, 42)] {
            let (packets, ended) = all(recorded);
            assert_eq!((packets.len(), ended), (number, Ended::Whole));
            assert_eq!(all(Slow(recorded, false)), (packets, ended));
        }
    }

    #[test]
    fn a_length_that_lies_makes_nobody_take_memory() {
        let packet_of = |length: u32| {
            let header = RECORDED.get(..24).unwrap_or_default();
            [
                header,
                &[0; 8],
                &length.to_le_bytes(),
                &length.to_le_bytes(),
            ]
            .concat()
        };
        let mut section = RECORDED_NG.get(..28).unwrap_or_default().to_vec();
        section.splice(4..8, 28_u32.to_le_bytes());
        section.splice(24..28, 28_u32.to_le_bytes());
        let block_of = |kind: u32, length: u32| {
            [
                &section[..],
                &kind.to_le_bytes(),
                &length.to_le_bytes(),
                &[0; 4],
            ]
            .concat()
        };
        let begun = |at| Ended::Damaged(at, "a packet claims to be longer than any packet is");
        for (file, end) in [
            (packet_of(u32::MAX), begun(24)),
            (packet_of(1 << 21), begun(24)),
            (packet_of(1 << 19), Ended::Cut(24)),
            (block_of(ENHANCED_PACKET, 1 << 30), begun(28)),
            (block_of(INTERFACE_DESCRIPTION, 1 << 30), begun(28)),
            (block_of(0x4bad, 1 << 30), Ended::Cut(40)),
        ] {
            let mut packets = Packets::new(&file[..]);
            let Ok(Next::End(ended)) = packets.read() else {
                panic!("no packet is there");
            };
            assert_eq!(ended, end);
            let taken = packets.source.buffer.capacity();
            assert!(taken <= 2 * MAX_RECORD, "{taken} bytes for {end:?}");
        }
    }

    #[test]
    fn the_end_stays_the_end() {
        let mut packets = Packets::new(RECORDED.get(..100).unwrap_or_default());
        while let Ok(Next::Packet(_)) = packets.read() {}
        for _ in 0..3 {
            let next = packets.read();
            assert!(matches!(next, Ok(Next::End(Ended::Cut(24)))), "{next:?}");
        }
    }
}
