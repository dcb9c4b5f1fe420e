//! Errors of making and reading certificates.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::tls::material::MaterialError;

/// Error of making or reading a certificate.
#[derive(Debug, Error)]
pub enum CertError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// A file or a directory cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// A file is read, but is not what it should be.
    #[error("{}: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The fault, as text.
        what: String,
    },
    /// Existing files differ from the request, and are not replaced unasked.
    #[error("{0}")]
    Conflict(String),
    /// Request that makes no sense.
    #[error("{0}")]
    Refused(String),
    /// A name that cannot be used.
    #[error("{0}")]
    Name(String),
    /// The certificate cannot be made.
    #[error("cannot make a certificate: the key cannot sign, or a name cannot be written in one")]
    Mint(rcgen::Error),
    /// The system gives no random bytes.
    #[error("cannot make a certificate: the system gives no random bytes")]
    NoRandomness,
}

impl From<MaterialError> for CertError {
    fn from(error: MaterialError) -> Self {
        match error {
            MaterialError::Read { origin, source } => Self::Read {
                path: origin.into(),
                source,
            },
            MaterialError::Pem { origin, source } => Self::Content {
                path: origin.into(),
                what: source.to_string(),
            },
            other => Self::Refused(other.to_string()),
        }
    }
}
