//! Slots of the table of conversations: an open one, or what is remembered of a decided one.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::probe::capture::conversation::{Conversation, Which};
use crate::probe::capture::link::Segment;

#[derive(Debug)]
pub(super) enum Slot {
    Open(Box<Open>),
    Decided(Decided),
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) conversation: Conversation,
    pub(super) closed: bool,
    pub(super) waiting: bool,
    /// It was established at its last diagnosis.
    pub(super) established: bool,
}

/// Remainder of a decided conversation.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) id: u64,
    pub(super) syns: [Option<u32>; 2],
    /// True if packets of it still came since this was last looked at.
    pub(super) alive: bool,
}

/// The two ends, the smaller first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 36]);

impl Key {
    pub(super) fn new(segment: &Segment<'_>) -> (Self, Which) {
        let (from, to) = (end(segment.from), end(segment.to));
        let (first, second, which) = if from <= to {
            (from, to, Which::First)
        } else {
            (to, from, Which::Second)
        };
        let mut bytes = [0; 36];
        for (byte, value) in bytes.iter_mut().zip(first.into_iter().chain(second)) {
            *byte = value;
        }
        (Self(bytes), which)
    }
}

fn end(addr: SocketAddr) -> [u8; 18] {
    let ip = match addr.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; 18];
    let values = ip.octets().into_iter().chain(addr.port().to_be_bytes());
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = value;
    }
    bytes
}

/// Returns whether the conversation with this number is open.
pub(super) fn is_open(table: &HashMap<Key, Slot>, key: Key, id: u64) -> bool {
    matches!(table.get(&key), Some(Slot::Open(open)) if open.conversation.id == id)
}
