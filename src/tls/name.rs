//! The names that clients ask for: a normalised DNS name, and what the SNI extension held.
//!
//! Not here: which database a name leads to, and certificates.
//! Source: RFC 6066 section 3 (`server_name`), RFC 1035 section 2.3.4 (lengths), RFC 1123
//! section 2.1 (characters), RFC 3696 section 2 (a top-level label is never all digits).

use std::fmt;
use std::net::IpAddr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::escape;

/// The longest DNS name in its text form, without the trailing dot, in bytes.
pub const MAX_NAME: usize = 253;

/// The longest label of a DNS name, in bytes.
pub const MAX_LABEL: usize = 63;

/// A DNS name in the one form in which names are compared.
///
/// Lower case ASCII without a trailing dot, at most [`MAX_NAME`] bytes in labels of 1 to
/// [`MAX_LABEL`] letters, digits, hyphens and underscores; never an IP address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(Box<str>);

/// The reason why a text is not a DNS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or only a dot.
    #[error("the name is empty")]
    Empty,
    /// More than [`MAX_NAME`] bytes.
    #[error("the name has {0} bytes, more than the {MAX_NAME} that DNS allows")]
    TooLong(usize),
    /// Two dots in a row, or one at the start.
    #[error("the name has an empty label: a dot at its start, or two in a row")]
    EmptyLabel,
    /// More than [`MAX_LABEL`] bytes between two dots.
    #[error("a label of the name has {0} bytes, more than the {MAX_LABEL} that DNS allows")]
    LabelTooLong(usize),
    /// Characters beyond ASCII that make no international name.
    #[error(
        "the name is no valid international one (UTS #46): write it as DNS has it, in its xn-- form"
    )]
    International,
    /// Anything but letters, digits, hyphens, underscores and dots.
    #[error("the name holds {0:?}, but only letters, digits, '-', '_' and '.' can be in one")]
    Character(char),
    /// An IPv4 or IPv6 address, which RFC 6066 forbids here.
    #[error("this is an IP address, not a name")]
    IpAddress,
    /// A last label that many resolvers would read as part of an IPv4 address.
    #[error("the last label of the name is a number, which resolvers take for an IP address")]
    NumericEnd,
}

impl ServerName {
    /// Reads a name that a person has typed or configured: one with characters beyond ASCII gets the
    /// form in which DNS, TLS and certificates have it (`xn--…`; UTS #46, not transitional).
    ///
    /// # Errors
    /// [`NameError`] says what is wrong with it.
    pub fn typed(text: &str) -> Result<Self, NameError> {
        if text.is_ascii() {
            return Self::parse(text);
        }
        // Which ASCII characters there may be, and how long it may be, is for `parse` to say.
        let ascii = Uts46::new()
            .to_ascii(
                text.as_bytes(),
                AsciiDenyList::EMPTY,
                Hyphens::CheckFirstLast,
                DnsLength::Ignore,
            )
            .map_err(|_| NameError::International)?;
        Self::parse(&ascii)
    }

    /// Checks and normalises a name as it is sent: ASCII only.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.parse::<IpAddr>().is_ok() {
            return Err(NameError::IpAddress);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if let Some(illegal) = name.chars().find(|&c| !legal(c)) {
            return Err(NameError::Character(illegal));
        }
        if name.len() > MAX_NAME {
            return Err(NameError::TooLong(name.len()));
        }
        for label in name.split('.') {
            match label.len() {
                0 => return Err(NameError::EmptyLabel),
                1..=MAX_LABEL => {}
                long => return Err(NameError::LabelTooLong(long)),
            }
        }
        if name.rsplit('.').next().is_some_and(is_number) {
            return Err(NameError::NumericEnd);
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its first label (`b.c` of `a.b.c`), for the look-up of `*.b.c`.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, parent)| parent)
    }
}

/// True if `inet_aton` would read the label as a number: decimal, octal or hexadecimal.
fn is_number(label: &str) -> bool {
    let hexadecimal = label
        .strip_prefix("0x")
        .or_else(|| label.strip_prefix("0X"))
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal || label.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for ServerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ServerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::typed(&text).map_err(|e| serde::de::Error::custom(format!("\"{text}\": {e}")))
    }
}

impl AsRef<str> for ServerName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// The name that a client asked for, as far as it did.
///
/// The texts are escaped and capped (see [`escape`]), so they can be logged as they are; they
/// must not be used for routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sni {
    /// No `server_name` extension, or none with a host name in it.
    None,
    /// An IP address, which RFC 6066 forbids but some clients send.
    Ip(String),
    /// Bytes that are no DNS name.
    Invalid(String),
    /// A DNS name.
    Name(ServerName),
}

impl Sni {
    /// Judges a `host_name` as it stood in the extension; any bytes will do.
    #[must_use]
    pub fn from_host_name(host_name: &[u8]) -> Self {
        match std::str::from_utf8(host_name).map(ServerName::parse) {
            Ok(Ok(name)) => Self::Name(name),
            Ok(Err(NameError::IpAddress)) => Self::Ip(escape(host_name)),
            Ok(Err(_)) | Err(_) => Self::Invalid(escape(host_name)),
        }
    }

