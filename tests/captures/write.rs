//! Writers of captures, independent of the reader: frames, pcap, pcapng.

/// The byte order of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    fn u64(self, value: u64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

/// A packet as it is to be written.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Nanoseconds since 1970.
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
    /// The length that it claims.
    pub(crate) original: usize,
}

impl Frame {
    pub(crate) fn new(at: u64, below: &[u8], ip: &[u8]) -> Self {
        let bytes = [below, ip].concat();
        let original = bytes.len();
        Self {
            at,
            bytes,
            original,
        }
    }
}

fn u32_of(length: usize) -> u32 {
    u32::try_from(length).unwrap()
}

pub(crate) fn pcap(order: Order, nanoseconds: bool, link: u32, frames: &[Frame]) -> Vec<u8> {
    let magic = if nanoseconds {
        0xa1b2_3c4d
    } else {
        0xa1b2_c3d4
    };
    let mut file = order.u32(magic).to_vec();
    file.extend([order.u16(2), order.u16(4)].concat());
    for field in [0, 0, 262_144, link] {
        file.extend(order.u32(field));
    }
    let unit = if nanoseconds { 1 } else { 1000 };
    for frame in frames {
        let (seconds, rest) = (frame.at / 1_000_000_000, frame.at % 1_000_000_000);
        let fields = [
            u32::try_from(seconds).unwrap(),
            u32::try_from(rest / unit).unwrap(),
            u32_of(frame.bytes.len()),
            u32_of(frame.original),
        ];
        file.extend(fields.map(|field| order.u32(field)).concat());
        file.extend(&frame.bytes);
    }
    file
}

/// The form of the packets of a pcapng section.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Block {
    Enhanced,
    Old,
    /// Without a time.
    Simple,
}

/// The clock of an interface: `if_tsresol` and `if_tsoffset`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) resolution: Option<u8>,
    pub(crate) offset: i64,
}

impl Clock {
    fn units(self, at: u64) -> u64 {
        let seconds = i64::try_from(at / 1_000_000_000).unwrap() - self.offset;
        let seconds = u64::try_from(seconds).unwrap();
        let nanos = u128::from(at % 1_000_000_000);
        let per_second = match self.resolution.unwrap_or(6) {
            power if power & 0x80 != 0 => 1_u128 << (power & 0x7f),
            power => 10_u128.pow(u32::from(power)),
        };
        let rest = (nanos * per_second).div_ceil(1_000_000_000);
        u64::try_from(u128::from(seconds) * per_second + rest).unwrap()
    }
}

pub(crate) fn section(order: Order) -> Vec<u8> {
    let body = [
        &order.u32(0x1a2b_3c4d)[..],
        &order.u16(1),
        &order.u16(0),
        &order.u64(u64::MAX),
    ]
    .concat();
    block(order, 0x0a0d_0d0a, &body)
}

pub(crate) fn interface(order: Order, link: u16, clock: Clock) -> Vec<u8> {
    let mut body = [&order.u16(link)[..], &order.u16(0), &order.u32(0)].concat();
    // A name first, so that options have to be walked over.
    body.extend([&order.u16(2)[..], &order.u16(3), b"any\0"].concat());
    if let Some(resolution) = clock.resolution {
        body.extend([&order.u16(9)[..], &order.u16(1), &[resolution, 0, 0, 0]].concat());
    }
    if clock.offset != 0 {
        let offset = u64::from_ne_bytes(clock.offset.to_ne_bytes());
        body.extend([&order.u16(14)[..], &order.u16(8), &order.u64(offset)].concat());
    }
    body.extend([0; 4]);
    block(order, 1, &body)
}

pub(crate) fn packet(
    order: Order,
    kind: Block,
    interface: u16,
    clock: Clock,
    frame: &Frame,
) -> Vec<u8> {
    let units = clock.units(frame.at);
    let time = [
        order.u32(u32::try_from(units >> 32).unwrap()),
        order.u32(u32::try_from(units & 0xffff_ffff).unwrap()),
    ]
    .concat();
    let lengths = [
        order.u32(u32_of(frame.bytes.len())),
        order.u32(u32_of(frame.original)),
    ]
    .concat();
    let mut body = match kind {
        Block::Enhanced => [&order.u32(u32::from(interface))[..], &time, &lengths].concat(),
        Block::Old => [&order.u16(interface)[..], &order.u16(0), &time, &lengths].concat(),
        Block::Simple => order.u32(u32_of(frame.original)).to_vec(),
    };
    let number = match kind {
        Block::Enhanced => 6,
        Block::Old => 2,
        Block::Simple => 3,
    };
    body.extend(&frame.bytes);
    body.resize(body.len().next_multiple_of(4), 0);
    block(order, number, &body)
}

/// A block of any type.
pub(crate) fn block(order: Order, number: u32, body: &[u8]) -> Vec<u8> {
    let length = order.u32(u32_of(body.len() + 12));
    [&order.u32(number)[..], &length, body, &length].concat()
}
