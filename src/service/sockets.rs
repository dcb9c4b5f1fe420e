//! The sockets that a service manager has opened for this process.
//!
//! A socket belongs to the listener of its address, so the configuration means the same with and
//! without a socket unit. Its name is only shown.
//!
//! Source: `sd_listen_fds(3)`, systemd.socket(5).

use std::env;
use std::io;

use listenfd::ListenFd;
use thiserror::Error;

use crate::net::held::HeldSockets;

/// First descriptor that is passed on.
const FIRST: usize = 3;

/// A passed socket that cannot be used.
#[derive(Debug, Error)]
#[error("socket {name} (descriptor {descriptor}) of the service manager: {source}")]
pub struct InheritError {
    /// Its name.
    pub name: String,
    /// Its descriptor.
    pub descriptor: usize,
    /// The cause.
    pub source: io::Error,
}

/// Takes all sockets that were passed to this process. Call it before the process starts a thread,
/// since it removes environment variables.
///
/// # Errors
/// One is not a listening TCP socket.
pub fn inherited() -> Result<HeldSockets, InheritError> {
    let mut held = HeldSockets::default();
    // They may be meant for the parent process.
    if env::var("LISTEN_PID").ok() != Some(std::process::id().to_string()) {
        return Ok(held);
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').filter(|name| !name.is_empty());
    let mut passed = ListenFd::from_env();
    for index in 0..passed.len() {
        let name = names.next().unwrap_or("unknown");
        let taken = passed.take_tcp_listener(index);
        taken
            .and_then(|socket| socket.map_or(Ok(()), |socket| held.inherit(socket, name)))
            .map_err(|source| InheritError {
                name: name.to_owned(),
                descriptor: FIRST + index,
                source,
            })?;
    }
    Ok(held)
}
