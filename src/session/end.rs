//! How a session ended, and for a client that is turned away the words for it in its protocol.
//!
//! Not here: how the words reach the client ([`super::answer`]).
//!
//! All texts are fixed but for names that were checked; the SQLSTATEs are chosen for what drivers
//! do with them: 57P03 makes libpq try the next host, 28000 makes pgjdbc retry with or without
//! TLS, so it stands only where that helps.

use crate::preface::postgres::ErrorResponse;
use crate::route::Protocol;
use crate::stats::{CloseReason, Detail};
use crate::tls::Alert;
use crate::upstream::BackendAddr;

/// How a session ended: the one reason, and what follows from it.
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
    /// What the backend said instead of serving the client.
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
            CloseReason::NotAllowed => Alert::AccessDenied,
            CloseReason::WrongProtocol | CloseReason::NoApplicationProtocol => {
                Alert::NoApplicationProtocol
            }
            CloseReason::BackendNoTls => Alert::HandshakeFailure,
            CloseReason::DatabaseFull | CloseReason::GatewayFull => Alert::UserCanceled,
            _ => Alert::InternalError,
        }
    }

    /// What a Postgres client is told; `name` is the name it asked for.
    #[must_use]
    pub fn error_response(&self, name: Option<&str>) -> Vec<u8> {
        let name = name.unwrap_or("this name");
        let (code, message, hint) = match self.reason {
            CloseReason::Plaintext => (
                "28000",
                "dbgate: this endpoint requires TLS; use sslmode=require or higher".to_owned(),
                Some("Without TLS the client names no server, and the gateway cannot tell which database it wants."),
            ),
            CloseReason::NoSni => (
                "08004",
                "dbgate: the client sent no server name (SNI), so no database can be chosen".to_owned(),
                Some("Connect by host name, not by IP address. libpq sends the name since version 14, unless sslsni=0."),
            ),
            CloseReason::IpSni | CloseReason::InvalidSni => (
                "08004",
                "dbgate: the client sent a server name (SNI) that is no DNS name, so no database can be chosen".to_owned(),
                Some("Connect by the host name under which the database is published."),
            ),
            CloseReason::UnknownHost => (
                "08004",
                format!("dbgate: no database is published under \"{name}\""),
                Some("Check the host name for typing errors, or ask whoever runs the gateway to expose it."),
            ),
            CloseReason::Withdrawn => (
                "08004",
                format!("dbgate: the database published under \"{name}\" is not available"),
                Some("The name has been taken out of service; ask whoever runs the gateway."),
            ),
            CloseReason::WrongProtocol => (
                "08004",
                format!("dbgate: the database published under \"{name}\" does not speak Postgres"),
                None,
            ),
            CloseReason::NotAllowed => (
                "28000",
                format!("dbgate: your address may not connect to \"{name}\""),
                None,
            ),
            CloseReason::ClientName => (
                "28000",
                format!("dbgate: your certificate may not connect to \"{name}\""),
                Some("Connect with a certificate of a name that the gateway lets in (client_names)."),
            ),
            CloseReason::ClientUser => (
                "28000",
                format!("dbgate: your certificate is not for this user of \"{name}\""),
                Some("Connect as the user that is the name (CN) in your certificate."),
            ),
            CloseReason::DatabaseFull => (
                "53300",
                format!("dbgate: too many connections to \"{name}\""),
                None,
            ),
            CloseReason::NoDefault => (
                "08004",
                "dbgate: the database for clients without a known name does not exist".to_owned(),
                None,
            ),
            CloseReason::SessionsPerIp => (
                "53300",
                "dbgate: too many connections from your address".to_owned(),
                None,
            ),
            CloseReason::HandshakesPerIp => (
                "53300",
                "dbgate: too many clients of your address are connecting at once".to_owned(),
                Some("Try again in a moment, or let fewer connect at a time."),
            ),
            CloseReason::HandshakesFull | CloseReason::HandshakeGaveWay => (
                "53300",
                "dbgate: too many clients are connecting at once".to_owned(),
                Some("Try again in a moment."),
            ),
            CloseReason::ConnectsFull => (
                "53300",
                format!("dbgate: too many clients wait for the database behind \"{name}\""),
                None,
            ),
            CloseReason::GatewayFull => ("53300", "dbgate: too many connections".to_owned(), None),
            _ => (
                "57P03",
                format!("dbgate: the database behind \"{name}\" cannot be reached now"),
                None,
            ),
        };
        ErrorResponse {
            severity: "FATAL",
            code,
            message: &message,
            detail: self.backend_says().as_deref(),
            hint,
        }
        .encode()
    }

    /// What is wrong with the backend, as far as a client may know it.
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

    /// What a client of a protocol other than Postgres is told once its TLS is up; some have no
    /// words for it and are only hung up on.
    #[must_use]
    pub fn plain_words(&self, protocol: Protocol) -> &'static [u8] {
        match (protocol, self.reason) {
            // As Redis itself does with a client too many: an error before any command.
            (Protocol::Redis, CloseReason::ClientName) => {
                b"-NOPERM dbgate: this certificate may not connect here\r\n"
            }
            (
                Protocol::Redis,
                CloseReason::DatabaseFull
                | CloseReason::GatewayFull
                | CloseReason::SessionsPerIp
                | CloseReason::ConnectsFull,
            ) => b"-ERR dbgate: max number of clients reached\r\n",
            (Protocol::Redis, _) if self.after_request => {
                b"-ERR dbgate: the database closed the connection without an answer; whether it executed the command is not known\r\n"
            }
            (Protocol::Redis, _) => b"-ERR dbgate: the database cannot be reached now\r\n",
            _ => b"",
        }
    }
}
