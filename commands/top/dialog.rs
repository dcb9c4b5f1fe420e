//! The question before an operation: the sessions affected, and Cancel as its first answer.

use dbgate::control::params::{DrainParams, KillParams, ResumeParams};
use dbgate::upstream::BackendAddr;

use super::mirror::Mirror;
use super::row::{AnyRow, Id};
use super::tabs::Tab;
use crate::table::count;

/// An operation on sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Close one session.
    KillSession(u64),
    /// Close the sessions at one backend.
    KillBackend(Id),
    /// Close the sessions of a database.
    KillDatabase(String),
    /// Let no new sessions in to a database, or to one backend of it.
    Drain(String, Option<String>),
    /// Let new sessions in to it again.
    Resume(String, Option<String>),
}

/// A question that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialog {
    /// The operation.
    pub(crate) operation: Operation,
    /// True while the button of the operation is marked; Cancel is at first.
    pub(crate) marked: bool,
}

/// A request to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Closes sessions at once.
    Kill(KillParams),
    /// Lets no new sessions in.
    Drain(DrainParams),
    /// Lets new sessions in again.
    Resume(ResumeParams),
}

impl Operation {
    /// The kill of the selected row of a tab.
    pub(crate) fn kill(mirror: &Mirror, tab: Tab, id: &Id) -> Option<Self> {
        match (tab, id) {
            (Tab::Sessions, Id::Number(id)) => Some(Self::KillSession(*id)),
            (Tab::Databases, Id::Name(name)) => Some(Self::KillDatabase(name.to_string())),
            (Tab::Backends, id) => mirror.backend(id).map(|_| Self::KillBackend(id.clone())),
            _ => None,
        }
    }

    /// The drain of the database or the backend of the selected row of a tab, or where it is
    /// drained its end.
    pub(crate) fn drain(mirror: &Mirror, tab: Tab, id: &Id) -> Option<Self> {
        let name = match (tab, id) {
            (Tab::Sessions, Id::Number(id)) => mirror.session(*id)?.row.database.clone(),
            (Tab::Databases, Id::Name(name)) => name.to_string(),
            (Tab::Backends, id) => {
                let at = mirror.backend(id)?;
                let (name, backend) = (at.database.clone(), Some(at.address.clone()));
                return Some(if at.is_draining() {
                    Self::Resume(name, backend)
                } else {
                    Self::Drain(name, backend)
                });
            }
            _ => return None,
        };
        Some(if mirror.is_drained(&name) {
            Self::Resume(name, None)
        } else {
            Self::Drain(name, None)
        })
    }

    /// The word on the button.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Drain(..) => "Drain",
            Self::Resume(..) => "Resume",
            _ => "Kill",
        }
    }

    /// Ids of the sessions that it affects now.
    fn ids(&self, mirror: &Mirror) -> Vec<u64> {
        let all = mirror.sessions();
        match self {
            Self::KillSession(id) => mirror.session(*id).iter().map(|s| s.row.id).collect(),
            Self::KillBackend(id) => match mirror.backend(id) {
                None => Vec::new(),
                Some(at) => all
                    .filter(|s| s.row.database == at.database)
                    .filter(|s| s.backend() == Some(at.address.as_str()))
                    .map(|s| s.row.id)
                    .collect(),
            },
            Self::Drain(name, Some(backend)) | Self::Resume(name, Some(backend)) => all
                .filter(|s| s.row.database == *name && s.backend() == Some(backend.as_str()))
                .map(|s| s.row.id)
                .collect(),
            Self::KillDatabase(name) | Self::Drain(name, None) | Self::Resume(name, None) => all
                .filter(|s| s.row.database == *name)
                .map(|s| s.row.id)
                .collect(),
        }
    }

    /// The question and the sessions affected, a line each. The texts are not escaped yet.
    pub(crate) fn question(&self, mirror: &Mirror) -> Vec<String> {
        let hit = u64::try_from(self.ids(mirror).len()).unwrap_or(u64::MAX);
        let them = count(hit, "session");
        let closed = match hit {
            0 => "no session runs there now".to_owned(),
            1 => format!("{them} is closed at once"),
            _ => format!("{them} are closed at once"),
        };
        match self {
            Self::KillSession(id) => {
                let mut lines = vec![format!("Kill session {id}?")];
                match mirror.session(*id) {
                    None => lines.push("it has ended".to_owned()),
                    Some(session) => {
                        let row = &session.row;
                        lines.push(format!("database {}, client {}", row.database, row.client));
                        lines.push(closed);
                    }
                }
                lines
            }
            Self::KillBackend(id) => {
                let at = mirror.backend(id);
                let (addr, database) = at.map_or(("-", "-"), |b| (&*b.address, &*b.database));
                vec![
                    format!("Kill the sessions at {addr}?"),
                    format!("database {database}: {closed}"),
                    "new ones may come".to_owned(),
                ]
            }
            Self::KillDatabase(name) => vec![
                format!("Kill all sessions of {name}?"),
                closed,
                "new ones may come".to_owned(),
            ],
            Self::Drain(name, backend) => vec![
                format!("Drain {}?", drained(name, backend.as_deref())),
                "no new sessions come in".to_owned(),
                match hit {
                    0 => "no session runs there now".to_owned(),
                    1 => format!("{them} goes on"),
                    _ => format!("{them} go on"),
                },
            ],
            Self::Resume(name, backend) => vec![
                format!("Resume {}?", drained(name, backend.as_deref())),
                "new sessions come in again".to_owned(),
            ],
        }
    }

    /// The request to the gateway; none for a kill if no session is affected.
    pub(crate) fn request(&self, mirror: &Mirror) -> Option<Request> {
        let ids = self.ids(mirror);
        if ids.is_empty() && !matches!(self, Self::Drain(..) | Self::Resume(..)) {
            return None;
        }
        Some(match self {
            Self::KillSession(_) | Self::KillBackend(_) => Request::Kill(KillParams {
                ids,
                database: None,
            }),
            Self::KillDatabase(name) => Request::Kill(KillParams {
                ids: Vec::new(),
                database: Some(name.clone()),
            }),
            Self::Drain(name, backend) => Request::Drain(DrainParams {
                name: name.as_str().into(),
                backend: address(backend.as_deref())?,
                ..DrainParams::default()
            }),
            Self::Resume(name, backend) => Request::Resume(ResumeParams {
                name: name.as_str().into(),
                backend: address(backend.as_deref())?,
                ..ResumeParams::default()
            }),
        })
    }
}

/// A database, or a backend of it.
pub(crate) fn drained(name: &str, backend: Option<&str>) -> String {
    match backend {
        Some(backend) => format!("backend {backend} of {name}"),
        None => name.to_owned(),
    }
}

/// The address of a backend where one is meant; `None` if it is none that this version knows.
#[expect(
    clippy::option_option,
    reason = "no backend is not the same as no address"
)]
fn address(backend: Option<&str>) -> Option<Option<BackendAddr>> {
    match backend {
        Some(backend) => Some(Some(backend.parse().ok()?)),
        None => Some(None),
    }
}

/// The database of a row, where it has one.
pub(crate) fn database_of(row: &dyn AnyRow) -> Option<String> {
    let (_, value) = row
        .fields()
        .into_iter()
        .find(|(head, _)| head.name == "database")?;
    match value {
        super::value::Value::Text(name) => Some(name.to_owned()),
        _ => None,
    }
}
