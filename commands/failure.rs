//! Failed calls of a gateway: a message, what to do and an exit code, the same for `ctl` and `top`.

use std::path::Path;
use std::process::ExitCode;

use dbgate::control::client::ClientError;
use dbgate::control::error::{CommandError, ErrorCode, join};
use serde_json::json;

use crate::table::escape_lines;
use crate::{out, socket};

pub(crate) const REFUSED: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const NOT_REACHABLE: u8 = 3;
pub(crate) const CONFLICT: u8 = 4;
pub(crate) const NOT_FOUND: u8 = 5;

/// A command that failed.
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: u8,
    /// The word for programs.
    pub(crate) code: &'static str,
    /// A sentence on what is wrong; further lines are indented.
    pub(crate) message: String,
    /// A sentence on what to do, on the same line; with a capital, sentences on lines of their own.
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: u8, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: match exit {
                USAGE => "usage",
                NOT_REACHABLE => "not_reachable",
                CONFLICT => "conflict",
                NOT_FOUND => "not_found",
                _ => "refused",
            },
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failed call of the gateway at `socket`.
    pub(crate) fn from_client(error: ClientError, socket: &Path) -> Self {
        match error {
            ClientError::Connect(e) => {
                let (message, hint) = socket::explain(socket, &e);
                Self::new(NOT_REACHABLE, message).hint(hint)
            }
            ClientError::Command(CommandError {
                code,
                message,
                hint,
            }) => Self {
                hint,
                ..Self::new(exit_code(code), message)
            },
            ClientError::Timeout(after) => {
                let path = socket.display();
                let text = format!(
                    "the gateway at {path} has not answered within {after:?}, and was given up"
                );
                Self::new(NOT_REACHABLE, text).hint("A change that was asked for may still be made, such as when its disk is slow: look again.")
            }
            broken => Self::new(NOT_REACHABLE, format!("{}: {broken}", socket.display())),
        }
    }

    /// Prints the failure as text, or as one JSON document to standard output; returns the exit
    /// code.
    pub(crate) fn report(self, json: bool) -> ExitCode {
        if json {
            // Nobody may read it any more; the exit code says it, too.
            let _ = out::print(&self.json());
        } else {
            out::complain(&self.text());
        }
        ExitCode::from(self.exit)
    }

    fn text(&self) -> String {
        let message = escape_lines(&self.message);
        let hint = self.hint.as_deref().map(escape_lines);
        match hint {
            Some(hint) if hint.starts_with(char::is_uppercase) => hint
                .lines()
                .fold(message, |text, line| text + "\n  " + line),
            hint => join(&message, hint.as_deref()),
        }
    }

    fn json(&self) -> String {
        let hint = self.hint.as_ref();
        let hint = hint.map(|hint| hint.lines().collect::<Vec<_>>().join(" "));
        let message = self.message.replace("\n  ", ": ");
        let error = json!({"error": {"code": self.code, "message": message, "hint": hint}});
        format!("{error:#}\n")
    }
}

fn exit_code(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::Refused => REFUSED,
        ErrorCode::Usage => USAGE,
        ErrorCode::Conflict => CONFLICT,
        ErrorCode::NotFound => NOT_FOUND,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_has_its_place() {
        let failure = Failure::new(NOT_FOUND, "no database a").hint("did you mean b?");
        assert_eq!(failure.text(), "no database a; did you mean b?");
        let failure =
            Failure::new(NOT_REACHABLE, "none at x\n  It is gone.").hint("Start it.\nLook.");
        assert_eq!(
            failure.text(),
            "none at x\n  It is gone.\n  Start it.\n  Look."
        );
        let json: serde_json::Value = serde_json::from_str(&failure.json()).unwrap();
        assert_eq!(
            json,
            json!({"error": {"code": "not_reachable", "message": "none at x: It is gone.", "hint": "Start it. Look."}})
        );
    }
}
