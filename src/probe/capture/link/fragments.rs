//! IP packets that came in parts, joined (RFC 791 section 3.2, RFC 8200 section 4.5).
//!
//! Memory is bounded, whatever a capture holds. Parts that overlap without saying the same void
//! their packet, in both versions of IP (RFC 5722). Not here: what a joined packet carries.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use etherparse::defrag::IpDefragBuf;
use etherparse::{IpFragOffset, IpNumber, Ipv4HeaderSlice, Ipv6HeaderSlice, ip_number};

use super::layer::Rest;
use super::segment::Skipped;
use crate::wire::{Reader, Short};

/// The most packets of which parts are held; one takes 64 KiB at most.
const MAX_OPEN: usize = 256;

/// The most parts of a packet: eight times as many as the smallest usual size of a link makes.
const MAX_PARTS: u64 = 1024;

/// Reassembly timeout, in nanoseconds (RFC 8200 section 4.5).
const MAX_AGE: u64 = 60_000_000_000;

/// A part of an IP packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    key: Key,
    offset: IpFragOffset,
    more: bool,
    payload: &'a [u8],
}

/// Identity of a fragmented packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    from: IpAddr,
    to: IpAddr,
    id: u32,
    inside: IpNumber,
}

/// Packets of which some parts have come.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    open: HashMap<Key, Open>,
    /// The open ones, the oldest first, and some that no longer are.
    order: VecDeque<(Key, u64)>,
    last_number: u64,
    joined: u64,
}

#[derive(Debug)]
struct Open {
    number: u64,
    began: u64,
    parts: u64,
    bytes: IpDefragBuf,
}

impl Fragments {
    /// Adds a part that was recorded at this time; the packet that it completes, with an IP header.
    ///
    /// # Errors
    /// Others are missing, or the parts do not fit each other.
    pub(super) fn join(&mut self, part: &Fragment<'_>, at: u64) -> Result<Vec<u8>, Skipped> {
        let key = part.key;
        let old = self
            .open
            .get(&key)
            .is_some_and(|open| open.began.abs_diff(at) > MAX_AGE || open.parts >= MAX_PARTS);
        if old {
            self.open.remove(&key);
        }
        if !self.open.contains_key(&key) {
            self.begin(key, at);
        }
        let Some(open) = self.open.get_mut(&key) else {
            return Err(Skipped::Fragment);
        };
        if !fits(&open.bytes, part) {
            self.open.remove(&key);
            return Err(Skipped::Malformed);
        }
        let added = open.bytes.add(part.offset, part.more, part.payload);
        if added.is_err() {
            self.open.remove(&key);
            return Err(Skipped::Malformed);
        }
        open.parts += 1;
        if !open.bytes.is_complete() {
            return Err(Skipped::Fragment);
        }
        let Some(open) = self.open.remove(&key) else {
            return Err(Skipped::Fragment);
        };
        let packet = packet(key, open.bytes.data()).ok_or(Skipped::Malformed)?;
        self.joined += open.parts - 1;
        Ok(packet)
    }

    /// Number of fragments reported as incomplete whose packet is complete since, counted once.
    pub(super) fn take_joined(&mut self) -> u64 {
        std::mem::take(&mut self.joined)
    }

    fn begin(&mut self, key: Key, began: u64) {
        while self.open.len() >= MAX_OPEN || self.order.len() >= 2 * MAX_OPEN {
            let Some((key, number)) = self.order.pop_front() else {
                break;
            };
            if self
                .open
                .get(&key)
                .is_some_and(|open| open.number == number)
            {
                self.open.remove(&key);
            }
        }
        self.last_number += 1;
        let number = self.last_number;
        self.order.push_back((key, number));
        let open = Open {
            number,
            began,
            parts: 0,
            bytes: IpDefragBuf::new(key.inside, Vec::new(), Vec::new()),
        };
        self.open.insert(key, open);
    }
}

/// Returns whether a part says the same as those before it wherever it overlaps them: a copy of
/// one.
fn fits(bytes: &IpDefragBuf, part: &Fragment<'_>) -> bool {
    let start = usize::from(part.offset.byte_offset());
    let end = start + part.payload.len();
    let mut overlapping = bytes
        .sections()
        .iter()
        .filter(|section| usize::from(section.start) < end && start < usize::from(section.end));
    overlapping.all(|section| {
        let within = usize::from(section.start) <= start && end <= usize::from(section.end);
        within && bytes.data().get(start..end) == Some(part.payload)
    })
}

