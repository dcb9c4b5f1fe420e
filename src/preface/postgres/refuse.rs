//! A refusal as an `ErrorResponse`.
//!
//! The SQLSTATEs are chosen for what drivers do with them: 57P03 makes libpq try the next host,
//! 28000 makes pgjdbc retry with or without TLS, so it is used only where that helps.

use super::ErrorResponse;
use crate::preface::{Refusal, RefusalKind};

/// The refusal as bytes.
pub(super) fn error_response(refusal: &Refusal<'_>) -> Vec<u8> {
    let code = match refusal.kind {
        RefusalKind::NeedsTls | RefusalKind::Denied => "28000",
        RefusalKind::NoName | RefusalKind::Rejected | RefusalKind::WrongProtocol => "08004",
        RefusalKind::Busy => "53300",
        RefusalKind::Unavailable | RefusalKind::Unanswered => "57P03",
        // admin_shutdown, as of a server that is stopped.
        RefusalKind::Ended => "57P01",
    };
    let own = match refusal.kind {
        RefusalKind::NeedsTls => Some(format!(
            "{}; use sslmode=require or higher",
            refusal.message
        )),
        RefusalKind::WrongProtocol => Some(format!(
            "dbgate: the database published under \"{}\" does not speak Postgres",
            refusal.name
        )),
        _ => None,
    };
    let hint = match refusal.kind {
        RefusalKind::NoName => Some(
            "Connect by host name, not by IP address. libpq sends the name since version 14, unless sslsni=0.",
        ),
        _ => refusal.hint,
    };
    ErrorResponse {
        severity: "FATAL",
        code,
        message: own.as_deref().unwrap_or(&refusal.message),
        detail: refusal.detail.as_deref(),
        hint,
    }
    .encode()
}
