//! Tests of the MySQL preface: captured openings, every cut, and what must be refused.

use super::*;
use crate::preface::{RefusalKind, Responder as _};
use crate::tls::Alert;

/// The greeting of a MariaDB 10.11, from a capture.
const MARIADB: &[u8] = b"\x64\0\0\0\x0a5.5.5-10.11.19-MariaDB-0+deb12u1\0\x05\0\0\0|68V'_)L\0\
    \xfe\xff\x08\x02\0\xff\x81\x15\0\0\0\0\0\0\x1d\0\0\0%q-)&%#~uOlQ\0mysql_native_password\0";

/// The `SSLRequest` of the MariaDB client 10.11, from a capture.
const MARIADB_REQUEST: &[u8] = b"\x20\0\0\x01\x84\xaa\xbf\0\0\0\x10\0\x21\0\0\0\0\0\0\0\0\0\0\0\
    \0\0\0\0\0\0\0\0\x1d\0\0\0";

/// The `SSLRequest` of node mysql2, from a capture.
const NODE_REQUEST: &[u8] = b"\x20\0\0\x01\xce\xfb\xba\x08\0\0\0\0\xe0\0\0\0\0\0\0\0\0\0\0\0\
    \0\0\0\0\0\0\0\0\x08\0\0\0";

const SCRAMBLE_BYTES: &[u8; SCRAMBLE] = b"abcdefghijklmnopqrst";

fn packet(seq: u8, payload: &[u8]) -> Vec<u8> {
    packet::encode(seq, payload)
}

/// A login with these capabilities: the fixed part, a name, a rest.
fn response(seq: u8, capabilities: u32, user: &[u8]) -> Vec<u8> {
    let mut payload = capabilities.to_le_bytes().to_vec();
    payload.resize(FIXED, 0);
    payload.extend(user);
    payload.extend(b"\0\x14aaaaaaaaaaaaaaaaaaaa");
    packet(seq, &payload)
}

fn greeting(opening: ServerOpening) -> Greeting {
    match opening {
        ServerOpening::Greeting { greeting, .. } => greeting,
        other => panic!("{other:?}"),
    }
}

/// The answer to a server's opening, the same for every cut: no sooner, and not taken back.
fn opening(input: &[u8]) -> Result<ServerOpening, MysqlError> {
    let whole = read_opening(input);
    let mut decided = None;
    for end in 0..=input.len() {
        let answer = read_opening(&input[..end]);
        if answer != Ok(ServerOpening::NeedMore) || decided.is_some() {
            assert_eq!(decided.get_or_insert(answer.clone()), &answer);
        }
    }
    assert_eq!(decided.unwrap_or(Ok(ServerOpening::NeedMore)), whole);
    whole
}

/// The answer to a client's bytes, the same when they come one by one.
fn advance(inside_tls: bool, input: &[u8]) -> Result<ResponderStep, MysqlError> {
    let start = || {
        if inside_tls {
            Responder::inside_tls()
        } else {
            Responder::default()
        }
    };
    let whole = start().advance(input);
    let mut responder = start();
    for end in 0..=input.len() {
        let answer = responder.advance(&input[..end]);
        if answer != Ok(ResponderStep::NeedMore) {
            assert_eq!(answer, whole);
            return answer;
        }
    }
    assert_eq!(whole, Ok(ResponderStep::NeedMore));
    whole
}

#[test]
fn a_captured_greeting() {
    let read = opening(MARIADB).unwrap();
    let ServerOpening::Greeting { greeting, consumed } = read else {
        panic!("{read:?}");
    };
    assert_eq!(consumed, MARIADB.len());
    let expected = Greeting {
        version: b"5.5.5-10.11.19-MariaDB-0+deb12u1".to_vec(),
        connection_id: 5,
        capabilities: 0x81ff_fffe,
        charset: 8,
        status: 2,
        plugin: Some(b"mysql_native_password".to_vec()),
    };
    assert_eq!(greeting, expected);
    assert!(greeting.is_mariadb());
    assert!(greeting.offers_tls());
    assert_eq!(greeting.release(), b"10.11.19-MariaDB-0+deb12u1");
}

#[test]
fn greetings_made_here_are_read_here() {
    for (profile, mariadb) in [(Profile::MYSQL, false), (Profile::MARIADB, true)] {
        let wire = profile.greeting(0x8000_0007, SCRAMBLE_BYTES);
        let read = greeting(opening(&wire).unwrap());
        assert_eq!(read.version, profile.version.as_bytes());
        assert_eq!(read.connection_id, 0x8000_0007);
        assert_eq!(read.capabilities, profile.capabilities);
        assert_eq!(read.plugin, Some(profile.plugin.as_bytes().to_vec()));
        assert!(read.offers_tls());
        assert_eq!(read.is_mariadb(), mariadb, "{}", profile.version);
    }
    let read = greeting(opening(&Profile::MYSQL.greeting(1, SCRAMBLE_BYTES)).unwrap());
    assert_eq!(read.release(), b"8.0.36");
}

