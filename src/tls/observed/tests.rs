//! Tests of the observer: captured connections, connections of rustls in memory, every cut, and
//! records that no TLS has.

mod build;
mod live;

use super::walk::HANDSHAKE;
use super::*;
use build::{alert, ccs, data, message, record, server_hello};

macro_rules! captured {
    ($name:literal) => {
        (
            include_bytes!(concat!("../../../tests/data/tls/", $name, "-client.bin")) as &[u8],
            include_bytes!(concat!("../../../tests/data/tls/", $name, "-server.bin")) as &[u8],
        )
    };
}

const RETRY: (&[u8], &[u8]) = captured!("psql15-retry");
const DIRECT: (&[u8], &[u8]) = captured!("libpq18-direct");
const UNKNOWN_CA: (&[u8], &[u8]) = captured!("psql15-unknown-ca");
const REDIS: (&[u8], &[u8]) = captured!("redis-cli7");
const MARIADB: (&[u8], &[u8]) = captured!("mariadb10");
const TLS12_HELLO: &[u8] = include_bytes!("../../../tests/data/hello/tls12-only.bin");

fn both((client, server): (&[u8], &[u8])) -> (Observed, Observed) {
    (whole(client, End::Client), whole(server, End::Server))
}

/// Observes an input in every cut: what was seen stays seen, and a fault does not move.
fn whole(input: &[u8], from: End) -> Observed {
    let mut before = Observed::default();
    for end in 0..=input.len() {
        let now = observe(&input[..end], from);
        assert_grown(&before, &now);
        assert!(now.wire_read <= end);
        before = now;
    }
    before
}

fn assert_grown(before: &Observed, now: &Observed) {
    fn kept<T: PartialEq + std::fmt::Debug>(before: Option<&T>, now: Option<&T>) {
        assert!(before.is_none() || before == now, "{before:?} {now:?}");
    }
    kept(before.hello.as_ref(), now.hello.as_ref());
    kept(
        before.change_cipher_spec.as_ref(),
        now.change_cipher_spec.as_ref(),
    );
    kept(before.alert.as_ref(), now.alert.as_ref());
    kept(before.warning.as_ref(), now.warning.as_ref());
    kept(before.close.as_ref(), now.close.as_ref());
    kept(before.fault.as_ref(), now.fault.as_ref());
    kept(
        before.encrypted.first.as_ref(),
        now.encrypted.first.as_ref(),
    );
    if let Some(hello) = &before.server_hello {
        let later = now.server_hello.as_ref().expect("still there");
        assert_eq!((hello.version, hello.suite), (later.version, later.suite));
        assert_eq!(hello.alpn, later.alpn);
        kept(hello.group.as_ref(), later.group.as_ref());
        assert!(!hello.resumed || later.resumed);
    }
    assert!(before.hellos <= now.hellos && before.wire_read <= now.wire_read);
    assert!(before.hello_retry <= now.hello_retry);
    assert!(before.certificate_request <= now.certificate_request);
    assert!(before.encrypted.records <= now.encrypted.records);
    assert!(before.encrypted.bytes <= now.encrypted.bytes);
    assert!(now.messages.starts_with(&before.messages));
    assert!(before.certificates.is_empty() || before.certificates == now.certificates);
}

fn kinds(seen: &Observed) -> Vec<u8> {
    seen.messages.iter().map(|message| message.kind).collect()
}

