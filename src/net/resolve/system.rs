//! One look-up by the system's library: `getaddrinfo` with its hosts file, search domains, mDNS
//! and LDAP.
//!
//! A DNS library would know TTLs and need no threads, but would not see what the system's resolver
//! sees, which is what operators test with `getent hosts`.

use std::net::{IpAddr, ToSocketAddrs};

use thiserror::Error;

/// Error of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LookupError {
    /// The resolver says so.
    #[error("there is no such name, or it has no address")]
    Unknown,
    /// The resolver gave no definite answer.
    #[error("the resolver does not answer, or cannot tell now")]
    TryAgain,
    /// The system gives this process no further thread.
    #[error("the system has no thread left for the look-up")]
    NoThread,
}

/// Returns the addresses of a name, at least one, in the system's order of preference.
///
/// Blocks: with a silent resolver some ten seconds for each of its servers.
///
/// # Errors
/// [`LookupError::Unknown`] or [`LookupError::TryAgain`].
pub(super) fn getaddrinfo(name: &str) -> Result<Box<[IpAddr]>, LookupError> {
    match (name, 0).to_socket_addrs() {
        Ok(found) => {
            let addresses: Box<[IpAddr]> = found.map(|found| found.ip()).collect();
            if addresses.is_empty() {
                return Err(LookupError::Unknown);
            }
            Ok(addresses)
        }
        Err(error) => Err(classify(&error.to_string())),
    }
}

/// Classifies an error by its text: the standard library hides the code (`EAI_AGAIN`,
/// `EAI_NONAME`) and gives the words of the C library, here of glibc, musl and macOS.
fn classify(text: &str) -> LookupError {
    let unknown = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "Name has no usable address",
        "nodename nor servname provided",
    ];
    if unknown.iter().any(|unknown| text.contains(unknown)) {
        LookupError::Unknown
    } else {
        LookupError::TryAgain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_asked() {
        let found = getaddrinfo("localhost").unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    }

    #[test]
    fn only_a_definite_no_is_one() {
        let text = "failed to lookup address information: Name or service not known";
        assert_eq!(classify(text), LookupError::Unknown);
        let text = "failed to lookup address information: Temporary failure in name resolution";
        assert_eq!(classify(text), LookupError::TryAgain);
    }
}
