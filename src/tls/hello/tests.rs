//! Tests of the hello parser: every way to cut a hello, real hellos, and what must be refused.

mod build;
mod differential;

use super::*;
use build::{alpn, body, extension, host_name, message, records, server_name, versions};

const PSQL: &[u8] = include_bytes!("../../../tests/data/hello/psql15-after-sslrequest.bin");
const LIBPQ: &[u8] = include_bytes!("../../../tests/data/hello/libpq18-direct-post-quantum.bin");
const REDIS: &[u8] = include_bytes!("../../../tests/data/hello/redis-cli7.bin");
const REDIS_NO_SNI: &[u8] = include_bytes!("../../../tests/data/hello/redis-cli7-no-sni.bin");
const REDIS_PY: &[u8] = include_bytes!("../../../tests/data/hello/redis-py.bin");
const MARIADB: &[u8] = include_bytes!("../../../tests/data/hello/mariadb10-no-sni.bin");
const NODE: &[u8] = include_bytes!("../../../tests/data/hello/node-mysql2.bin");
const TLS12: &[u8] = include_bytes!("../../../tests/data/hello/tls12-only.bin");

fn whole(wire: &[u8]) -> Result<Option<ClientHello>, HelloError> {
    HelloParser::default().advance(wire)
}

/// The answer to `wire` when it comes byte by byte, and how many bytes it took.
fn bytewise(wire: &[u8]) -> (Result<Option<ClientHello>, HelloError>, usize) {
    let mut parser = HelloParser::default();
    for end in 0..=wire.len() {
        let answer = parser.advance(&wire[..end]);
        if answer != Ok(None) {
            assert_eq!(parser.advance(&wire[..end]), answer, "asked twice");
            assert_eq!(parser.advance(wire), answer, "asked again with more");
            return (answer, end);
        }
    }
    (Ok(None), wire.len())
}

/// Parses `wire` whole and in every cut, with what may follow a hello behind it.
fn accept(wire: &[u8]) -> ClientHello {
    let hello = whole(wire).unwrap().expect("a complete hello");
    assert_eq!(hello.wire_len, wire.len());
    assert_eq!(bytewise(wire), (Ok(Some(hello.clone())), wire.len()));
    // a ChangeCipherSpec for middleboxes, early data, and the start of anything
    let behind = b"\x14\x03\x03\0\x01\x01\x17\x03\x03\0\x02ab\xff";
    let longer = [wire, behind].concat();
    for end in wire.len()..=longer.len() {
        assert_eq!(whole(&longer[..end]), Ok(Some(hello.clone())));
    }
    hello
}

/// The error for `wire`, which must not depend on how it was cut.
fn refuse(wire: &[u8]) -> HelloError {
    let error = whole(wire).unwrap_err();
    assert_eq!(bytewise(wire).0, Err(error));
    error
}

#[test]
fn real_hellos() {
    type Row = (
        &'static [u8],
        Option<&'static str>,
        &'static [&'static str],
        &'static [u16],
    );
    let rows: [Row; 8] = [
        (PSQL, Some("my-postgres.example"), &[], &[0x0304, 0x0303]),
        (
            LIBPQ,
            Some("my-postgres.example"),
            &["postgresql"],
            &[0x0304, 0x0303],
        ),
        (
            REDIS,
            Some("my-redis.example"),
            &[],
            &[0x0304, 0x0303, 0x0302, 0x0301],
        ),
        (REDIS_NO_SNI, None, &[], &[0x0304, 0x0303, 0x0302, 0x0301]),
        (REDIS_PY, Some("my-redis.example"), &[], &[0x0304, 0x0303]),
        (MARIADB, None, &[], &[0x0304, 0x0303, 0x0302, 0x0301]),
        (NODE, Some("my-mariadb.example"), &[], &[0x0304, 0x0303]),
        (TLS12, Some("my-redis.example"), &[], &[]),
    ];
    for (wire, name, protocols, versions) in rows {
        let hello = accept(wire);
        assert_eq!(hello.sni.name().map(AsRef::as_ref), name);
        assert_eq!(hello.sni_raw.as_deref(), name.map(str::as_bytes));
        assert_eq!(
            hello.alpn,
            protocols
                .iter()
                .map(|p| p.as_bytes().to_vec())
                .collect::<Vec<_>>()
        );
        assert_eq!(
            (hello.legacy_version, &hello.versions[..]),
            (0x0303, versions)
        );
        assert_eq!(
            (hello.records, hello.message_len),
            (1, wire.len() - RECORD_HEADER)
        );
    }
    assert!(accept(LIBPQ).offers_alpn(b"postgresql"));
    assert!(!accept(LIBPQ).offers_alpn(b"postgres"));
    assert!(LIBPQ.len() > 1500, "does not fit one segment");
}