#[test]
fn a_retry_and_a_session() {
    let (client, server) = both(RETRY);
    assert_eq!((client.hellos, server.hellos), (2, 0));
    let (hello, offer) = client.hello.as_ref().unwrap();
    assert_eq!(hello.sni.sent(), Some("my-postgres.example"));
    assert_eq!(offer.key_shares, [0x1d]);
    // Behind the first hello, whose record is 321 bytes long, and a change_cipher_spec of six.
    let hellos = [(0, 321), (327, 681)];
    let hellos = hellos.map(|(at, end)| Message { kind: 1, at, end });
    assert_eq!(client.messages, hellos);
    assert!(server.hello_retry);
    assert_eq!(server.retry_group, Some(0x17));
    assert_eq!(
        server.server_hello,
        Some(ServerHello {
            version: 0x0304,
            suite: 0x1302,
            group: Some(0x17),
            alpn: None,
            resumed: false,
        })
    );
    assert_eq!(kinds(&server), [2, 2]);
    assert_eq!(client.encrypted.records, 7);
    assert_eq!(client.encrypted.bytes, 69 + 80 + 98 + 198 + 31 + 22 + 19);
    assert_eq!(client.encrypted.first.unwrap().len, 69);
    assert!(client.encrypted.last.unwrap().likely_alert);
    assert!(server.encrypted.last.unwrap().likely_alert);
    assert_eq!(client.wire_read, RETRY.0.len());
    assert_eq!(server.wire_read, RETRY.1.len());
    assert_eq!((client.fault, server.fault), (None, None));
    assert!(established(&client, &server));
}

#[test]
fn a_post_quantum_session() {
    let (client, server) = both(DIRECT);
    assert_eq!(client.hellos, 1);
    assert!(!server.hello_retry);
    let chosen = server.server_hello.as_ref().unwrap();
    assert_eq!((chosen.version, chosen.suite), (0x0304, 0x1302));
    // PostgreSQL 18 with an OpenSSL that has no post-quantum groups.
    assert_eq!(chosen.group, Some(0x1d));
    assert!(established(&client, &server));
}

#[test]
fn a_client_that_does_not_know_the_authority() {
    let (client, server) = both(UNKNOWN_CA);
    let alert = client.alert.unwrap();
    assert_eq!(alert.alert(), Some(Alert::UnknownCa));
    assert_eq!((alert.level, alert.at), (2, 681));
    assert_eq!(client.encrypted.records, 0);
    assert!(server.server_hello.is_some());
    assert!(!established(&client, &server));
}

#[test]
fn sessions_without_an_end_of_their_own() {
    for captured in [REDIS, MARIADB] {
        let (client, server) = both(captured);
        assert!(established(&client, &server));
        assert!(!client.encrypted.last.unwrap().likely_alert);
    }
}

#[test]
fn established_is_no_more_than_what_was_seen() {
    let (client, server) = both(REDIS);
    let nothing = Observed::default();
    assert!(!established(&client, &nothing));
    assert!(!established(&nothing, &server));
    // The client's Finished: 69 bytes behind 322 of hello and 6 of change_cipher_spec.
    for (end, done) in [(328, false), (328 + 5 + 68, false), (328 + 5 + 69, true)] {
        let client = observe(&REDIS.0[..end], End::Client);
        assert_eq!(established(&client, &server), done, "{end}");
    }
    // One encrypted record that is as long as an alert is most likely one.
    let refused = [&REDIS.0[..328], &data(19)].concat();
    let refused = whole(&refused, End::Client);
    assert!(refused.encrypted.first.unwrap().likely_alert);
    assert!(!established(&refused, &server));
}

#[test]
fn early_data_is_no_finished() {
    let (client, server) = both(REDIS);
    let early = |wire: &[u8]| {
        let mut client = whole(wire, End::Client);
        client.hello.as_mut().unwrap().1.early_data = true;
        client
    };
    let hello = &REDIS.0[..328];
    let rows = [
        ([hello, &data(100)].concat(), false),
        ([hello, &data(100), &data(69)].concat(), true),
        ([hello, &data(100), &data(19)].concat(), false),
    ];
    for (wire, done) in rows {
        assert_eq!(established(&early(&wire), &server), done);
    }
    assert!(established(&client, &server));
}

#[test]
fn a_server_that_only_refuses() {
    let wire = alert(2, 70);
    let server = whole(&wire, End::Server);
    let seen = SeenAlert {
        level: 2,
        code: 70,
        at: 0,
    };
    assert_eq!(server.alert, Some(seen));
    assert_eq!(server.wire_read, 7);
    assert!(!established(&whole(TLS12_HELLO, End::Client), &server));
    // A client, too, can begin with an alert.
    assert_eq!(whole(&wire, End::Client).alert, Some(seen));
}

