//! The packets that carry everything: a length, a number, a payload.

use super::MysqlError;
use crate::wire::{Reader, Short};

/// The longest payload accepted before a login is there, in bytes; the protocol allows 16 MiB.
pub const MAX_PACKET: usize = 64 * 1024;

/// The length and the number before each payload.
pub(super) const HEADER: usize = 4;

/// A whole packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its number; both ends count on in turn from 0, the greeting.
    pub seq: u8,
    /// Its content, never empty.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads the packet at the front of `input`; `None` means that more bytes are needed.
    ///
    /// # Errors
    /// [`MysqlError::TooLong`] and [`MysqlError::Empty`], as soon as the length is there.
    pub fn read(input: &'a [u8]) -> Result<Option<Self>, MysqlError> {
        let Some((length, seq)) = header(input)? else {
            return Ok(None);
        };
        let mut reader = Reader::new(input);
        let payload = reader.skip(HEADER).and_then(|()| reader.take(length));
        Ok(payload.ok().map(|payload| Self { seq, payload }))
    }

    /// The bytes that the packet takes, header included.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        HEADER + self.payload.len()
    }
}

/// The length and the number of the packet at the front of `input`, once both are there.
pub(super) fn header(input: &[u8]) -> Result<Option<(usize, u8)>, MysqlError> {
    let mut reader = Reader::new(input);
    let Ok(length) = reader.u24_le() else {
        return Ok(None);
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    match (length, reader.u8()) {
        (0, _) => Err(MysqlError::Empty),
        (length, _) if length > MAX_PACKET => Err(MysqlError::TooLong(length)),
        (_, Err(Short)) => Ok(None),
        (length, Ok(seq)) => Ok(Some((length, seq))),
    }
}

/// A packet as bytes; what lies behind the first [`MAX_PACKET`] bytes of a payload is left out.
#[must_use]
pub fn encode(seq: u8, payload: &[u8]) -> Vec<u8> {
    let payload = Reader::new(payload).take_up_to(MAX_PACKET);
    let [a, b, c, _] = u32::try_from(payload.len()).unwrap_or(0).to_le_bytes();
    [&[a, b, c, seq][..], payload].concat()
}