#[test]
fn the_greeting_is_laid_out_as_documented() {
    let profile = Profile {
        version: "9\0.1",
        capabilities: 0x0088_0a00,
        charset: 0xff,
        plugin: "x",
    };
    let expected = b"\x33\0\0\0\x0a9.1\0\x04\x03\x02\x01abcdefgh\0\0\x0a\xff\x02\0\x88\0\x15\
        \0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0x\0";
    assert_eq!(profile.greeting(0x0102_0304, SCRAMBLE_BYTES), expected);
}

#[test]
fn greetings_of_old_and_odd_servers() {
    // Before 4.1 it ends with the lower half of the capabilities.
    let old = packet(0, b"\x0a4.0.30\0\x07\0\0\0abcdefgh\0\x2c\x08");
    let read = greeting(opening(&old).unwrap());
    assert_eq!(read.capabilities, 0x082c);
    assert!(read.offers_tls() && !read.is_mariadb() && read.plugin.is_none());
    // No plugin's name, and a plugin's name without its NUL.
    let fixed = b"\x0a8\0\x07\0\0\0abcdefgh\0\x01\x0a\x08\x02\0";
    let plain = [&fixed[..], &[0, 0, 0], &[0; 10]].concat();
    assert_eq!(greeting(opening(&packet(0, &plain)).unwrap()).plugin, None);
    let rest = [&[0x08, 0, 21][..], &[0; 10], &[b'z'; 13], b"name"].concat();
    let named = [&fixed[..], &rest].concat();
    let read = greeting(opening(&packet(0, &named)).unwrap());
    assert_eq!(read.plugin, Some(b"name".to_vec()));
    // A long version is read to its end, and its start is kept.
    let long = [&[0x0a][..], &[b'v'; 4000], b"\0\x07\0\0\0abcdefgh\0\0\x08"].concat();
    let read = greeting(opening(&packet(0, &long)).unwrap());
    assert_eq!(read.version.len(), MAX_TEXT);
    assert!(read.offers_tls());
}

#[test]
fn mariadb_is_told_by_its_name_or_by_the_bit_that_it_leaves_out() {
    let rows: [(&[u8], u32, bool, &[u8]); 5] = [
        (b"8.0.36", 0x0a01, false, b"8.0.36"),
        (b"5.5.5-10.4", 0x0a00, true, b"10.4"),
        (b"5.5.5-m1", 0x0a01, false, b"5.5.5-m1"),
        (b"11.4.2-MARIADB", 0x0a01, true, b"11.4.2-MARIADB"),
        (b"4.0", 0x0800, false, b"4.0"),
    ];
    for (version, capabilities, mariadb, release) in rows {
        let greeting = Greeting {
            version: version.to_vec(),
            connection_id: 0,
            capabilities,
            charset: 0,
            status: 0,
            plugin: None,
        };
        let text = version.escape_ascii();
        assert_eq!(greeting.is_mariadb(), mariadb, "{text}");
        assert_eq!(greeting.release(), release, "{text}");
    }
}

#[test]
fn a_server_that_refuses() {
    let blocked = ErrPacket {
        code: 1130,
        sqlstate: None,
        message: b"Host '192.0.2.1' is not allowed to connect".to_vec(),
    };
    let busy = ErrPacket {
        code: 1040,
        sqlstate: Some(*b"08004"),
        message: b"Too many connections".to_vec(),
    };
    for error in [blocked, busy] {
        for seq in [0, 1] {
            let wire = error.encode(seq);
            let consumed = wire.len();
            let expected = ServerOpening::Err {
                error: error.clone(),
                consumed,
            };
            assert_eq!(opening(&wire), Ok(expected));
        }
    }
    let refused = ErrPacket {
        code: SECURE_TRANSPORT_REQUIRED,
        sqlstate: Some(*b"HY000"),
        message: b"TLS required".to_vec(),
    };
    let expected = b"\x15\0\0\x02\xff\x57\x0c#HY000TLS required";
    assert_eq!(refused.encode(2), expected);
}

