//! A `ClientHello` that offers far more than any client should accept, to learn what a server
//! wants that refuses the usual one, and what its answer to that means.
//!
//! It is only sent and its answer read: no handshake is ever completed with it. Not here: sending
//! it, and reading the answer's bytes ([`crate::tls::observed`]).
//! Source: RFC 8446 sections 4.1.2, 4.2 and D.2; RFC 5246 section 7.4.1.2 and appendix A.5;
//! RFC 8422 section 5.1 (`ec_point_formats`); RFC 7748 section 4.1 (the base point); RFC 7685
//! (`padding`); the IANA registries that [`names`] cites.

use super::setup::PROVIDER;
use crate::probe::dissection::alert_name;
use crate::probe::{Rule, rules};
use crate::tls::observed::Observed;
use crate::tls::{ServerName, names};

/// The strong first, so that a server that follows the client's order shows the best it has.
const SUITES: &[u16] = &[
    // TLS 1.3.
    0x1302, 0x1301, 0x1303, 0x1304, 0x1305, //
    // ECDHE with AEAD.
    0xc02c, 0xc02b, 0xcca9, 0xc030, 0xc02f, 0xcca8, 0xc0ad, 0xc0ac, //
    // DHE with AEAD.
    0x009f, 0x009e, 0xccaa, 0xc09f, 0xc09e, 0x00a3, 0x00a2, //
    // ECDHE with CBC.
    0xc024, 0xc023, 0xc028, 0xc027, 0xc00a, 0xc009, 0xc014, 0xc013, //
    // DHE with CBC.
    0x006b, 0x0067, 0x006a, 0x0040, 0x0039, 0x0033, 0x0038, 0x0032, 0x0088, 0x0045, //
    // RSA key exchange.
    0x009d, 0x009c, 0xc09d, 0xc09c, 0x003d, 0x003c, 0x0035, 0x002f, 0x0084, 0x0041, //
    // 3DES and RC4.
    0xc008, 0xc012, 0x0016, 0x0013, 0x000a, 0xc007, 0xc011, 0x0005, 0x0004,
];

/// Today's first, for the same reason.
const GROUPS: &[u16] = &[
    X25519, 0x11ec, 0x0017, 0x0018, // what clients offer today
    0x0019, 0x001e, 0x001a, 0x001b, 0x001c, 0x001f, 0x0020, 0x0021, 0x0016, 0x0015, 0x0013, //
    0x0100, 0x0101, 0x0102, 0x0103, 0x0104, // ffdhe2048 to ffdhe8192
];

const SIGNATURE_ALGORITHMS: &[u16] = &[
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x081a,
    0x081b, 0x081c, 0x0401, 0x0501, 0x0601, 0x0904, 0x0905, 0x0906, //
    // With DSA, SHA-224 and SHA-1.
    0x0402, 0x0502, 0x0602, 0x0303, 0x0301, 0x0302, 0x0203, 0x0201, 0x0202,
];

/// All versions.
pub(super) const VERSIONS: &[u16] = &[0x0304, 0x0303, 0x0302, 0x0301];

/// Those in which the suite says what kind of key signs.
pub(super) const UP_TO_12: &[u16] = &[0x0303, 0x0302, 0x0301];

const X25519: u16 = 0x001d;

/// A valid key that needs no generation: the base point.
const X25519_KEY: [u8; 32] = {
    let mut key = [0; 32];
    key[0] = 9;
    key
};

/// Some servers of old never answer a hello of 256 to 511 bytes (RFC 7685 section 1).
const AT_LEAST: usize = 512;

