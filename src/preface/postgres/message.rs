//! Two Postgres messages: the client's `StartupMessage`, read for log lines and errors, and the
//! `ErrorResponse` with which a gateway explains a refusal. Nothing here rewrites a message.
//!
//! Source: Postgres documentation, "Message Formats" and "Error and Notice Message Fields".

use crate::wire::{Reader, Short};

/// The parameters of a `StartupMessage` about the session: for log lines and error texts, and for
/// the rule that a user has to be the one of a certificate.
///
/// The texts are the client's own: escape them before they reach a log. A value that is not
/// UTF-8 counts as absent, and of a name that is there twice the last value counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Startup<'a> {
    /// The minor protocol version, 0 for 3.0.
    pub minor_version: u16,
    /// The role to log in as.
    pub user: Option<&'a str>,
    /// The database; the server takes the user's name when it is absent.
    pub database: Option<&'a str>,
    /// The name of the client program.
    pub application_name: Option<&'a str>,
}

/// A reason why bytes are not a `StartupMessage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    /// A length, a name or a value reaches beyond the end.
    #[error("the startup message ends too early")]
    Truncated,
    /// The length word does not say what the message has.
    #[error("the startup message has bytes behind its end")]
    Trailing,
    /// A protocol other than 3.x.
    #[error("the startup message is of protocol {0}, not 3")]
    Version(u16),
}

impl From<Short> for StartupError {
    fn from(_: Short) -> Self {
        Self::Truncated
    }
}

impl<'a> Startup<'a> {
    /// Reads a whole message, from its length word to its last NUL.
    ///
    /// # Errors
    /// [`StartupError`] when the bytes are not exactly one such message.
    pub fn parse(message: &'a [u8]) -> Result<Self, StartupError> {
        let mut reader = Reader::new(message);
        match usize::try_from(reader.u32()?) {
            Ok(length) if length == message.len() => {}
            Ok(length) if length < message.len() => return Err(StartupError::Trailing),
            _ => return Err(StartupError::Truncated),
        }
        let major_version = reader.u16()?;
        if major_version != 3 {
            return Err(StartupError::Version(major_version));
        }
        let mut startup = Self {
            minor_version: reader.u16()?,
            ..Self::default()
        };
        loop {
            let name = reader.until_nul()?;
            if name.is_empty() {
                break;
            }
            let value = std::str::from_utf8(reader.until_nul()?).ok();
            match name {
                b"user" => startup.user = value,
                b"database" => startup.database = value,
                b"application_name" => startup.application_name = value,
                _ => {}
            }
        }
        if reader.is_empty() {
            Ok(startup)
        } else {
            Err(StartupError::Trailing)
        }
    }
}

/// An error in the client's own protocol, to be sent once its `StartupMessage` has been read.
///
/// Never send one in answer to an `SSLRequest`: libpq then hides the text from its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorResponse<'a> {
    /// `FATAL` where the connection ends.
    pub severity: &'a str,
    /// The SQLSTATE, five characters.
    pub code: &'a str,
    /// One line that says what is wrong.
    pub message: &'a str,
    /// More of the same.
    pub detail: Option<&'a str>,
    /// A remedy.
    pub hint: Option<&'a str>,
}

impl ErrorResponse<'_> {
    /// The message as bytes. NULs in the texts are left out: they would end a field early.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let fields = [
            (b'S', Some(self.severity)),
            // The severity once more, never translated, since protocol 3 of Postgres 9.6.
            (b'V', Some(self.severity)),
            (b'C', Some(self.code)),
            (b'M', Some(self.message)),
            (b'D', self.detail),
            (b'H', self.hint),
        ];
        let mut body = Vec::new();
        for (field, text) in fields {
            if let Some(text) = text {
                body.push(field);
                body.extend(text.bytes().filter(|&byte| byte != 0));
                body.push(0);
            }
        }
        body.push(0);
        // The length counts itself; texts of 4 GiB do not occur.
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        let mut message = vec![b'E'];
        message.extend(length.to_be_bytes());
        message.extend(body);
        message
    }
}

/// The fields of a server's `ErrorResponse`; the texts are the server's own, not safe to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerError<'a> {
    /// `FATAL`, `ERROR`…, in the server's language.
    pub severity: &'a [u8],
    /// The SQLSTATE.
    pub code: &'a [u8],
    /// The error in one line.
    pub message: &'a [u8],
}

