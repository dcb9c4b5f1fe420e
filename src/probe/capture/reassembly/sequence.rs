//! Sequence numbers of TCP as positions in a stream (RFC 9293 section 3.4).

/// Positions from sequence numbers: these wrap around at 2^32, positions do not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sequence {
    /// A sequence number and its position, near to what came last.
    pub(super) near: Option<(u32, i64)>,
}

impl Sequence {
    /// The position of a sequence number: the one nearest to where the stream is.
    pub(super) fn position(&mut self, seq: u32) -> i64 {
        let Some((near, position)) = self.near else {
            self.near = Some((seq, 0));
            return 0;
        };
        let ahead = i64::from(seq.wrapping_sub(near).cast_signed());
        // Moves along with the stream, but not with every stray number.
        if (1..1 << 30).contains(&ahead) {
            self.near = Some((seq, position + ahead));
        }
        position + ahead
    }

    /// Returns whether a number is one that this stream can have reached.
    pub(super) fn is_near(&self, seq: u32) -> bool {
        let ahead = |near| seq.wrapping_sub(near).cast_signed();
        self.near
            .is_none_or(|(near, _)| ahead(near).unsigned_abs() < 1 << 30)
    }
}