/// An IP packet in one piece, with the shortest header.
fn packet(key: Key, payload: &[u8]) -> Option<Vec<u8>> {
    let mut packet = Vec::with_capacity(payload.len() + 40);
    match (key.from, key.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = u16::try_from(payload.len() + 20).ok()?;
            packet.extend([0x45, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([0, 0, 0, 0, 64, key.inside.0, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let length = u16::try_from(payload.len()).ok()?;
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([key.inside.0, 64]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        _ => return None,
    }
    packet.extend(payload);
    Some(packet)
}

/// The part that an IP packet is.
pub(super) fn parse(packet: &[u8], rest: Rest) -> Result<Fragment<'_>, Skipped> {
    if packet.first().is_some_and(|first| first >> 4 == 6) {
        parse_v6(packet, rest)
    } else {
        parse_v4(packet, rest)
    }
}

fn parse_v4(packet: &[u8], rest: Rest) -> Result<Fragment<'_>, Skipped> {
    let header = Ipv4HeaderSlice::from_slice(packet).map_err(|_| rest.short())?;
    let length = header.payload_len().map_err(|_| Skipped::Malformed)?;
    let mut reader = Reader::new(packet);
    let payload = reader
        .skip(header.slice().len())
        .and_then(|()| reader.take(usize::from(length)))
        .map_err(|Short| rest.short())?;
    let key = Key {
        from: header.source_addr().into(),
        to: header.destination_addr().into(),
        id: header.identification().into(),
        inside: header.protocol(),
    };
    Ok(Fragment {
        key,
        offset: header.fragments_offset(),
        more: header.more_fragments(),
        payload,
    })
}

fn parse_v6(packet: &[u8], rest: Rest) -> Result<Fragment<'_>, Skipped> {
    let short = |Short| rest.short();
    let header = Ipv6HeaderSlice::from_slice(packet).map_err(|_| rest.short())?;
    let mut reader = Reader::new(packet);
    reader.skip(header.slice().len()).map_err(short)?;
    let payload = reader.take(usize::from(header.payload_length()));
    let mut reader = Reader::new(payload.map_err(short)?);
    let mut next = header.next_header();
    // What every router reads comes before the part, eight bytes or more for each header.
    while next != ip_number::IPV6_FRAG {
        next = IpNumber(reader.u8().map_err(short)?);
        let length = usize::from(reader.u8().map_err(short)?);
        reader.skip(length * 8 + 6).map_err(short)?;
    }
    let inside = IpNumber(reader.u8().map_err(short)?);
    reader.skip(1).map_err(short)?;
    let field = reader.u16().map_err(short)?;
    let id = reader.u32().map_err(short)?;
    let offset = IpFragOffset::try_new(field >> 3).map_err(|_| Skipped::Malformed)?;
    let key = Key {
        from: header.source_addr().into(),
        to: header.destination_addr().into(),
        id,
        inside,
    };
    Ok(Fragment {
        key,
        offset,
        more: field & 1 != 0,
        payload: reader.rest(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part of eight bytes at `offset` of a packet with this number.
    fn fragment(id: u32, offset: u16, more: bool) -> Fragment<'static> {
        Fragment {
            key: Key {
                from: IpAddr::from([10, 0, 0, 1]),
                to: IpAddr::from([10, 0, 0, 2]),
                id,
                inside: ip_number::TCP,
            },
            offset: IpFragOffset::try_new(offset).unwrap(),
            more,
            payload: &[1, 2, 3, 4, 5, 6, 7, 8],
        }
    }

    #[test]
    fn what_is_held_is_bounded_and_the_oldest_give_way() {
        let mut fragments = Fragments::default();
        for id in 0..10_000 {
            // The highest place makes the largest buffer.
            assert_eq!(
                fragments.join(&fragment(id, 8189, true), 0),
                Err(Skipped::Fragment)
            );
            assert!(fragments.open.len() <= MAX_OPEN && fragments.order.len() <= 2 * MAX_OPEN);
        }
        let held: usize = fragments
            .open
            .values()
            .map(|open| open.bytes.data().capacity())
            .sum();
        assert!(held <= MAX_OPEN * (128 << 10), "{held}");
        // One of which there are too many parts begins anew, and never ends.
        for at in 0..5_000 {
            let _ = fragments.join(&fragment(7, at + 1, true), 0);
            assert!(fragments.open.values().all(|open| open.parts <= MAX_PARTS));
        }
    }

    #[test]
    fn parts_belong_together_for_a_minute() {
        for (age, joined) in [(MAX_AGE, true), (MAX_AGE + 1, false)] {
            let mut fragments = Fragments::default();
            assert!(fragments.join(&fragment(1, 0, true), 0).is_err());
            let packet = fragments.join(&fragment(1, 1, false), age);
            assert_eq!(packet.is_ok_and(|packet| packet.len() == 36), joined);
            assert_eq!(fragments.take_joined(), u64::from(joined));
        }
    }

    #[test]
    fn a_packet_too_long_for_its_header_is_none() {
        let mut fragments = Fragments::default();
        let whole: Vec<u8> = vec![0; 65_520];
        let first = Fragment {
            payload: &whole,
            ..fragment(1, 0, true)
        };
        assert!(fragments.join(&first, 0).is_err());
        let last = fragment(1, 8190, false);
        assert_eq!(fragments.join(&last, 0), Err(Skipped::Malformed));
    }
}
