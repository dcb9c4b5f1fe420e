//! `dbgate cert check`: whether the certificates in a file are due.
//!
//! Exit codes: 0 fine, 1 due, over or not valid yet, 2 usage, 3 cannot be read.

use std::time::{Duration, SystemTime};

use dbgate::cert::{self, View};

use super::common::{Failure, UNREADABLE, print, read_bundle};
use crate::cli::CheckArgs;
use crate::table::escape;

const FINE: u8 = 0;
const DUE: u8 = 1;

/// Tells it and gives the exit code.
pub(super) fn run(args: &CheckArgs) -> Result<u8, Failure> {
    let now = SystemTime::now();
    let file = args.file.display();
    let bundle = read_bundle(&args.file)?;
    let mut views = Vec::new();
    for (at, der) in bundle.certificates.iter().enumerate() {
        let view = cert::view(der, now).map_err(|error| {
            Failure::new(
                UNREADABLE,
                format!("{file}: certificate {}: {error}", at + 1),
            )
        })?;
        views.push(view);
    }
    let Some(first) = views.iter().min_by(|a, b| a.not_after.cmp(&b.not_after)) else {
        let message = format!("{file} holds a private key, but no certificate");
        return Err(Failure::new(UNREADABLE, message));
    };
    let early = views.iter().find(|view| time(&view.not_before) > now);
    let (code, words) = match early {
        Some(view) => (DUE, format!("not valid before {}", view.not_before)),
        None => until(first, now, args.within),
    };
    let whose = match early.unwrap_or(first) {
        one if views.len() > 1 => format!(" ({})", one.subject),
        _ => String::new(),
    };
    print(&(escape(&format!("{file}: {words}{whose}")) + "\n"))?;
    Ok(code)
}

/// Time left until a certificate expires.
fn until(view: &View, now: SystemTime, within: Duration) -> (u8, String) {
    let (end, days) = (&view.not_after, view.days_left);
    match time(end).duration_since(now) {
        Err(_) => (DUE, format!("over since {end}")),
        Ok(left) if left < within => (DUE, format!("due: {days} days left, until {end}")),
        Ok(_) => (FINE, format!("fine: {days} days left, until {end}")),
    }
}

/// A time as [`View`] has it; what lies before 1970 is as long over as that.
fn time(text: &str) -> SystemTime {
    humantime::parse_rfc3339(text).unwrap_or(SystemTime::UNIX_EPOCH)
}
