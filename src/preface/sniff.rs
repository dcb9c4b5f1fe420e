//! The protocol of a peer by its first bytes, for a report that says "this is X, not Y".
//!
//! It recognises, it does not check: whoever goes on to talk reads the bytes again with the
//! protocol's own parser. Both ends of a connection are recognised by one table, since no two of
//! these protocols begin alike. Source: each protocol's own documentation of its first message.

use std::fmt;

use super::mysql;
use crate::wire::Reader;

/// The protocol that the first bytes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spoken {
    /// A TLS handshake record, of either end.
    Tls,
    /// A TLS alert.
    TlsAlert,
    /// HTTP, a request or an answer.
    Http,
    /// SSH, of either end.
    Ssh,
    /// The greeting of MySQL or MariaDB.
    MysqlGreeting,
    /// A MySQL or MariaDB server that refuses.
    MysqlError,
    /// A MySQL or MariaDB client that asks for TLS.
    MysqlRequest,
    /// A Redis server's answer.
    RedisReply,
    /// A Redis client's command.
    RedisCommand,
    /// A Postgres server: an error, or a demand for authentication.
    Postgres,
    /// A Postgres client: `SSLRequest`, `GSSENCRequest` or `CancelRequest`.
    PostgresRequest,
    /// A Postgres client that logs in, in the clear.
    PostgresStartup,
    /// A message of MongoDB, of either end.
    Mongodb,
    /// The welcome of a mail or FTP server.
    Smtp,
    /// A PROXY protocol header.
    ProxyHeader,
    /// Microsoft SQL Server, of either end.
    Tds,
    /// The welcome of a NATS server.
    Nats,
    /// AMQP, as `RabbitMQ` speaks it.
    Amqp,
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "a TLS handshake",
            Self::TlsAlert => "a TLS alert",
            Self::Http => "HTTP",
            Self::Ssh => "SSH",
            Self::MysqlGreeting => "a MySQL or MariaDB greeting",
            Self::MysqlError => "a MySQL or MariaDB error",
            Self::MysqlRequest => "a MySQL or MariaDB client",
            Self::RedisReply => "a Redis reply",
            Self::RedisCommand => "a Redis command",
            Self::Postgres => "a Postgres server",
            Self::PostgresRequest => "a Postgres request before TLS",
            Self::PostgresStartup => "a Postgres login in the clear",
            Self::Mongodb => "MongoDB",
            Self::Smtp => "a mail or FTP server",
            Self::ProxyHeader => "a PROXY protocol header",
            Self::Tds => "Microsoft SQL Server (TDS)",
            Self::Nats => "NATS",
            Self::Amqp => "AMQP",
        })
    }
}

/// First bytes that stand for themselves.
const PREFIXES: &[(&[u8], Spoken)] = &[
    (b"HTTP/", Spoken::Http),
    (b"GET ", Spoken::Http),
    (b"POST ", Spoken::Http),
    (b"HEAD ", Spoken::Http),
    (b"PUT ", Spoken::Http),
    (b"OPTIONS ", Spoken::Http),
    (b"CONNECT ", Spoken::Http),
    (b"PRI * HTTP", Spoken::Http),
    (b"SSH-", Spoken::Ssh),
    (b"+PONG\r\n", Spoken::RedisReply),
    (b"+OK\r\n", Spoken::RedisReply),
    (b"-ERR ", Spoken::RedisReply),
    (b"-NOAUTH ", Spoken::RedisReply),
    (b"-DENIED ", Spoken::RedisReply),
    (b"-LOADING ", Spoken::RedisReply),
    (b"-NOPERM ", Spoken::RedisReply),
    (b"-WRONGPASS ", Spoken::RedisReply),
    (b"-MASTERDOWN ", Spoken::RedisReply),
    (b"PING\r\n", Spoken::RedisCommand),
    (b"AUTH ", Spoken::RedisCommand),
    (b"220 ", Spoken::Smtp),
    (b"220-", Spoken::Smtp),
    (b"PROXY ", Spoken::ProxyHeader),
    (b"\r\n\r\n\0\r\nQUIT\n", Spoken::ProxyHeader),
    (b"INFO {", Spoken::Nats),
    (b"AMQP", Spoken::Amqp),
];

