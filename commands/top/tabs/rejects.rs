//! Clients turned away, and why.

use std::net::SocketAddr;

use dbgate::control::answer::RejectRow;

use crate::top::row::{Column, HIDDEN, Id, Row};
use crate::top::value::Value;

/// One client turned away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reject {
    /// The row from the gateway.
    pub(crate) row: RejectRow,
    client: Option<SocketAddr>,
}

impl From<RejectRow> for Reject {
    fn from(row: RejectRow) -> Self {
        Self {
            client: row.client.parse().ok(),
            row,
        }
    }
}

impl Row for Reject {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::<Self>::name("time", "TIME", 1, (8, 8), |r| Value::Time(&r.row.ts)).field("ts"),
        Column::number("count", "COUNT", 4, 6, |r| Value::Number(r.row.count)),
        Column::name("first", "FIRST", HIDDEN, (8, 8), |r| {
            Value::Time(&r.row.first)
        }),
        Column::name("last", "LAST", HIDDEN, (8, 8), |r| Value::Time(&r.row.ts)),
        Column::name("reason", "REASON", 0, (16, 23), |r| {
            Value::Text(&r.row.reason)
        }),
        Column::name("sni", "SNI", 2, (16, 60), |r| {
            Value::text(r.row.sni.as_deref())
        }),
        Column::name("sni_status", "SNI-STATUS", 8, (11, 11), |r| {
            Value::text(r.row.sni_status.as_deref())
        }),
        Column::name("client", "CLIENT", 3, (16, 46), |r| match r.client {
            Some(addr) => Value::Addr(addr),
            None => Value::Text(&r.row.client),
        }),
        Column::name("listener", "LISTENER", 6, (9, 16), |r| {
            Value::Text(&r.row.listener)
        }),
        Column::name("protocol", "PROTOCOL", 7, (9, 9), |r| {
            Value::text(r.row.protocol.as_deref())
        }),
        Column::name("detail", "DETAIL", 5, (20, 160), |r| {
            Value::Text(&r.row.detail)
        }),
        Column::name("remedy", "REMEDY", HIDDEN, (20, 160), |r| {
            Value::text(r.row.remedy.as_deref())
        }),
        Column::number("id", "ID", HIDDEN, 6, |r| Value::Number(r.row.id)),
    ];

    fn id(&self) -> Id {
        Id::Number(self.row.id)
    }
}
