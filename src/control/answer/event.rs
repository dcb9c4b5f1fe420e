//! Events as `events` streams them.

use serde::{Deserialize, Serialize};

use super::reads::Reject;
use crate::author::Author;

/// The answer to `events`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventsAnswer {
    /// Events that are kept, the latest at the end.
    pub events: Vec<KindedEvent>,
}

/// An event with its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindedEvent {
    /// The kind: `session`, `reject`, `database`, `backend`, `certificate`, `reload`, `upgrade` or
    /// `control`.
    pub kind: String,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// Of a kind that this version knows.
    Known(KnownEvent),
    /// Of another kind.
    Other(OtherEvent),
}

/// An event of a kind that this version knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum KnownEvent {
    /// A session reached its backend.
    SessionOpened {
        /// Time.
        ts: String,
        /// The session.
        id: u64,
        /// Its database.
        database: String,
        /// The client's address.
        client: String,
        /// The backend's address.
        backend: String,
    },
    /// A session that had reached its backend ended.
    SessionClosed(Box<ClosedSession>),
    /// A client was turned away.
    Rejected(Reject),
    /// A host leads to a database.
    Exposed {
        /// Time.
        ts: String,
        /// The revision since then.
        revision: u64,
        /// The database.
        database: String,
        /// The host.
        host: String,
        /// The operator, or what ended a lease.
        #[serde(default)]
        by: Author,
    },
    /// A host no longer leads to a database.
    Hidden {
        /// Time.
        ts: String,
        /// The revision since then.
        revision: u64,
        /// The database.
        database: String,
        /// The host.
        host: String,
        /// The operator, or what ended a lease.
        #[serde(default)]
        by: Author,
    },
    /// The configuration was read again.
    Reload {
        /// Time.
        ts: String,
        /// True if it is in force.
        ok: bool,
        /// The revision since then.
        revision: u64,
        /// Problems, if it is not.
        #[serde(default)]
        problems: Vec<String>,
        /// The operator, or the signal.
        #[serde(default)]
        by: Author,
    },
    /// A database, or a backend of it, takes no new sessions.
    Drained(Operation),
    /// It takes new sessions again.
    Resumed(Operation),
    /// What `ctl` made of a database is removed.
    Deleted(Operation),
    /// Sessions were closed by `ctl kill`.
    Killed(Operation),
    /// A backend serves again.
    BackendUp(BackendChange),
    /// A backend does not serve.
    BackendDown(BackendChange),
    /// A file of certificates or revocation lists holds something else, which is in force for new
    /// sessions.
    Certificate {
        /// Time.
        ts: String,
        /// The revision since then.
        revision: u64,
        /// The section that names it, `tls` or `database.NAME`; the first of several.
        section: String,
        /// The number of further keys that name it.
        #[serde(default)]
        more: u64,
        /// The file.
        file: String,
        /// Its content: `certificate`, `authorities` or `revocation_lists`.
        content: String,
        /// Names that the certificate is for; of authorities their subjects.
        #[serde(default)]
        subject_names: Vec<String>,
        /// The end of the certificate, of authorities that of the first to end.
        #[serde(default)]
        not_after: Option<String>,
        /// The fingerprint before, SHA-256 in hexadecimal: of the certificate, or of the file where
        /// it holds several.
        old_fingerprint: String,
        /// The fingerprint now.
        new_fingerprint: String,
    },
    /// Changed files of certificates, keys or lists cannot be used, or can be again.
    CertificateFault(CertificateFault),
    /// Events that the caller was too slow for.
    Missed {
        /// Their number.
        count: u64,
    },
}

/// Files of certificates, keys or revocation lists that were changed and cannot be used together;
/// what they held before stays in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateFault {
    /// Time at which it was noticed.
    pub ts: String,
    /// The files.
    pub files: Vec<String>,
    /// What is wrong with them; absent once they can be used again.
    pub error: Option<String>,
}

/// An operation on a database, or on sessions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Operation {
    /// Time.
    pub ts: String,
    /// The revision since then.
    pub revision: u64,
    /// The database, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Its backend, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Number of sessions that it touches.
    pub sessions: u64,
    /// Time at which they end, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// The operator, and the reason.
    pub by: Author,
}

/// A backend that serves or does not, from now on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendChange {
    /// Time.
    pub ts: String,
    /// Its address as declared.
    pub backend: String,
    /// The databases that it is about.
    pub databases: Vec<String>,
    /// What has found out: `check` or `session`.
    pub by: String,
    /// The reason, where it does not serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A session that has ended: the fields of the access log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "each is the field of the access log of that name"
)]
pub struct ClosedSession {
    pub ts: String,
    pub id: u64,
    pub listener: String,
    pub client: String,
    pub protocol: Option<String>,
    pub tls: Option<String>,
    pub sni: Option<String>,
    pub sni_status: Option<String>,
    pub alpn: Option<String>,
    pub tls_version: Option<String>,
    pub user_cert: Option<String>,
    pub database: Option<String>,
    pub backend: Option<String>,
    pub handshake_ms: f64,
    pub connect_ms: Option<f64>,
    pub duration_ms: f64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub close: String,
    pub reason: String,
}

/// An event of a kind that only a later version knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtherEvent {
    /// The kind.
    pub event: String,
    /// Time.
    pub ts: String,
    /// The database, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The client, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}
