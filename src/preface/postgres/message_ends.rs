//! Finds where the messages of a server end, by their lengths alone: only there may another's message
//! be put behind them.
//!
//! It takes a few instructions a message, whatever its length, and keeps no byte of it.
//! Source: Postgres documentation, "Message Formats": a type byte, then a length that counts itself.

/// The length of a message's type and length words.
const HEADER: usize = 5;

/// The position of a server's bytes among its messages.
#[derive(Debug, Default)]
pub struct MessageEnds {
    /// Bytes of the current message that are still to come.
    left: usize,
    /// The beginning of a header that has come in part.
    header: [u8; HEADER],
    /// Its length.
    begun: u8,
    /// What came is not made of messages.
    lost: bool,
}

impl MessageEnds {
    /// Takes the next bytes from the server; false once they are not made of messages.
    pub fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while !self.lost {
            match bytes.get(self.left..) {
                // Most end inside a message, or with it.
                None => {
                    self.left -= bytes.len();
                    return true;
                }
                Some([]) => {
                    self.left = 0;
                    return true;
                }
                Some(rest) => bytes = rest,
            }
            self.left = 0;
            match bytes.split_first_chunk::<HEADER>() {
                Some((header, body)) if self.begun == 0 => {
                    self.begin(*header);
                    bytes = body;
                }
                _ => bytes = self.gather(bytes),
            }
        }
        false
    }

    /// True if all that has come are whole messages.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.left == 0 && self.begun == 0 && !self.lost
    }

    fn begin(&mut self, header: [u8; HEADER]) {
        let [_, length @ ..] = header;
        // The length counts its own 4 bytes.
        match usize::try_from(u32::from_be_bytes(length)).map(|n| n.checked_sub(4)) {
            Ok(Some(body)) => self.left = body,
            _ => self.lost = true,
        }
    }

    /// Takes a header that comes in parts; gives what is behind it.
    fn gather<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        for place in self.header.iter_mut().skip(self.begun.into()) {
            let Some((byte, behind)) = rest.split_first() else {
                return rest;
            };
            (*place, rest) = (*byte, behind);
            self.begun += 1;
        }
        self.begun = 0;
        self.begin(self.header);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: usize) -> Vec<u8> {
        let length = u32::try_from(body + 4).unwrap();
        [&b"D"[..], &length.to_be_bytes(), &vec![b'Z'; body]].concat()
    }

    #[test]
    fn it_is_known_at_every_byte_whether_a_message_ends_there() {
        let lengths = [0, 1, 3, 4, 5, 6, 200];
        let all: Vec<u8> = lengths.iter().flat_map(|body| message(*body)).collect();
        let mut at = 0;
        let ends: Vec<usize> = lengths
            .iter()
            .map(|body| {
                at += HEADER + body;
                at
            })
            .collect();
        for first in 0..=all.len() {
            for step in [1, 2, 3, 5, 7, 64, 1000] {
                let mut messages = MessageEnds::default();
                assert!(messages.feed(&all[..first]));
                let mut seen = first;
                for part in all[first..].chunks(step) {
                    let between = seen == 0 || ends.contains(&seen);
                    assert_eq!(messages.is_between(), between, "{first}, {step}, {seen}");
                    assert!(messages.feed(part));
                    seen += part.len();
                }
                assert!(messages.is_between(), "{first}, {step}");
            }
        }
    }

    #[test]
    fn what_is_not_made_of_messages_has_no_end() {
        for bytes in [&b"S\0\0\0\x03"[..], b"R\0\0\0\x08\0\0\0\0N\0\0\0\0"] {
            for step in [1, 4, 100] {
                let mut messages = MessageEnds::default();
                let whole = bytes.chunks(step).all(|part| messages.feed(part));
                assert!(!whole && !messages.is_between(), "{bytes:x?}");
            }
        }
        // As the answer to a request for encryption: a part of a header for ever.
        let mut messages = MessageEnds::default();
        assert!(messages.feed(b"N") && !messages.is_between());
    }
}
