//! Exit codes of `probe`.

use dbgate::probe::{Report, Stage, Verdict};

pub(super) const OK: u8 = 0;
pub(super) const TROUBLE: u8 = 1;
pub(super) const USAGE: u8 = 2;
pub(super) const NO_CONNECTION: u8 = 3;
pub(super) const NO_HANDSHAKE: u8 = 4;

/// Exit code of a report.
pub(super) fn of(report: &Report) -> u8 {
    match (report.verdict, report.stage) {
        (Verdict::Ok, _) => OK,
        (Verdict::Fail, Stage::Dns | Stage::Tcp) => NO_CONNECTION,
        _ if report.established => TROUBLE,
        _ => NO_HANDSHAKE,
    }
}
