//! Client certificates: verification, owners, and the names that they may have.
//!
//! Names are looked at once the handshake is over: by then the certificate is verified.

mod certificate;
mod name;
mod verifier;

use serde::{Deserialize, Serialize};

pub use certificate::ClientCertificate;
pub(super) use certificate::{address, ascii, hex};
pub use name::ClientName;
pub use verifier::ClientVerifier;

/// The user as whom a client may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientUser {
    /// The common name of its certificate, as `clientcert=verify-full` of `pg_hba.conf` has it.
    Certificate,
}

impl std::str::FromStr for ClientUser {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "certificate" => Ok(Self::Certificate),
            _ => Err(format!(
                "invalid rule for users \"{}\": the only one is \"certificate\"",
                text.escape_debug()
            )),
        }
    }
}
