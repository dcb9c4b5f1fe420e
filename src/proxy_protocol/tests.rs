use proptest::prelude::{Strategy, any};
use proptest::{collection::vec, option, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

fn ends(client: &str, to: &str) -> Addresses {
    Addresses {
        client: client.parse().unwrap(),
        to: to.parse().unwrap(),
    }
}

fn behind(input: &[u8]) -> Result<Behind, HeaderError> {
    match read(input)? {
        Found::Header(header, _) => Ok(header.behind),
        other => panic!("{other:?} of {}", input.escape_ascii()),
    }
}

/// A header of version 2 with anything in it.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [v2::SIGNATURE, &[command, family], &length, rest].concat()
}

#[test]
fn lines_of_version_1_are_read_strictly() {
    let four = ends("203.0.113.9:55000", "10.1.0.1:5432");
    let six = ends("[2001:db8::9]:1", "[::1]:65535");
    for (line, expected) in [
        (
            "TCP4 203.0.113.9 10.1.0.1 55000 5432",
            Some(Behind::Client(four)),
        ),
        ("TCP6 2001:db8::9 ::1 1 65535", Some(Behind::Client(six))),
        ("UNKNOWN", Some(Behind::Unknown)),
        ("UNKNOWN ffff::1 anything at all", Some(Behind::Unknown)),
        ("UNKNOWNS", None),
        ("", None),
        ("TCP4", None),
        ("TCP5 203.0.113.9 10.1.0.1 55000 5432", None),
        ("TCP4  203.0.113.9 10.1.0.1 55000 5432", None),
        ("TCP4 203.0.113.9 10.1.0.1 55000 5432 ", None),
        ("TCP4 203.0.113.9 10.1.0.1 +55000 5432", None),
        ("TCP4 203.0.113.9 10.1.0.1 055000 5432", None),
        ("TCP4 203.0.113.9 10.1.0.1 65536 5432", None),
        ("TCP4 203.0.113.009 10.1.0.1 1 5432", None),
        ("TCP4 2001:db8::9 ::1 1 2", None),
        ("TCP6 203.0.113.9 10.1.0.1 55000 5432", None),
        ("tcp4 203.0.113.9 10.1.0.1 55000 5432", None),
        ("TCP4 203.0.113.9\n10.1.0.1 55000 5432", None),
    ] {
        let input = format!("PROXY {line}\r\nrest");
        let expected = expected.ok_or(HeaderError::Line);
        assert_eq!(behind(input.as_bytes()), expected, "{line:?}");
    }
    let endless = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
    assert_eq!(read(&endless[..106]), Ok(Found::NeedMore));
    assert_eq!(read(&endless[..107]), Err(HeaderError::Unterminated));
    assert_eq!(read(b"PROXY UNKNOWN\nrest"), Ok(Found::NeedMore));
}

#[test]
fn headers_of_version_2_tell_clients_sockets_and_checks_apart() {
    let four = [203, 0, 113, 9, 10, 1, 0, 1, 0xd6, 0xd8, 0x15, 0x38];
    let client = Behind::Client(ends("203.0.113.9:55000", "10.1.0.1:5432"));
    for (command, family, rest, expected) in [
        (0x21, 0x11, &four[..], Ok(client)),
        (0x20, 0x11, &four, Ok(Behind::Local)),
        (0x20, 0x00, &[], Ok(Behind::Local)),
        // The family and the addresses of LOCAL have no meaning.
        (0x20, 0x77, &[1, 2], Ok(Behind::Local)),
        (0x20, 0x11, &[1, 2], Ok(Behind::Local)),
        (0x21, 0x00, &[], Ok(Behind::Unknown)),
        (0x21, 0x31, &[b'/'; 216], Ok(Behind::Unix)),
        (0x21, 0x31, &[b'/'; 215], Err(HeaderError::Truncated)),
        (0x21, 0x11, &four[..11], Err(HeaderError::Truncated)),
        (0x21, 0x21, &[0; 35], Err(HeaderError::Truncated)),
        (0x21, 0x12, &four, Err(HeaderError::Family(0x12))),
        (0x21, 0x41, &four, Err(HeaderError::Family(0x41))),
        (0x22, 0x11, &four, Err(HeaderError::Command(0x22))),
        (0x11, 0x11, &four, Err(HeaderError::Command(0x11))),
        // Fields: whole, cut in the head, cut in the value.
        (0x21, 0x00, &[4, 0, 1, 0], Ok(Behind::Unknown)),
        (0x21, 0x00, &[4, 0], Err(HeaderError::Truncated)),
        (0x21, 0x00, &[4, 0, 2, 0], Err(HeaderError::Truncated)),
        // A checksum that is none.
        (0x21, 0x00, &[3, 0, 3, 0, 0, 0], Err(HeaderError::Checksum)),
        (
            0x21,
            0x00,
            &[3, 0, 4, 0, 0, 0, 0],
            Err(HeaderError::Checksum),
        ),
        (
            0x20,
            0x00,
            &[3, 0, 4, 0, 0, 0, 0],
            Err(HeaderError::Checksum),
        ),
        (0x21, 0x00, &[4; 4097], Err(HeaderError::TooLong(4097))),
    ] {
        let input = v2(command, family, rest);
        assert_eq!(
            behind(&input),
            expected,
            "{command:#x} {family:#x} {rest:?}"
        );
    }
}