#[test]
fn errors_at_their_edges() {
    type Row = (&'static [u8], Option<[u8; 5]>, &'static [u8]);
    let rows: [Row; 5] = [
        (b"\xff\x01\x00", None, b""),
        (b"\xff\x01\x00#1234", None, b"#1234"),
        (b"\xff\x01\x00#12345", Some(*b"12345"), b""),
        (b"\xff\x01\x00text", None, b"text"),
        (b"\xff\x01\x00\x00\xff", None, b"\x00\xff"),
    ];
    for (payload, sqlstate, message) in rows {
        let expected = ErrPacket {
            code: 1,
            sqlstate,
            message: message.to_vec(),
        };
        assert_eq!(ErrPacket::parse(payload), Ok(expected));
    }
    let long = [&b"\xff\x01\x00"[..], &[b'x'; 5000]].concat();
    let message = ErrPacket::parse(&long).unwrap().message;
    assert_eq!(message.len(), 512);
    assert_eq!(ErrPacket::parse(&[0, 1, 0]), Err(MysqlError::NotError(0)));
    for short in [&[][..], &[0xff], &[0xff, 1]] {
        let error = ErrPacket::parse(short).unwrap_err();
        assert_eq!(error, MysqlError::Truncated("error"));
    }
}

#[test]
fn what_is_no_opening() {
    let sequence = |expected, got| MysqlError::Sequence { expected, got };
    let truncated = MysqlError::Truncated("greeting");
    let rows: Vec<(Vec<u8>, MysqlError)> = vec![
        (b"HTTP/1.1".to_vec(), MysqlError::TooLong(0x0054_5448)),
        (b"SSH-2".to_vec(), MysqlError::TooLong(0x0048_5353)),
        (b"\x15\x03\x03\0".to_vec(), MysqlError::TooLong(0x0003_0315)),
        (b"\0\0\0\0".to_vec(), MysqlError::Empty),
        (b"E\0\0\0\x28SFATAL".to_vec(), MysqlError::NotGreeting(0x28)),
        (packet(0, b"\x09old"), MysqlError::NotGreeting(9)),
        (packet(0, b"\0"), MysqlError::NotGreeting(0)),
        (packet(1, b"\x0a8.0\0"), sequence(0, 1)),
        (packet(0, b"\x0a8.0.36"), truncated),
        (packet(0, b"\x0a8.0\0\x01\0\0\0abcdefgh\0\x01"), truncated),
        (
            packet(0, b"\x0a8.0\0\x01\0\0\0abcdefgh\0\0\0\x01"),
            truncated,
        ),
        (packet(0, b"\xff\x01"), MysqlError::Truncated("error")),
    ];
    for (wire, expected) in rows {
        let error = opening(&wire).unwrap_err();
        assert_eq!(error, expected, "{}", wire.escape_ascii());
        assert!(error.to_string().is_ascii());
    }
}

#[test]
fn the_longest_packet_is_taken_and_no_longer_one() {
    let mut payload = vec![b'v'; MAX_PACKET];
    payload[0] = 0x0a;
    assert_eq!(
        read_opening(&packet(0, &payload)),
        Err(MysqlError::Truncated("greeting"))
    );
    let [a, b, c, _] = u32::try_from(MAX_PACKET + 1).unwrap().to_le_bytes();
    let error = MysqlError::TooLong(MAX_PACKET + 1);
    assert_eq!(read_opening(&[a, b, c]), Err(error));
    // What is made here is never longer.
    let long = packet(3, &vec![7; MAX_PACKET + 9]);
    let read = Packet::read(&long).unwrap().unwrap();
    assert_eq!((read.seq, read.payload.len()), (3, MAX_PACKET));
    assert_eq!(read.wire_len(), long.len());
}

#[test]
fn captured_requests_for_tls() {
    let rows = [
        (MARIADB_REQUEST, 0x00bf_aa84),
        (NODE_REQUEST, 0x08ba_fbce),
        (&ssl_request(0x8_0000, 45), 0x8_0a00),
        (&packet(1, &[0, 0x0a, 0, 0]), 0x0a00),
        (&packet(1, &[0, 8, 0, 0, 1]), 0x0800),
    ];
    for (wire, capabilities) in rows {
        let payload = Packet::read(wire).unwrap().unwrap().payload;
        let first = ClientFirst::SslRequest { capabilities };
        assert_eq!(ClientFirst::parse(payload), Ok(first));
        let step = ResponderStep::Reply {
            consumed: wire.len(),
            reply: Bytes::new(),
        };
        assert_eq!(advance(false, wire), Ok(step.clone()));
        // The hello may come with it, and waits until the request has been dropped.
        let mut responder = Responder::default();
        let both = [wire, b"\x16\x03\x01"].concat();
        assert_eq!(responder.advance(&both), Ok(step));
        assert_eq!(responder.advance(&[]), Ok(ResponderStep::NeedMore));
        assert_eq!(
            responder.advance(&both[wire.len()..]),
            Ok(ResponderStep::StartTls)
        );
        assert_eq!(
            responder.advance(b"\x01\0\0\x02"),
            Err(MysqlError::NotTls(1))
        );
    }
    let documented = b"\x20\0\0\x01\0\x0a\x08\0\0\0\0\x01\x2d";
    let wire = ssl_request(CLIENT_PLUGIN_AUTH, 45);
    assert_eq!(wire.len(), 36);
    assert!(wire.starts_with(documented), "{wire:02x?}");
    assert!(wire[documented.len()..].iter().all(|&byte| byte == 0));
}

