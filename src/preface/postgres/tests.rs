//! Tests of the Postgres preface: every way to cut a first message, and what must be refused.

use super::responder::*;
use super::*;

const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// A first message: its length word, which counts itself, its code, and the rest.
fn first_message(code: u32, rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(rest.len() + 8).unwrap();
    [&length.to_be_bytes(), &code.to_be_bytes()[..], rest].concat()
}

/// Feeds `input` byte by byte; the first answer that is not [`ResponderStep::NeedMore`], and its length.
fn bytewise(
    mut responder: Responder,
    input: &[u8],
) -> (Result<ResponderStep, PrefaceError>, usize) {
    for end in 0..=input.len() {
        let answer = responder.advance(&input[..end]);
        if answer != Ok(ResponderStep::NeedMore) {
            return (answer, end);
        }
    }
    (Ok(ResponderStep::NeedMore), input.len())
}

fn clear() -> Responder {
    Responder::default()
}

/// A client that has asked for TLS and got an `S`.
fn after_s() -> Responder {
    let mut responder = clear();
    let granted = ResponderStep::Reply {
        consumed: 8,
        reply: Bytes::from_static(b"S"),
    };
    assert_eq!(responder.advance(&SSL_REQUEST), Ok(granted));
    assert!(responder.requested_tls().is_some());
    responder
}

/// A client that has asked for GSSAPI encryption and got an `N`.
fn after_gss(mut responder: Responder) -> Responder {
    let refused = ResponderStep::Reply {
        consumed: 8,
        reply: Bytes::from_static(b"N"),
    };
    assert_eq!(responder.advance(&GSSENC_REQUEST), Ok(refused));
    assert!(responder.requested_tls().is_none());
    responder
}

#[test]
fn legal_openings_are_answered_when_complete_and_not_before() {
    let granted = ResponderStep::Reply {
        consumed: 8,
        reply: Bytes::from_static(b"S"),
    };
    let refused = ResponderStep::Reply {
        consumed: 8,
        reply: Bytes::from_static(b"N"),
    };
    let startup = |code: u32| first_message(code, b"user\0ann\0database\0shop\0\0");
    let cancel = |key: usize| first_message(CANCEL_REQUEST_CODE, &vec![7; 4 + key]);
    let longest = first_message(0x0003_0000, &vec![0; MAX_STARTUP - 8]);
    let everywhere: [(Vec<u8>, ResponderStep); 9] = [
        (startup(0x0003_0000), message(MessageKind::Login, 32)),
        (startup(0x0003_0002), message(MessageKind::Login, 32)),
        (startup(0x0003_270f), message(MessageKind::Login, 32)),
        (longest, message(MessageKind::Login, 10_004)),
        (
            first_message(0x0003_0000, b""),
            message(MessageKind::Login, 8),
        ),
        (cancel(4), message(MessageKind::Cancel, 16)),
        (cancel(32), message(MessageKind::Cancel, 44)),
        (cancel(256), message(MessageKind::Cancel, 268)),
        (GSSENC_REQUEST.to_vec(), refused.clone()),
    ];
    for (input, step) in everywhere {
        for responder in [clear(), Responder::inside_tls()] {
            assert_eq!(bytewise(responder, &input), (Ok(step.clone()), input.len()));
        }
    }
    for responder in [clear(), after_gss(clear())] {
        assert_eq!(bytewise(responder, &SSL_REQUEST), (Ok(granted.clone()), 8));
    }
    for responder in [Responder::inside_tls(), after_gss(Responder::inside_tls())] {
        assert_eq!(bytewise(responder, &SSL_REQUEST), (Ok(refused.clone()), 8));
    }
    for mut responder in [clear(), after_s(), after_gss(clear())] {
        assert_eq!(responder.advance(b""), Ok(ResponderStep::NeedMore));
        assert_eq!(
            bytewise(responder, b"\x16\x03\x01"),
            (Ok(ResponderStep::StartTls), 1)
        );
    }
    // Inside TLS, `N` to one request leaves room for the other and for what was meant all along.
    let mut inside = after_gss(Responder::inside_tls());
    assert_eq!(inside.advance(&SSL_REQUEST), Ok(refused));
    assert_eq!(
        inside.advance(&startup(0x0003_0000)),
        Ok(message(MessageKind::Login, 32))
    );
}

#[test]
fn what_follows_a_startup_message_is_left_alone() {
    let message = first_message(0x0003_0000, b"user\0ann\0\0");
    let longer = [&message[..], b"p\0\0\0\x05x"].concat();
    for end in message.len()..=longer.len() {
        assert_eq!(
            clear().advance(&longer[..end]),
            Ok(super::responder::message(MessageKind::Login, message.len()))
        );
    }
}

#[test]
fn nothing_may_follow_a_request_in_the_same_bytes() {
    let behind = [b"\x16".to_vec(), SSL_REQUEST.to_vec(), vec![0]];
    let cancel = first_message(CANCEL_REQUEST_CODE, &[7; 8]);
    for (request, name) in [
        (&SSL_REQUEST[..], "SSLRequest"),
        (&GSSENC_REQUEST, "GSSENCRequest"),
        (&cancel, "CancelRequest"),
    ] {
        for behind in &behind {
            let input = [request, behind].concat();
            for mut responder in [clear(), Responder::inside_tls()] {
                assert_eq!(
                    responder.advance(&input),
                    Err(PrefaceError::EarlyData(name))
                );
            }
        }
    }
}

