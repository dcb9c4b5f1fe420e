//! The end of a session, and for a client that is refused the refusal, which its protocol puts
//! into bytes ([`crate::preface`]).
//!
//! Not here: how these reach the client ([`super::refuse`]).

use super::first_answer::counts;
use crate::net::Stream;
use crate::net::relay::{Relay, RelayEnd};
use crate::preface::{Refusal, RefusalKind, of};
use crate::sessions::LiveSession;
use crate::stats::{CloseReason, Detail};
use crate::tls::{Alert, error};
use crate::upstream::BackendAddr;

/// The end of a session: the one reason, and all that follows from it.
#[derive(Debug)]
pub struct SessionEnd {
    /// For logs and counters.
    pub reason: CloseReason,
    /// A sentence for the operator.
    pub detail: Detail,
    /// The alert where the reason alone does not decide it.
    alert: Option<Alert>,
    /// The client has sent a request that the backend may have executed.
    after_request: bool,
    /// The backend's words, instead of serving the client.
    said: Option<Detail>,
}

impl SessionEnd {
    /// An end with a sentence for the operator.
    pub fn new(reason: CloseReason, detail: impl Into<Detail>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            alert: None,
            after_request: false,
            said: None,
        }
    }

    /// The same, with the backend's own words for it.
    #[must_use]
    pub fn with_said(self, said: String) -> Self {
        Self {
            said: Some(said.into()),
            ..self
        }
    }

    /// The same, with the backend named in the sentence for the operator.
    #[must_use]
    pub fn of_backend(self, backend: &BackendAddr) -> Self {
        Self {
            detail: format!("backend {backend}: {}", self.detail).into(),
            ..self
        }
    }

    /// The same for a client that has sent a request which the backend may have executed.
    #[must_use]
    pub fn after_request(self) -> Self {
        Self {
            after_request: true,
            ..self
        }
    }

    /// The same, with the alert that a damaged hello calls for.
    #[must_use]
    pub fn with_alert(self, alert: Alert) -> Self {
        Self {
            alert: Some(alert),
            ..self
        }
    }

    /// The alert that says it best to a client that has sent its hello.
    ///
    /// TLS has none for "no such address" or "nobody answers there": both are `internal_error`, and
    /// `ctl rejects` tells them apart. A database that has no TLS is `handshake_failure`, since no
    /// handshake with it can succeed; one that is full is `user_canceled`, by RFC 8446 for "some
    /// reason unrelated to a protocol failure".
    #[must_use]
    pub fn alert(&self) -> Alert {
        if let Some(alert) = self.alert {
            return alert;
        }
        match self.reason {
            CloseReason::NoSni
            | CloseReason::IpSni
            | CloseReason::InvalidSni
            | CloseReason::UnknownHost
            | CloseReason::Withdrawn => Alert::UnrecognizedName,
            CloseReason::NotAllowed | CloseReason::ProxyMissing => Alert::AccessDenied,
            CloseReason::WrongProtocol | CloseReason::NoApplicationProtocol => {
                Alert::NoApplicationProtocol
            }
            CloseReason::BackendNoTls => Alert::HandshakeFailure,
            CloseReason::Draining
            | CloseReason::DatabaseFull
            | CloseReason::GatewayFull
            | CloseReason::RateNetwork
            | CloseReason::RateDatabase => Alert::UserCanceled,
            _ => Alert::InternalError,
        }
    }

    /// The refusal of a client that asked for `name`. All texts are fixed but for names that were
    /// checked.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table: a row a reason")]
    pub fn refusal<'a>(&self, name: Option<&'a str>) -> Refusal<'a> {
        let name = name.unwrap_or("this name");
        let (kind, message, hint) = match self.reason {
            CloseReason::Plaintext => (
                RefusalKind::NeedsTls,
                "dbgate: this endpoint requires TLS".to_owned(),
                Some("Without TLS the client names no server, and the gateway cannot tell which database it wants."),
            ),
            CloseReason::NoSni => (
                RefusalKind::NoName,
                "dbgate: the client sent no server name (SNI), so no database can be chosen".to_owned(),
                Some("Connect by host name, not by IP address."),
            ),
            CloseReason::IpSni | CloseReason::InvalidSni => (
                RefusalKind::Rejected,
                "dbgate: the client sent a server name (SNI) that is no DNS name, so no database can be chosen".to_owned(),
                Some("Connect by the host name under which the database is published."),
            ),
            CloseReason::UnknownHost => (
                RefusalKind::Rejected,
                format!("dbgate: no database is published under \"{name}\""),
                Some("Check the host name for typing errors, or ask whoever runs the gateway to expose it."),
            ),
            CloseReason::Withdrawn => (
                RefusalKind::Rejected,
                format!("dbgate: the database published under \"{name}\" is not available"),
                Some("The name has been taken out of service; ask whoever runs the gateway."),
            ),
            CloseReason::WrongProtocol => (
                RefusalKind::WrongProtocol,
                format!("dbgate: the database published under \"{name}\" speaks another protocol"),
                None,
            ),
            CloseReason::Draining => draining(name),
            CloseReason::NotAllowed => (
                RefusalKind::Denied,
                format!("dbgate: your address may not connect to \"{name}\""),
                None,
            ),
            CloseReason::ProxyMissing => (
                RefusalKind::Denied,
                "dbgate: this address takes clients only through a proxy".to_owned(),
                Some("Connect to the proxy in front of the gateway."),
            ),
            CloseReason::ClientName => (
                RefusalKind::Denied,
                format!("dbgate: your certificate may not connect to \"{name}\""),
                Some("Connect with a certificate of a name that the gateway lets in (client_names)."),
            ),
            CloseReason::ClientUser => (
                RefusalKind::Denied,
                format!("dbgate: your certificate is not for this user of \"{name}\""),
                Some("Connect as the user that is the name (CN) in your certificate."),
            ),
            CloseReason::DatabaseFull => (
                RefusalKind::Busy,
                format!("dbgate: too many connections to \"{name}\""),
                None,
            ),
            CloseReason::NoDefault => (
                RefusalKind::Rejected,
                "dbgate: the database for clients without a known name does not exist".to_owned(),
                None,
            ),
            CloseReason::SessionsPerIp => (
                RefusalKind::Busy,
                "dbgate: too many connections from your address".to_owned(),
                None,
            ),
            CloseReason::RateNetwork => (
                RefusalKind::Busy,
                format!("dbgate: too many new connections to \"{name}\" from your network"),
                Some("Try again in a moment, or keep connections open for longer."),
            ),
            CloseReason::RateDatabase => (
                RefusalKind::Busy,
                format!("dbgate: too many new connections to \"{name}\""),
                Some("Try again in a moment."),
            ),
            CloseReason::HandshakesPerIp => (
                RefusalKind::Busy,
                "dbgate: too many clients of your address are connecting at once".to_owned(),
                Some("Try again in a moment, or let fewer connect at a time."),
            ),
            CloseReason::HandshakesFull | CloseReason::HandshakeGaveWay => (
                RefusalKind::Busy,
                "dbgate: too many clients are connecting at once".to_owned(),
                Some("Try again in a moment."),
            ),
            CloseReason::ConnectsFull => (
                RefusalKind::Busy,
                format!("dbgate: too many clients wait for the database behind \"{name}\""),
                None,
            ),
            CloseReason::HoldExpired => (
                RefusalKind::Unavailable,
                format!("dbgate: the database behind \"{name}\" did not become ready in time"),
                Some("It may still be starting; try again in a moment."),
            ),
            CloseReason::HoldFull => (
                RefusalKind::Busy,
                format!("dbgate: the database behind \"{name}\" is not ready, and too many clients wait for it"),
                Some("Try again in a moment."),
            ),
            CloseReason::GatewayFull => (RefusalKind::Busy, "dbgate: too many connections".to_owned(), None),
            _ => (
                if self.after_request { RefusalKind::Unanswered } else { RefusalKind::Unavailable },
                format!("dbgate: the database behind \"{name}\" cannot be reached now"),
                None,
            ),
        };
        Refusal {
            kind,
            alert: self.alert(),
            name,
            message,
            detail: self.backend_says(),
            hint,
        }
    }

    /// Tells a client that was served why the gateway ends its session, where its protocol has
    /// words for that and can hear them now; its stream then.
    pub(super) async fn tell(&self, relay: Relay, entry: &LiveSession) -> Option<Stream> {
        let database = &entry.database;
        let message = match self.reason {
            CloseReason::Killed => {
                "dbgate: this session was ended by whoever runs the gateway".to_owned()
            }
            CloseReason::Drained => format!(
                "dbgate: this session was ended because database \"{}\" is taken out of service",
                database.name
            ),
            CloseReason::NoLongerAllowed => format!(
                "dbgate: this session was ended because your address may no longer connect to database \"{}\"",
                database.name
            ),
            CloseReason::Shutdown => {
                "dbgate: this session was ended because the gateway stops".to_owned()
            }
            reason => format!("dbgate: this session was ended by the gateway ({reason})"),
        };
        let refusal = Refusal {
            kind: RefusalKind::Ended,
            alert: self.alert(),
            name: &database.name,
            message,
            detail: None,
            hint: None,
        };
        let words = of(database.spec.protocol).refuse(&refusal);
        relay.end_with(&words, counts(entry)).await
    }

    /// The backend's fault, as far as a client may know it.
    fn backend_says(&self) -> Option<String> {
        if let Some(said) = &self.said {
            return Some(format!("It said, before TLS: {said}"));
        }
        let text = match self.reason {
            CloseReason::BackendUnresolved => "The name of its server does not resolve.",
            CloseReason::BackendUnreachable => "Nothing answers at the address of its server.",
            CloseReason::BackendSilent => "Its server accepts connections and does not answer.",
            CloseReason::BackendClosedEarly => {
                "Its server accepted the connection and closed it without an answer."
            }
            CloseReason::BackendNoTls => "Its server has no TLS, which the gateway asks of it.",
            CloseReason::BackendTls => "The TLS handshake with its server failed.",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// The refusal of a client whose database is drained.
fn draining(name: &str) -> (RefusalKind, String, Option<&'static str>) {
    (
        RefusalKind::Unavailable,
        format!("dbgate: the database behind \"{name}\" takes no new sessions now"),
        Some("It is being drained; try again later, or ask whoever runs the gateway."),
    )
}

impl From<RelayEnd> for SessionEnd {
    /// The end of a relay.
    fn from(end: RelayEnd) -> Self {
        match end {
            RelayEnd::Client => Self::new(CloseReason::ClientClosed, ""),
            RelayEnd::Backend => Self::new(CloseReason::BackendClosed, ""),
            RelayEnd::ClientLost(e) => Self::new(CloseReason::ClientLost, error::words(&e)),
            RelayEnd::BackendLost(e) => Self::new(CloseReason::BackendLost, error::words(&e)),
            RelayEnd::Idle => Self::new(CloseReason::Idle, "timeouts.idle"),
        }
    }
}
