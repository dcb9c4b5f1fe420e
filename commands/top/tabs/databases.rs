//! Databases.

use std::collections::HashMap;
use std::sync::Arc;

use dbgate::control::answer::DatabaseRow;

use crate::top::meter::{Meter, WINDOW_MS};
use crate::top::row::{Column, HIDDEN, Id, Row};
use crate::top::value::Value;

/// One database.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    name: Arc<str>,
    /// The last row from the gateway.
    pub(crate) row: DatabaseRow,
    backends: Vec<String>,
    /// Its bytes over the last minute.
    pub(crate) meter: Meter,
    /// The same at each backend that has moved any.
    by_backend: HashMap<String, Meter>,
    rates: (f64, f64),
}

impl Database {
    /// A database received at `now`.
    pub(crate) fn new(row: DatabaseRow, now: u64) -> Self {
        let mut database = Self {
            name: row.name.as_str().into(),
            row: DatabaseRow::default(),
            backends: Vec::new(),
            meter: Meter::default(),
            by_backend: HashMap::new(),
            rates: (0.0, 0.0),
        };
        database.replace(row, (now, now));
        database
    }

    /// Takes a new row, between the times of two refreshes.
    pub(crate) fn replace(&mut self, row: DatabaseRow, (before, now): (u64, u64)) {
        let bytes = (row.bytes_in, row.bytes_out);
        self.meter.record_move(before, now, bytes);
        self.by_backend
            .retain(|addr, _| row.backends.iter().any(|b| b.address == *addr));
        for backend in &row.backends {
            let bytes = (backend.bytes_in, backend.bytes_out);
            if let Some(meter) = self.by_backend.get_mut(&backend.address) {
                meter.record_move(before, now, bytes);
            } else if bytes != (0, 0) {
                let mut meter = Meter::default();
                meter.record(before, (0, 0));
                meter.record(now, bytes);
                self.by_backend.insert(backend.address.clone(), meter);
            }
        }
        self.backends = row
            .backends
            .iter()
            .map(|b| match b.state.as_str() {
                "up" | "unchecked" => b.address.clone(),
                state => format!("{state} {}", b.address),
            })
            .collect();
        self.row = row;
    }

    /// Bytes a second at one of its backends.
    pub(crate) fn rates_at(&self, backend: &str, now: u64) -> (f64, f64) {
        let meter = self.by_backend.get(backend);
        meter.map_or((0.0, 0.0), |meter| meter.rates(now, WINDOW_MS))
    }

    /// Time has gone on.
    pub(crate) fn advance_to(&mut self, now: u64) {
        self.rates = self.meter.rates(now, WINDOW_MS);
    }
}

impl Row for Database {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::<Self>::name("database", "DATABASE", 0, (12, 24), |d| {
            Value::Text(&d.row.name)
        })
        .field("name"),
        Column::name("state", "STATE", 4, (8, 8), |d| Value::Text(&d.row.state)),
        Column::name("protocol", "PROTOCOL", 6, (9, 9), |d| {
            Value::Text(&d.row.protocol)
        }),
        Column::name("tls", "TLS", 5, (11, 11), |d| Value::Text(&d.row.tls)),
        Column::name("hosts", "HOSTS", 3, (16, 60), |d| Value::List(&d.row.hosts)),
        Column::name("hidden", "HIDDEN", HIDDEN, (16, 40), |d| {
            Value::List(&d.row.hidden)
        }),
        Column::name("shadowed", "SHADOWED", HIDDEN, (16, 40), |d| {
            Value::List(&d.row.shadowed)
        }),
        Column::name("backends", "BACKENDS", 4, (16, 60), |d| {
            Value::List(&d.backends)
        }),
        Column::number("sessions", "SESSIONS", 1, 9, |d| {
            Value::Number(d.row.sessions.into())
        }),
        Column::<Self>::number("max", "MAX", 9, 6, |d| {
            d.row
                .max_sessions
                .map_or(Value::Nothing, |max| Value::Number(max.into()))
        })
        .field("max_sessions"),
        Column::<Self>::number("in", "IN/s", 2, 8, |d| Value::Rate(d.rates.0))
            .field("bytes_in_per_second"),
        Column::<Self>::number("out", "OUT/s", 2, 8, |d| Value::Rate(d.rates.1))
            .field("bytes_out_per_second"),
        Column::number("bytes_in", "IN", 8, 8, |d| Value::Bytes(d.row.bytes_in)),
        Column::number("bytes_out", "OUT", 7, 8, |d| Value::Bytes(d.row.bytes_out)),
        Column::name("origin", "ORIGIN", 10, (7, 10), |d| {
            Value::Text(&d.row.origin)
        }),
    ];

    fn id(&self) -> Id {
        Id::Name(self.name.clone())
    }
}
