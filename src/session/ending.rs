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

/// How a session ended: the one reason, and what follows from it.
#[derive(Debug)]
pub struct Ending {
    /// For logs and counters.
    pub reason: CloseReason,
    /// A sentence for the operator.
    pub detail: Detail,
    /// The alert where the reason alone does not decide it.
    alert: Option<Alert>,
    /// The client has sent a request that the backend may have executed.
    after_request: bool,
}

impl Ending {
    /// An ending with a sentence for the operator.
    pub fn new(reason: CloseReason, detail: impl Into<Detail>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            alert: None,
            after_request: false,
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
            detail: None,
            hint,
        }
        .encode()
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