#[test]
fn a_hello_over_many_records_is_the_same_hello() {
    let cut = |message: &[u8], size: usize, carriers: usize| {
        let mut hello = accept(&records(message, size));
        assert_eq!(hello.records, carriers);
        (hello.records, hello.wire_len) = (1, RECORD_HEADER + message.len());
        hello
    };
    for wire in [PSQL, LIBPQ] {
        let message = &wire[RECORD_HEADER..];
        let expected = accept(wire);
        assert_eq!(cut(message, 1, message.len()), expected);
        assert_eq!(cut(message, 100, message.len().div_ceil(100)), expected);
    }
    let message = &PSQL[RECORD_HEADER..];
    for at in 1..message.len() {
        let wire = [
            records(&message[..at], at),
            records(&message[at..], 1 << 14),
        ]
        .concat();
        let hello = whole(&wire).unwrap().unwrap();
        assert_eq!((hello.records, hello.wire_len), (2, wire.len()));
        assert_eq!(hello.sni, accept(PSQL).sni);
    }
}

/// A hello of exactly `length` bytes, its header included.
fn padded(length: usize) -> Vec<u8> {
    let name = server_name(&[host_name(b"big.example")]);
    let padding = length - message(&body(Some(&[&name[..], &extension(21, &[])].concat()))).len();
    message(&body(Some(
        &[&name[..], &extension(21, &vec![0; padding])].concat(),
    )))
}

#[test]
fn the_longest_hello_fits_and_no_longer_one() {
    let longest = padded(MAX_MESSAGE);
    let wire = records(&longest, 1 << 14);
    let hello = whole(&wire).unwrap().unwrap();
    assert_eq!(hello.sni.sent(), Some("big.example"));
    assert_eq!(
        (hello.records, hello.message_len, hello.wire_len),
        (5, MAX_MESSAGE, wire.len())
    );
    assert_eq!(bytewise(&wire), (Ok(Some(hello)), wire.len()));

    // One byte more is refused where its length can be seen.
    let mut longer = wire.clone();
    longer[RECORD_HEADER + 1..RECORD_HEADER + 4].copy_from_slice(&[1, 0, 0]);
    assert_eq!(
        bytewise(&longer),
        (Err(HelloError::TooLong), RECORD_HEADER + 2)
    );

    // So is a hello that records of one byte blow up, once nothing more could fit.
    let wire = records(&padded(MAX_WIRE / 6 + 1), 1);
    assert_eq!(bytewise(&wire), (Err(HelloError::TooLong), MAX_WIRE));
    assert_eq!(
        accept(&records(&padded(MAX_WIRE / 6), 1)).wire_len,
        MAX_WIRE
    );
}

#[test]
fn the_work_is_bounded_by_the_new_bytes() {
    // Each call may read the header of the record it waits for once more, and no other again;
    // each byte of a complete record is copied once, and none when there is but one record.
    let message = padded(12_000);
    for (size, copied) in [(1 << 14, 0), (6_000, 6_000), (1, 11_999)] {
        let wire = records(&message, size);
        let mut parser = HelloParser::default();
        let calls = (0..=wire.len())
            .take_while(|&end| parser.advance(&wire[..end]) == Ok(None))
            .count();
        assert_eq!(calls, wire.len());
        assert!(parser.headers_read <= calls + 1 + message.len().div_ceil(size));
        assert_eq!(parser.joined.len(), copied);
    }
    // What a client announces is not allocated before it has come.
    let mut parser = HelloParser::default();
    let first = records(&padded(MAX_MESSAGE)[..100], 50);
    assert_eq!(parser.advance(&first), Ok(None));
    assert!(parser.joined.capacity() < 1000);
}

