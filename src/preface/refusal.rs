//! A refusal that no protocol has put into its own words yet.

use crate::tls::Alert;

/// The reason in general, from which a protocol takes its error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The client has to use TLS.
    NeedsTls,
    /// The client named no server.
    NoName,
    /// No database is available under the name.
    Rejected,
    /// The database speaks another protocol than the client.
    WrongProtocol,
    /// The client's address, certificate or user is not allowed.
    Denied,
    /// A limit is reached.
    Busy,
    /// The database cannot be reached.
    Unavailable,
    /// The database closed without an answer to a request that it may have executed.
    Unanswered,
    /// The session was served, and the gateway ends it.
    Ended,
}

/// A refusal for the user of a client. All texts are fixed but for names that were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The reason in general.
    pub kind: RefusalKind,
    /// The alert for a client that waits for an answer to its hello.
    pub alert: Alert,
    /// The name that the client asked for.
    pub name: &'a str,
    /// One line, without an end of line.
    pub message: String,
    /// More about the cause.
    pub detail: Option<String>,
    /// A remedy.
    pub hint: Option<&'static str>,
}
