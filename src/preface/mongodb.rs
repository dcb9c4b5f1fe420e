//! The command with which a MongoDB driver introduces itself.
//!
//! Not here: any answer. Source: "MongoDB Wire Protocol" (`OP_MSG`, `OP_QUERY`), the BSON
//! specification, and the drivers' "MongoDB Handshake" specification: a driver sends nothing else
//! before the server has answered.

use super::{FlightKind, Preface};
use crate::wire::{Reader, Short};

/// MongoDB and its relatives.
#[derive(Clone, Copy, Debug)]
pub struct Mongodb;

impl Preface for Mongodb {
    fn classify(&self, bytes: &[u8], complete: bool) -> FlightKind {
        FlightKind::greeting_if(complete && only_greets(bytes))
    }
}

const OP_QUERY: u32 = 2004;
const OP_MSG: u32 = 2013;

/// The names of the greeting, older ones included.
const HELLO: [&[u8]; 3] = [b"hello", b"isMaster", b"ismaster"];

/// True if a server that has received `input` on a new connection can only have read a greeting,
/// or has nothing complete to act on.
#[must_use]
pub fn only_greets(input: &[u8]) -> bool {
    let mut reader = Reader::new(input);
    let Ok(length) = reader.u32_le() else {
        return true;
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    // The length counts itself.
    match length.checked_sub(4) {
        Some(left) if left > reader.left() => true,
        Some(left) if left == reader.left() => is_hello(reader).unwrap_or(false),
        _ => false,
    }
}

/// True if this message, behind its length, is the greeting.
fn is_hello(mut reader: Reader<'_>) -> Result<bool, Short> {
    // The numbers of the request, and of the one it answers.
    reader.skip(8)?;
    match reader.u32_le()? {
        OP_QUERY => {
            // Flags, then `admin.$cmd`, then what to skip and to return.
            reader.skip(4)?;
            reader.until_nul()?;
            reader.skip(8)?;
        }
        // Flags, then a section whose kind is one document.
        OP_MSG => {
            reader.skip(4)?;
            if reader.u8()? != 0 {
                return Ok(false);
            }
        }
        _ => return Ok(false),
    }
    // The document's length and the type of its first element, whose name is the command.
    reader.skip(5)?;
    Ok(HELLO.contains(&reader.until_nul()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(opcode: u32, before: &[u8], command: &str) -> Vec<u8> {
        let body = [
            before,
            b"\0\0\0\0\x10",
            command.as_bytes(),
            b"\0\x01\0\0\0\0",
        ]
        .concat();
        let length = u32::try_from(16 + body.len()).unwrap();
        let head = [length, 1, 0, opcode].map(u32::to_le_bytes).concat();
        [head, body].concat()
    }

    #[test]
    fn only_the_greeting_greets() {
        let query = b"\0\0\0\0admin.$cmd\0\0\0\0\0\xff\xff\xff\xff";
        for name in ["hello", "isMaster", "ismaster"] {
            for hello in [
                message(OP_QUERY, query, name),
                message(OP_MSG, &[0; 5], name),
            ] {
                for end in 0..=hello.len() {
                    assert!(only_greets(&hello[..end]), "{name} {end}");
                }
                assert!(!only_greets(&[&hello[..], b"x"].concat()), "{name}");
            }
        }
        for other in [
            message(OP_MSG, &[0; 5], "insert"),
            message(OP_QUERY, query, "insert"),
            message(OP_MSG, &[0, 0, 0, 0, 1], "hello"),
            message(2012, &[0; 5], "hello"),
            b"\x04\0\0\0".to_vec(),
            b"\0\0\0\0".to_vec(),
        ] {
            assert!(!only_greets(&other), "{}", other.escape_ascii());
        }
    }
}
