//! The `ClientHello`: found in the first bytes of a TLS connection, and read for routing.
//!
//! It reads what the gateway decides by or reports, and checks no more than it reads: whether the
//! offer is one that a server can take is the server's affair. It keeps no copy of the bytes; the
//! caller replays its own buffer. The second hello after a `HelloRetryRequest` is not looked at.
//! Source: RFC 8446 sections 4.1.2, 4.2 and 5.1; RFC 6066 section 3 (`server_name`); RFC 7301
//! section 3.1 (ALPN); RFC 8701 (GREASE).

use super::alert::Alert;
use super::name::Sni;
use super::offer::Offer;
use crate::wire::{Reader, Short};

/// The longest handshake message accepted, its header of 4 bytes included: the bound of rustls.
pub const MAX_MESSAGE: usize = 4 + 0xffff;

/// The most raw bytes a hello may take with its record headers.
///
/// Room for [`MAX_MESSAGE`] in records of about 40 bytes and more, so that tiny records cannot
/// multiply what is buffered for a client.
pub const MAX_WIRE: usize = 72 * 1024;

/// The most ALPN protocols accepted; clients offer two or three.
pub const MAX_PROTOCOLS: usize = 64;

/// The longest fragment that a plaintext record may carry, in bytes (RFC 8446 section 5.1).
const MAX_FRAGMENT: usize = 1 << 14;

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
const HANDSHAKE: u8 = 0x16;
const CLIENT_HELLO: u8 = 0x01;
const HOST_NAME: u8 = 0x00;
const EXTENSION_SERVER_NAME: u16 = 0x0000;
const EXTENSION_ALPN: u16 = 0x0010;
const EXTENSION_SUPPORTED_VERSIONS: u16 = 0x002b;

/// The offers of a client that matter to a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The name asked for, judged.
    pub sni: Sni,
    /// The host name as sent, case and trailing dot kept; any bytes, not safe to print.
    pub sni_raw: Option<Box<[u8]>>,
    /// The ALPN protocols in the client's order; at most [`MAX_PROTOCOLS`], not safe to print.
    pub alpn: Vec<Vec<u8>>,
    /// The version field of the message itself, 0x0303 in all TLS 1.3 hellos.
    pub legacy_version: u16,
    /// `supported_versions` in the client's order without GREASE; empty when not sent.
    pub versions: Vec<u16>,
    /// Number of TLS records that carried the message.
    pub records: usize,
    /// Raw bytes from the first record header to the end of the last record.
    pub wire_len: usize,
    /// Bytes of the handshake message, its header of 4 bytes included.
    pub message_len: usize,
}

impl ClientHello {
    /// True if `protocol` is among the ALPN protocols.
    #[must_use]
    pub fn offers_alpn(&self, protocol: &[u8]) -> bool {
        self.alpn.iter().any(|offered| offered == protocol)
    }

    /// The newest TLS version on offer, such as 0x0304.
    ///
    /// Without `supported_versions` nothing newer than TLS 1.2 may be negotiated, whatever
    /// `legacy_version` claims (RFC 8446 section 4.2.1); drafts and DTLS do not count.
    #[must_use]
    pub fn newest_version(&self) -> u16 {
        let tls = |version: &u16| version >> 8 == 0x03;
        let newest = self.versions.iter().copied().filter(tls).max();
        newest.unwrap_or(self.legacy_version.min(0x0303))
    }
}