/// Recognises what begins with `first_bytes`; sixteen are enough for everything in the table.
///
/// `None` when it is something else, or when there are too few bytes to be sure.
#[must_use]
pub fn speaks(first_bytes: &[u8]) -> Option<Spoken> {
    let prefix = PREFIXES
        .iter()
        .find(|(prefix, _)| first_bytes.starts_with(prefix));
    if let Some((_, spoken)) = prefix {
        return Some(*spoken);
    }
    match first_bytes {
        [0x16, 3, 0..=4, ..] => Some(Spoken::Tls),
        [0x15, 3, 0..=4, 0, 2, ..] => Some(Spoken::TlsAlert),
        // A command is an array of strings: `*1`, the end of the line, `$4`.
        [b'*', b'1'..=b'9', ..] if is_redis_array(first_bytes) => Some(Spoken::RedisCommand),
        // PRELOGIN and its answer: type, end of message, length, no process, first packet.
        [0x12 | 0x04, 1, _, _, 0, 0, 0 | 1, ..] => Some(Spoken::Tds),
        // Any SSLRequest, GSSENCRequest or CancelRequest: a length and 1234, 5678 to 5680.
        [0, 0, _, _, 0x04, 0xd2, 0x16, 0x2e..=0x30, ..] => Some(Spoken::PostgresRequest),
        [0, 0, _, _, 0, 3, _, _, ..] => Some(Spoken::PostgresStartup),
        // An ErrorResponse starts with its severity, a demand for authentication with its kind.
        [b'E', 0, 0, _, _, b'S' | b'V', ..] | [b'R', 0, 0, 0, _, 0, 0, 0, _, ..] => {
            Some(Spoken::Postgres)
        }
        _ => mysql(first_bytes).or_else(|| mongodb(first_bytes)),
    }
}

fn is_redis_array(bytes: &[u8]) -> bool {
    let mut after_count = bytes
        .iter()
        .skip(1)
        .skip_while(|byte| byte.is_ascii_digit());
    let next = [after_count.next(), after_count.next(), after_count.next()];
    next == [Some(&b'\r'), Some(&b'\n'), Some(&b'$')]
}

fn mysql(bytes: &[u8]) -> Option<Spoken> {
    let mut reader = Reader::new(bytes);
    let length = usize::try_from(reader.u24_le().ok()?).ok()?;
    if length > mysql::MAX_PACKET {
        return None;
    }
    match (reader.u8().ok()?, reader.u8().ok()?, length) {
        (0, 10, 20..) if reader.u8().ok()?.is_ascii_digit() => Some(Spoken::MysqlGreeting),
        (0..=2, 0xff, 4..) => {
            let code = reader.u16_le().ok()?;
            (1000..6000).contains(&code).then_some(Spoken::MysqlError)
        }
        (1, low, 32) => {
            let capabilities = u32::from_be_bytes([0, 0, reader.u8().ok()?, low]);
            let needed = mysql::CLIENT_SSL | mysql::CLIENT_PROTOCOL_41;
            (capabilities & needed == needed).then_some(Spoken::MysqlRequest)
        }
        _ => None,
    }
}

