//! Recognises one failure while a backend authenticates a client: SCRAM channel binding.
//!
//! Where the gateway ends TLS and starts it anew, client and backend each bind the login to
//! another certificate, and the backend refuses it with a text that names neither the gateway nor
//! the cure. This watches the decrypted bytes from the backend, so that the session can be closed
//! with the true reason. It changes no byte and keeps next to none.
//! Source: Postgres documentation, "Message Formats" (the authentication requests, `ErrorResponse`) and
//! "SASL Authentication"; RFC 5802 section 6 (channel binding).

use crate::preface::LoginEvent;
use crate::wire::Reader;

/// The most bytes kept of an `ErrorResponse`: code and message stand at its beginning.
const MAX_KEPT: usize = 1024;

/// The longest message accepted during authentication; libpq gives up at 30,000.
const MAX_BODY: usize = 1 << 16;

/// The SQLSTATE `invalid_authorization_specification`.
const INVALID_AUTHORIZATION: &[u8] = b"28000";

/// Watches the bytes that a backend sends until it has authenticated the client.
#[derive(Debug, Default)]
pub struct AuthWatch {
    event: LoginEvent,
    /// The type byte and the length word of the current message, as far as they have come.
    header: Vec<u8>,
    /// The beginning of its body, where the type makes it worth it.
    kept: Vec<u8>,
    /// Bytes of its body still to come.
    left: usize,
}

impl AuthWatch {
    /// Takes the next bytes from the backend and says what is known after them.
    ///
    /// The work is bounded by the length of `input`, the memory by about 1 KiB. The answer does
    /// not depend on how the bytes were cut.
    pub fn feed(&mut self, input: &[u8]) -> LoginEvent {
        let mut reader = Reader::new(input);
        while self.event == LoginEvent::Watching && !reader.is_empty() {
            if self.left == 0 {
                self.event = self.read_header(&mut reader);
            } else {
                self.event = self.read_body(&mut reader);
            }
        }
        self.event
    }

    fn read_header(&mut self, reader: &mut Reader<'_>) -> LoginEvent {
        if self.header.is_empty() {
            self.kept.clear();
        }
        self.header
            .extend_from_slice(reader.take_up_to(5 - self.header.len()));
        let mut header = Reader::new(&self.header);
        // What a server may send before the client is authenticated, and just after.
        if !matches!(
            header.u8(),
            Ok(b'R' | b'E' | b'N' | b'S' | b'v' | b'K' | b'Z')
        ) {
            return LoginEvent::Done;
        }
        let Ok(length) = header.u32() else {
            return LoginEvent::Watching;
        };
        // The length counts its own 4 bytes.
        match usize::try_from(length).ok().and_then(|n| n.checked_sub(4)) {
            None => LoginEvent::Done,
            Some(body) if body > MAX_BODY => LoginEvent::Done,
            Some(0) => self.end_of_message(),
            Some(body) => {
                self.left = body;
                LoginEvent::Watching
            }
        }
    }

    fn read_body(&mut self, reader: &mut Reader<'_>) -> LoginEvent {
        let part = reader.take_up_to(self.left);
        self.left -= part.len();
        let worth_keeping = match self.header.first() {
            Some(b'R') => 4,
            Some(b'E') => MAX_KEPT,
            _ => 0,
        };
        let room = worth_keeping - self.kept.len();
        self.kept
            .extend_from_slice(Reader::new(part).take_up_to(room));
        if self.left == 0 {
            self.end_of_message()
        } else {
            LoginEvent::Watching
        }
    }

    fn end_of_message(&mut self) -> LoginEvent {
        let message_type = self.header.first().copied();
        self.header.clear();
        match message_type {
            Some(b'R') => match Reader::new(&self.kept).u32() {
                Ok(0) | Err(_) => LoginEvent::Done, // AuthenticationOk, or no legal message
                Ok(_) => LoginEvent::Watching,
            },
            Some(b'E') if is_channel_binding_failure(&self.kept) => {
                LoginEvent::ChannelBindingFailed
            }
            Some(b'E') => LoginEvent::Done,
            _ => LoginEvent::Watching,
        }
    }
}

/// True if the fields of an `ErrorResponse`, possibly cut off, report a failed binding.
fn is_channel_binding_failure(fields: &[u8]) -> bool {
    let mut reader = Reader::new(fields);
    let (mut code, mut message, mut file) = (&b""[..], &b""[..], &b""[..]);
    while let Ok(field @ 1..) = reader.u8() {
        // A field that was cut off counts as far as it goes.
        let text = reader
            .until_nul()
            .unwrap_or_else(|_| reader.take_up_to(usize::MAX));
        match field {
            b'C' => code = text,
            b'M' => message = text,
            b'F' => file = text,
            _ => {}
        }
    }
    let phrase = b"channel binding";
    let told = message
        .windows(phrase.len())
        .any(|window| window.eq_ignore_ascii_case(phrase));
    // A server may translate its messages, but not the name of the source file, and that file
    // raises this code for the channel binding only.
    code == INVALID_AUTHORIZATION && (told || file == b"auth-scram.c")
}

