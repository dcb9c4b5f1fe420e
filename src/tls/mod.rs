//! TLS: the first message of a client, the three modes in which a database treats it, and the
//! alerts that refuse it.
//!
//! Not here: sockets, and what a protocol says before TLS starts ([`crate::preface`]).

pub mod alert;
pub mod client;
pub mod config;
pub mod error;
pub mod files;
pub mod hello;
pub mod ja4;
pub mod key;
pub mod material;
pub mod name;
pub mod names;
mod never_resumed;
pub mod observed;
pub mod offer;
pub mod pem;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use alert::Alert;
pub use client::{ClientCertificate, ClientName, ClientUser};
pub use hello::ClientHello;
pub use name::{ServerName, Sni};
pub use offer::Offer;

/// The place where the client's TLS ends (the words of the Kubernetes Gateway API).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// At the database: the gateway relays the encrypted bytes as they came.
    #[default]
    Passthrough,
    /// At the gateway: the backend is spoken to in plaintext.
    Terminate,
    /// At the gateway, which opens TLS of its own to the backend.
    Reencrypt,
}

impl TlsMode {
    /// The word used in configuration, logs and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough",
            Self::Terminate => "terminate",
            Self::Reencrypt => "reencrypt",
        }
    }

    /// True if the gateway itself completes the client's handshake.
    #[must_use]
    pub fn ends_client_tls(self) -> bool {
        self != Self::Passthrough
    }
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TlsMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "passthrough" => Ok(Self::Passthrough),
            "terminate" => Ok(Self::Terminate),
            "reencrypt" => Ok(Self::Reencrypt),
            _ => Err(format!(
                "\"{text}\" is no TLS mode: use passthrough, terminate or reencrypt"
            )),
        }
    }
}
