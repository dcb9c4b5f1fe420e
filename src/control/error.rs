//! Errors of the control protocol.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::route::ChangeError;

/// The code of an error: a word for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is invalid.
    Usage,
    /// The request contradicts the state of the gateway.
    Conflict,
    /// The request names something that does not exist.
    NotFound,
    /// The gateway cannot or will not do it. Codes that only a later version knows count as this.
    #[default]
    #[serde(other)]
    Refused,
}

/// A command that was not carried out; nothing has changed.
#[derive(Clone, Debug, Default, Error, PartialEq, Eq, Serialize, Deserialize)]
#[error("{}", join(message, hint.as_deref()))]
#[serde(default)]
pub struct CommandError {
    /// The code, from which the exit code of `ctl` follows.
    pub code: ErrorCode,
    /// A sentence on what is wrong, and where.
    pub message: String,
    /// A sentence on what to do, where that is known.
    pub hint: Option<String>,
}

/// A message and its hint as one text.
#[must_use]
pub fn join(message: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{message}; {hint}"),
        None => message.to_owned(),
    }
}

impl CommandError {
    /// An error.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// The same with a sentence on what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An invalid request.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Usage, message)
    }

    /// A request that names something that does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// A request that the gateway cannot or will not carry out.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Refused, message)
    }
}

impl From<ChangeError> for CommandError {
    fn from(error: ChangeError) -> Self {
        let (code, text) = match error {
            ChangeError::NoDatabase { ref name, hint } => {
                let error = Self::not_found(format!("no database {name}"));
                return match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                };
            }
            ChangeError::Conflict(text) => (ErrorCode::Conflict, text),
            ChangeError::NotFound(text) => (ErrorCode::NotFound, text),
            ChangeError::Invalid(text) => (ErrorCode::Usage, text),
            ChangeError::Refused(text) => (ErrorCode::Refused, text),
            ChangeError::Files { .. } | ChangeError::GatewayFiles(_) | ChangeError::State(_) => {
                return Self::refused(error.to_string());
            }
        };
        // These say what is wrong and then, behind a colon, what to do.
        match text.split_once(": ") {
            Some((message, hint)) => Self::new(code, message).hint(hint),
            None => Self::new(code, text),
        }
    }
}
