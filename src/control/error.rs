//! Errors of the control protocol.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::route::ChangeError;

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The gateway will not or cannot do it.
    Refused,
    /// The request makes no sense.
    Usage,
    /// It contradicts what is there.
    Conflict,
    /// What it names is not there.
    NotFound,
}

/// A command that was not carried out; nothing has changed.
#[derive(Clone, Debug, Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct CommandError {
    /// The kind, which decides the exit code of `ctl`.
    pub kind: ErrorKind,
    /// What is wrong and what to do, in words.
    pub message: String,
}

impl CommandError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl From<ChangeError> for CommandError {
    fn from(error: ChangeError) -> Self {
        let kind = match &error {
            ChangeError::Conflict(_) => ErrorKind::Conflict,
            ChangeError::NotFound(_) => ErrorKind::NotFound,
            ChangeError::Invalid(_) => ErrorKind::Usage,
            ChangeError::Files { .. } | ChangeError::GatewayFiles(_) | ChangeError::State(_) => {
                ErrorKind::Refused
            }
        };
        Self::new(kind, error.to_string())
    }
}
