//! Failed calls of a gateway: a message and an exit code, the same for `ctl` and `top`.

use std::path::Path;
use std::process::ExitCode;

use dbgate::control::client::ClientError;
use dbgate::control::error::ErrorKind;

use crate::table::escape_lines;
use crate::{out, socket};

pub(crate) const REFUSED: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const NOT_REACHABLE: u8 = 3;
pub(crate) const CONFLICT: u8 = 4;
pub(crate) const NOT_FOUND: u8 = 5;

/// A command that failed.
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// A failed call of the gateway at `socket`.
    pub(crate) fn from_client(error: ClientError, socket: &Path) -> Self {
        match error {
            ClientError::Connect(e) => Self::new(NOT_REACHABLE, socket::explain(socket, &e)),
            ClientError::Command(e) => {
                let code = match e.kind {
                    ErrorKind::Refused => REFUSED,
                    ErrorKind::Usage => USAGE,
                    ErrorKind::Conflict => CONFLICT,
                    ErrorKind::NotFound => NOT_FOUND,
                };
                Self::new(code, escape_lines(&e.message))
            }
            ClientError::Timeout(after) => {
                let path = socket.display();
                Self::new(
                    NOT_REACHABLE,
                    format!(
                        "the gateway at {path} has not answered within {after:?}, and was given up\n  A change that was asked for may still be made, such as when its disk is slow: look again."
                    ),
                )
            }
            broken => Self::new(NOT_REACHABLE, format!("{}: {broken}", socket.display())),
        }
    }

    /// Prints the message; returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        out::complain(&self.message);
        ExitCode::from(self.code)
    }
}
