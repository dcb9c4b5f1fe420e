//! The PROXY header of a listener's proxies, before anything is counted for the client's address.
//!
//! Not here: its form ([`crate::proxy_protocol`]).

use tokio::time::{Instant, timeout_at};

use super::Session;
use super::admit::gave_way;
use super::context::Via;
use super::end::SessionEnd;
use super::refuse;
use crate::config::{Limits, ProxyProtocol};
use crate::handshake::HandshakeError;
use crate::net::Buffered;
use crate::preface::AnyResponder;
use crate::protocol::ListenerProtocol;
use crate::proxy_protocol::{self, Behind, Found, Header, HeaderError, Version};
use crate::stats::CloseReason;

/// The reason why it is not known whom a connection brings.
enum Unread {
    /// The header breaks a rule.
    Invalid(HeaderError),
    /// Nothing more comes.
    Lost(HandshakeError),
}

impl Session {
    /// Reads the header of a proxy that is believed, and goes on as the client that it names.
    ///
    /// Connections of proxies have a table of their own until they have said whom they bring: all
    /// clients behind a proxy would count as one address. Any other connection is a client's.
    pub(super) async fn read_proxy_header(
        &mut self,
        mut client: Buffered,
        protocol: ListenerProtocol,
        proxies: &ProxyProtocol,
        deadline: Instant,
    ) -> Result<Buffered, SessionEnd> {
        let peer = self.context.client;
        let trusted = proxies.trusts(peer.ip());
        if !trusted && !proxies.required {
            return Ok(client);
        }
        let mut slot = if trusted {
            let limits = Limits {
                max_handshakes_per_ip: usize::MAX,
                ..self.settings.limits.clone()
            };
            let slot = self.gateway.proxied.enter(peer.ip(), &limits);
            let slot = slot.map_err(gave_way)?;
            slot.bind(&mut client);
            slot
        } else {
            let admitted = self.admit(client, protocol, deadline).await?;
            client = admitted.0;
            admitted.1
        };
        let read = timeout_at(deadline, read_header(&mut client));
        let read = slot.during(read).await;
        client.lift_allowance();
        let refusal = match read {
            Ok(Ok(Ok(Some((header, length))))) if trusted => {
                client.consume(length);
                self.note_client(header);
                return Ok(client);
            }
            Ok(Ok(Ok(None))) if !proxies.required => return Ok(client),
            Ok(Ok(Ok(Some((header, _))))) => self.untrusted(header.version),
            Ok(Ok(Ok(None))) => self.missing(trusted),
            Ok(Ok(Err(why))) => self.unread(why, client.ahead()),
            Ok(Err(_)) => self.too_late(client.ahead()),
            Err(reason) => gave_way(reason),
        };
        let responder = AnyResponder::for_listener(protocol);
        if refusal.reason == CloseReason::ProxyMissing {
            drop(slot);
            return Err(self.without_slot(client, &responder, refusal).await);
        }
        Err(refuse::before_tls(client, &responder, refusal).await)
    }

    /// Notes whom a proxy brings. One that does not say it, or speaks for itself, is the client.
    fn note_client(&mut self, header: Header) {
        if let Behind::Client(ends) = header.behind {
            let mut client = ends.client;
            client.set_ip(client.ip().to_canonical());
            let proxy = std::mem::replace(&mut self.context.client, client);
            let to = ends.to;
            self.context.via = Some(Box::new(Via { proxy, to }));
        }
    }

    /// The end of a client that sent a header and is not to be believed, or sent one too many.
    pub(super) fn unexpected_header(
        &mut self,
        version: Version,
        proxies: Option<&ProxyProtocol>,
    ) -> SessionEnd {
        let Some(proxies) = proxies else {
            self.context.spoke = Some(version);
            return SessionEnd::new(
                CloseReason::ProxyUntrusted,
                format!(
                    "a PROXY protocol header ({version}), which this listener does not take: it has no proxy_protocol"
                ),
            );
        };
        if self.context.via.is_none() && !proxies.trusts(self.context.client.ip()) {
            return self.untrusted(version);
        }
        self.context.spoke = Some(version);
        SessionEnd::new(
            CloseReason::ProxyInvalid,
            format!(
                "a second PROXY protocol header ({version}) behind the first: two proxies in a row send one"
            ),
        )
    }

    fn untrusted(&mut self, version: Version) -> SessionEnd {
        self.context.spoke = Some(version);
        let (listener, peer) = (&self.listener.name, self.context.client.ip());
        SessionEnd::new(
            CloseReason::ProxyUntrusted,
            format!(
                "a PROXY protocol header ({version}) from {peer}, which is not in `trusted` of listener {listener}"
            ),
        )
    }

    fn missing(&self, trusted: bool) -> SessionEnd {
        let (listener, peer) = (&self.listener.name, self.context.client.ip());
        let who = if trusted {
            format!(
                "{peer} is one of the proxies of listener {listener} and sent no PROXY protocol header"
            )
        } else {
            format!(
                "{peer} is none of the proxies of listener {listener}, by which all of its clients have to come"
            )
        };
        SessionEnd::new(CloseReason::ProxyMissing, who)
    }

    fn unread(&mut self, why: Unread, ahead: &[u8]) -> SessionEnd {
        self.context.spoke = proxy_protocol::version(ahead);
        match why {
            Unread::Invalid(error) => SessionEnd::new(
                CloseReason::ProxyInvalid,
                format!("the PROXY protocol header is invalid: {error}"),
            ),
            Unread::Lost(error) if ahead.is_empty() => {
                SessionEnd::new(CloseReason::NothingSent, error.to_string())
            }
            Unread::Lost(error) if self.context.spoke.is_some() => SessionEnd::new(
                CloseReason::ProxyInvalid,
                format!("the PROXY protocol header did not come to its end: {error}"),
            ),
            Unread::Lost(error) => SessionEnd::new(CloseReason::GoneInHandshake, error.to_string()),
        }
    }

    fn too_late(&mut self, ahead: &[u8]) -> SessionEnd {
        self.context.spoke = proxy_protocol::version(ahead);
        match (ahead.is_empty(), self.context.spoke) {
            (true, _) => SessionEnd::new(
                CloseReason::Silent,
                "nothing was sent, not even a PROXY protocol header",
            ),
            (_, Some(version)) => SessionEnd::new(
                CloseReason::ProxyInvalid,
                format!(
                    "the PROXY protocol header ({version}) did not come to its end within timeouts.handshake"
                ),
            ),
            _ => SessionEnd::new(
                CloseReason::HelloTimeout,
                "the client did not finish its first message",
            ),
        }
    }
}

/// Reads until it is known whether there is a header; it stays in the buffer. Never more is read
/// than the longest header and one read have.
async fn read_header(client: &mut Buffered) -> Result<Option<(Header, usize)>, Unread> {
    loop {
        match proxy_protocol::read(client.ahead()).map_err(Unread::Invalid)? {
            Found::Header(header, length) => return Ok(Some((header, length))),
            Found::Nothing => return Ok(None),
            Found::NeedMore => match client.fill().await {
                Ok(0) => return Err(Unread::Lost(HandshakeError::Gone)),
                Ok(_) => {}
                Err(error) => return Err(Unread::Lost(error.into())),
            },
        }
    }
}