#[test]
fn warnings_and_ends_are_told_from_failures() {
    let wire = [alert(1, 112), alert(1, 0), alert(2, 40), alert(2, 80)].concat();
    let seen = whole(&wire, End::Server);
    assert_eq!(
        seen.warning.map(|alert| (alert.code, alert.at)),
        Some((112, 0))
    );
    assert_eq!(seen.close, Some(7));
    assert_eq!(
        seen.alert.map(|alert| (alert.code, alert.at)),
        Some((40, 14))
    );
    assert_eq!(seen.fault, None);
    let wrong = whole(&alert(3, 40), End::Server);
    assert_eq!(
        wrong.fault,
        Some(ObservedFault {
            at: 0,
            what: Fault::Record(21)
        })
    );
}

#[test]
fn messages_are_joined_however_they_are_cut() {
    let flight = [
        server_hello(0x0303, 0xc02f, &[]),
        message(11, b"\0\0\x0c\0\0\x03abc\0\0\x03def"),
        message(12, &[3, 0, 0x17, 9, 9]),
        message(13, &[]),
        message(14, &[]),
    ]
    .concat();
    for size in [1, 2, 3, 5, 40, 999] {
        let wire: Vec<u8> = flight
            .chunks(size)
            .flat_map(|part| record(HANDSHAKE, part))
            .collect();
        let seen = whole(&wire, End::Server);
        assert_eq!(seen.fault, None, "records of {size}");
        assert_eq!(kinds(&seen), [2, 11, 12, 13, 14]);
        assert_eq!(seen.certificates, [b"abc", b"def"]);
        assert!(seen.certificate_request);
        let chosen = seen.server_hello.unwrap();
        assert_eq!((chosen.group, chosen.resumed), (Some(0x17), false));
        let last = seen.messages.last().unwrap();
        assert_eq!(last.end, wire.len());
        let first_of_last = flight.len() - 4;
        assert_eq!(last.at, first_of_last / size * (size + 5));
    }
}

#[test]
fn the_key_exchange_names_a_group_only_where_it_has_one() {
    let rows: [(u16, &[u8], Option<u16>); 7] = [
        (0xc02f, &[3, 0, 0x1d], Some(0x1d)), // ECDHE_RSA
        (0xcca9, &[3, 0, 0x1d], Some(0x1d)), // ECDHE_ECDSA
        (0xc02f, &[1, 0, 0x1d], None),       // an explicit curve
        (0xc02f, &[3, 0], None),
        (0x009e, &[3, 0, 0x1d], None), // DHE_RSA: 0x300 bytes of a prime
        (0xc035, &[3, 0, 0x1d], None), // ECDHE_PSK
        (0xfff0, &[3, 0, 0x1d], None),
    ];
    for (suite, body, group) in rows {
        let flight = [server_hello(0x0303, suite, &[]), message(12, body)].concat();
        let seen = whole(&record(HANDSHAKE, &flight), End::Server);
        assert_eq!(seen.server_hello.unwrap().group, group, "{suite:#06x}");
        assert_eq!(seen.fault, None);
    }
}

