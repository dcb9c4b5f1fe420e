//! Sessions that the gateway ends: what a client reads last, where the backend is in the middle of
//! something.

use std::io::Read;

use serde_json::json;

use super::Played;
use crate::raw::{put, startup, take};

/// `AuthenticationOk`, `ReadyForQuery`.
const LOGGED_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

/// Last words, whole: an `ErrorResponse` with the code of an administrator's shutdown.
fn is_last_words(bytes: &[u8]) -> bool {
    let Some((&[b'E', a, b, c, d], body)) = bytes.split_first_chunk::<5>() else {
        return false;
    };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).expect("a length");
    body.len() + 4 == length && body.windows(6).any(|part| part == b"C57P01")
}

/// Where a message of the backend has begun, the client would take the gateway's for the rest of it.
#[test]
fn last_words_never_stand_inside_a_message() {
    let row = [&b"D\0\0\0\x64"[..], &[b'x'; 96]].concat();
    for mode in ["terminate", "reencrypt"] {
        let played = Played::start("postgres", mode);
        for (what, sent, told) in [
            ("nothing begun", &b""[..], true),
            ("a whole row", &row, true),
            ("a type", b"D", false),
            ("a part of the length", b"D\0\0", false),
            ("a header", &row[..5], false),
            ("a part of a row", &row[..50], false),
            ("a row but for a byte", &row[..100], false),
            ("no message at all", b"D\0\0\0\0", false),
        ] {
            println!("{mode}: {what}");
            let mut client = played.client();
            let hello = startup(0, &[("user", "app")]);
            put(&mut client, &hello);
            let mut backend = played.backend();
            take(&mut backend, hello.len());
            let all = [LOGGED_IN, sent].concat();
            put(&mut backend, &all);
            assert_eq!(take(&mut client, all.len()), all, "{what}");
            played.gateway.call("kill", &json!({"database": "pg1"}));
            let mut last = Vec::new();
            // Where nothing can be said, the end is one without a goodbye.
            let read = client.read_to_end(&mut last);
            if told {
                assert!(
                    read.is_ok() && is_last_words(&last),
                    "{}",
                    last.escape_ascii()
                );
            } else {
                assert_eq!(last, b"", "{what}: {}", last.escape_ascii());
            }
            played.gateway.wait_sessions(0);
        }
    }
}
