//! A window of bounded size over what is read.
//!
//! Not here: what the bytes are.

use std::io::{self, ErrorKind, Read};

/// Bytes read at a time: they fit into the second-level cache.
const BUFFER: usize = 1 << 18;

/// Nanoseconds of a second.
pub(super) const NANOS: u64 = 1_000_000_000;

/// Span of a packet in the buffer.
#[derive(Clone, Copy)]
pub(super) struct PacketSpan {
    pub(super) at: u64,
    pub(super) link: u16,
    pub(super) offset: usize,
    pub(super) kept: usize,
    pub(super) original: u32,
    pub(super) record: usize,
}

/// A window over what is read.
#[derive(Debug)]
pub(super) struct Source<R> {
    inner: R,
    pub(super) buffer: Vec<u8>,
    from: usize,
    to: usize,
    ended: bool,
    /// Offset of `from` in the file.
    pub(super) offset: u64,
    /// Bytes that are to be passed over before anything else.
    passing: usize,
}

pub(super) enum Fill {
    Ready,
    Pause,
    Ended,
}

impl<R: Read> Source<R> {
    pub(super) fn new(inner: R) -> Self {
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

    pub(super) fn left(&self) -> usize {
        self.to - self.from
    }

    /// Returns whether all that was asked for has been read or passed over.
    pub(super) fn is_empty(&self) -> bool {
        self.left() == 0 && self.passing == 0
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.from..self.to).unwrap_or_default()
    }

    /// Makes at least `n` bytes available.
    pub(super) fn fill(&mut self, n: usize) -> io::Result<Fill> {
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

    pub(super) fn consume(&mut self, n: usize) {
        let n = n.min(self.left());
        self.from += n;
        self.offset += n as u64;
    }

    /// Passes over `n` bytes without ever holding them all.
    pub(super) fn pass(&mut self, n: usize) {
        self.passing = n;
    }
}
