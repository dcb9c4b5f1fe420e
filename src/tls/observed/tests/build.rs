//! Builds records for the tests.

/// A record with this content.
pub(super) fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3][..], &length, fragment].concat()
}

/// A handshake message.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// A `ServerHello` message; without extensions it has no list of them.
pub(super) fn server_hello(version: u16, suite: u16, extensions: &[u8]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([9; 32]);
    body.push(0);
    body.extend(suite.to_be_bytes());
    body.push(0);
    if !extensions.is_empty() {
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
    }
    message(2, &body)
}

pub(super) fn alert(level: u8, code: u8) -> Vec<u8> {
    record(21, &[level, code])
}

pub(super) fn ccs() -> Vec<u8> {
    record(20, &[1])
}

/// An encrypted record of TLS 1.3.
pub(super) fn data(length: usize) -> Vec<u8> {
    record(23, &vec![0xd5; length])
}
