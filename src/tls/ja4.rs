//! JA4, the fingerprint of a TLS client: the same for the same software and settings.
//!
//! Only for TLS over TCP. The other fingerprints of its family have another licence and are not
//! here. Source: `FoxIO`, "JA4: TLS Client Fingerprinting" (technical details), whose method is
//! under the BSD licence.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};

use super::hello::ClientHello;
use super::offer::Offer;

const SERVER_NAME: u16 = 0x0000;
const ALPN: u16 = 0x0010;

/// The hash of an empty list, by definition.
const NONE: &str = "000000000000";

/// The fingerprint of this hello: 36 ASCII characters such as
/// `t13d1516h2_8daaf6152771_e5627efa2ab1`.
///
/// The three parts are what can be read at a glance, the cipher suites, and the extensions with
/// the signature algorithms. The order of suites and extensions does not count.
#[must_use]
pub fn ja4(hello: &ClientHello, offer: &Offer) -> String {
    let newest = hello.versions.iter().copied().max();
    let version = match newest.unwrap_or(hello.legacy_version) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    };
    let names_a_host = offer.extensions.contains(&SERVER_NAME);
    let destination = if names_a_host { 'd' } else { 'i' };
    let suites = offer.suites.len().min(99);
    let extensions = offer.extensions.len().min(99);
    let (first, last) = ends(hello.alpn.first().map_or(&[], Vec::as_slice));

    let hashed = offer.extensions.iter().copied();
    let hashed = sorted(hashed.filter(|&number| number != SERVER_NAME && number != ALPN));
    let mut hashed = joined(&hashed);
    if !hashed.is_empty() && !offer.signature_algorithms.is_empty() {
        hashed.push('_');
        hashed.push_str(&joined(&offer.signature_algorithms));
    }
    format!(
        "t{version}{destination}{suites:02}{extensions:02}{first}{last}_{}_{}",
        hash(&joined(&sorted(offer.suites.iter().copied()))),
        hash(&hashed),
    )
}

/// The first and the last character of a protocol, of its hexadecimal form when either is no
/// letter or digit, `00` when there is none.
fn ends(protocol: &[u8]) -> (char, char) {
    let (Some(&first), Some(&last)) = (protocol.first(), protocol.last()) else {
        return ('0', '0');
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return (char::from(first), char::from(last));
    }
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    (digit(first >> 4), digit(last & 0x0f))
}

fn sorted(values: impl Iterator<Item = u16>) -> Vec<u16> {
    let mut values: Vec<u16> = values.collect();
    values.sort_unstable();
    values
}

fn joined(values: &[u16]) -> String {
    let mut text = String::with_capacity(values.len() * 5);
    for value in values {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{value:04x}");
    }
    text
}

