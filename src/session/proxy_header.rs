//! The PROXY header for a backend: what it says of a session's client.
//!
//! Not here: its form ([`crate::proxy_protocol`]).

use rustls::ProtocolVersion;
use rustls::server::ServerConnection;

use super::context::SessionContext;
use crate::net::Stream;
use crate::proxy_protocol::{self, Addresses, SslInfo, Tlvs, Version};
use crate::route::Database;
use crate::tls::ClientCertificate;

/// A header that a backend gets before any other byte.
pub(super) struct ProxyHeader {
    pub(super) bytes: Vec<u8>,
    /// True if the client's first bytes follow at once.
    pub(super) more: bool,
}

impl ProxyHeader {
    /// The header of a client; `None` where the database's backends get none.
    pub(super) fn of(
        context: &SessionContext,
        database: &Database,
        client: &Stream,
        more: bool,
    ) -> Option<Self> {
        let version = database.spec.send_proxy?;
        let to = match &context.via {
            Some(via) => Some(via.to),
            None => client.tcp().local_addr().ok(),
        };
        let addresses = to.map(|to| Addresses {
            client: context.client,
            to,
        });
        let tls = match client {
            Stream::Terminated(tls) => Some(tls.get_ref().1),
            Stream::Tcp(_) | Stream::Originated(_) => None,
        };
        let cipher = tls.and_then(cipher);
        let certificate = tls.and_then(certificate);
        let fields = Tlvs {
            authority: context.name(),
            alpn: tls.and_then(|tls| tls.alpn_protocol()),
            ssl: tls.map(|tls| SslInfo {
                version: match tls.protocol_version() {
                    Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                    _ => "TLSv1.2",
                },
                cipher: cipher.as_deref(),
                has_certificate: certificate.is_some(),
                common_name: certificate
                    .as_ref()
                    .and_then(ClientCertificate::common_name),
            }),
        };
        let bytes = proxy_protocol::write(version, addresses, &fields);
        Some(Self { bytes, more })
    }

    /// The header of a connection of the gateway's own, as for a check.
    pub(super) fn own(version: Version) -> Self {
        Self {
            bytes: proxy_protocol::write(version, None, &Tlvs::default()),
            more: false,
        }
    }
}

/// The cipher suite by its name in the registry of IANA, which for TLS 1.3 is that of `OpenSSL`, too.
fn cipher(tls: &ServerConnection) -> Option<String> {
    let suite = tls.negotiated_cipher_suite()?.suite();
    Some(suite.as_str()?.replacen("TLS13_", "TLS_", 1))
}

fn certificate(tls: &ServerConnection) -> Option<ClientCertificate> {
    let leaf = tls.peer_certificates()?.first()?;
    Some(ClientCertificate::read(leaf))
}
