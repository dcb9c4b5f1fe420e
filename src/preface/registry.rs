//! The registration of each preface: one row of [`of`], and where it has a state, a variant here.

use bytes::Bytes;

use super::mongodb::Mongodb;
use super::mysql::{self, Mysql, MysqlError};
use super::postgres::{self, AuthWatch, Postgres};
use super::redis::Redis;
use super::tls_first::{self, TlsFirst};
use super::{
    Initiator, InitiatorError, InitiatorStep, LoginEvent, Preface, Refusal, Responder,
    ResponderStep,
};
use crate::protocol::{ListenerProtocol, Protocol};

/// The preface of a protocol.
#[must_use]
pub fn of(protocol: Protocol) -> &'static dyn Preface {
    match protocol {
        Protocol::Postgres => &Postgres,
        Protocol::Mysql | Protocol::Mariadb => &Mysql,
        Protocol::Mongodb => &Mongodb,
        Protocol::Redis => &Redis,
        Protocol::Tls => &TlsFirst,
    }
}

/// The responder of any protocol.
#[derive(Debug)]
pub enum AnyResponder {
    /// TLS from the first byte.
    TlsFirst(tls_first::Responder),
    /// Postgres, or TLS from the first byte.
    Postgres(postgres::Responder),
    /// MySQL and MariaDB.
    Mysql(mysql::Responder),
}

/// A rule of a protocol that a client broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub enum ResponderError {
    /// Of Postgres.
    Postgres(#[from] postgres::PrefaceError),
    /// Of MySQL.
    Mysql(#[from] MysqlError),
}

impl ResponderError {
    /// True if bytes came that a client must not send before it has an answer.
    #[must_use]
    pub fn is_early_data(&self) -> bool {
        matches!(self, Self::Postgres(postgres::PrefaceError::EarlyData(_)))
    }
}

impl AnyResponder {
    /// The responder for a new client of a listener.
    #[must_use]
    pub fn for_listener(protocol: ListenerProtocol) -> Self {
        match protocol {
            ListenerProtocol::Tls => Self::TlsFirst(tls_first::Responder),
            ListenerProtocol::Auto | ListenerProtocol::Postgres | ListenerProtocol::Tcp => {
                Self::Postgres(postgres::Responder::default())
            }
        }
    }
}

impl AnyResponder {
    /// The likely reason of a client that sends nothing.
    #[must_use]
    pub fn silence(&self) -> &'static str {
        "a MySQL client waits for the server to speak first"
    }
}

impl Responder for AnyResponder {
    type Error = ResponderError;

    fn advance(&mut self, input: &[u8]) -> Result<ResponderStep, ResponderError> {
        match self {
            Self::TlsFirst(responder) => responder.advance(input).map_err(|never| match never {}),
            Self::Postgres(responder) => Ok(responder.advance(input)?),
            Self::Mysql(responder) => Ok(responder.advance(input)?),
        }
    }

    fn requested_tls(&self) -> Option<Protocol> {
        match self {
            Self::TlsFirst(responder) => responder.requested_tls(),
            Self::Postgres(responder) => responder.requested_tls(),
            Self::Mysql(responder) => responder.requested_tls(),
        }
    }

    fn has_replied(&self) -> bool {
        match self {
            Self::TlsFirst(responder) => responder.has_replied(),
            Self::Postgres(responder) => responder.has_replied(),
            Self::Mysql(responder) => responder.has_replied(),
        }
    }

    fn refuse(&self, input: &[u8], refusal: &Refusal<'_>) -> Vec<u8> {
        match self {
            Self::TlsFirst(responder) => responder.refuse(input, refusal),
            Self::Postgres(responder) => responder.refuse(input, refusal),
            Self::Mysql(responder) => responder.refuse(input, refusal),
        }
    }
}

/// The initiator of any protocol.
#[derive(Clone, Debug, Default)]
pub enum AnyInitiator {
    /// Nothing comes before the client's bytes.
    #[default]
    None,
    /// TLS from the first byte.
    TlsFirst,
    /// A request of Postgres.
    Postgres(postgres::Initiator),
}

impl Initiator for AnyInitiator {
    fn advance(&mut self, input: &[u8]) -> Result<InitiatorStep, InitiatorError> {
        match self {
            Self::None => Ok(InitiatorStep::Ready(Bytes::new())),
            Self::TlsFirst => Ok(InitiatorStep::StartTls),
            Self::Postgres(initiator) => initiator.advance(input),
        }
    }

    fn end(&mut self, input: &[u8]) -> Result<InitiatorStep, InitiatorError> {
        match self {
            Self::None | Self::TlsFirst => self.advance(input),
            Self::Postgres(initiator) => initiator.end(input),
        }
    }
}

/// A watch over the login that a backend conducts with a client.
#[derive(Debug)]
pub enum LoginWatch {
    /// Of Postgres.
    Postgres(AuthWatch),
}

impl LoginWatch {
    /// Takes the next bytes from the backend.
    pub fn feed(&mut self, input: &[u8]) -> LoginEvent {
        match self {
            Self::Postgres(watch) => watch.feed(input),
        }
    }
}

/// The ends of the messages that a backend sends.
#[derive(Debug)]
pub enum AnyMessageEnds {
    /// Of Postgres.
    Postgres(postgres::MessageEnds),
}

impl AnyMessageEnds {
    /// Takes the next bytes from the backend; false once they are not made of messages.
    pub fn feed(&mut self, input: &[u8]) -> bool {
        match self {
            Self::Postgres(ends) => ends.feed(input),
        }
    }

    /// True if all that has come are whole messages.
    #[must_use]
    pub fn is_between(&self) -> bool {
        match self {
            Self::Postgres(ends) => ends.is_between(),
        }
    }
}