/// The first twelve hexadecimal digits of the SHA-256 of a text.
fn hash(text: &str) -> String {
    if text.is_empty() {
        return NONE.to_owned();
    }
    let hash = digest(&SHA256, text.as_bytes());
    let mut digits = String::with_capacity(NONE.len());
    for byte in hash.as_ref().iter().take(NONE.len() / 2) {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Sni;

    fn hello() -> ClientHello {
        ClientHello {
            sni: Sni::None,
            sni_raw: None,
            alpn: Vec::new(),
            legacy_version: 0x0303,
            versions: Vec::new(),
            records: 1,
            wire_len: 0,
            message_len: 0,
        }
    }

    fn numbers(list: &str) -> Vec<u16> {
        list.split(',')
            .map(|number| u16::from_str_radix(number, 16).unwrap())
            .collect()
    }

    /// The worked example of the method's own page, in the client's order.
    fn example() -> (ClientHello, Offer) {
        let hello = ClientHello {
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            versions: vec![0x0304, 0x0303],
            ..hello()
        };
        let offer = Offer {
            suites: numbers(
                "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035",
            ),
            extensions: numbers(
                "001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015",
            ),
            signature_algorithms: numbers("0403,0804,0401,0503,0805,0501,0806,0601"),
            ..Offer::default()
        };
        (hello, offer)
    }

    #[test]
    fn the_published_example() {
        let (hello, mut offer) = example();
        assert_eq!(ja4(&hello, &offer), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        offer.signature_algorithms.clear();
        assert_eq!(ja4(&hello, &offer), "t13d1516h2_8daaf6152771_6d807ffa2a79");
    }

    #[test]
    fn real_clients() {
        // Computed from the same files by a program of another language.
        macro_rules! rows {
            ($(($file:literal, $ja4:literal),)*) => {
                [$((&include_bytes!(concat!("../../tests/data/hello/", $file))[..], $ja4),)*]
            };
        }
        let rows = rows![
            (
                "libpq18-direct-post-quantum.bin",
                "t13d3013pl_1d37bd780c83_ecd0401ec68b"
            ),
            (
                "mariadb10-no-sni.bin",
                "t13i311000_e8f1e7e78f70_d41ae481755e"
            ),
            ("node-mysql2.bin", "t13d591000_a33745022dd6_1f22a2ca17c4"),
            (
                "psql15-after-sslrequest.bin",
                "t13d311000_e8f1e7e78f70_1f22a2ca17c4"
            ),
            (
                "redis-cli7-no-sni.bin",
                "t13i310900_e8f1e7e78f70_1f22a2ca17c4"
            ),
            ("redis-cli7.bin", "t13d311000_e8f1e7e78f70_1f22a2ca17c4"),
            ("redis-py.bin", "t13d181100_85036bcba153_d41ae481755e"),
            ("tls12-only.bin", "t12d280700_d943125447b4_e7e480e5a997"),
        ];
        for (wire, expected) in rows {
            let (hello, offer) = crate::tls::offer::read(wire).unwrap().unwrap();
            assert_eq!(ja4(&hello, &offer), expected);
        }
    }

    #[test]
    fn empty_lists_are_zeros() {
        let offer = Offer::default();
        let empty = "t12i000000_000000000000_000000000000";
        assert_eq!(ja4(&hello(), &offer), empty);
        // Only what the third part leaves out: signature algorithms alone are not hashed.
        let offer = Offer {
            extensions: vec![SERVER_NAME, ALPN],
            signature_algorithms: vec![0x0403],
            ..offer
        };
        let bare = "t12d000200_000000000000_000000000000";
        assert_eq!(ja4(&hello(), &offer), bare);
    }

    #[test]
    fn counts_end_at_99_and_the_hash_does_not() {
        let offer = Offer {
            suites: (0..120).collect(),
            ..Offer::default()
        };
        let text = ja4(&hello(), &offer);
        assert!(text.starts_with("t12i990000_"), "{text}");
        let fewer = Offer {
            suites: (0..119).collect(),
            ..Offer::default()
        };
        assert_ne!(text, ja4(&hello(), &fewer));
    }

    #[test]
    fn versions() {
        let rows = [
            (0x0304, "13"),
            (0x0303, "12"),
            (0x0302, "11"),
            (0x0301, "10"),
            (0x0300, "s3"),
            (0x0002, "s2"),
            (0xfeff, "d1"),
            (0x0305, "00"),
        ];
        for (version, text) in rows {
            let legacy = ClientHello {
                legacy_version: version,
                ..hello()
            };
            let listed = ClientHello {
                versions: vec![0x0000, version],
                ..hello()
            };
            for hello in [legacy, listed] {
                assert_eq!(
                    &ja4(&hello, &Offer::default())[1..3],
                    text,
                    "{version:#06x}"
                );
            }
        }
    }

    #[test]
    fn the_ends_of_a_protocol() {
        let rows: [(&[u8], &str); 9] = [
            (b"", "00"),
            (b"h2", "h2"),
            (b"http/1.1", "h1"),
            (b"x", "xx"),
            (b"\xab", "ab"),
            (b"\xab\xcd", "ad"),
            (b"\x30\xab", "3b"),
            (b"\x30\x31\xab\xcd", "3d"),
            (b"\x30\xab\xcd\x31", "01"),
        ];
        for (protocol, text) in rows {
            let (first, last) = ends(protocol);
            assert_eq!(
                format!("{first}{last}"),
                text,
                "{}",
                protocol.escape_ascii()
            );
        }
    }
}
