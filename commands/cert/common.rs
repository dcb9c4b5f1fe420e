//! Exit codes, failures, input and output of all `cert` commands.

use std::io;
use std::path::Path;

use dbgate::cert::{self, Bundle, CertError};

use crate::out;

pub(super) const NOT_DONE: u8 = 1;
pub(super) const USAGE: u8 = 2;
pub(super) const UNREADABLE: u8 = 3;
pub(super) const CONFLICT: u8 = 4;

/// Failure of a command.
pub(super) struct Failure {
    pub(super) code: u8,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl From<CertError> for Failure {
    fn from(error: CertError) -> Self {
        let code = match &error {
            CertError::Read { .. } | CertError::Content { .. } => UNREADABLE,
            CertError::Conflict(_) => CONFLICT,
            CertError::Name(_) => USAGE,
            _ => NOT_DONE,
        };
        Self::new(code, error.to_string())
    }
}

/// Returns whether a file name means standard input.
pub(super) fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// Reads certificates and keys from a file, or from standard input.
pub(super) fn read_bundle(file: &Path) -> Result<Bundle, CertError> {
    if is_stdin(file) {
        cert::read_bundle_from(io::stdin().lock(), Path::new("standard input"))
    } else {
        cert::read_bundle(file)
    }
}

pub(super) fn print(text: &str) -> Result<(), Failure> {
    out::print(text).map_err(|e| Failure::new(NOT_DONE, format!("cannot write the answer: {e}")))
}