#[test]
fn a_server_hello_says_its_choice() {
    let extensions = [
        &[0x00, 0x2b, 0, 2, 3, 4][..],
        &[0x00, 0x33, 0, 5, 0x11, 0xec, 0, 1, 7],
        &[0x00, 0x29, 0, 2, 0, 0],
        &[0x12, 0x34, 0, 1, 9],
    ]
    .concat();
    let wire = record(HANDSHAKE, &server_hello(0x0303, 0x1301, &extensions));
    let chosen = whole(&wire, End::Server).server_hello.unwrap();
    assert_eq!((chosen.version, chosen.group), (0x0304, Some(0x11ec)));
    assert!(chosen.resumed);

    let alpn = [0x00, 0x10, 0, 5, 0, 3, 2, b'h', b'2'];
    let wire = record(HANDSHAKE, &server_hello(0x0303, 0xc02f, &alpn));
    let chosen = whole(&wire, End::Server).server_hello.unwrap();
    assert_eq!(
        (chosen.version, chosen.alpn),
        (0x0303, Some(b"h2".to_vec()))
    );

    // Before there were extensions.
    let wire = record(HANDSHAKE, &server_hello(0x0301, 0x0035, &[]));
    let chosen = whole(&wire, End::Server).server_hello.unwrap();
    assert_eq!((chosen.version, chosen.suite), (0x0301, 0x0035));
}

#[test]
fn what_is_no_tls_is_a_fault_at_its_first_wrong_byte() {
    let hello = record(HANDSHAKE, &server_hello(0x0303, 0xc02f, &[]));
    let secret = record(
        HANDSHAKE,
        &server_hello(0x0303, 0x1301, &[0, 0x2b, 0, 2, 3, 4]),
    );
    let behind = |extra: &[u8]| [&hello[..], extra].concat();
    let n = hello.len();
    let tls13 = [&secret[..], &record(HANDSHAKE, &message(11, &[]))].concat();
    let length = |kind, length| Fault::RecordLength { kind, length };
    let rows: Vec<(Vec<u8>, Fault, usize)> = vec![
        (b"-ERR unknown".to_vec(), Fault::NotTls(b'-'), 0),
        (b"\x80\x2e\x01".to_vec(), Fault::NotTls(0x80), 0),
        (b"\x15HT".to_vec(), Fault::RecordVersion(b'H'), 0),
        (behind(b"E"), Fault::NotTls(b'E'), n),
        (behind(b"\x17\x03\x03\0\x01a"), Fault::Record(23), n),
        (behind(b"\x16\x03\x03\0\0"), length(22, 0), n),
        (behind(b"\x16\x03\x03\x40\x01"), length(22, 0x4001), n),
        (behind(b"\x17\x03\x03\x48\x01"), length(23, 0x4801), n),
        (behind(b"\x15\x03\x03\0\x03\x02\x28\0"), length(21, 3), n),
        (behind(b"\x14\x03\x03\0\x02\x01\x01"), Fault::Record(20), n),
        (behind(b"\x16\x03\x03\0\x01\x01"), Fault::Message(1), n),
        (behind(b"\x16\x03\x03\0\x01\x02"), Fault::Message(2), n),
        (
            behind(b"\x16\x03\x03\0\x04\x0b\x01\0\0"),
            Fault::TooLong(11),
            n,
        ),
        (
            behind(b"\x16\x03\x03\0\x06\x0b\0\0\x02\0\0"),
            Fault::Malformed(11),
            n,
        ),
        (
            behind(b"\x16\x03\x03\0\x01\x0b\x14\x03\x03\0\x01\x01"),
            Fault::Record(20),
            n + 6,
        ),
        (record(HANDSHAKE, &message(14, &[])), Fault::Message(14), 0),
        (
            record(HANDSHAKE, &message(2, &[3, 3])),
            Fault::Malformed(2),
            0,
        ),
        (tls13, Fault::Record(22), secret.len()),
    ];
    for (wire, what, at) in rows {
        let seen = whole(&wire, End::Server);
        assert_eq!(seen.fault, Some(ObservedFault { at, what }), "{wire:02x?}");
        assert_eq!(seen.wire_read, at);
        assert!(what.to_string().is_ascii(), "{what}");
    }
    let both = [
        server_hello(0x0303, 0x1301, &[0, 0x2b, 0, 2, 3, 4]),
        message(11, &[]),
    ];
    let seen = whole(&record(HANDSHAKE, &both.concat()), End::Server);
    assert_eq!(
        seen.fault,
        Some(ObservedFault {
            at: 0,
            what: Fault::DataBehind
        })
    );
    assert!(seen.server_hello.is_some());
}

