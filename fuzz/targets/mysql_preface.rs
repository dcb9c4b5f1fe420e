//! The MySQL preface from both ends, and the recogniser of first bytes: the same answer however
//! the bytes are cut, and what is written back is read alike.
//!
//! Input: one byte (0 a server opens, 1 a client, 2 a client inside TLS), then what it says.

#![no_main]

use dbgate::preface::mysql::{
    ClientFirst, ErrPacket, Greeting, MAX_PACKET, MAX_TEXT, MysqlError, Packet, Profile,
    ServerOpening, self,
    read_opening,
};
use dbgate::preface::sniff;
use dbgate::preface::{Message, Responder, ResponderStep};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((who, input)) = data.split_first() else {
        return;
    };
    recognised(input);
    match who % 3 {
        0 => server(input),
        1 => client(mysql::Responder::default, input),
        _ => client(mysql::Responder::inside_tls, input),
    }
});

/// Every cut near the start, and some in the rest.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    let step = (length / 16).max(1);
    (0..length.min(96)).chain((96..length).step_by(step))
}

fn recognised(input: &[u8]) {
    let mut before = None;
    for end in 0..=input.len().min(32) {
        let now = sniff::speaks(&input[..end]);
        assert!(before.is_none() || before == now, "{before:?} {now:?}");
        before = now;
    }
}

fn server(input: &[u8]) {
    let whole = read_opening(input);
    let mut decided = None;
    for end in cuts(input.len()) {
        let answer = read_opening(&input[..end]);
        if answer != Ok(ServerOpening::NeedMore) || decided.is_some() {
            assert_eq!(*decided.get_or_insert(answer.clone()), answer);
            assert_eq!(answer, whole);
        }
    }
    match whole {
        Ok(ServerOpening::NeedMore) => assert!(input.len() < MAX_PACKET + 4),
        Ok(ServerOpening::Greeting { greeting, consumed }) => {
            assert!(consumed <= input.len());
            assert!(greeting.version.len() <= MAX_TEXT);
            assert!(greeting.version.ends_with(greeting.release()));
            copied(&greeting);
        }
        Ok(ServerOpening::Err { error, consumed }) => {
            assert!(consumed <= input.len() && error.message.len() <= 512);
            let wire = error.encode(1);
            let opening = ServerOpening::Err {
                consumed: wire.len(),
                error: error.clone(),
            };
            assert_eq!(read_opening(&wire), Ok(opening));
            assert_eq!(ErrPacket::parse(&wire[4..]), Ok(error));
        }
        Err(error) => said(error),
    }
}

/// A server made in the likeness of this one says the same.
fn copied(greeting: &Greeting) {
    let plugin = greeting.plugin.clone().unwrap_or_default();
    let (Ok(version), Ok(plugin)) = (
        std::str::from_utf8(&greeting.version),
        std::str::from_utf8(&plugin),
    ) else {
        return;
    };
    let profile = Profile {
        version,
        capabilities: greeting.capabilities,
        charset: greeting.charset,
        plugin,
    };
    let wire = profile.greeting(greeting.connection_id, b"abcdefghijklmnopqrst");
    match read_opening(&wire) {
        Ok(ServerOpening::Greeting { greeting: read, .. }) => {
            let expected = Greeting {
                status: read.status,
                plugin: read.plugin.clone(),
                ..greeting.clone()
            };
            assert_eq!(read, expected);
            assert!(read.plugin.is_none_or(|name| name == plugin.as_bytes()));
        }
        other => panic!("{other:?}"),
    }
}

fn client(start: impl Fn() -> mysql::Responder, input: &[u8]) {
    let mut responder = start();
    let whole = responder.advance(input);
    let mut bytewise = start();
    for end in cuts(input.len()) {
        let answer = bytewise.advance(&input[..end]);
        if answer != Ok(ResponderStep::NeedMore) {
            assert_eq!(answer, whole);
            break;
        }
    }
    match whole {
        Ok(ResponderStep::NeedMore) => assert!(input.len() < MAX_PACKET + 4),
        Ok(ResponderStep::Reply { consumed, .. }) => match responder.advance(&input[consumed..]) {
            Ok(ResponderStep::StartTls) => assert_eq!(input[consumed], 0x16),
            Ok(ResponderStep::NeedMore) => assert_eq!(consumed, input.len()),
            other => assert_eq!(other, Err(MysqlError::NotTls(input[consumed]))),
        },
        Ok(ResponderStep::StartTls) => unreachable!("TLS was not requested"),
        Ok(ResponderStep::Message(Message { len, .. })) => {
            let packet = Packet::read(&input[..len]).unwrap().unwrap();
            match ClientFirst::parse(packet.payload) {
                Ok(ClientFirst::Response { user, .. }) => assert!(user.len() <= MAX_TEXT),
                other => panic!("{other:?}"),
            }
        }
        Err(error) => said(error),
    }
}

fn said(error: MysqlError) {
    assert!(error.to_string().is_ascii());
}
