//! The hello parser against the one of rustls, over some thousand mutated hellos.
//!
//! Every hello that rustls accepts is accepted, with the same name and protocols: a gateway must
//! not lock out a client that its backend would serve, nor send it elsewhere. The converse is not
//! asked, since ours leaves to the server what it does not read. Three differences are meant:
//!
//! - more than 64 ALPN protocols, or more than 72 KiB on the wire, is refused here only;
//! - behind a server name of an undefined type rustls stops reading, ours goes on and refuses
//!   what is malformed there;
//! - the trailing dot of a name is dropped here, rustls keeps it.

use std::sync::Arc;

use rustls::server::Acceptor;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::super::{ClientHello, HelloError, HelloParser, MAX_WIRE, RECORD_HEADER};
use super::build::{extension, records};

/// The name and the protocols of a hello.
type Facts = (Option<String>, Vec<Vec<u8>>);

/// The hello as rustls reads it; `None` when it refuses the bytes or waits for more.
fn theirs(wire: &[u8]) -> Option<Facts> {
    let mut acceptor = Acceptor::default();
    let mut rest = wire;
    loop {
        let read = acceptor.read_tls(&mut rest).ok()?;
        if let Some(accepted) = acceptor.accept().ok()? {
            let hello = accepted.client_hello();
            let name = hello
                .server_name()
                .map(|name| name.trim_end_matches('.').to_owned());
            let alpn = hello
                .alpn()
                .into_iter()
                .flatten()
                .map(<[u8]>::to_vec)
                .collect();
            return Some((name, alpn));
        }
        if read == 0 {
            return None;
        }
    }
}

fn facts(hello: ClientHello) -> Facts {
    (hello.sni.name().map(ToString::to_string), hello.alpn)
}

fn ours(wire: &[u8]) -> Result<Option<Facts>, HelloError> {
    Ok(HelloParser::default().advance(wire)?.map(facts))
}

/// Asserts the agreement; says whether rustls accepted.
fn agree(wire: &[u8]) -> bool {
    let Some(expected) = theirs(wire) else {
        return false;
    };
    match ours(wire) {
        Err(HelloError::TooManyProtocols) => {}
        Err(HelloError::TooLong) if wire.len() > MAX_WIRE => {}
        Err(HelloError::TwoHostNames | HelloError::Truncated("server_name extension"))
            if has_undefined_name_type(wire) => {}
        got => assert_eq!(got, Ok(Some(expected)), "{wire:02x?}"),
    }
    true
}

/// Returns whether the list of server names has one of an undefined type before anything else in it is
/// wrong; for hellos that rustls accepts, so all around the list is well formed.
fn has_undefined_name_type(wire: &[u8]) -> bool {
    let mut message = Vec::new();
    let mut rest = wire;
    while let [0x16, _, _, high, low, tail @ ..] = rest {
        let (fragment, next) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend_from_slice(fragment);
        rest = next;
    }
    let parts = split_extensions(&message[extensions_at(&message) + 2..]);
    let (_, body) = parts.iter().find(|part| part.0 == 0).unwrap();
    let mut list = &body[2..];
    while let [0, high, low, tail @ ..] = list {
        list = &tail[usize::from(u16::from_be_bytes([*high, *low]))..];
    }
    list.first().is_some_and(|&name_type| name_type != 0)
}

/// The first flight of a rustls client.
fn rustls_hello(name: &str, alpn: &[&[u8]]) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = name.to_owned().try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut wire = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut wire).unwrap();
    }
    wire
}

#[test]
fn hellos_of_rustls_clients() {
    type Row = (&'static str, Option<&'static str>, &'static [&'static [u8]]);
    let rows: [Row; 4] = [
        ("db1.example", Some("db1.example"), &[b"postgresql"]),
        ("DB1.Example", Some("db1.example"), &[b"h2", b"http/1.1"]),
        ("192.0.2.1", None, &[]),
        ("2001:db8::1", None, &[]),
    ];
    for (name, expected, alpn) in rows {
        let wire = rustls_hello(name, alpn);
        assert!(wire.len() > 1200, "post-quantum key share");
        let alpn = alpn.iter().map(|name| name.to_vec()).collect();
        let expected = (expected.map(str::to_owned), alpn);
        assert_eq!(ours(&wire), Ok(Some(expected.clone())));
        assert_eq!(theirs(&wire), Some(expected));
    }
}