#[test]
fn illegal_openings_are_refused_at_their_first_wrong_byte() {
    use PrefaceError::*;
    let cancel = |n: usize| first_message(CANCEL_REQUEST_CODE, &vec![7; n]);
    let length = |request, length| Length { request, length };
    let cases: [(Vec<u8>, PrefaceError, usize); 20] = [
        (b"GET / HTTP/1.1\r\n".to_vec(), NotPostgres(b'G'), 1),
        (b"\n".to_vec(), NotPostgres(b'\n'), 1),
        (b"\x80\x2e".to_vec(), NotPostgres(0x80), 1),
        (b"\0\x01".to_vec(), TooLong, 2),
        (b"\0\0\x28".to_vec(), TooLong, 3),
        (b"\0\0\x27\x15\0\x03\0\0".to_vec(), TooLong, 4),
        (b"\0\0\0\0".to_vec(), TooShort(0), 4),
        (b"\0\0\0\x07".to_vec(), TooShort(7), 4),
        (
            first_message(0x0002_0000, b"xx"),
            Version { major: 2, minor: 0 },
            8,
        ),
        (
            first_message(0x0001_0005, b"xx"),
            Version { major: 1, minor: 5 },
            8,
        ),
        (
            first_message(0x0004_0000, b"xx"),
            UnknownCode(0x0004_0000),
            8,
        ),
        (first_message(0, b""), UnknownCode(0), 8),
        (first_message(0x04d2_162d, b""), UnknownCode(0x04d2_162d), 8),
        (first_message(0x04d2_1631, b""), UnknownCode(0x04d2_1631), 8),
        (
            first_message(SSL_REQUEST_CODE, b"x"),
            length("SSLRequest", 9),
            8,
        ),
        (
            first_message(GSSENC_REQUEST_CODE, b"x"),
            length("GSSENCRequest", 9),
            8,
        ),
        (cancel(0), length("CancelRequest", 8), 8),
        (cancel(7), length("CancelRequest", 15), 8),
        (cancel(261), length("CancelRequest", 269), 8),
        (
            cancel(MAX_STARTUP - 8),
            length("CancelRequest", MAX_STARTUP),
            8,
        ),
    ];
    for (input, error, at) in cases {
        for mut responder in [clear(), Responder::inside_tls()] {
            assert_eq!(responder.advance(&input), Err(error));
            assert_eq!(bytewise(responder, &input), (Err(error), at), "{input:x?}");
        }
        let text = error.to_string();
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' '),
            "{text}"
        );
    }
}

#[test]
fn each_request_once_and_nothing_but_tls_after_s() {
    let startup = first_message(0x0003_0000, b"user\0ann\0\0");
    for input in [&SSL_REQUEST[..], &GSSENC_REQUEST, &startup] {
        assert_eq!(
            bytewise(after_s(), input),
            (Err(PrefaceError::NotTls(0)), 1)
        );
    }
    assert_eq!(after_s().advance(b"Q"), Err(PrefaceError::NotTls(b'Q')));
    assert_eq!(
        after_gss(clear()).advance(&GSSENC_REQUEST),
        Err(PrefaceError::Repeated("GSSENCRequest"))
    );
    let mut inside = Responder::inside_tls();
    assert_eq!(
        inside.advance(b"\x16\x03\x01"),
        Err(PrefaceError::TlsInsideTls)
    );
    assert!(inside.advance(&SSL_REQUEST).is_ok());
    assert_eq!(
        inside.advance(&SSL_REQUEST),
        Err(PrefaceError::Repeated("SSLRequest"))
    );
}

#[test]
fn only_s_lets_tls_start_with_a_backend() {
    for byte in 0..=u8::MAX {
        let expected = match byte {
            b'S' => Ok(()),
            b'N' => Err(SslReplyError::RefusedTls),
            b'E' => Err(SslReplyError::ErrorResponse),
            other => Err(SslReplyError::Unexpected(other)),
        };
        assert_eq!(read_ssl_reply(byte), expected);
    }
    let mut responder = clear();
    let Ok(ResponderStep::Reply { reply, .. }) = responder.advance(&SSL_REQUEST) else {
        panic!("no reply to our own request");
    };
    assert_eq!(
        read_ssl_reply(reply[0]),
        Ok(()),
        "the two halves understand each other"
    );
}

#[test]
fn an_error_before_tls_is_read_in_both_forms() {
    let error = ErrorResponse {
        severity: "FATAL",
        code: "53300",
        message: "sorry, too many clients already",
        detail: None,
        hint: None,
    }
    .encode();
    let old = b"Ecould not fork new process for connection: out of memory\n\0";
    let said = "could not fork new process for connection: out of memory";
    for (bytes, said) in [(&error[..], "sorry, too many clients already"), (old, said)] {
        assert_eq!(error_before_tls(bytes).as_deref(), Some(said));
        for end in 0..bytes.len() {
            assert_eq!(error_before_tls(&bytes[..end]), None, "{end}");
        }
    }
    let long = [b"E", &[b'x'; 5000][..], b"\0"].concat();
    assert_eq!(
        error_before_tls(&long).map(|said| said.len()),
        Some(MAX_SAID)
    );
    for none in [&b""[..], b"N", b"E\0", b"E\0\0\0\x05\0"] {
        assert_eq!(error_before_tls(none), None, "{}", none.escape_ascii());
    }
}
