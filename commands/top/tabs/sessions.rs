//! Live connections.

use std::net::SocketAddr;

use dbgate::control::answer::SessionRow;

use crate::top::meter::{Meter, WINDOW_MS};
use crate::top::row::{Column, HIDDEN, Id, Row};
use crate::top::value::Value;

/// One live session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// The last row from the gateway.
    pub(crate) row: SessionRow,
    /// The client's address, to be sorted as one.
    client: Option<SocketAddr>,
    /// Time at which it was accepted, by the gateway's clock.
    accepted_ms: u64,
    /// Time since then.
    age_ms: u64,
    /// Its bytes over the last minute.
    pub(crate) meter: Meter,
    /// Bytes a second over the window, in and out.
    pub(crate) rates: (f64, f64),
}

impl Session {
    /// A session received at `now`; `fresh` if it was not there at the refresh before.
    pub(crate) fn new(row: SessionRow, now: u64, fresh: bool) -> Self {
        let accepted_ms = now.saturating_sub(row.age_ms);
        let mut meter = Meter::default();
        if fresh {
            meter.record(accepted_ms, (0, 0));
        }
        meter.record(now, (row.bytes_in, row.bytes_out));
        Self {
            client: row.client.parse().ok(),
            accepted_ms,
            age_ms: row.age_ms,
            meter,
            rates: (0.0, 0.0),
            row,
        }
    }

    /// Takes a new row, between the times of two refreshes.
    pub(crate) fn replace(&mut self, row: SessionRow, times: (u64, u64)) {
        self.row = row;
        self.count((self.row.bytes_in, self.row.bytes_out), times);
    }

    /// Its counters have moved, between the times of two refreshes.
    pub(crate) fn count(&mut self, bytes: (u64, u64), (before, now): (u64, u64)) {
        (self.row.bytes_in, self.row.bytes_out) = bytes;
        self.meter.record_move(before, now, bytes);
    }

    /// Time has gone on.
    pub(crate) fn advance_to(&mut self, now: u64) {
        self.age_ms = now.saturating_sub(self.accepted_ms);
        self.rates = if self.meter.is_moving(now) {
            self.meter.rates(now, WINDOW_MS)
        } else {
            (0.0, 0.0)
        };
    }

    /// The name that the client sent.
    fn sni(&self) -> Option<&str> {
        self.row.sni.as_deref().or(self.row.host.as_deref())
    }

    /// The backend as declared, or its address.
    pub(crate) fn backend(&self) -> Option<&str> {
        self.row.declared.as_deref().or(self.row.backend.as_deref())
    }
}

impl Row for Session {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("id", "ID", 4, 6, |s| Value::Number(s.row.id)),
        Column::name("database", "DATABASE", 0, (12, 24), |s| {
            Value::Text(&s.row.database)
        }),
        Column::name("host", "HOST", 3, (16, 44), |s| {
            Value::text(s.row.host.as_deref())
        }),
        Column::name("sni", "SNI", HIDDEN, (16, 60), |s| Value::text(s.sni())),
        Column::name("client", "CLIENT", 1, (16, 46), |s| match s.client {
            Some(addr) => Value::Addr(addr),
            None => Value::Text(&s.row.client),
        }),
        Column::name("user_cert", "USER-CERT", HIDDEN, (16, 60), |s| {
            Value::text(s.row.user_cert.as_deref())
        }),
        Column::name("listener", "LISTENER", 11, (9, 16), |s| {
            Value::Text(&s.row.listener)
        }),
        Column::name("protocol", "PROTOCOL", 9, (9, 9), |s| {
            Value::Text(&s.row.protocol)
        }),
        Column::name("tls", "TLS", 10, (11, 11), |s| Value::Text(&s.row.tls)),
        Column::<Self>::name("backend", "BACKEND", 8, (16, 46), |s| {
            Value::text(s.backend())
        })
        .field("declared"),
        Column::<Self>::name("address", "ADDRESS", HIDDEN, (16, 46), |s| {
            Value::text(s.row.backend.as_deref())
        })
        .field("backend"),
        Column::<Self>::number("in", "IN/s", 2, 8, |s| Value::Rate(s.rates.0))
            .field("bytes_in_per_second"),
        Column::<Self>::number("out", "OUT/s", 2, 8, |s| Value::Rate(s.rates.1))
            .field("bytes_out_per_second"),
        Column::number("bytes_in", "IN", 7, 8, |s| Value::Bytes(s.row.bytes_in)),
        Column::number("bytes_out", "OUT", 6, 8, |s| Value::Bytes(s.row.bytes_out)),
        Column::<Self>::number("age", "AGE", 1, 6, |s| Value::Span(s.age_ms)).field("age_ms"),
        Column::name("state", "STATE", 5, (10, 10), |s| Value::Text(&s.row.state)),
    ];

    fn id(&self) -> Id {
        Id::Number(self.row.id)
    }
}