/// A reason why bytes are not a legal `ClientHello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// The first byte starts no TLS record.
    #[error("not TLS: the first byte is 0x{0:02x}")]
    NotTls(u8),
    /// The hello of SSL 2.0 or of clients that fall back to it.
    #[error("an SSLv2 hello (first byte 0x{0:02x}), which no current TLS accepts")]
    Sslv2(u8),
    /// A record of another type before the message was complete.
    #[error("a record of type {0} where the client hello should be")]
    RecordType(u8),
    /// A record version whose major number is not 3.
    #[error("a record of version {0}.x, which is not TLS")]
    RecordVersion(u8),
    /// A handshake record without a byte in it.
    #[error("an empty handshake record")]
    EmptyRecord,
    /// A record that announces more than 2^14 bytes.
    #[error("a plaintext record of {0} bytes, more than {MAX_FRAGMENT}")]
    RecordTooLong(usize),
    /// Another handshake message in the place of the hello.
    #[error("handshake message {0} where the client hello should be")]
    NotClientHello(u8),
    /// More than [`MAX_MESSAGE`], or more than [`MAX_WIRE`] raw bytes.
    #[error("a client hello of more than 64 KiB, or in records that add up to more than 72 KiB")]
    TooLong,
    /// More handshake bytes in the record that ends the message.
    #[error("handshake data behind the client hello in the same record")]
    DataBehind,
    /// A length that reaches beyond what holds the field.
    #[error("the {0} ends too early")]
    Truncated(&'static str),
    /// Bytes that belong to no field.
    #[error("the {0} has bytes behind its end")]
    Trailing(&'static str),
    /// A length that the field may not have.
    #[error("the {0} has an illegal length")]
    Length(&'static str),
    /// The same extension twice.
    #[error("the {0} extension is there twice")]
    DuplicateExtension(&'static str),
    /// Two names of type `host_name`.
    #[error("the server_name extension has two host names")]
    TwoHostNames,
    /// More than [`MAX_PROTOCOLS`].
    #[error("more than {MAX_PROTOCOLS} ALPN protocols")]
    TooManyProtocols,
}

impl HelloError {
    /// The alert that tells the client.
    #[must_use]
    pub fn alert(&self) -> Alert {
        match self {
            Self::NotTls(_) | Self::Sslv2(_) | Self::RecordVersion(_) => Alert::ProtocolVersion,
            Self::RecordType(_) | Self::NotClientHello(_) | Self::DataBehind => {
                Alert::UnexpectedMessage
            }
            Self::RecordTooLong(_) => Alert::RecordOverflow,
            Self::EmptyRecord
            | Self::TooLong
            | Self::Truncated(_)
            | Self::Trailing(_)
            | Self::Length(_) => Alert::DecodeError,
            Self::DuplicateExtension(_) | Self::TwoHostNames | Self::TooManyProtocols => {
                Alert::IllegalParameter
            }
        }
    }
}

/// Finds the hello in a growing input.
///
/// The work of a call is bounded by the bytes that are new in it: complete records are never read
/// again. A message in one record, the usual case, is parsed where it lies; only a message in
/// several records is joined in a buffer here.
#[derive(Debug, Default)]
pub struct HelloParser {
    /// Raw bytes of the complete records before the one that is being waited for.
    consumed: usize,
    /// Number of complete records.
    records: usize,
    /// Their fragments.
    joined: Vec<u8>,
    #[cfg(test)]
    headers_read: usize,
}

impl HelloParser {
    /// Looks for the end of the hello in `input`: everything received since the TLS start, the
    /// same bytes plus more at each call.
    ///
    /// `None` means that more bytes are needed, and that `input` is shorter than [`MAX_WIRE`], so
    /// a buffer of that size always has room for them. Bytes behind the last record of the hello
    /// are not looked at. The answer does not depend on how the bytes were cut, and an illegal
    /// byte is reported as soon as it is there.
    ///
    /// # Errors
    /// [`HelloError`] when no further bytes can make this a legal hello.
    pub fn advance(&mut self, input: &[u8]) -> Result<Option<ClientHello>, HelloError> {
        self.walk(input, None)
    }

    /// Offset of the record that the last answer was about.
    pub(super) fn record_at(&self) -> usize {
        self.consumed
    }

    /// The work of [`HelloParser::advance`], which fills `offer` too when the hello is complete.
    pub(super) fn walk(
        &mut self,
        input: &[u8],
        offer: Option<&mut Offer>,
    ) -> Result<Option<ClientHello>, HelloError> {
        let mut reader = Reader::new(input);
        if reader.skip(self.consumed).is_err() {
            return Ok(None);
        }
        loop {
            // Not even a record of one byte would fit, so there is nothing to wait for.
            if self.consumed + RECORD_HEADER >= MAX_WIRE {
                return Err(HelloError::TooLong);
            }
            #[cfg(test)]
            {
                self.headers_read += 1;
            }
            let Some(length) = record_header(&mut reader, self.records == 0)? else {
                return Ok(None);
            };
            let end = self.consumed + RECORD_HEADER + length;
            if end > MAX_WIRE {
                return Err(HelloError::TooLong);
            }
            let fragment = reader.take_up_to(length);
            let message_len = message_header(&self.joined, fragment)?;
            if message_len.is_some_and(|expected| self.joined.len() + length > expected) {
                return Err(HelloError::DataBehind);
            }
            if fragment.len() < length {
                return Ok(None);
            }
            if message_len == Some(self.joined.len() + length) {
                return self.finish(fragment, end, offer).map(Some);
            }
            self.joined.extend_from_slice(fragment);
            self.consumed = end;
            self.records += 1;
        }
    }

    /// Parses the message whose last record carries `fragment` and ends at `wire_len`.
    fn finish(
        &mut self,
        fragment: &[u8],
        wire_len: usize,
        offer: Option<&mut Offer>,
    ) -> Result<ClientHello, HelloError> {
        let records = self.records + 1;
        if self.joined.is_empty() {
            return parse(fragment, records, wire_len, offer);
        }
        let before = self.joined.len();
        self.joined.extend_from_slice(fragment);
        let hello = parse(&self.joined, records, wire_len, offer);
        // Back to the state of before, so that another call gives the same answer.
        self.joined.truncate(before);
        hello
    }
}

/// Reads the header of a record field by field, so that a wrong byte is found as soon as it comes.
fn record_header(reader: &mut Reader<'_>, first: bool) -> Result<Option<usize>, HelloError> {
    match reader.u8() {
        Err(Short) => return Ok(None),
        Ok(HANDSHAKE) => {}
        // The other content types of TLS: a peer that speaks TLS, but says the wrong thing.
        Ok(other) if !first || matches!(other, 0x14 | 0x15 | 0x17 | 0x18) => {
            return Err(HelloError::RecordType(other));
        }
        Ok(length) if length & 0x80 != 0 => return Err(HelloError::Sslv2(length)),
        Ok(other) => return Err(HelloError::NotTls(other)),
    }
    match reader.u8() {
        Err(Short) => return Ok(None),
        Ok(3) => {}
        Ok(major) => return Err(HelloError::RecordVersion(major)),
    }
    // The minor version must be ignored (RFC 8446 section 5.1); clients send 1, 3 and others.
    let (Ok(_minor), Ok(length)) = (reader.u8(), reader.u16()) else {
        return Ok(None);
    };
    match usize::from(length) {
        0 => Err(HelloError::EmptyRecord),
        length if length > MAX_FRAGMENT => Err(HelloError::RecordTooLong(length)),
        length => Ok(Some(length)),
    }
}

/// The length of the handshake message, header included, once its header is complete.
fn message_header(joined: &[u8], fragment: &[u8]) -> Result<Option<usize>, HelloError> {
    let mut header = [0; MESSAGE_HEADER];
    let mut present = 0;
    for (to, from) in header.iter_mut().zip(joined.iter().chain(fragment)) {
        *to = *from;
        present += 1;
    }
    let [message_type, high, middle, low] = header;
    if present >= 1 && message_type != CLIENT_HELLO {
        return Err(HelloError::NotClientHello(message_type));
    }
    // 64 KiB is the limit, so the first length byte alone can tell.
    if present >= 2 && high != 0 {
        return Err(HelloError::TooLong);
    }
    let length = MESSAGE_HEADER + usize::from(u16::from_be_bytes([middle, low]));
    Ok((present == MESSAGE_HEADER).then_some(length))
}

/// Parses a complete handshake message; `offer` gets what a gateway has no use for.
fn parse(
    message: &[u8],
    records: usize,
    wire_len: usize,
    mut offer: Option<&mut Offer>,
) -> Result<ClientHello, HelloError> {
    let mut reader = Reader::new(message);
    let mut hello = ClientHello {
        sni: Sni::None,
        sni_raw: None,
        alpn: Vec::new(),
        legacy_version: 0,
        versions: Vec::new(),
        records,
        wire_len,
        message_len: message.len(),
    };
    let truncated = |_: Short| HelloError::Truncated("client hello");
    reader.skip(MESSAGE_HEADER).map_err(truncated)?;
    hello.legacy_version = reader.u16().map_err(truncated)?;
    reader.skip(32).map_err(truncated)?; // random
    let session_id = reader.vec_u8().map_err(truncated)?;
    if session_id.left() > 32 {
        return Err(HelloError::Length("session id"));
    }
    let suites = reader.vec_u16().map_err(truncated)?;
    if suites.is_empty() || suites.left() % 2 != 0 {
        return Err(HelloError::Length("list of cipher suites"));
    }
    if let Some(offer) = offer.as_deref_mut() {
        offer.read_suites(suites);
    }
    if reader.vec_u8().map_err(truncated)?.is_empty() {
        return Err(HelloError::Length("list of compression methods"));
    }
    // Before TLS 1.3 the extensions may be missing altogether (RFC 5246 section 7.4.1.2).
    if !reader.is_empty() {
        let extensions = reader.vec_u16().map_err(truncated)?;
        if !reader.is_empty() {
            return Err(HelloError::Trailing("client hello"));
        }
        read_extensions(extensions, &mut hello, offer.as_deref_mut())?;
    }
    if let Some(offer) = offer {
        offer.judge_session_id(session_id, hello.newest_version());
    }
    Ok(hello)
}

fn read_extensions(
    mut reader: Reader<'_>,
    hello: &mut ClientHello,
    mut offer: Option<&mut Offer>,
) -> Result<(), HelloError> {
    let truncated = |_: Short| HelloError::Truncated("list of extensions");
    let mut seen: [(u16, &'static str, bool); 3] = [
        (EXTENSION_SERVER_NAME, "server_name", false),
        (
            EXTENSION_ALPN,
            "application_layer_protocol_negotiation",
            false,
        ),
        (EXTENSION_SUPPORTED_VERSIONS, "supported_versions", false),
    ];
    while !reader.is_empty() {
        let extension = reader.u16().map_err(truncated)?;
        let body = reader.vec_u16().map_err(truncated)?;
        for (known, name, before) in &mut seen {
            if *known == extension && std::mem::replace(before, true) {
                return Err(HelloError::DuplicateExtension(name));
            }
        }
        if let Some(offer) = offer.as_deref_mut() {
            offer.read_extension(extension, body);
        }
        match extension {
            EXTENSION_SERVER_NAME => {
                if let Some(host_name) = read_server_name(body)? {
                    hello.sni = Sni::from_host_name(host_name);
                    hello.sni_raw = Some(host_name.into());
                }
            }
            EXTENSION_ALPN => hello.alpn = read_alpn(body)?,
            EXTENSION_SUPPORTED_VERSIONS => hello.versions = read_versions(body)?,
            _ => {}
        }
    }
    Ok(())
}

/// The one `host_name` of a `server_name` extension.
///
/// Names of other types are skipped: RFC 6066 section 3 makes each start with a length of two
/// bytes, for exactly this purpose.
fn read_server_name(mut body: Reader<'_>) -> Result<Option<&[u8]>, HelloError> {
    const FIELD: &str = "server_name extension";
    let mut list = body.vec_u16().map_err(|_| HelloError::Truncated(FIELD))?;
    if !body.is_empty() {
        return Err(HelloError::Trailing(FIELD));
    }
    if list.is_empty() {
        return Err(HelloError::Length("list of server names"));
    }
    let mut host_name = None;
    while !list.is_empty() {
        let name_type = list.u8().map_err(|_| HelloError::Truncated(FIELD))?;
        let name = list.vec_u16().map_err(|_| HelloError::Truncated(FIELD))?;
        if name_type == HOST_NAME && host_name.replace(name.rest()).is_some() {
            return Err(HelloError::TwoHostNames);
        }
    }
    Ok(host_name)
}

fn read_alpn(mut body: Reader<'_>) -> Result<Vec<Vec<u8>>, HelloError> {
    const FIELD: &str = "ALPN extension";
    let mut list = body.vec_u16().map_err(|_| HelloError::Truncated(FIELD))?;
    if !body.is_empty() {
        return Err(HelloError::Trailing(FIELD));
    }
    if list.is_empty() {
        return Err(HelloError::Length("list of ALPN protocols"));
    }
    let mut protocols = Vec::new();
    while !list.is_empty() {
        let protocol = list.vec_u8().map_err(|_| HelloError::Truncated(FIELD))?;
        if protocol.is_empty() {
            return Err(HelloError::Length("ALPN protocol"));
        }
        if protocols.len() == MAX_PROTOCOLS {
            return Err(HelloError::TooManyProtocols);
        }
        protocols.push(protocol.rest().to_vec());
    }
    Ok(protocols)
}

/// The list is at most 254 bytes long by its own length field, which bounds the result.
fn read_versions(mut body: Reader<'_>) -> Result<Vec<u16>, HelloError> {
    const FIELD: &str = "supported_versions extension";
    let mut list = body.vec_u8().map_err(|_| HelloError::Truncated(FIELD))?;
    if !body.is_empty() {
        return Err(HelloError::Trailing(FIELD));
    }
    if list.is_empty() || list.left() % 2 != 0 {
        return Err(HelloError::Length("list of versions"));
    }
    let mut versions = Vec::new();
    while let Ok(version) = list.u16() {
        if !is_grease(version) {
            versions.push(version);
        }
    }
    Ok(versions)
}

/// The values 0x0a0a, 0x1a1a to 0xfafa, which clients send to keep servers tolerant (RFC 8701).
pub(super) fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

#[cfg(test)]
mod tests;