fn mongodb(bytes: &[u8]) -> Option<Spoken> {
    /// The longest message of MongoDB, in bytes.
    const LONGEST: u32 = 48_000_000;
    let mut reader = Reader::new(bytes);
    let length = reader.u32_le().ok()?;
    reader.skip(8).ok()?; // which request, which answer
    let operation = reader.u32_le().ok()?;
    // OP_REPLY, OP_QUERY, OP_COMPRESSED, OP_MSG
    let known = matches!(operation, 1 | 2004 | 2012 | 2013);
    (known && (16..=LONGEST).contains(&length)).then_some(Spoken::Mongodb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_the_common_protocols() {
        let rows: &[(&[u8], Spoken)] = &[
            (b"\x16\x03\x01\x02\x00\x01", Spoken::Tls),
            (b"\x15\x03\x03\0\x02\x02\x28", Spoken::TlsAlert),
            (b"HTTP/1.1 400 Bad Request\r\n", Spoken::Http),
            (b"GET / HTTP/1.1\r\n", Spoken::Http),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", Spoken::Ssh),
            (b"\x4a\0\0\0\x0a8.0.36\0", Spoken::MysqlGreeting),
            (b"\x64\0\0\0\x0a5.5.5-10.11", Spoken::MysqlGreeting),
            (b"\x17\0\0\0\xff\x10\x04Too many", Spoken::MysqlError),
            (b"\x45\0\0\x01\xff\x69\x04Host", Spoken::MysqlError),
            (b"\x20\0\0\x01\x84\xaa\xbf\0", Spoken::MysqlRequest),
            (b"-ERR unknown command", Spoken::RedisReply),
            (b"-NOAUTH Authentication required.\r\n", Spoken::RedisReply),
            (
                b"-DENIED Redis is running in protected mode",
                Spoken::RedisReply,
            ),
            (b"+PONG\r\n", Spoken::RedisReply),
            (b"*1\r\n$4\r\nPING\r\n", Spoken::RedisCommand),
            (b"*12\r\n$4\r\n", Spoken::RedisCommand),
            (b"E\0\0\0\x28SFATAL\0", Spoken::Postgres),
            (b"R\0\0\0\x17\0\0\0\x0aSCRAM", Spoken::Postgres),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Spoken::PostgresRequest),
            (b"\0\0\0\x08\x04\xd2\x16\x30", Spoken::PostgresRequest),
            (b"\0\0\0\x10\x04\xd2\x16\x2e", Spoken::PostgresRequest),
            (b"\0\0\0\x3f\0\x03\0\0user", Spoken::PostgresStartup),
            (b"220 mail.example ESMTP\r\n", Spoken::Smtp),
            (b"PROXY TCP4 192.0.2.1", Spoken::ProxyHeader),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", Spoken::ProxyHeader),
            (b"\x12\x01\0\x2f\0\0\x01\0", Spoken::Tds),
            (b"\x04\x01\0\x2b\0\0\x01\0", Spoken::Tds),
            (b"INFO {\"server_id\"", Spoken::Nats),
            (b"AMQP\0\0\x09\x01", Spoken::Amqp),
            (b"\x34\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0", Spoken::Mongodb),
            (b"\x44\0\0\0\x01\0\0\0\0\0\0\0\xd4\x07\0\0", Spoken::Mongodb),
        ];
        for (bytes, spoken) in rows {
            assert_eq!(speaks(bytes), Some(*spoken), "{}", bytes.escape_ascii());
            // Fewer bytes may not be enough, but they never say something else.
            for end in 0..bytes.len() {
                let fewer = speaks(&bytes[..end]);
                assert!(fewer.is_none_or(|fewer| fewer == *spoken), "{fewer:?}");
            }
            assert!(speaks(&bytes[..bytes.len().min(16)]).is_some());
            let text = spoken.to_string();
            assert!(!text.is_empty() && text.is_ascii());
        }
    }

    #[test]
    fn nothing_is_claimed_of_other_bytes() {
        let rows: [&[u8]; 14] = [
            b"",
            b"S",
            b"N",
            b"E",
            b"\x16",
            b"\x16\x03\x05",
            b"+",
            b"-1\r\n",
            b"* OK IMAP4",
            b"*2 apples",
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x20\0\0\x01\0\0\0\0",
            b"\x0f\0\0\0\0\0\0\0\0\0\0\0\xdd\x07\0\0",
        ];
        for bytes in rows {
            assert_eq!(speaks(bytes), None, "{}", bytes.escape_ascii());
        }
    }
}
