//! The beginning of a client's connection, once it is complete.

use super::Message;
use crate::protocol::Protocol;
use crate::tls::ClientHello;

/// The beginning of a client's connection.
#[derive(Debug)]
pub enum Opening {
    /// TLS; the hello is still in the buffer, from its first byte.
    Tls(TlsOpening),
    /// A message without TLS, which is still in the buffer.
    Plaintext(Message),
}

/// The beginning of a client that does TLS.
#[derive(Debug)]
pub struct TlsOpening {
    /// The protocol by whose request TLS began; `None` for TLS from the first byte.
    pub requested_by: Option<Protocol>,
    /// Its offers and the name that it asks for.
    pub hello: ClientHello,
}

impl TlsOpening {
    /// The protocol that the client has shown, by its request for TLS or by ALPN. The hello of a
    /// tunnel shows none.
    #[must_use]
    pub fn speaks(&self) -> Option<Protocol> {
        self.requested_by.or_else(|| {
            let offered = |protocol: &Protocol| {
                let ids = protocol.alpn();
                ids.iter().any(|id| self.hello.offers_alpn(id))
            };
            Protocol::ALL.into_iter().find(offered)
        })
    }
}
