//! What the facts of a connection mean: findings, each by one rule.

use super::exchange::Exchange;
use super::facts::{self, Hint};
use super::report::Report;

/// Who watched the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vantage {
    /// A capture: both ends are strangers.
    Capture,
    /// A listener: the server's part was played by dbgate to see what the client does.
    Listen,
    /// A probe: the client's part was played by dbgate.
    Active,
}

/// Reads an exchange and tells what it means; the report is concluded.
#[must_use]
pub fn report(exchange: &Exchange, hint: Hint, _vantage: Vantage) -> Report {
    let _facts = facts::read(exchange, hint);
    let mut report = Report::default();
    report.conclude();
    report
}