/// The hello, in one record.
pub(super) fn hello(
    random: &[u8; 32],
    name: Option<&ServerName>,
    alpn: Option<&[u8]>,
    versions: &[u16],
) -> Vec<u8> {
    let mut extensions = Vec::new();
    let mut extend = |number: u16, body: &[u8]| {
        extensions.extend(number.to_be_bytes());
        extensions.extend(after_u16(body));
    };
    if let Some(name) = name {
        let host_name = [&[0], &*after_u16(name.as_str().as_bytes())].concat();
        extend(0x0000, &after_u16(&host_name)); // server_name
    }
    extend(0xff01, &[0]); // renegotiation_info
    extend(0x0017, &[]); // extended_master_secret
    extend(0x000a, &after_u16(&numbers(GROUPS))); // supported_groups
    extend(0x000b, &after_u8(&[0])); // ec_point_formats
    if let Some(protocol) = alpn {
        extend(0x0010, &after_u16(&after_u8(protocol)));
    }
    extend(0x000d, &after_u16(&numbers(SIGNATURE_ALGORITHMS)));
    extend(0x002b, &after_u8(&numbers(versions))); // supported_versions
    let share = [&X25519.to_be_bytes(), &*after_u16(&X25519_KEY)].concat();
    extend(0x0033, &after_u16(&share)); // key_share

    // Version, random, no session, suites, no compression.
    let mut body = vec![3, 3];
    body.extend(random);
    body.push(0);
    body.extend(after_u16(&numbers(SUITES)));
    body.extend([1, 0]);
    // The header of the message, the length of all extensions, the header of this one.
    let length = 4 + body.len() + 2 + extensions.len() + 4;
    let padding = vec![0; AT_LEAST.saturating_sub(length)];
    extensions.extend(0x0015_u16.to_be_bytes());
    extensions.extend(after_u16(&padding));
    body.extend(after_u16(&extensions));

    let [.., a, b, c] = body.len().to_be_bytes();
    let message = [&[1, a, b, c], &*body].concat();
    // The version of the record means nothing; servers of old want to see this one.
    [&[0x16, 3, 1], &*after_u16(&message)].concat()
}

/// A vector behind its length in one byte; all of them here are shorter than 256 bytes.
fn after_u8(body: &[u8]) -> Vec<u8> {
    let [.., length] = body.len().to_be_bytes();
    [&[length], body].concat()
}

/// A vector behind its length in two bytes; all of them here are shorter than 64 KiB.
fn after_u16(body: &[u8]) -> Vec<u8> {
    let [.., high, low] = body.len().to_be_bytes();
    [&[high, low], body].concat()
}

fn numbers(list: &[u16]) -> Vec<u8> {
    list.iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

/// Returns whether nothing that would be read is still to come.
pub(super) fn is_answered(server: &Observed) -> bool {
    let chosen = server.server_hello.as_ref();
    // In TLS 1.2 the group follows, if there is one, and a message that ends the flight.
    let told = chosen.is_some_and(|hello| hello.version != 0x0303 || hello.group.is_some());
    let done = server.messages.iter().any(|message| message.kind == 14);
    let ended = server.alert.is_some() || server.close.is_some() || server.fault.is_some();
    told || done || ended || server.hello_retry
}

/// Describes the server's answer, and gives the rule for what keeps current clients out.
///
/// No rule where it refused this hello as well, or chose what is offered today.
pub(super) fn meaning(server: &Observed) -> (Option<&'static Rule>, String) {
    let is_usual = |group| {
        let mut groups = PROVIDER.kx_groups.iter();
        groups.any(|usual| u16::from(usual.name()) == group)
    };
    let Some(chosen) = &server.server_hello else {
        return match (server.retry_group, server.alert) {
            (Some(group), _) => {
                let rule = (!is_usual(group)).then_some(&rules::TLS_OLD_GROUPS_ONLY);
                (rule, format!("the server chose {}", names::group(group)))
            }
            (None, Some(alert)) => {
                let name = alert_name(alert.code);
                (None, format!("the server sent alert {} {name}", alert.code))
            }
            (None, None) if server.fault.is_some() => (None, "no answer that is TLS".to_owned()),
            (None, None) => (None, "no answer".to_owned()),
        };
    };
    let version = names::version(chosen.version);
    let said = format!("the server chose TLS {version}");
    if chosen.version < 0x0303 {
        return (Some(&rules::TLS_TOO_OLD), said);
    }
    let said = format!("{said}, {}", names::cipher_suite(chosen.suite));
    let mut suites = PROVIDER.cipher_suites.iter();
    if !suites.any(|usual| u16::from(usual.suite()) == chosen.suite) {
        return (Some(&rules::TLS_OLD_CIPHERS_ONLY), said);
    }
    match chosen.group {
        Some(group) => {
            let rule = (!is_usual(group)).then_some(&rules::TLS_OLD_GROUPS_ONLY);
            (rule, format!("{said}, {}", names::group(group)))
        }
        None => (None, said),
    }
}

#[cfg(test)]
mod tests;