#[test]
fn logins() {
    let old = packet(1, b"\x05\x20\0\0\0ann\0secret");
    let rows = [
        (false, response(1, 0x8200, b"ann"), 0x8200, &b"ann"[..]),
        (false, response(1, 0x8a00, b"ann"), 0x8a00, b"ann"),
        (true, response(2, 0x8a00, b"ann"), 0x8a00, b"ann"),
        (false, response(1, 0x8200, b""), 0x8200, b""),
        (false, old, 0x2005, b"ann"),
        (false, packet(1, b"\x05\x20\0\0\0ann"), 0x2005, b"ann"),
        (
            false,
            response(1, 0x8200, &[b'u'; 400]),
            0x8200,
            &[b'u'; MAX_TEXT],
        ),
    ];
    for (inside_tls, wire, capabilities, user) in rows {
        let payload = Packet::read(&wire).unwrap().unwrap().payload;
        let user = user.to_vec();
        let first = ClientFirst::Response { capabilities, user };
        assert_eq!(ClientFirst::parse(payload), Ok(first));
        let step = ResponderStep::Message(Message {
            protocol: Protocol::Mysql,
            kind: MessageKind::Login,
            len: wire.len(),
        });
        assert_eq!(advance(inside_tls, &wire), Ok(step));
    }
}

#[test]
fn what_no_client_may_say() {
    let sequence = |expected, got| MysqlError::Sequence { expected, got };
    let truncated = MysqlError::Truncated("response to the greeting");
    let rows: Vec<(bool, Vec<u8>, MysqlError)> = vec![
        // A client of TLS from the first byte: its record header as a length.
        (
            false,
            b"\x16\x03\x01".to_vec(),
            MysqlError::TooLong(0x0001_0316),
        ),
        (false, response(0, 0x8200, b"ann"), sequence(1, 0)),
        (false, response(2, 0x8200, b"ann"), sequence(1, 2)),
        (true, response(1, 0x8200, b"ann"), sequence(2, 1)),
        (false, packet(1, &[0]), truncated),
        (false, packet(1, &[0, 2, 0, 0]), truncated),
        (false, packet(1, &[0, 2, 0, 0, 0]), truncated),
        (
            false,
            packet(1, &[[0, 2, 0].as_slice(), &[0; 29]].concat()),
            truncated,
        ),
        (false, packet(1, &[5, 0x20, 0, 0, 0]), truncated),
        (
            true,
            packet(2, &ssl_request(0, 45)[4..]),
            MysqlError::TlsInsideTls,
        ),
    ];
    for (inside_tls, wire, error) in rows {
        let answer = advance(inside_tls, &wire);
        assert_eq!(answer, Err(error), "{}", wire.escape_ascii());
    }
}

#[test]
fn a_responder_speaks_first_and_refuses_behind_the_clients_packet() {
    let scramble = [7; SCRAMBLE];
    let mut responder = Responder::greeting(&Profile::MYSQL, 9, &scramble);
    let refusal = Refusal {
        kind: RefusalKind::NeedsTls,
        alert: Alert::InternalError,
        name: "db",
        message: "TLS is required".to_owned(),
        detail: None,
        hint: None,
    };
    let unread = responder.refuse(b"", &refusal);
    assert_eq!(Packet::read(&unread).unwrap().unwrap().seq, 0);
    let greeting = ResponderStep::Reply {
        consumed: 0,
        reply: Profile::MYSQL.greeting(9, &scramble).into(),
    };
    assert_eq!(responder.advance(b""), Ok(greeting));
    assert_eq!(responder.advance(b""), Ok(ResponderStep::NeedMore));
    let refused = responder.refuse(&response(1, 0x8200, b"ann"), &refusal);
    let packet = Packet::read(&refused).unwrap().unwrap();
    assert_eq!(packet.seq, 2);
    let error = ErrPacket::parse(packet.payload).unwrap();
    assert_eq!(error.code, SECURE_TRANSPORT_REQUIRED);
    assert_eq!(error.message, b"TLS is required");
    responder.advance(&ssl_request(0, 45)).unwrap();
    let alert = Alert::InternalError.record();
    assert_eq!(responder.refuse(b"", &refusal), alert);
}
