//! Certificates: what they say, why a chain of them is or is not trusted, and those that dbgate
//! makes.
//!
//! [`verify`](verify()) is the one place that tells why a chain is refused; it is pure, as is
//! [`view`](view()). The gateway's own pair is made by [`gateway_pair`].
//!
//! Not here: what the gateway does with its certificates ([`crate::tls::config`]), and what is
//! printed.

mod authority;
mod constraint;
mod fault;
mod files;
mod gateway;
mod issue;
mod mint;
mod path;
mod throwaway;
mod verify;
mod view;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

pub use authority::{RootRequest, make_root};
pub use fault::{ChainPosition, Evidence, Fault, Severity};
pub use files::{Bundle, fits, read_bundle, read_bundle_from, read_roots};
pub use gateway::gateway_pair;
pub use issue::{LeafRequest, Signer, Subject, make_leaf};
pub use mint::HostName;
pub use throwaway::throwaway;
pub use verify::{Purpose, Verification, verify};
pub use view::{Unreadable, View, has_weak_key, view};

use crate::tls::files::TlsFileError;

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum CertError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or a directory cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is read, but is not what it should be.
    #[error("{}: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, in words.
        what: String,
    },
    /// What is there differs from what was asked for, and is not replaced unasked.
    #[error("{0}")]
    Conflict(String),
    /// What was asked for would be of no use.
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

impl From<TlsFileError> for CertError {
    fn from(error: TlsFileError) -> Self {
        match error {
            TlsFileError::Read { path, source } => Self::Read { path, source },
            TlsFileError::Pem { path, source } => Self::Content {
                path,
                what: source.to_string(),
            },
            other => Self::Refused(other.to_string()),
        }
    }
}

/// What became of a pair of certificate and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairChange {
    /// There was none.
    Made,
    /// The certificate was due; the key is the same.
    Renewed,
    /// Certificate and key did not fit each other, or one was missing.
    Repaired,
    /// The old ones were overwritten, as asked.
    Replaced,
    /// They are as they were.
    Unchanged,
}

/// A pair of certificate and key, as it is now.
#[derive(Clone, Debug)]
pub struct IssuedPair {
    /// The certificate and, behind it, what must be sent with it; PEM.
    pub cert: PathBuf,
    /// Its private key, PEM, PKCS#8.
    pub key: PathBuf,
    /// What those have to trust who verify the certificate.
    pub trust: PathBuf,
    /// What the certificate says.
    pub view: View,
    /// What was done.
    pub change: PairChange,
    /// What the user should know, one sentence each.
    pub remarks: Vec<String>,
}

/// Directories for tests that write files.
#[cfg(test)]
pub(crate) mod scratch {
    use std::fs::DirBuilder;
    use std::os::unix::fs::DirBuilderExt;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A new directory, removed when dropped.
    pub(crate) struct Scratch(PathBuf);

    impl Scratch {
        pub(crate) fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("dbgate-test-{}-{count}", std::process::id());
            let path = std::env::temp_dir().join(name);
            DirBuilder::new().mode(0o700).create(&path).unwrap();
            Self(path)
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // What a test could not remove is no fault of the code.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