/// A small generator of numbers that are the same in every run (xorshift64).
struct Numbers(u64);

impl Numbers {
    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// The offset of the extensions' length in a message.
fn extensions_at(message: &[u8]) -> usize {
    let session_id = 4 + 2 + 32;
    let suites = session_id + 1 + usize::from(message[session_id]);
    let compression =
        suites + 2 + usize::from(message[suites + 1]) + 256 * usize::from(message[suites]);
    compression + 1 + usize::from(message[compression])
}

/// The extensions of a legal list, by number and body.
fn split_extensions(mut list: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut parts = Vec::new();
    while let [a, b, c, d, tail @ ..] = list {
        let (body, next) = tail.split_at(usize::from(u16::from_be_bytes([*c, *d])));
        parts.push((u16::from_be_bytes([*a, *b]), body.to_vec()));
        list = next;
    }
    parts
}

/// Changes a legal message in one place or more, and mends the lengths around it most times.
fn mutate(message: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let at = extensions_at(message);
    let (before, extensions) = (&message[4..at], &message[at + 2..]);
    let mut parts = split_extensions(extensions);
    let mut before = before.to_vec();
    for _ in 0..=numbers.below(3) {
        let chosen = numbers.below(parts.len());
        // Mostly the three that are read.
        let chosen = match numbers.below(4) {
            0 => chosen,
            read => {
                let number = [0, 16, 43][read - 1];
                parts
                    .iter()
                    .position(|part| part.0 == number)
                    .unwrap_or(chosen)
            }
        };
        let body = &mut parts[chosen].1;
        let place = numbers.below(body.len() + 1);
        match numbers.below(9) {
            0..=2 if place < body.len() => body[place] = numbers.byte(),
            // letters, digits and dots, so that a name stays one
            3 | 4 if place < body.len() => body[place] = b"aZ0.-_1x"[numbers.below(8)],
            5 => body.insert(place, numbers.byte()),
            6 if place < body.len() => drop(body.remove(place)),
            7 => {
                let place = numbers.below(before.len());
                before[place] = numbers.byte();
            }
            8 => {
                let other = numbers.below(parts.len());
                parts.swap(chosen, other);
            }
            _ => {
                let copy = parts[chosen].clone();
                if numbers.below(4) == 0 {
                    parts.push(copy);
                }
            }
        }
    }
    let mut extensions = Vec::new();
    for (number, body) in parts {
        extensions.extend(extension(number, &body));
    }
    let length = u16::try_from(extensions.len()).unwrap();
    before.extend(length.to_be_bytes());
    before.extend(extensions);
    super::build::message(&before)
}

#[test]
fn what_rustls_accepts_is_accepted_and_read_alike() {
    let mut seeds: Vec<Vec<u8>> = vec![
        rustls_hello("db1.example", &[b"postgresql", b"h2"]),
        rustls_hello("a.b.c.d.e", &[b"x"]),
    ];
    for real in [
        super::PSQL,
        super::LIBPQ,
        super::REDIS,
        super::NODE,
        super::MARIADB,
    ] {
        seeds.push(real.to_vec());
    }
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..12_000 {
        let seed = &seeds[round % seeds.len()];
        let mut wire = match numbers.below(4) {
            0 => {
                // a byte anywhere, the framing included
                let mut wire = seed.clone();
                let place = numbers.below(wire.len());
                wire[place] = numbers.byte();
                wire
            }
            1 => records(
                &mutate(&seed[RECORD_HEADER..], &mut numbers),
                1 + numbers.below(400),
            ),
            _ => records(&mutate(&seed[RECORD_HEADER..], &mut numbers), 1 << 14),
        };
        if numbers.below(8) == 0 {
            wire.extend(b"\x14\x03\x03\0\x01\x01");
        }
        if agree(&wire) {
            accepted += 1;
        } else {
            refused += 1;
        }
    }
    // Neither side of the comparison may be empty, or it compares nothing.
    assert!(
        accepted > 2_000 && refused > 2_000,
        "{accepted} accepted, {refused} refused"
    );
}
