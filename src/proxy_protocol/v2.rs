//! Version 2: a binary header, with fields (TLVs) behind the addresses.
//!
//! Source: `doc/proxy-protocol.txt`, section 2.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::crc32c::checksum;
use super::header::{Addresses, Behind, Found, Header, HeaderError, MAX_REST, Version};
use crate::wire::{Reader, Short};

/// The bytes that it begins with.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2 with the command LOCAL.
const LOCAL: u8 = 0x20;
/// Version 2 with the command PROXY.
const PROXY: u8 = 0x21;

const UNSPEC: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

/// Length of the two paths of a UNIX socket.
const UNIX_PATHS: usize = 216;

const TLV_ALPN: u8 = 0x01;
const TLV_AUTHORITY: u8 = 0x02;
const TLV_CRC32C: u8 = 0x03;
const TLV_SSL: u8 = 0x20;
const TLV_SSL_VERSION: u8 = 0x21;
const TLV_SSL_CN: u8 = 0x22;
const TLV_SSL_CIPHER: u8 = 0x23;

/// The client connected over TLS.
const CLIENT_SSL: u8 = 0x01;
/// It showed a certificate on this connection.
const CLIENT_CERT_CONN: u8 = 0x02;

/// Reads a header that begins with the signature.
pub(super) fn read(input: &[u8]) -> Result<Found, HeaderError> {
    let mut reader = Reader::new(input);
    let head = reader
        .skip(SIGNATURE.len())
        .and_then(|()| Ok((reader.u8()?, reader.u8()?, usize::from(reader.u16()?))));
    let Ok((command, family, length)) = head else {
        return Ok(Found::NeedMore);
    };
    if !matches!(command, LOCAL | PROXY) {
        return Err(HeaderError::Command(command));
    }
    if length > MAX_REST {
        return Err(HeaderError::TooLong(length));
    }
    let Ok(rest) = reader.take(length) else {
        return Ok(Found::NeedMore);
    };
    let header = input.get(..input.len() - reader.left()).unwrap_or_default();
    let behind = match (command, addresses(family, &mut Reader::new(rest))) {
        // Whatever it says of addresses is to be ignored.
        (LOCAL, Err(_)) => Behind::Local,
        (_, Err(error)) => return Err(error),
        (command, Ok((behind, fields))) => {
            verify(header, fields)?;
            if command == LOCAL {
                Behind::Local
            } else {
                behind
            }
        }
    };
    let found = Header {
        version: Version::V2,
        behind,
    };
    Ok(Found::Header(found, header.len()))
}

/// The addresses of a family, and the fields behind them.
fn addresses<'a>(family: u8, reader: &mut Reader<'a>) -> Result<(Behind, Reader<'a>), HeaderError> {
    let behind = match family {
        UNSPEC => Behind::Unknown,
        TCP4 => Behind::Client(ends(reader, |reader| {
            reader.u32().map(|ip| Ipv4Addr::from(ip).into())
        })?),
        TCP6 => Behind::Client(ends(reader, |reader| {
            let bytes: [u8; 16] = reader.take(16)?.try_into().map_err(|_| Short)?;
            Ok(Ipv6Addr::from(bytes).into())
        })?),
        UNIX_STREAM => {
            reader
                .skip(UNIX_PATHS)
                .map_err(|Short| HeaderError::Truncated)?;
            Behind::Unix
        }
        other => return Err(HeaderError::Family(other)),
    };
    Ok((behind, *reader))
}

fn ends<'a>(
    reader: &mut Reader<'a>,
    address: impl Fn(&mut Reader<'a>) -> Result<IpAddr, Short>,
) -> Result<Addresses, HeaderError> {
    let mut read = || {
        let (client, to) = (address(reader)?, address(reader)?);
        Ok(Addresses {
            client: SocketAddr::new(client, reader.u16()?),
            to: SocketAddr::new(to, reader.u16()?),
        })
    };
    read().map_err(|Short| HeaderError::Truncated)
}

