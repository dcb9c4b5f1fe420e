//! The servers of the databases, and what sessions do and have done there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::databases::Database;
use super::sessions::Session;
use crate::top::row::{Column, HIDDEN, Id, Row};
use crate::top::value::Value;

/// One backend of one database.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    /// Database and address.
    id: Arc<str>,
    /// The database.
    pub(crate) database: String,
    /// Its address as declared.
    pub(crate) address: String,
    state: String,
    since: Option<String>,
    reason: Option<String>,
    last_check: Option<String>,
    /// The duration of the last check, for people.
    check: Option<String>,
    declared: bool,
    protocol: String,
    sessions: u64,
    rates: (f64, f64),
    bytes: (u64, u64),
}

/// The backends of all databases at `now`, and those that are no longer declared but still have
/// sessions: of these only what the sessions have done.
pub(crate) fn gather<'a>(
    databases: impl Iterator<Item = &'a Database>,
    sessions: impl Iterator<Item = &'a Session>,
    now: u64,
) -> Vec<Backend> {
    let mut found: BTreeMap<&str, Vec<Backend>> = BTreeMap::new();
    for database in databases {
        let row = &database.row;
        let backends = row.backends.iter().map(|backend| Backend {
            id: id(&row.name, &backend.address),
            database: row.name.clone(),
            address: backend.address.clone(),
            state: backend.state.clone(),
            since: backend.since.clone(),
            reason: backend.reason.clone(),
            last_check: backend.last_check.clone(),
            check: backend.check_ms.map(|ms| format!("{ms:.1}ms")),
            declared: true,
            protocol: row.protocol.clone(),
            sessions: backend.sessions.into(),
            rates: database.rates_at(&backend.address, now),
            bytes: (backend.bytes_in, backend.bytes_out),
        });
        found.insert(&row.name, backends.collect());
    }
    for session in sessions {
        let Some(addr) = session.backend() else {
            continue;
        };
        let backends = found.entry(&session.row.database).or_default();
        // A database has a handful.
        let at = backends.iter().position(|b| b.address == addr);
        let at = at.unwrap_or_else(|| {
            backends.push(Backend {
                id: id(&session.row.database, addr),
                database: session.row.database.clone(),
                address: addr.to_owned(),
                state: "gone".to_owned(),
                since: None,
                reason: None,
                last_check: None,
                check: None,
                declared: false,
                protocol: session.row.protocol.clone(),
                sessions: 0,
                rates: (0.0, 0.0),
                bytes: (0, 0),
            });
            backends.len() - 1
        });
        if let Some(backend) = backends.get_mut(at)
            && !backend.declared
        {
            backend.sessions += 1;
            backend.rates.0 += session.rates.0;
            backend.rates.1 += session.rates.1;
            backend.bytes.0 += session.row.bytes_in;
            backend.bytes.1 += session.row.bytes_out;
        }
    }
    found.into_values().flatten().collect()
}

fn id(database: &str, addr: &str) -> Arc<str> {
    format!("{database} {addr}").into()
}

impl Backend {
    /// True if it takes no new sessions.
    pub(crate) fn is_draining(&self) -> bool {
        self.state == "draining"
    }
}

impl Row for Backend {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::<Self>::name("backend", "BACKEND", 0, (18, 60), |b| {
            Value::Text(&b.address)
        })
        .field("address"),
        Column::name("database", "DATABASE", 1, (12, 24), |b| {
            Value::Text(&b.database)
        }),
        Column::name("protocol", "PROTOCOL", 5, (9, 9), |b| {
            Value::Text(&b.protocol)
        }),
        Column::name("state", "STATE", 1, (9, 9), |b| Value::Text(&b.state)),
        Column::name("since", "SINCE", 4, (8, 8), |b| {
            b.since.as_deref().map_or(Value::Nothing, Value::Time)
        }),
        Column::name("check", "CHECK", 5, (7, 9), |b| {
            Value::text(b.check.as_deref())
        }),
        Column::number("sessions", "SESSIONS", 2, 9, |b| Value::Number(b.sessions)),
        Column::<Self>::number("in", "IN/s", 3, 8, |b| Value::Rate(b.rates.0))
            .field("bytes_in_per_second"),
        Column::<Self>::number("out", "OUT/s", 3, 8, |b| Value::Rate(b.rates.1))
            .field("bytes_out_per_second"),
        Column::number("bytes_in", "IN", 6, 8, |b| Value::Bytes(b.bytes.0)),
        Column::number("bytes_out", "OUT", 6, 8, |b| Value::Bytes(b.bytes.1)),
        Column::name("last_check", "CHECKED", HIDDEN, (8, 8), |b| {
            b.last_check.as_deref().map_or(Value::Nothing, Value::Time)
        }),
        Column::name("reason", "REASON", 7, (20, 60), |b| {
            Value::text(b.reason.as_deref())
        }),
    ];

    fn id(&self) -> Id {
        Id::Name(self.id.clone())
    }
}
