//! The Postgres Responder as a client drives it: the segments decide nothing, except that bytes
//! behind a request are refused when they come with it.
//!
//! Input: one byte whose lowest bit says whether TLS is up, then segments, each a length byte and
//! as many bytes.

#![no_main]

use dbgate::preface::postgres::{self, ErrorResponse, MAX_STARTUP, PrefaceError, Startup};
use dbgate::preface::{Message, MessageKind, Responder, ResponderStep};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((flags, mut rest)) = data.split_first() else {
        return;
    };
    let inside = flags & 1 != 0;
    let mut segments = Vec::new();
    while let Some((length, tail)) = rest.split_first() {
        let (segment, next) = tail.split_at(tail.len().min(usize::from(*length)));
        segments.push(segment);
        rest = next;
    }
    let bytes = segments.concat();
    let as_cut = drive(inside, segments.into_iter());
    let one_by_one = drive(inside, bytes.chunks(1));
    if !matches!(as_cut, Err(PrefaceError::EarlyData(_))) {
        // A message is also whole when more comes with it; only its own length counts.
        assert_eq!(as_cut, one_by_one);
    }
});

/// Plays a client that sends these segments; the last answer.
fn drive<'a>(inside: bool, segments: impl Iterator<Item = &'a [u8]>) -> Result<ResponderStep, PrefaceError> {
    let mut responder = match inside {
        true => postgres::Responder::inside_tls(),
        false => postgres::Responder::default(),
    };
    let mut input = Vec::new();
    let mut replies = 0;
    for segment in segments {
        input.extend_from_slice(segment);
        match responder.advance(&input) {
            Ok(ResponderStep::NeedMore) => assert!(input.len() < MAX_STARTUP),
            Ok(ResponderStep::Reply { consumed, reply }) => {
                assert_eq!(consumed, input.len());
                let granted = responder.requested_tls().is_some() && !inside;
                assert_eq!(&*reply == b"S", granted);
                input.clear();
                replies += 1;
                assert!(replies <= 2, "each request once");
            }
            Ok(step) => {
                check_end(&step, &input, inside);
                return Ok(step);
            }
            Err(error) => {
                assert!(
                    error
                        .to_string()
                        .bytes()
                        .all(|b| b.is_ascii_graphic() || b == b' ')
                );
                return Err(error);
            }
        }
    }
    Ok(ResponderStep::NeedMore)
}

fn check_end(step: &ResponderStep, input: &[u8], inside: bool) {
    match step {
        ResponderStep::StartTls => assert!(!inside && input[0] == 0x16),
        ResponderStep::Message(Message {
            kind: MessageKind::Cancel,
            len,
            ..
        }) => assert_eq!(*len, input.len()),
        ResponderStep::Message(Message { len, .. }) => {
            let startup = Startup::parse(&input[..*len]).unwrap_or_default();
            let error = ErrorResponse {
                severity: "FATAL",
                code: "08004",
                message: startup.user.unwrap_or_default(),
                detail: startup.database,
                hint: startup.application_name,
            };
            let bytes = error.encode();
            let length = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
            assert_eq!(usize::try_from(length), Ok(bytes.len() - 1));
        }
        ResponderStep::NeedMore | ResponderStep::Reply { .. } => unreachable!("not an end"),
    }
}