/// Verifies that the fields are whole, and the checksum where one of them is it.
fn verify(header: &[u8], mut fields: Reader<'_>) -> Result<(), HeaderError> {
    while !fields.is_empty() {
        let mut field = || Ok((fields.u8()?, fields.vec_u16()?));
        let (kind, mut value) = field().map_err(|Short| HeaderError::Truncated)?;
        if kind != TLV_CRC32C {
            continue;
        }
        let behind = fields.rest();
        let sum = value.u32().map_err(|Short| HeaderError::Checksum)?;
        let before = header.len().checked_sub(behind.len() + 4);
        let before = before.and_then(|n| header.get(..n)).unwrap_or_default();
        if !value.is_empty() || checksum(&[before, &[0; 4], behind]) != sum {
            return Err(HeaderError::Checksum);
        }
    }
    Ok(())
}

/// The fields behind the addresses, beside the checksum.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tlvs<'a> {
    /// The host that the client asked for (SNI).
    pub authority: Option<&'a str>,
    /// The application protocol agreed on.
    pub alpn: Option<&'a [u8]>,
    /// The client's TLS, where it ends here.
    pub ssl: Option<SslInfo<'a>>,
}

/// The TLS of a client.
#[derive(Clone, Copy, Debug, Default)]
pub struct SslInfo<'a> {
    /// The version, as `OpenSSL` writes it: `TLSv1.3`.
    pub version: &'a str,
    /// The cipher suite.
    pub cipher: Option<&'a str>,
    /// True if the client has shown a certificate, which was verified.
    pub has_certificate: bool,
    /// The common name of the certificate.
    pub common_name: Option<&'a str>,
}

/// The header, with its checksum; without addresses it is one of the command LOCAL.
pub(super) fn write(addresses: Option<Addresses>, tlvs: &Tlvs<'_>) -> Vec<u8> {
    let mut rest = Vec::new();
    let (command, family) = match addresses.map(|ends| (ends.client, ends.to)) {
        Some((SocketAddr::V4(client), SocketAddr::V4(to))) => {
            rest.extend_from_slice(&client.ip().octets());
            rest.extend_from_slice(&to.ip().octets());
            (PROXY, TCP4)
        }
        // An IPv4 address beside one of IPv6 is written in its mapped form.
        Some((client, to)) => {
            for ip in [client.ip(), to.ip()] {
                let ip = match ip {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    IpAddr::V6(v6) => v6,
                };
                rest.extend_from_slice(&ip.octets());
            }
            (PROXY, TCP6)
        }
        None => (LOCAL, UNSPEC),
    };
    if let Some(ends) = addresses {
        rest.extend_from_slice(&ends.client.port().to_be_bytes());
        rest.extend_from_slice(&ends.to.port().to_be_bytes());
    }
    if let Some(alpn) = tlvs.alpn {
        field(&mut rest, TLV_ALPN, alpn);
    }
    if let Some(host) = tlvs.authority {
        field(&mut rest, TLV_AUTHORITY, host.as_bytes());
    }
    if let Some(ssl) = &tlvs.ssl {
        field(&mut rest, TLV_SSL, &ssl_fields(ssl));
    }
    field(&mut rest, TLV_CRC32C, &[0; 4]);
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[command, family]);
    header.extend_from_slice(&u16::try_from(rest.len()).unwrap_or(0).to_be_bytes());
    header.append(&mut rest);
    let sum = checksum(&[&header]);
    header.truncate(header.len() - 4);
    header.extend_from_slice(&sum.to_be_bytes());
    header
}

fn ssl_fields(ssl: &SslInfo<'_>) -> Vec<u8> {
    let certificate = if ssl.has_certificate {
        CLIENT_CERT_CONN
    } else {
        0
    };
    let mut value = vec![CLIENT_SSL | certificate];
    // 0: the certificate was verified, or none was shown.
    value.extend_from_slice(&[0; 4]);
    field(&mut value, TLV_SSL_VERSION, ssl.version.as_bytes());
    if let Some(name) = ssl.common_name {
        field(&mut value, TLV_SSL_CN, name.as_bytes());
    }
    if let Some(cipher) = ssl.cipher {
        field(&mut value, TLV_SSL_CIPHER, cipher.as_bytes());
    }
    value
}

/// The longest value of a field that is written; of a longer one, which no name or protocol has,
/// nothing is.
const MAX_VALUE: usize = 1024;

fn field(to: &mut Vec<u8>, kind: u8, value: &[u8]) {
    if value.len() > MAX_VALUE {
        return;
    }
    to.push(kind);
    to.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
    to.extend_from_slice(value);
}
