//! Packets out of a capture file or pipe: pcap and pcapng.
//!
//! It reads from any [`Read`] through one buffer of bounded size, so that captures of any length
//! and live pipes are read alike. The formats are those of the IETF drafts
//! draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng, the record and block layouts are parsed by
//! `pcap-parser`. Not here: what is inside a packet ([`super::link`]).

mod pcapng;
mod source;

use std::io::{self, Read};

use pcap_parser::{PcapHeader, parse_pcap_frame, parse_pcap_frame_be};
use pcap_parser::{parse_pcap_frame_modified, parse_pcap_header};

use super::foreign;
use crate::wire::{Reader, Short};
use pcapng::{Fields, Interface, enhanced, interface, old, section, simple};
use source::{Fill, NANOS, PacketSpan, Source};

/// The longest record or block that is taken into memory, in bytes: four times the largest
/// snapshot length of tcpdump, and more than the largest segment that Linux offloads.
const MAX_RECORD: usize = 1 << 20;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
/// The Packet Block, which the Enhanced Packet Block has replaced.
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// The length of pcap's file header, in bytes.
const PCAP_HEADER: usize = 24;

/// Error of a capture that cannot be read at all.
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
    /// Time of capture, in nanoseconds since 1970 in UTC; 0 when unknown.
    pub at: u64,
    /// Its link type, a LINKTYPE_ number.
    pub link: u16,
    /// The bytes that were kept.
    pub data: &'a [u8],
    /// Length on the wire, in bytes.
    pub original: usize,
}

/// End of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// At the end of a packet, as it should.
    Whole,
    /// In the middle of the record that begins at this offset, in bytes.
    Cut(u64),
    /// The record that begins at this offset, in bytes, makes no sense, for this reason.
    Damaged(u64, &'static str),
}

/// Next item of a capture.
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

/// Result of one step over the file.
enum Advance {
    Packet(PacketSpan),
    /// Something that is not a packet.
    Skipped,
    Pause,
    End(Ended),
}

/// Leaves a step early when there are not enough bytes.
macro_rules! need {
    ($packets:expr, $bytes:expr) => {
        match $packets.source.fill($bytes)? {
            Fill::Ready => {}
            Fill::Pause => return Ok(Advance::Pause),
            Fill::Ended if $packets.source.is_empty() => return Ok(Advance::End(Ended::Whole)),
            Fill::Ended => return Ok(Advance::End(Ended::Cut($packets.source.offset))),
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

    /// Offset of the current packet in the file, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.source.offset
    }

    /// The next packet.
    ///
    /// After [`Next::End`] it stays at the end.
    ///
    /// # Errors
    /// The source cannot be read, or is not a capture.
    pub fn read(&mut self) -> Result<Next<'_>, CaptureError> {
        let found = loop {
            let taken = std::mem::take(&mut self.taken);
            self.source.consume(taken);
            match self.advance()? {
                Advance::Packet(found) => break found,
                Advance::Skipped => {}
                Advance::Pause => return Ok(Next::Pause),
                Advance::End(ended) => return Ok(Next::End(ended)),
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

    fn advance(&mut self) -> Result<Advance, CaptureError> {
        match self.format {
            Format::Unknown => self.begin(),
            Format::Pcap { .. } => self.record(),
            Format::Pcapng { .. } => self.block(),
        }
    }

    /// Finds out what the file is.
    fn begin(&mut self) -> Result<Advance, CaptureError> {
        // Enough for pcap's header, and for telling other files apart.
        match self.source.fill(foreign::ENOUGH)? {
            Fill::Pause if self.source.left() < PCAP_HEADER => return Ok(Advance::Pause),
            Fill::Ready | Fill::Pause | Fill::Ended => {}
        }
        let start = self.source.bytes();
        let magic = Reader::new(start).u32();
        if magic == Ok(SECTION_HEADER) {
            self.format = Format::Pcapng {
                big_endian: false,
                interfaces: Vec::new(),
            };
            return Ok(Advance::Skipped);
        }
        let Ok((_, header)) = parse_pcap_header(start) else {
            return Err(CaptureError::NotACapture(foreign::looks_like(start)));
        };
        self.format = pcap(&header);
        self.source.consume(PCAP_HEADER);
        Ok(Advance::Skipped)
    }

    /// One record of a pcap file.
    fn record(&mut self) -> Result<Advance, CaptureError> {
        let Format::Pcap {
            parse,
            nanoseconds,
            link,
        } = self.format
        else {
            return Ok(Advance::Skipped);
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
        Ok(Advance::Packet(PacketSpan {
            at: u64::from(frame.ts_sec) * NANOS + fraction,
            link,
            offset: header,
            kept,
            original: frame.origlen,
            record: header + kept,
        }))
    }

    /// One block of a pcapng file.
    fn block(&mut self) -> Result<Advance, CaptureError> {
        need!(self, 12);
        let Format::Pcapng { big_endian, .. } = self.format else {
            return Ok(Advance::Skipped);
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
            return Ok(Advance::Skipped);
        }
        if length > MAX_RECORD {
            return Ok(self.damaged("a packet claims to be longer than any packet is"));
        }
        need!(self, length);
        let Ok(block) = Reader::new(self.source.bytes()).take(length) else {
            return Ok(Advance::Skipped);
        };
        let Format::Pcapng {
            big_endian,
            ref mut interfaces,
        } = self.format
        else {
            return Ok(Advance::Skipped);
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
            Ok(Some(found)) => Ok(Advance::Packet(found)),
            Ok(None) => {
                self.source.consume(length);
                Ok(Advance::Skipped)
            }
            Err(why) => Ok(self.damaged(why)),
        }
    }

    fn damaged(&self, why: &'static str) -> Advance {
        Advance::End(Ended::Damaged(self.source.offset, why))
    }
}

fn pcap(header: &PcapHeader) -> Format {
    // The upper half is the length of a checksum behind each frame.
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

#[cfg(test)]
mod tests;