#[test]
fn what_no_client_may_say() {
    let behind = |extra: &[u8]| [TLS12_HELLO, extra].concat();
    let n = TLS12_HELLO.len();
    let hello = |error| Fault::Hello(error);
    let third = [RETRY.0, &RETRY.0[..321]].concat();
    assert_eq!(
        whole(&third, End::Client).fault,
        None,
        "it counts as encrypted"
    );
    let rows: Vec<(Vec<u8>, Fault, usize)> = vec![
        (b"GET / HTTP/1.1".to_vec(), Fault::NotTls(b'G'), 0),
        (b"\x80".to_vec(), hello(HelloError::Sslv2(0x80)), 0),
        (b"\x17".to_vec(), hello(HelloError::RecordType(23)), 0),
        (
            b"\x16\x03\x01\0\x02\x01\0\x15".to_vec(),
            hello(HelloError::RecordType(21)),
            7,
        ),
        (behind(b"\x16\x03\x03\0\x01\x02"), Fault::Message(2), n),
        (
            behind(&[record(22, &message(16, &[0; 9])), data(30)].concat()),
            Fault::Record(23),
            n + 18,
        ),
    ];
    for (wire, what, at) in rows {
        let seen = whole(&wire, End::Client);
        assert_eq!(seen.fault, Some(ObservedFault { at, what }), "{wire:02x?}");
    }
}

#[test]
fn tls12_is_read_up_to_the_keys() {
    let client = [
        TLS12_HELLO,
        &record(HANDSHAKE, &message(16, &[0; 33])),
        &ccs(),
        &record(HANDSHAKE, &[7; 40]),
        &data(19),
        &record(21, &[7; 26]),
    ]
    .concat();
    let flight = [
        server_hello(0x0303, 0xc02f, &[]),
        message(11, &[0, 0, 0]),
        message(14, &[]),
    ];
    let server = [
        record(HANDSHAKE, &flight.concat()),
        ccs(),
        record(HANDSHAKE, &[8; 40]),
    ]
    .concat();
    let (client, server) = both((&client, &server));
    assert_eq!(client.fault, None);
    assert_eq!(client.encrypted.records, 3);
    assert!(client.encrypted.last.unwrap().likely_alert);
    assert!(established(&client, &server));
    assert!(!server.server_hello.as_ref().unwrap().resumed);

    // The client's alert, encrypted, in place of its Finished.
    let mut refused = client;
    refused.encrypted.first = refused.encrypted.last;
    assert!(!established(&refused, &server));
}

#[test]
fn nineteen_bytes_are_an_alert_only_where_types_are_hidden() {
    let wire = [TLS12_HELLO, &ccs(), &record(HANDSHAKE, &[7; 40]), &data(19)].concat();
    let seen = whole(&wire, End::Client);
    assert!(!seen.encrypted.last.unwrap().likely_alert);
    let wire = [TLS12_HELLO, &ccs(), &data(69), &data(19)].concat();
    let seen = whole(&wire, End::Client);
    assert!(seen.encrypted.last.unwrap().likely_alert);
}

#[test]
fn what_is_kept_is_bounded() {
    let requests = record(HANDSHAKE, &message(0, &[]).repeat(500));
    let chain: Vec<u8> = b"\0\0\x01x".repeat(40);
    let list = [&[0, 0, 160][..], &chain].concat();
    let wire = [
        record(HANDSHAKE, &server_hello(0x0303, 0xc02f, &[])),
        record(HANDSHAKE, &message(11, &list)),
        record(HANDSHAKE, &message(11, &list)),
        requests,
    ]
    .concat();
    let seen = observe(&wire, End::Server);
    assert_eq!(seen.messages.len(), MAX_MESSAGES);
    assert_eq!(seen.certificates.len(), MAX_CERTIFICATES);
    assert_eq!((seen.fault, seen.wire_read), (None, wire.len()));
}
