//! Certificates: what they say, why a chain of them is or is not trusted, and those that dbgate
//! makes.
//!
//! [`judge`](judge()) is the one place that tells why a chain is refused; it is pure, as is
//! [`view`](view()). The gateway's own pair is made by [`gateway_pair`].
//!
//! Not here: what the gateway does with its certificates ([`crate::tls::config`]), and what is
//! printed.

mod constraint;
mod fault;
mod gateway;
mod judge;
mod path;
mod view;

pub use fault::{Evidence, Fault, Place, Severity};
pub use gateway::{CertError, gateway_pair};
pub use judge::{Judgement, Purpose, judge};
pub use view::{Unreadable, View, view};

/// Directories for tests that write files.
#[cfg(test)]
pub(crate) mod scratch {
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
            std::fs::create_dir(&path).unwrap();
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
