//! Takes channel binding out of the login methods that a backend offers.
//!
//! For one case only: the gateway ends a client's tunnel, speaks TLS to the backend, and the
//! client inside the tunnel does without TLS of its own. The backend sees TLS and offers
//! SCRAM-SHA-256-PLUS; libpq sees none and refuses a server that offers it. A client that does
//! without TLS says so in its first SCRAM message (`n`, not `y`), so the backend's check against
//! downgrades has nothing to object to. It would object for a client with TLS, and rightly.
//! Source: Postgres documentation, "Message Formats" (`AuthenticationSASL`) and "SASL
//! Authentication"; RFC 5802 section 6 (the gs2 flag).

use crate::wire::{Reader, Short};

/// The longest message before the login begins; libpq gives up at 30,000 too.
const MAX_MESSAGE: usize = 30_000;

/// The code of `AuthenticationSASL`.
const SASL: u32 = 10;

/// Looks at everything that a backend has sent since the `StartupMessage`.
///
/// `None` until its first authentication request, or whatever it says instead, is complete; then
/// all of `input`, without the mechanisms that bind the channel. Wait for no more than
/// [`MAX_ANSWER`] bytes.
#[must_use]
pub fn without_channel_binding(input: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(input);
    let mut output = Vec::with_capacity(input.len());
    loop {
        let (kind, body) = match message(&mut reader) {
            Ok(Some(message)) => message,
            // No message of Postgres: the client may make of it what it likes.
            Ok(None) => return Some(input.to_vec()),
            Err(Short) => return None,
        };
        match (kind, mechanisms(body)) {
            // NoticeResponse, NegotiateProtocolVersion: the authentication request is still to come.
            (b'N' | b'v', _) => push(&mut output, kind, body),
            (b'R', Some(offered)) => {
                let kept: Vec<&[u8]> = offered
                    .into_iter()
                    .filter(|mechanism| !mechanism.ends_with(b"-PLUS"))
                    .collect();
                let mut body = SASL.to_be_bytes().to_vec();
                for mechanism in kept {
                    body.extend_from_slice(mechanism);
                    body.push(0);
                }
                body.push(0);
                push(&mut output, kind, &body);
                output.extend_from_slice(reader.rest());
                return Some(output);
            }
            _ => return Some(input.to_vec()),
        }
    }
}

/// The most bytes to wait for: some notices and an authentication request.
pub const MAX_ANSWER: usize = 2 * MAX_MESSAGE;

/// The next message, as type and body; `None` if these bytes are none.
fn message<'a>(reader: &mut Reader<'a>) -> Result<Option<(u8, &'a [u8])>, Short> {
    let kind = reader.u8()?;
    let length = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    match length.checked_sub(4) {
        Some(body) if length <= MAX_MESSAGE => Ok(Some((kind, reader.take(body)?))),
        _ => Ok(None),
    }
}

/// The mechanisms of an `AuthenticationSASL`.
fn mechanisms(body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = Reader::new(body);
    if reader.u32() != Ok(SASL) {
        return None;
    }
    let mut found = Vec::new();
    loop {
        match reader.until_nul().ok()? {
            [] => return Some(found),
            mechanism => found.push(mechanism),
        }
    }
}

fn push(output: &mut Vec<u8>, kind: u8, body: &[u8]) {
    output.push(kind);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    output.extend_from_slice(&length.to_be_bytes());
    output.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        push(&mut bytes, kind, body);
        bytes
    }

    const BOTH: &[u8] = b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
    const PLAIN: &[u8] = b"\0\0\0\x0aSCRAM-SHA-256\0\0";

    #[test]
    fn the_mechanism_that_binds_is_taken_out_and_nothing_else() {
        let negotiate = message_of(b'v', b"\0\x03\0\0\0\0\0\0");
        let notice = message_of(b'N', b"SNOTICE\0\0");
        let before = [negotiate, notice].concat();
        let offer = [before.clone(), message_of(b'R', BOTH), b"behind".to_vec()].concat();
        let expected = [before, message_of(b'R', PLAIN), b"behind".to_vec()].concat();
        assert_eq!(without_channel_binding(&offer), Some(expected));
    }

    #[test]
    fn every_prefix_waits_for_more() {
        let offer = message_of(b'R', BOTH);
        for cut in 0..offer.len() {
            assert_eq!(
                without_channel_binding(offer.get(..cut).unwrap()),
                None,
                "{cut}"
            );
        }
    }

    #[test]
    fn all_else_goes_on_as_it_came() {
        for bytes in [
            message_of(b'R', b"\0\0\0\0"),
            message_of(b'R', b"\0\0\0\x05salt"),
            message_of(b'R', PLAIN),
            message_of(b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS"),
            message_of(b'E', b"SFATAL\0C57P03\0\0"),
            b"HTTP/1.1 400 Bad Request".to_vec(),
            vec![b'R', 0, 0, 0, 0],
        ] {
            assert_eq!(without_channel_binding(&bytes), Some(bytes));
        }
    }
}