#[test]
fn what_is_no_hello_is_refused_at_its_first_wrong_byte() {
    use HelloError::*;
    let cases: [(&[u8], HelloError, Alert, usize); 16] = [
        (b"GET / HTTP/1.1", NotTls(b'G'), Alert::ProtocolVersion, 1),
        (b"\n", NotTls(b'\n'), Alert::ProtocolVersion, 1),
        (b"\0\0\0\x08", NotTls(0), Alert::ProtocolVersion, 1),
        (
            b"\x80\x2e\x01\x03\x01",
            Sslv2(0x80),
            Alert::ProtocolVersion,
            1,
        ),
        (
            b"\x15\x03\x01\0\x02\x02\x28",
            RecordType(0x15),
            Alert::UnexpectedMessage,
            1,
        ),
        (
            b"\x14\x03\x03\0\x01\x01",
            RecordType(0x14),
            Alert::UnexpectedMessage,
            1,
        ),
        (b"\x16\x02\0", RecordVersion(2), Alert::ProtocolVersion, 2),
        (
            b"\x16\xfe\xfd",
            RecordVersion(0xfe),
            Alert::ProtocolVersion,
            2,
        ),
        (b"\x16\x03\x01\0\0", EmptyRecord, Alert::DecodeError, 5),
        (
            b"\x16\x03\x01\x40\x01\x01",
            RecordTooLong(0x4001),
            Alert::RecordOverflow,
            5,
        ),
        (
            b"\x16\x03\x01\0\x04\x02",
            NotClientHello(2),
            Alert::UnexpectedMessage,
            6,
        ),
        (
            b"\x16\x03\x01\0\x04\x01\x01",
            TooLong,
            Alert::DecodeError,
            7,
        ),
        (
            b"\x16\x03\x01\0\x09\x01\0\0\x04",
            DataBehind,
            Alert::UnexpectedMessage,
            9,
        ),
        (
            b"\x16\x03\x01\0\x01\x01\x17",
            RecordType(0x17),
            Alert::UnexpectedMessage,
            7,
        ),
        (
            b"\x16\x03\x01\0\x01\x01\x16\x03\x01\0\0",
            EmptyRecord,
            Alert::DecodeError,
            11,
        ),
        (
            b"\x16\x03\x01\0\x04\x01\0\0\0",
            Truncated("client hello"),
            Alert::DecodeError,
            9,
        ),
    ];
    for (wire, error, alert, at) in cases {
        assert_eq!(bytewise(wire), (Err(error), at), "{wire:x?}");
        assert_eq!(refuse(&[wire, b"and more"].concat()), error);
        assert_eq!(error.alert(), alert);
        assert!(error.to_string().is_ascii() && !error.to_string().ends_with('.'));
    }
    // Any minor version will do, and any number of versions is not asked here.
    for minor in [0, 1, 3, 4, 0xff] {
        let mut wire = PSQL.to_vec();
        wire[2] = minor;
        assert_eq!(whole(&wire), whole(PSQL));
    }
}

#[test]
fn the_fields_before_the_extensions() {
    use HelloError::*;
    let truncated = Truncated("client hello");
    let head = [&[3, 3][..], &[7; 32]].concat();
    let cases: [(&[u8], Option<HelloError>); 12] = [
        (b"\0\0\x02\x13\x01\x01\0", None),
        (b"\0\0\x02\x13\x01\x01\0\0\0", None),
        (b"\0\0\x02\x13\x01\x01\0\0\x04\xab\xcd\0\0", None),
        (b"", Some(truncated)),
        (b"\0\0\x02\x13\x01", Some(truncated)),
        (b"\0\0\x02\x13\x01\x01\0\0", Some(truncated)),
        (b"\0\0\x02\x13\x01\x01\0\0\x05\xab\xcd\0\0", Some(truncated)),
        (
            b"\0\0\x02\x13\x01\x01\0\0\0x",
            Some(Trailing("client hello")),
        ),
        (
            b"\0\0\x02\x13\x01\x01\0\0\x03\xab\xcd\0",
            Some(Truncated("list of extensions")),
        ),
        (b"\0\0\0\x01\0", Some(Length("list of cipher suites"))),
        (
            b"\0\0\x03\x13\x01\x13\x01\0",
            Some(Length("list of cipher suites")),
        ),
        (
            b"\0\0\x02\x13\x01\0",
            Some(Length("list of compression methods")),
        ),
    ];
    for (tail, error) in cases {
        let wire = records(&message(&[&head[..], tail].concat()), 1 << 14);
        match error {
            None => assert_eq!(accept(&wire).sni, Sni::None),
            Some(error) => assert_eq!(refuse(&wire), error, "{tail:x?}"),
        }
    }
    let session_id = |length: u8| {
        let id = [&[length][..], &vec![9; length.into()]].concat();
        let body = [&head[..], &id, b"\0\x02\x13\x01\x01\0"].concat();
        records(&message(&body), 1 << 14)
    };
    assert!(whole(&session_id(32)).is_ok());
    assert_eq!(refuse(&session_id(33)), Length("session id"));
}

fn with(extensions: &[u8]) -> Vec<u8> {
    records(&message(&body(Some(extensions))), 1 << 14)
}

