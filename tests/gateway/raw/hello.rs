//! `ClientHello`s made by hand: they need not lead to a handshake.
//!
//! Source: RFC 8446 section 4.1.2, RFC 6066 section 3, RFC 7301 section 3.1, RFC 7685 (padding).

/// The largest fragment of a plaintext record.
const LARGEST: usize = 1 << 14;

/// A hello to be written.
#[derive(Clone, Default)]
pub(crate) struct Hello {
    extensions: Vec<u8>,
}

impl Hello {
    /// Asks for a name, which may be any bytes.
    pub(crate) fn to(name: impl AsRef<[u8]>) -> Self {
        let entry = [&[0][..], &vec_u16(name.as_ref())].concat();
        Self::default().extension(0, &vec_u16(&entry))
    }

    /// Offers an application protocol.
    pub(crate) fn alpn(self, protocol: &str) -> Self {
        let length = u8::try_from(protocol.len()).expect("a short name");
        let entry = [&[length], protocol.as_bytes()].concat();
        self.extension(16, &vec_u16(&entry))
    }

    /// Is longer by this many zero bytes.
    pub(crate) fn padding(self, len: usize) -> Self {
        self.extension(21, &vec![0; len])
    }

    fn extension(mut self, number: u16, body: &[u8]) -> Self {
        self.extensions.extend(number.to_be_bytes());
        self.extensions.extend(vec_u16(body));
        self
    }

    /// Its bytes, in as few records as can be.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.in_records(LARGEST)
    }

    /// Its bytes, in records that carry at most `size` each.
    pub(crate) fn in_records(&self, size: usize) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0); // no session id
        body.extend(vec_u16(&[0x13, 0x01]));
        body.extend([1, 0]); // no compression
        body.extend(vec_u16(&self.extensions));
        let [_, length @ ..] = u32::try_from(body.len()).expect("a length").to_be_bytes();
        let message = [&[1][..], &length, &body].concat();
        records(&message, size)
    }
}

/// Cuts a handshake message into records.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[0x16, 3, 1][..], &vec_u16(part)].concat();
    message.chunks(size).flat_map(record).collect()
}

fn vec_u16(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a length");
    [&length.to_be_bytes(), body].concat()
}
