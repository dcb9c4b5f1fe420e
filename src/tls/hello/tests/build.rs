//! Builds hellos for the tests, legal and illegal ones.

fn vec_u8(body: &[u8]) -> Vec<u8> {
    [&[u8::try_from(body.len()).unwrap()], body].concat()
}

fn vec_u16(body: &[u8]) -> Vec<u8> {
    [&u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

pub(super) fn extension(number: u16, body: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &vec_u16(body)].concat()
}

pub(super) fn host_name(name: &[u8]) -> Vec<u8> {
    [&[0][..], &vec_u16(name)].concat()
}

pub(super) fn server_name(names: &[Vec<u8>]) -> Vec<u8> {
    extension(0, &vec_u16(&names.concat()))
}

pub(super) fn alpn(protocols: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = protocols.iter().flat_map(|name| vec_u8(name)).collect();
    extension(16, &vec_u16(&list))
}

pub(super) fn versions(versions: &[u16]) -> Vec<u8> {
    let list: Vec<u8> = versions.iter().flat_map(|v| v.to_be_bytes()).collect();
    extension(43, &vec_u8(&list))
}

/// The body of a hello with these extensions; `None` is a hello from before there were any.
pub(super) fn body(extensions: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend(vec_u8(&[]));
    body.extend(vec_u16(&[0x13, 0x01]));
    body.extend(vec_u8(&[0]));
    if let Some(extensions) = extensions {
        body.extend(vec_u16(extensions));
    }
    body
}

/// The handshake message with this body.
pub(super) fn message(body: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1][..], &length, body].concat()
}

/// Puts a message into records of `size` bytes.
pub(super) fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[0x16, 3, 1][..], &vec_u16(part)].concat();
    message.chunks(size).flat_map(record).collect()
}
