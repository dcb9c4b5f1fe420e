//! A certificate and its key in files, and what was done with them.

use std::path::PathBuf;

use super::view::View;

/// Change of a pair of certificate and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairChange {
    /// There was none.
    Made,
    /// The certificate was due; the key is the same.
    Renewed,
    /// The certificate got further names; the key is the same.
    Extended,
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
    /// Certificate that verifiers have to trust.
    pub trust: PathBuf,
    /// Contents of the certificate.
    pub view: View,
    /// The change.
    pub change: PairChange,
    /// True if the key was made now.
    pub new_key: bool,
    /// Remarks for the user, one sentence each.
    pub remarks: Vec<String>,
}