impl<'a> ServerError<'a> {
    /// Reads the message at the start of `input`, its type byte included; `None` for anything else
    /// and for one that is not all there.
    #[must_use]
    pub fn parse(input: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(input);
        if reader.u8() != Ok(b'E') {
            return None;
        }
        // The length counts itself.
        let length = usize::try_from(reader.u32().ok()?).ok()?.checked_sub(4)?;
        let mut fields = Reader::new(reader.take(length).ok()?);
        let mut error = Self::default();
        loop {
            match fields.u8().ok()? {
                0 => return Some(error),
                b'S' => error.severity = fields.until_nul().ok()?,
                b'C' => error.code = fields.until_nul().ok()?,
                b'M' => error.message = fields.until_nul().ok()?,
                _ => drop(fields.until_nul().ok()?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_error_is_read_back_and_a_cut_one_is_none() {
        let bytes = ErrorResponse {
            severity: "FATAL",
            code: "28000",
            message: "no entry",
            detail: Some("more"),
            hint: None,
        }
        .encode();
        let error = ServerError::parse(&bytes).unwrap();
        assert_eq!(error.severity, b"FATAL");
        assert_eq!(error.code, b"28000");
        assert_eq!(error.message, b"no entry");
        for end in 0..bytes.len() {
            assert_eq!(ServerError::parse(&bytes[..end]), None, "{end}");
        }
        assert_eq!(ServerError::parse(b"R\0\0\0\x08\0\0\0\0"), None);
    }

    fn startup(parameters: &[u8]) -> Vec<u8> {
        let length = u32::try_from(parameters.len() + 8).unwrap();
        [&length.to_be_bytes(), &[0, 3, 0, 2][..], parameters].concat()
    }

    #[test]
    fn a_startup_message_names_who_wants_what() {
        let message = startup(b"user\0ann\0database\0shop\0_pq_.x\0y\0application_name\0psql\0\0");
        let expected = Startup {
            minor_version: 2,
            user: Some("ann"),
            database: Some("shop"),
            application_name: Some("psql"),
        };
        assert_eq!(Startup::parse(&message), Ok(expected));

        let message = startup(b"user\0a\0user\0\xff\0\0");
        assert_eq!(Startup::parse(&message).unwrap().user, None);
        let message = startup(b"user\0a\0user\0b\0database\0\0\0");
        let last = Startup::parse(&message).unwrap();
        assert_eq!((last.user, last.database), (Some("b"), Some("")));
    }

    #[test]
    fn a_startup_message_is_exactly_one() {
        let message = startup(b"user\0ann\0\0");
        for end in 0..message.len() {
            let error = Startup::parse(&message[..end]).unwrap_err();
            assert_eq!(error, StartupError::Truncated, "{end} bytes");
        }
        for (parameters, error) in [
            (&b""[..], StartupError::Truncated),
            (b"user", StartupError::Truncated),
            (b"user\0ann\0", StartupError::Truncated),
            (b"user\0ann\0\0\0", StartupError::Trailing),
            (b"\0user\0ann\0\0", StartupError::Trailing),
        ] {
            assert_eq!(Startup::parse(&startup(parameters)), Err(error));
        }
        let longer = [&message[..], b"x"].concat();
        assert_eq!(Startup::parse(&longer), Err(StartupError::Trailing));
        let old = [0, 0, 0, 9, 0, 2, 0, 0, 0];
        assert_eq!(Startup::parse(&old), Err(StartupError::Version(2)));
    }

    #[test]
    fn an_error_response_is_what_the_documentation_says() {
        let error = ErrorResponse {
            severity: "FATAL",
            code: "28000",
            message: "TLS required",
            detail: None,
            hint: None,
        };
        let expected = b"E\0\0\0\x28SFATAL\0VFATAL\0C28000\0MTLS required\0\0";
        assert_eq!(error.encode(), expected);

        let error = ErrorResponse {
            message: "a\0b",
            detail: Some("d"),
            hint: Some("\0"),
            ..error
        };
        let expected = b"E\0\0\0\x23SFATAL\0VFATAL\0C28000\0Mab\0Dd\0H\0\0";
        assert_eq!(error.encode(), expected);
    }
}