#[cfg(test)]
mod tests {
    use super::*;
    use LoginEvent::{ChannelBindingFailed, Done, Watching};

    fn frame(message_type: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[message_type], &length.to_be_bytes()[..], body].concat()
    }

    fn error(code: &str, message: &str) -> Vec<u8> {
        error_from("auth.c", code, message)
    }

    fn error_from(file: &str, code: &str, message: &str) -> Vec<u8> {
        let fields = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0F{file}\0L1\0Rf\0\0");
        frame(b'E', fields.as_bytes())
    }

    /// The event after all of `input`, which must not depend on how it was cut.
    fn watch(input: &[u8]) -> LoginEvent {
        let event = AuthWatch::default().feed(input);
        for size in [1, 2, 3, 7, 1000] {
            let mut watch = AuthWatch::default();
            let mut last = Watching;
            for part in input.chunks(size) {
                last = watch.feed(part);
                assert!(watch.kept.len() <= MAX_KEPT && watch.header.len() <= 5);
            }
            assert_eq!(last, event, "in parts of {size}");
            assert_eq!(watch.feed(b""), event);
        }
        event
    }

    const FAILED: &str = "SCRAM channel binding check failed";

    /// The messages of a server before it verifies the client's proof.
    fn dialogue() -> Vec<u8> {
        [
            frame(b'v', &[0, 3, 0, 0, 0, 0, 0, 0]),
            frame(b'N', b"SNOTICE\0Mhello\0\0"),
            frame(b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
            frame(b'R', b"\0\0\0\x0br=x,s=y,i=4096"),
        ]
        .concat()
    }

    #[test]
    fn a_failed_channel_binding_is_told_from_all_other_ends() {
        let long = "x".repeat(2000);
        for (end, event) in [
            (vec![], Watching),
            (frame(b'R', b"\0\0\0\0"), Done),
            (error("28000", FAILED), ChannelBindingFailed),
            (
                error("28000", "SCRAM channel binding negotiation error"),
                ChannelBindingFailed,
            ),
            (error("28P01", FAILED), Done),
            (error_from("auth-scram.c", "28P01", "translated"), Done),
            (
                error_from("auth-scram.c", "28000", "translated"),
                ChannelBindingFailed,
            ),
            (
                error("28000", "role \"ann\" is not permitted to log in"),
                Done,
            ),
            (
                error("28000", &(FAILED.to_owned() + &long)),
                ChannelBindingFailed,
            ),
            (error("28000", &(long + FAILED)), Done),
            (frame(b'E', b""), Done),
            (frame(b'E', b"C28000"), Done),
            (
                frame(b'E', b"M channel binding\0C28000"),
                ChannelBindingFailed,
            ),
            (frame(b'R', b""), Done),
            (frame(b'R', b"\0\0\0"), Done),
            (frame(b'R', b"\0\0\0\0x"), Done),
            (b"HTTP/1.1 400".to_vec(), Done),
            (b"N\0\0\0\x03".to_vec(), Done),
            (b"N\0\x01\0\x05".to_vec(), Done),
            (b"N\0\0\0".to_vec(), Watching),
            (b"N\0\x01\0\x04".to_vec(), Watching),
        ] {
            assert_eq!(watch(&end), event, "{end:x?}");
            let later = [dialogue(), end].concat();
            assert_eq!(watch(&later), event);
        }
    }

    #[test]
    fn an_incomplete_error_is_not_judged() {
        let end = error("28000", FAILED);
        for cut in 0..end.len() {
            assert_eq!(watch(&end[..cut]), Watching);
        }
    }

    #[test]
    fn what_follows_the_end_changes_nothing() {
        let ok = frame(b'R', b"\0\0\0\0");
        let rows = b"E\0\0\0\x04S".to_vec();
        assert_eq!(watch(&[ok.clone(), error("28000", FAILED)].concat()), Done);
        assert_eq!(
            watch(&[error("28000", FAILED), ok, rows].concat()),
            ChannelBindingFailed
        );
    }

    #[test]
    fn long_bodies_are_skipped_without_being_kept() {
        let mut input = frame(b'N', &vec![b'x'; MAX_BODY]);
        input.extend(frame(b'S', &vec![b'x'; 20_000]));
        input.extend(error("28000", FAILED));
        assert_eq!(watch(&input), ChannelBindingFailed);
    }
}