/// The form is that of `HAProxy` with `send-proxy-v2 proxy-v2-options crc32c`.
#[test]
fn a_change_is_noticed_by_the_checksum() {
    let sent =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\x7f\0\0\x01\x7f\0\0\x01\x80\0\x15\x38\x03\0\x04";
    let sum = crc32c::checksum(&[sent, &[0; 4]]).to_be_bytes();
    let header = [&sent[..], &sum].concat();
    let read_back = behind(&header);
    let client = ends("127.0.0.1:32768", "127.0.0.1:5432");
    assert_eq!(read_back, Ok(Behind::Client(client)));
    for at in (16..28).chain(header.len() - 4..header.len()) {
        let mut changed = header.clone();
        changed[at] ^= 1;
        assert_eq!(read(&changed), Err(HeaderError::Checksum), "byte {at}");
    }
}

#[test]
fn anything_else_is_no_header_as_soon_as_it_differs() {
    for input in [
        &b"\x16\x03\x01"[..],
        b"PING\r\n",
        b"PRI",
        b"\0\0\0\x08",
        b"\r\n\r\nX",
    ] {
        assert_eq!(read(input), Ok(Found::Nothing), "{}", input.escape_ascii());
        assert_eq!(version(input), None);
    }
    for input in [&b""[..], b"P", b"PROXY", b"\r", b"\r\n\r\n\0\r\nQUIT"] {
        assert_eq!(read(input), Ok(Found::NeedMore), "{}", input.escape_ascii());
    }
}

#[test]
fn families_that_differ_are_written_as_each_version_can() {
    let mixed = ends("203.0.113.9:1", "[2001:db8::1]:2");
    let none = Tlvs::default();
    assert_eq!(write(Version::V1, Some(mixed), &none), b"PROXY UNKNOWN\r\n");
    let mapped = ends("[::ffff:203.0.113.9]:1", "[2001:db8::1]:2");
    let written = write(Version::V2, Some(mixed), &none);
    assert_eq!(behind(&written), Ok(Behind::Client(mapped)));
    assert_eq!(behind(&write(Version::V2, None, &none)), Ok(Behind::Local));
}

fn some_addresses() -> impl Strategy<Value = Addresses> {
    let four = (any::<(u32, u32)>(), any::<(u16, u16)>()).prop_map(|((a, b), (p, q))| Addresses {
        client: (std::net::Ipv4Addr::from(a), p).into(),
        to: (std::net::Ipv4Addr::from(b), q).into(),
    });
    let six = (any::<(u128, u128)>(), any::<(u16, u16)>()).prop_map(|((a, b), (p, q))| Addresses {
        client: (std::net::Ipv6Addr::from(a), p).into(),
        to: (std::net::Ipv6Addr::from(b), q).into(),
    });
    prop_oneof![four, six]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again_however_it_is_cut(
        ends in some_addresses(),
        text in option::of("[a-z.]{0,300}"),
        alpn in option::of(vec(any::<u8>(), 0..1100)),
        has_certificate in any::<bool>(),
        behind in vec(any::<u8>(), 0..40),
    ) {
        let tlvs = Tlvs {
            authority: text.as_deref(),
            alpn: alpn.as_deref(),
            ssl: text.as_deref().map(|name| SslInfo {
                version: "TLSv1.3",
                cipher: Some("TLS_AES_128_GCM_SHA256"),
                has_certificate,
                common_name: Some(name),
            }),
        };
        for version in [Version::V1, Version::V2] {
            let header = write(version, Some(ends), &tlvs);
            prop_assert!(header.len() <= MAX_HEADER);
            for cut in 0..header.len() {
                prop_assert_eq!(read(&header[..cut]), Ok(Found::NeedMore));
            }
            let all = [&header[..], &behind].concat();
            let expected = Header { version, behind: Behind::Client(ends) };
            prop_assert_eq!(read(&all), Ok(Found::Header(expected, header.len())));
        }
    }

    /// Whatever comes: an answer within the bound, which more bytes do not change.
    #[test]
    fn an_answer_stays(
        version in 0..2_usize,
        start in 0..16_usize,
        rest in vec(any::<u8>(), 0..400),
    ) {
        let signature = [v1::SIGNATURE, v2::SIGNATURE][version];
        let input = [&signature[..start.min(signature.len())], &rest].concat();
        let mut before = Ok(Found::NeedMore);
        for end in 0..=input.len() {
            let now = read(&input[..end]);
            prop_assert!(before == Ok(Found::NeedMore) || now == before);
            before = now;
        }
    }
}
