//! Service manager: notifications, sockets that it passes on, and the change from root to a user.
//!
//! Notifications go to `NOTIFY_SOCKET`, and are dropped without it. There is no watchdog: it could
//! only watch the control thread, on which no session depends, and its restart would end all
//! sessions because a disk was slow.
//!
//! Not here: the moments of notifications ([`crate::process`], [`crate::control`]).
//! Source: `sd_notify(3)`, systemd.service(5) `Type=notify-reload`.

pub mod sockets;
pub mod user;

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use crate::wire::is_unseen;

/// Time until the next notification that a stopping process asks the service manager for.
const STOP_EXTENSION: Duration = Duration::from_secs(15);

/// Longest status, in characters; the log has the rest.
const LONGEST_STATUS: usize = 300;

/// Notifies that everything is bound and served; after [`reloading`], that the reload is over.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// Sets the status line of `systemctl status`.
pub fn status(status: &str) {
    notify(&[NotifyState::Status(&one_line(status))]);
}

/// Notifies that a reload begins; [`ready`] ends it, whether it succeeded or not.
pub fn reloading() {
    // The manager accepts only a reload that began after it asked for one, so the time has to be in
    // the same message.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "cannot notify the service manager of the reload"),
    }
}

/// Notifies that the process has begun to stop.
pub fn stopping(status: &str) {
    notify(&[
        NotifyState::Stopping,
        NotifyState::Status(&one_line(status)),
        NotifyState::ExtendTimeoutUsec(micros(STOP_EXTENSION)),
    ]);
}

/// Asks the service manager to wait for sessions, whatever `TimeoutStopSec=` says. Call it more
/// often than every 10 seconds.
pub fn still_stopping(status: &str) {
    notify(&[
        NotifyState::Status(&one_line(status)),
        NotifyState::ExtendTimeoutUsec(micros(STOP_EXTENSION)),
    ]);
}

fn notify(states: &[NotifyState<'_>]) {
    let Some(place) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&place, states) {
        warn!(%error, "cannot notify the service manager");
    }
}

/// Sends one message. `sd_notify` knows paths only.
fn send(place: &OsStr, states: &[NotifyState<'_>]) -> io::Result<()> {
    let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
    let message = lines.join("\n") + "\n";
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address(place)?)?;
    socket.send(message.as_bytes())?;
    Ok(())
}

/// Parses the socket's address: a path, or `@` and a name in the abstract namespace, which is in no
/// directory and reaches into containers.
fn address(place: &OsStr) -> io::Result<SocketAddr> {
    match place.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(place),
    }
}

/// Replaces line breaks, which would end the status and begin another message.
fn one_line(text: &str) -> String {
    let clean = |c: char| if is_unseen(c) { ' ' } else { c };
    text.chars().map(clean).take(LONGEST_STATUS).collect()
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_cannot_hold_another_message() {
        assert_eq!(one_line("a\nSTOPPING=1\r\t"), "a STOPPING=1  ");
        let long = "ü".repeat(LONGEST_STATUS + 1);
        assert_eq!(one_line(&long).chars().count(), LONGEST_STATUS);
    }

    #[test]
    fn the_extension_fits() {
        assert_eq!(micros(STOP_EXTENSION), 15_000_000);
        assert_eq!(micros(Duration::MAX), u32::MAX);
    }
}
