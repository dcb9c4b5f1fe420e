//! Errors of the control protocol.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::route::ChangeError;

/// The kind of an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request is invalid.
    Usage,
    /// The request contradicts the state of the gateway.
    Conflict,
    /// The request names something that does not exist.
    NotFound,
    /// The gateway cannot or will not do it. Kinds that only a later version knows count as this.
    #[default]
    #[serde(other)]
    Refused,
}

/// A command that was not carried out; nothing has changed.
#[derive(Clone, Debug, Default, Error, PartialEq, Eq, Serialize, Deserialize)]
#[error("{message}")]
#[serde(default)]
pub struct CommandError {
    /// The kind, from which the exit code of `ctl` follows.
    pub kind: ErrorKind,
    /// A sentence on what is wrong, and on what to do.
    pub message: String,
}

impl CommandError {
    /// An error.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// An invalid request.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// A request that names something that does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// A request that the gateway cannot or will not carry out.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }
}

impl From<ChangeError> for CommandError {
    fn from(error: ChangeError) -> Self {
        let kind = match &error {
            ChangeError::Conflict(_) => ErrorKind::Conflict,
            ChangeError::NoDatabase { .. } | ChangeError::NotFound(_) => ErrorKind::NotFound,
            ChangeError::Invalid(_) => ErrorKind::Usage,
            ChangeError::Refused(_)
            | ChangeError::Files { .. }
            | ChangeError::GatewayFiles(_)
            | ChangeError::State(_) => ErrorKind::Refused,
        };
        Self::new(kind, error.to_string())
    }
}
