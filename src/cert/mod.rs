//! Certificates: their contents, why a chain of them is or is not trusted, and those that dbgate
//! makes.
//!
//! [`verify`](verify()) is the one place that explains why a chain is refused; it is pure, as is
//! [`view`](view()). The gateway's own pair is made by [`gateway_pair`].
//!
//! Not here: what the gateway does with its certificates ([`crate::tls::config`]), and what is
//! printed.

mod authority;
mod constraint;
mod der;
mod error;
mod fault;
mod files;
mod gateway;
mod issue;
mod issued;
mod key;
mod mint;
mod path;
mod purpose;
mod signature;
mod throwaway;
mod verify;
mod view;

pub use authority::{RootRequest, make_root};
pub use der::Unreadable;
pub use error::CertError;
pub use fault::{ChainPosition, Evidence, Fault, Severity};
pub use files::{Bundle, fits, read_bundle, read_bundle_from, read_roots};
pub use gateway::gateway_pair;
pub use issue::{LeafRequest, Signer, Subject, make_leaf};
pub use issued::{IssuedPair, PairChange};
pub use key::has_weak_key;
pub use mint::HostName;
pub use purpose::Purpose;
pub use throwaway::throwaway;
pub use verify::{Verification, verify};
pub use view::{View, view};

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
