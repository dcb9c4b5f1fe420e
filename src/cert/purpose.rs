//! Purpose of a certificate: server or client authentication (RFC 5280 section 4.2.1.12).

use x509_parser::extensions::ExtendedKeyUsage;

/// Purpose of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// By a server, to its clients.
    Server,
    /// By a client, to a server that asks for one.
    Client,
}

impl Purpose {
    pub(super) fn usage(self) -> &'static str {
        match self {
            Self::Server => "serverAuth",
            Self::Client => "clientAuth",
        }
    }

    pub(super) fn is_among(self, usages: &ExtendedKeyUsage<'_>) -> bool {
        match self {
            Self::Server => usages.server_auth,
            Self::Client => usages.client_auth,
        }
    }
}
