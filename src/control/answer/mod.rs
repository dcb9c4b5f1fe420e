//! Answers and streamed lines of the control protocol, the same types for the gateway and for its
//! callers.
//!
//! An answer is `{"id":7,"ok":true,…}` or `{"id":7,"ok":false,"error":{…}}`; a streamed line is
//! `{"id":7,"event":{…}}`. A caller and a gateway may be of different versions: fields that a
//! reader does not know are ignored, those that it misses are empty, and words that a later gateway
//! may add to (protocols, states, reasons) are text. Sizes are in bytes, times that end in `_ms` in
//! milliseconds, other times RFC 3339 in UTC.

mod changes;
mod differences;
mod event;
mod reads;
mod status;
mod update;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use changes::{
    BackendWarning, DeleteAnswer, DrainAnswer, ExposeAnswer, ExposedHost, HideAnswer, KillAnswer,
    PerDatabase,
};
pub use differences::{DiffAnswer, DifferenceRow, ReloadAnswer};
pub use event::{
    BackendChange, CertificateFault, ClosedSession, Event, EventsAnswer, KindedEvent, KnownEvent,
    Operation, OtherEvent,
};
pub use reads::{
    BackendDetails, CertificateDetails, DatabaseDetails, DatabaseSummary, DrainDetails,
    ExplainAnswer, ExportAnswer, ExposureDetails, ListAnswer, ReasonDetails, Reject, RejectCount,
    RejectGroup, RejectsAnswer, SessionSummary, SessionsAnswer, ShowAnswer,
};
pub use status::{ListenerStatus, ReloadDetails, StatusAnswer, StoppingDetails};
pub use update::{BackendRow, DatabaseRow, RejectRow, SessionRow, Totals, Update};

use super::error::CommandError;

/// The answer to a command, as the gateway sends it.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each answers the command of that name")]
pub enum Answer {
    Expose(PerDatabase<ExposeAnswer>),
    Hide(PerDatabase<HideAnswer>),
    Delete(PerDatabase<DeleteAnswer>),
    List(ListAnswer),
    Show(Box<ShowAnswer>),
    Explain(Box<ExplainAnswer>),
    Sessions(SessionsAnswer),
    Rejects(RejectsAnswer),
    Kill(KillAnswer),
    Drain(PerDatabase<DrainAnswer>),
    Status(Box<StatusAnswer>),
    Reload(ReloadAnswer),
    Diff(DiffAnswer),
    Export(ExportAnswer),
    Events(EventsAnswer),
    Following(FollowingAnswer),
    Watch(WatchAnswer),
}

/// The answer to `events` and `rejects` where they are asked to follow: events come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FollowingAnswer {
    /// True.
    pub following: bool,
}

/// The answer to `watch`: updates follow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchAnswer {
    /// Time from one refresh to the next.
    pub interval_ms: u64,
    /// True on a socket that takes no changes.
    pub read_only: bool,
}

#[derive(Serialize)]
struct Done<'a> {
    id: &'a Value,
    ok: bool,
    #[serde(flatten)]
    answer: &'a Answer,
}

#[derive(Serialize)]
struct Failed<'a> {
    id: &'a Value,
    ok: bool,
    error: &'a CommandError,
}

#[derive(Serialize)]
struct EventLine<'a, E> {
    id: &'a Value,
    event: &'a E,
}

/// The envelope of a line that a caller receives; the answer itself is in the same object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Envelope {
    /// The id of the request.
    pub id: Option<Value>,
    /// True if the command was carried out.
    pub ok: bool,
    /// The error, if it was not.
    pub error: Option<CommandError>,
    /// Present in lines of a subscription only.
    pub event: Option<IgnoredAny>,
}

/// A line of a subscription that a caller receives; without an event it is an answer.
#[derive(Debug, Deserialize)]
pub struct Streamed<E> {
    /// The event.
    pub event: Option<E>,
}

/// An answer as a line, without the newline.
#[must_use]
pub fn answer_line(id: &Value, result: &Result<Answer, CommandError>) -> String {
    match result {
        Ok(answer) => line(&Done {
            id,
            ok: true,
            answer,
        }),
        Err(error) => line(&Failed {
            id,
            ok: false,
            error,
        }),
    }
}

/// An event of the subscription with this id as a line, without the newline.
pub(super) fn event_line(id: &Value, event: &impl Serialize) -> String {
    line(&EventLine { id, event })
}

fn line(value: &impl Serialize) -> String {
    // Only a map whose keys are not text could fail, and there is none.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
