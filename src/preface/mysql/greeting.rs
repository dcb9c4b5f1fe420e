//! The greeting (`Protocol::HandshakeV10`), read from a server and made for a client.

use super::{
    CLIENT_MYSQL, CLIENT_PLUGIN_AUTH, CLIENT_PROTOCOL_41, CLIENT_SSL, MysqlError, packet::encode,
};
use crate::wire::{Reader, Short};

/// The only version of the protocol, and the first byte of a greeting.
pub(super) const PROTOCOL: u8 = 10;

/// The most bytes kept of a version, a plugin's name and a user's name.
pub const MAX_TEXT: usize = 255;

/// The random bytes in a greeting made here.
pub const SCRAMBLE: usize = 20;

/// The prefix that MariaDB before 11 puts before its version, for clients that expect no number
/// above 5.
const OLD_MARIADB: &[u8] = b"5.5.5-";

/// The first packet of a server, which introduces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The version as sent, at most [`MAX_TEXT`] bytes; any bytes, not safe to print.
    pub version: Vec<u8>,
    /// The number of the connection, as `KILL` takes it.
    pub connection_id: u32,
    /// The server's capabilities; the upper half is zero for servers before 4.1.
    pub capabilities: u32,
    /// The default collation's lowest byte.
    pub charset: u8,
    /// The status flags, such as 0x0002 for autocommit.
    pub status: u16,
    /// The authentication plugin that the server begins with, at most [`MAX_TEXT`] bytes; any
    /// bytes, not safe to print.
    pub plugin: Option<Vec<u8>>,
}

impl Greeting {
    /// Reads the payload of a greeting.
    ///
    /// # Errors
    /// [`MysqlError::NotGreeting`] for another first byte, [`MysqlError::Truncated`] for fields
    /// that are not all there.
    pub fn parse(payload: &[u8]) -> Result<Self, MysqlError> {
        let truncated = |_: Short| MysqlError::Truncated("greeting");
        let mut reader = Reader::new(payload);
        match reader.u8().map_err(truncated)? {
            PROTOCOL => {}
            other => return Err(MysqlError::NotGreeting(other)),
        }
        let kept = |text: &[u8]| Reader::new(text).take_up_to(MAX_TEXT).to_vec();
        let mut greeting = Self {
            version: kept(reader.until_nul().map_err(truncated)?),
            connection_id: reader.u32_le().map_err(truncated)?,
            capabilities: 0,
            charset: 0,
            status: 0,
            plugin: None,
        };
        reader.skip(8 + 1).map_err(truncated)?; // scramble, filler
        greeting.capabilities = u32::from(reader.u16_le().map_err(truncated)?);
        // Servers before 4.1 say no more.
        if reader.is_empty() {
            return Ok(greeting);
        }
        greeting.charset = reader.u8().map_err(truncated)?;
        greeting.status = reader.u16_le().map_err(truncated)?;
        greeting.capabilities |= u32::from(reader.u16_le().map_err(truncated)?) << 16;
        let scramble = usize::from(reader.u8().map_err(truncated)?);
        reader.skip(10).map_err(truncated)?; // zeros, MariaDB's own capabilities in the last four
        if greeting.capabilities & CLIENT_PLUGIN_AUTH != 0 {
            // The rest of the scramble takes 13 bytes, however short the field says it is.
            let rest = scramble.saturating_sub(8).max(13);
            reader.skip(rest).map_err(truncated)?;
            // Some servers end the name with the packet instead of a NUL.
            let mut named = reader;
            let plugin = named.until_nul().unwrap_or_else(|_| reader.rest());
            greeting.plugin = Some(kept(plugin));
        }
        Ok(greeting)
    }

    /// True if the server takes an `SSLRequest`.
    #[must_use]
    pub fn offers_tls(&self) -> bool {
        self.capabilities & CLIENT_SSL != 0
    }

    /// True if this is MariaDB: its version says so, or it has left out the bit that MySQL sets.
    #[must_use]
    pub fn is_mariadb(&self) -> bool {
        let name = b"mariadb";
        let mut windows = self.version.windows(name.len());
        let modern = self.capabilities & CLIENT_PROTOCOL_41 != 0;
        windows.any(|window| window.eq_ignore_ascii_case(name))
            || (modern && self.capabilities & CLIENT_MYSQL == 0)
    }

    /// The version without the `5.5.5-` that MariaDB before 11 puts before it.
    #[must_use]
    pub fn release(&self) -> &[u8] {
        match self.version.strip_prefix(OLD_MARIADB) {
            Some(release) if self.is_mariadb() => release,
            _ => &self.version,
        }
    }
}

/// The properties that a greeting made here claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile<'a> {
    /// The version, on which clients choose what to say; no NUL.
    pub version: &'a str,
    /// The capabilities.
    pub capabilities: u32,
    /// The default collation's lowest byte.
    pub charset: u8,
    /// The authentication plugin to begin with; no NUL.
    pub plugin: &'a str,
}

/// The capabilities that servers from MySQL 5.7 and MariaDB 10.4 on have in common, TLS included.
const COMMON: u32 = 0x01ff_efcf;

/// utf8mb4, which servers and clients of both families know.
const UTF8MB4: u8 = 45;

/// Autocommit, as every server starts.
const STATUS: u16 = 0x0002;

impl Profile<'static> {
    /// A MySQL 8.
    pub const MYSQL: Self = Self {
        version: "8.0.36",
        capabilities: COMMON,
        charset: UTF8MB4,
        plugin: "caching_sha2_password",
    };

    /// A MariaDB of the 10 line.
    pub const MARIADB: Self = Self {
        version: "5.5.5-10.11.6-MariaDB",
        capabilities: COMMON,
        charset: UTF8MB4,
        plugin: "mysql_native_password",
    };
}

impl Profile<'_> {
    /// The whole greeting packet; the bytes of `scramble` must be random and none of them zero.
    #[must_use]
    pub fn greeting(&self, connection_id: u32, scramble: &[u8; SCRAMBLE]) -> Vec<u8> {
        let (first, rest) = scramble.split_at(8);
        let [low_a, low_b, high_a, high_b] = self.capabilities.to_le_bytes();
        let mut payload = vec![PROTOCOL];
        payload.extend(
            self.version
                .bytes()
                .filter(|&byte| byte != 0)
                .take(MAX_TEXT),
        );
        payload.push(0);
        payload.extend(connection_id.to_le_bytes());
        payload.extend(first);
        payload.push(0);
        payload.extend([low_a, low_b]);
        payload.push(self.charset);
        payload.extend(STATUS.to_le_bytes());
        payload.extend([high_a, high_b]);
        payload.push(21); // the scramble and its NUL
        payload.extend([0; 10]);
        payload.extend(rest);
        payload.push(0);
        payload.extend(self.plugin.bytes().filter(|&byte| byte != 0).take(MAX_TEXT));
        payload.push(0);
        encode(0, &payload)
    }
}
