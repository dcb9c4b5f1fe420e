//! Tests of the offer: real hellos, hostile lists, and agreement with the parser that routes.

use super::*;

const PSQL: &[u8] = include_bytes!("../../../tests/data/hello/psql15-after-sslrequest.bin");
const LIBPQ: &[u8] = include_bytes!("../../../tests/data/hello/libpq18-direct-post-quantum.bin");
const TLS12: &[u8] = include_bytes!("../../../tests/data/hello/tls12-only.bin");

fn offer(wire: &[u8]) -> Offer {
    let (hello, offer) = read(wire).unwrap().expect("a complete hello");
    assert_eq!(HelloParser::default().advance(wire), Ok(Some(hello)));
    offer
}

fn prefixed(body: &[u8]) -> Vec<u8> {
    [&u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn extension(number: u16, body: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &prefixed(body)].concat()
}

/// A hello in one record.
fn hello(session_id: &[u8], suites: &[u16], extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(u8::try_from(session_id.len()).unwrap());
    body.extend(session_id);
    let suites: Vec<u8> = suites
        .iter()
        .flat_map(|suite| suite.to_be_bytes())
        .collect();
    body.extend(prefixed(&suites));
    body.extend([1, 0]);
    body.extend(prefixed(&extensions.concat()));
    let message = [&[1, 0][..], &prefixed(&body)].concat();
    [&[0x16, 3, 1][..], &prefixed(&message)].concat()
}

#[test]
fn what_real_clients_offer() {
    let libpq = offer(LIBPQ);
    assert_eq!(libpq.suites.len(), 30);
    assert_eq!(
        libpq.extensions,
        [
            0xff01, 0x00, 0x0b, 0x0a, 0x23, 0x10, 0x16, 0x17, 0x0d, 0x2b, 0x2d, 0x33, 0x1b
        ]
    );
    assert_eq!(
        libpq.groups,
        [0x11ec, 0x1d, 0x17, 0x1e, 0x18, 0x19, 0x100, 0x101]
    );
    assert_eq!(libpq.key_shares, [0x11ec, 0x1d]);
    assert!(libpq.signature_algorithms.contains(&0x0403));
    for (wire, shares) in [(PSQL, &[0x1d][..]), (TLS12, &[])] {
        let offer = offer(wire);
        assert_eq!(offer.key_shares, shares);
        assert!(offer.suites.contains(&0xc02f) && offer.groups.contains(&0x17));
        assert!(!offer.resumes && !offer.early_data && !offer.ech && !offer.grease);
    }
}

#[test]
fn grease_is_noted_and_kept_out() {
    let greasy = |list: &[u8]| prefixed(list);
    let wire = hello(
        &[],
        &[0x0a0a, 0x1301],
        &[
            extension(0x1a1a, &[]),
            extension(SUPPORTED_GROUPS, &greasy(&[0x2a, 0x2a, 0, 0x1d])),
            extension(SIGNATURE_ALGORITHMS, &greasy(&[0x3a, 0x3a, 4, 3])),
            extension(
                KEY_SHARE,
                &greasy(&[0x4a, 0x4a, 0, 1, 9, 0, 0x1d, 0, 2, 8, 8]),
            ),
        ],
    );
    let expected = Offer {
        suites: vec![0x1301],
        extensions: vec![SUPPORTED_GROUPS, SIGNATURE_ALGORITHMS, KEY_SHARE],
        groups: vec![0x1d],
        key_shares: vec![0x1d],
        signature_algorithms: vec![0x0403],
        grease: true,
        ..Offer::default()
    };
    assert_eq!(offer(&wire), expected);
    // One place is enough.
    assert!(offer(&hello(&[], &[0x1301, 0xfafa], &[])).grease);
    assert!(!offer(&hello(&[], &[0x1301, 0xfaea], &[])).grease);
}

#[test]
fn what_resumes() {
    let tls13 = extension(0x2b, &[2, 3, 4]);
    let ticket = |body: &[u8]| extension(SESSION_TICKET, body);
    let rows = [
        ("nothing", hello(&[], &[1], &[]), false),
        ("an id, 1.2", hello(&[5; 32], &[1], &[]), true),
        (
            "an id, 1.3",
            hello(&[5; 32], &[1], std::slice::from_ref(&tls13)),
            false,
        ),
        ("asks for a ticket", hello(&[], &[1], &[ticket(&[])]), false),
        ("a ticket", hello(&[], &[1], &[ticket(&[1])]), true),
        (
            "a pre-shared key",
            hello(&[5; 32], &[1], &[tls13, extension(PRE_SHARED_KEY, &[0])]),
            true,
        ),
    ];
    for (what, wire, resumes) in rows {
        assert_eq!(offer(&wire).resumes, resumes, "{what}");
    }
}

#[test]
fn marks_of_extensions() {
    let wire = hello(
        &[],
        &[1],
        &[
            extension(EARLY_DATA, &[]),
            extension(ENCRYPTED_CLIENT_HELLO, &[1, 2]),
        ],
    );
    let offer = offer(&wire);
    assert!(offer.early_data && offer.ech);
}

#[test]
fn malformed_lists_are_no_error() {
    let rows: [(&[u8], &[u16]); 6] = [
        (&[], &[]),
        (&[0], &[]),
        (&[0, 9, 0, 1], &[]),
        (&[0, 3, 0, 1, 7], &[1]),
        (&[0, 2, 0, 1, 0, 2, 0, 3], &[1]),
        (&[0, 0], &[]),
    ];
    for (body, groups) in rows {
        for number in [SUPPORTED_GROUPS, SIGNATURE_ALGORITHMS, KEY_SHARE] {
            let offer = offer(&hello(&[], &[1], &[extension(number, body)]));
            assert_eq!(offer.extensions, [number]);
            if number == SUPPORTED_GROUPS {
                assert_eq!(offer.groups, groups, "{body:?}");
            }
        }
    }
    // A share whose key is cut.
    let shares = extension(KEY_SHARE, &[0, 9, 0, 1, 0, 0, 0, 2, 0, 9, 1]);
    assert_eq!(offer(&hello(&[], &[1], &[shares])).key_shares, [1]);
}

#[test]
fn lists_are_bounded() {
    let many: Vec<u16> = (0x2000..0x2000 + 3000).collect();
    let bytes: Vec<u8> = many.iter().flat_map(|value| value.to_be_bytes()).collect();
    let shares: Vec<u8> = many.iter().flat_map(|_| [0, 1, 0, 0]).collect();
    let one = |number: u16| extension(number, &prefixed(&bytes));
    let lists = [
        offer(&hello(&[], &many, &[])).suites,
        offer(&hello(&[], &[1], &[one(SUPPORTED_GROUPS)])).groups,
        offer(&hello(&[], &[1], &[one(SIGNATURE_ALGORITHMS)])).signature_algorithms,
        offer(&hello(
            &[],
            &[1],
            &[extension(KEY_SHARE, &prefixed(&shares))],
        ))
        .key_shares,
        offer(&hello(&[], &[1], &vec![extension(0x7777, &[]); 3000])).extensions,
    ];
    for list in lists {
        assert_eq!(list.len(), MAX_LISTED);
    }
}

#[test]
fn the_same_answer_as_the_parser_for_every_cut() {
    for wire in [PSQL, LIBPQ, TLS12] {
        for end in 0..=wire.len() {
            let ours = read(&wire[..end]).map(|read| read.map(|(hello, _)| hello));
            assert_eq!(ours, HelloParser::default().advance(&wire[..end]));
        }
    }
    for wire in [&b"GET / HTTP/1.1"[..], &[0x16, 3, 1, 0, 0], &[0x15, 3]] {
        assert_eq!(
            read(wire).unwrap_err(),
            HelloParser::default().advance(wire).unwrap_err()
        );
    }
}
