//! TCP options of every connection, to clients and backends alike.
//!
//! Linux hands the options of a listening socket on to each connection that it accepts, so for
//! clients they are set once per listener and cost no system call at an accept.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Idle time before the first keepalive probe: a peer that is gone is noticed within minutes, and
/// an idle session whose peer answers stays open.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// Time between two keepalive probes; how many there are is left to the system (9 on Linux).
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Sets `TCP_NODELAY` and keepalive.
///
/// # Errors
/// The system refuses an option.
pub fn set_options(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL),
    )
}
