//! Reaction of a client to its answer, and how long it took.

use std::time::Duration;

use serde::Serialize;

use super::connection::Connection;
use crate::probe::dissection;
use crate::probe::exchange::{Exchange, StreamEnd};
use crate::tls::Alert;

/// Reaction of a client to a certificate that it cannot trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// It ended the handshake.
    Refused,
    /// It completed the handshake, looked at the certificate, and hung up.
    RefusedAfterwards,
    /// It went on as if nothing were wrong.
    Accepted,
}

/// Reaction of a client to its answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reaction {
    /// `closed`, `reset`, `alert`, `went-on`, or `waited` for the listener to hang up.
    pub what: &'static str,
    /// The name of the alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// Time after the answer, in milliseconds; `None` for one that waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<f64>,
}

/// An answer of the listener's own: what it was, and where the client stood.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) what: String,
    /// Bytes that the client had sent by then.
    pub(super) received: usize,
    pub(super) at: Duration,
}

/// Reaction of the client to the answer.
pub(super) fn reaction(exchange: &Exchange, answer: &Answer, connection: &Connection) -> Reaction {
    let dissection = dissection::dissect(exchange, connection.shared.settings.hint);
    let after = |at: Duration| Some(ms(at.saturating_sub(answer.at)));
    let said_more = exchange.client.bytes().len() > answer.received;
    let more_at = exchange.client.time_of(answer.received);
    let (what, alert, after_ms) = match (dissection.client_tls.alert, exchange.client.ended()) {
        (Some(alert), _) if said_more => {
            let name = Alert::from_code(alert.code);
            let name = name.map_or_else(|| alert.code.to_string(), |alert| alert.name().into());
            ("alert", Some(name), more_at.and_then(after))
        }
        _ if said_more => ("went-on", None, more_at.and_then(after)),
        (_, Some((StreamEnd::Reset, at))) => ("reset", None, after(at)),
        (_, Some((StreamEnd::Closed, at))) => ("closed", None, after(at)),
        (_, None) => ("waited", None, None),
    };
    Reaction {
        what,
        alert,
        after_ms,
    }
}

/// In milliseconds, to the microsecond.
pub(super) fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Milliseconds as people read them.
pub(super) fn human_ms(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}
