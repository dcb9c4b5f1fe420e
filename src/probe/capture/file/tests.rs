//! Sources that stutter, lengths that lie, and the end of a file.

use std::io::ErrorKind;

use super::*;

const RECORDED: &[u8] = include_bytes!("../../../../tests/data/captures/pg-plaintext.pcap");
const RECORDED_NG: &[u8] = include_bytes!("../../../../tests/data/captures/any-sll2.pcapng");

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