#[test]
fn the_server_name() {
    let long = [b'a'; 300];
    let cases: [(&[u8], &str, &str); 9] = [
        (b"DB1.Example.", "ok", "db1.example"),
        (b"a_b.example", "ok", "a_b.example"),
        (b"192.0.2.7", "ip", "192.0.2.7"),
        (b"::1", "ip", "::1"),
        (b"", "invalid", ""),
        (b"a\0.example", "invalid", r"a\x00.example"),
        (b"a..example", "invalid", "a..example"),
        (b"\xc3\xbc.example", "invalid", r"\xc3\xbc.example"),
        (&long, "invalid", std::str::from_utf8(&long[..255]).unwrap()),
    ];
    for (sent, status, text) in cases {
        let hello = accept(&with(&server_name(&[host_name(sent)])));
        assert_eq!((hello.sni.status(), hello.sni.sent()), (status, Some(text)));
        assert_eq!(hello.sni_raw.as_deref(), Some(sent));
    }

    // Names of a type that nobody has defined are skipped.
    let other = |name: &[u8]| [&[9][..], &host_name(name)[1..]].concat();
    let both = server_name(&[other(b"?"), host_name(b"a"), other(b"")]);
    assert_eq!(accept(&with(&both)).sni.sent(), Some("a"));
    assert_eq!(accept(&with(&server_name(&[other(b"x")]))).sni, Sni::None);

    let field = "server_name extension";
    for (extensions, error, alert) in [
        (
            extension(0, b""),
            HelloError::Truncated(field),
            Alert::DecodeError,
        ),
        (
            extension(0, b"\0\x05\0\0\x01a"),
            HelloError::Truncated(field),
            Alert::DecodeError,
        ),
        (
            extension(0, b"\0\x04\0\0\x02a"),
            HelloError::Truncated(field),
            Alert::DecodeError,
        ),
        (
            extension(0, b"\0\x04\0\0\x01ab"),
            HelloError::Trailing(field),
            Alert::DecodeError,
        ),
        (
            server_name(&[]),
            HelloError::Length("list of server names"),
            Alert::DecodeError,
        ),
        (
            server_name(&[host_name(b"a"), host_name(b"a")]),
            HelloError::TwoHostNames,
            Alert::IllegalParameter,
        ),
        (
            server_name(&[host_name(b"a")]).repeat(2),
            HelloError::DuplicateExtension("server_name"),
            Alert::IllegalParameter,
        ),
    ] {
        assert_eq!(refuse(&with(&extensions)), error);
        assert_eq!(error.alert(), alert);
    }
}

#[test]
fn the_protocols() {
    let hello = accept(&with(&alpn(&[b"h2", b"\0\xff", b"h2"])));
    assert_eq!(hello.alpn, [&b"h2"[..], b"\0\xff", b"h2"]);
    let most = vec![&b"x"[..]; MAX_PROTOCOLS + 1];
    assert_eq!(accept(&with(&alpn(&most[1..]))).alpn.len(), MAX_PROTOCOLS);
    let field = "ALPN extension";
    for (extensions, error) in [
        (extension(16, b""), HelloError::Truncated(field)),
        (extension(16, b"\0\x02\x02a"), HelloError::Truncated(field)),
        (extension(16, b"\0\x02\x01ab"), HelloError::Trailing(field)),
        (alpn(&[]), HelloError::Length("list of ALPN protocols")),
        (alpn(&[b"a", b""]), HelloError::Length("ALPN protocol")),
        (alpn(&most), HelloError::TooManyProtocols),
        (
            alpn(&[b"a"]).repeat(2),
            HelloError::DuplicateExtension("application_layer_protocol_negotiation"),
        ),
    ] {
        assert_eq!(refuse(&with(&extensions)), error);
    }
}

#[test]
fn the_versions() {
    for (offered, kept, newest) in [
        (&[0x0304, 0x0303][..], &[0x0304, 0x0303][..], 0x0304),
        (&[0x5a5a, 0x0303, 0x0304, 0xfafa], &[0x0303, 0x0304], 0x0304),
        (&[0x0a0a], &[], 0x0303),
        (&[0x7f1c, 0xfefc, 0x0303], &[0x7f1c, 0xfefc, 0x0303], 0x0303),
        (&[0x1a2a], &[0x1a2a], 0x0303),
    ] {
        let hello = accept(&with(&versions(offered)));
        assert_eq!(
            (&hello.versions[..], hello.newest_version()),
            (kept, newest)
        );
    }
    let mut old = with(&[]);
    for (legacy, newest) in [(0x0301_u16, 0x0301), (0x0303, 0x0303), (0x0304, 0x0303)] {
        old[9..11].copy_from_slice(&legacy.to_be_bytes());
        assert_eq!(accept(&old).newest_version(), newest);
    }
    let field = "supported_versions extension";
    for (extensions, error) in [
        (extension(43, b""), HelloError::Truncated(field)),
        (extension(43, b"\x02\x03"), HelloError::Truncated(field)),
        (
            extension(43, b"\x02\x03\x04\0"),
            HelloError::Trailing(field),
        ),
        (extension(43, b"\0"), HelloError::Length("list of versions")),
        (
            extension(43, b"\x03\x03\x04\x03"),
            HelloError::Length("list of versions"),
        ),
        (
            versions(&[0x0304]).repeat(2),
            HelloError::DuplicateExtension("supported_versions"),
        ),
    ] {
        assert_eq!(refuse(&with(&extensions)), error);
    }
}