    /// The word for logs and reports: `none`, `ip`, `invalid` or `ok`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ip(_) => "ip",
            Self::Invalid(_) => "invalid",
            Self::Name(_) => "ok",
        }
    }

    /// The name to route by, where there is one.
    #[must_use]
    pub fn name(&self) -> Option<&ServerName> {
        match self {
            Self::Name(name) => Some(name),
            Self::None | Self::Ip(_) | Self::Invalid(_) => None,
        }
    }

    /// The bytes that the client sent, for logs: a name in its normal form, all else escaped and capped.
    #[must_use]
    pub fn sent(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Ip(text) | Self::Invalid(text) => Some(text),
            Self::Name(name) => Some(name.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source of the first five: UTS #46 section 4 and its test file.
    #[test]
    fn what_people_type_becomes_what_is_sent() {
        for (typed, sent) in [
            ("b\u{fc}cher.example", Ok("xn--bcher-kva.example")),
            ("B\u{dc}CHER.Example", Ok("xn--bcher-kva.example")),
            ("bu\u{308}cher.example", Ok("xn--bcher-kva.example")),
            ("fa\u{df}.example", Ok("xn--fa-hia.example")),
            ("\u{4f8b}\u{3048}\u{3002}jp", Ok("xn--r8jz45g.jp")),
            ("xn--bcher-kva.example", Ok("xn--bcher-kva.example")),
            ("pg_1.b\u{fc}cher.example", Ok("pg_1.xn--bcher-kva.example")),
            ("pg1.example", Ok("pg1.example")),
            ("b\u{fc} cher.example", Err(NameError::Character(' '))),
            ("a\u{200b}\u{2028}b.example", Err(NameError::International)),
            ("-\u{fc}.example", Err(NameError::International)),
            ("\u{308}a.example", Err(NameError::International)),
            ("\u{ff11}\u{ff12}7.0.0.1", Err(NameError::IpAddress)),
            ("\u{3002}", Err(NameError::Empty)),
        ] {
            let name = ServerName::typed(typed);
            let name = name
                .as_ref()
                .map(ServerName::as_str)
                .map_err(|error| *error);
            assert_eq!(name, sent, "{typed}");
        }
        // On the wire there is ASCII only.
        let sent = Sni::from_host_name("b\u{fc}cher.example".as_bytes());
        assert_eq!(sent.status(), "invalid");
    }

    fn label(length: usize) -> String {
        "a".repeat(length)
    }

    /// A name of exactly `length` bytes, for lengths that leave a last label of 1 to 63 bytes.
    fn name(length: usize) -> String {
        let full = format!("{}.", label(63)).repeat(3);
        let last = label(length - full.len());
        full + &last
    }

    #[test]
    fn names_are_normalised() {
        for (text, normal) in [
            ("db1.example", "db1.example"),
            ("DB1.Example.", "db1.example"),
            ("localhost", "localhost"),
            ("_pg.my_host.x--y", "_pg.my_host.x--y"),
            ("1.2.3.4.example", "1.2.3.4.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("0xg", "0xg"),
        ] {
            assert_eq!(ServerName::parse(text).unwrap().as_ref(), normal, "{text}");
        }
        assert_eq!(ServerName::parse(&name(253)).unwrap().as_str().len(), 253);
        assert!(ServerName::parse(&(name(253) + ".")).is_ok());
    }

    #[test]
    fn errors_say_what_is_wrong() {
        use NameError::*;
        let (long_label, long_name) = (label(64), name(254));
        for (text, error) in [
            ("", Empty),
            (".", Empty),
            ("..", EmptyLabel),
            (".a", EmptyLabel),
            ("a..b", EmptyLabel),
            ("a.b..", EmptyLabel),
            ("a b", Character(' ')),
            ("a\0", Character('\0')),
            ("bücher.example", Character('ü')),
            ("*.example", Character('*')),
            ("a:5432", Character(':')),
            (&long_label, LabelTooLong(64)),
            (&long_name, TooLong(254)),
            ("192.0.2.1", IpAddress),
            ("::1", IpAddress),
            ("2001:db8::1", IpAddress),
            ("192.0.2.1.", NumericEnd),
            ("127.1", NumericEnd),
            ("0x7f000001", NumericEnd),
            ("0X", NumericEnd),
        ] {
            assert_eq!(ServerName::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_parent_is_what_a_wildcard_stands_on() {
        for (name, parent) in [("a.b.c", Some("b.c")), ("b.c", Some("c")), ("c", None)] {
            assert_eq!(ServerName::parse(name).unwrap().parent(), parent);
        }
    }

    #[test]
    fn every_host_name_has_a_status_and_a_safe_text() {
        let cases: [(&[u8], &str, &str, bool); 7] = [
            (b"My-DB.example.", "ok", "my-db.example", true),
            (b"192.0.2.1", "ip", "192.0.2.1", false),
            (b"2001:db8::1", "ip", "2001:db8::1", false),
            (b"", "invalid", "", false),
            (b"a\0b", "invalid", r"a\x00b", false),
            (b"\"\\ \n", "invalid", r"\x22\x5c\x20\x0a", false),
            (b"\xff\xfe", "invalid", r"\xff\xfe", false),
        ];
        for (host_name, status, sent, routable) in cases {
            let sni = Sni::from_host_name(host_name);
            assert_eq!(sni.status(), status);
            assert_eq!(sni.sent(), Some(sent));
            assert_eq!(sni.name().is_some(), routable);
        }
        assert_eq!((Sni::None.status(), Sni::None.sent()), ("none", None));
        let long = Sni::from_host_name(&vec![b'a'; 70_000]);
        assert_eq!(long.sent().map(str::len), Some(255));
    }
}
