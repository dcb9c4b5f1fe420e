//! The accept loop of one listener on one thread.

use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::run::run;
use crate::gateway::{Gateway, Listener};
use crate::net::dial::is_exhaustion;

/// The first pause after descriptors ran out; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause: how late a client may be served after descriptors came back.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// While clients come, each loop wakes itself this often.
///
/// Tokio wakes its own event loop, by a system call, when a timer is set that runs out before all
/// others of its thread. With this one always the first, the timers of sessions never are, which
/// saves two calls for each.
const PULSE: Duration = Duration::from_millis(500);

/// Accepts clients until `stop` says true or its sender is gone.
///
/// When descriptors run out the loop pauses and tries again: waiting clients stay in the kernel's
/// queue, running sessions go on and give descriptors back.
pub async fn accept(
    gateway: Arc<Gateway>,
    listener: Arc<Listener>,
    socket: TcpListener,
    mut stop: watch::Receiver<bool>,
) {
    // None while descriptors have run out.
    let mut accepting = Some(Accepting::new(&listener));
    let mut pause = FIRST_PAUSE;
    let mut pulse = pin!(sleep(PULSE));
    // Whether it beats, and whether a client has come since the last beat.
    let (mut beating, mut came) = (false, false);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = socket.accept() => Some(accepted),
            // The kernel finds a descriptor before it looks for a client: who waits has one.
            () = ready(()), if accepting.is_none() => None,
            () = &mut pulse, if beating => {
                beating = std::mem::take(&mut came);
                pulse.as_mut().reset(Instant::now() + PULSE);
                continue;
            }
        };
        came = true;
        if !beating {
            beating = true;
            pulse.as_mut().reset(Instant::now() + PULSE);
        }
        let exhausted = matches!(&accepted, Some(Err(error)) if is_exhaustion(error));
        if accepting.is_none() && !exhausted {
            info!(listener = %listener.name, "accepting clients again");
            accepting = Some(Accepting::new(&listener));
            pause = FIRST_PAUSE;
        }
        match accepted {
            None => {}
            Some(Ok((tcp, client))) => {
                let client = SocketAddr::new(canonical(client.ip()), client.port());
                tokio::spawn(run(gateway.clone(), listener.clone(), tcp, client));
            }
            Some(Err(error)) if exhausted => {
                if accepting.is_some() {
                    warn!(listener = %listener.name, %error,
                        "cannot accept clients: raise the limit on open files (LimitNOFILE) or lower limits.max_sessions");
                    accepting = None;
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            // Nearly always a client that was gone before it was accepted. The pause keeps
            // anything that lasts from filling a core.
            Some(Err(error)) => {
                debug!(listener = %listener.name, %error, "accept failed");
                sleep(FIRST_PAUSE).await;
            }
        }
    }
}

/// An accept loop that takes clients, counted until it is dropped.
struct Accepting<'a>(&'a Listener);

impl<'a> Accepting<'a> {
    fn new(listener: &'a Listener) -> Self {
        listener.accepting.fetch_add(1, Ordering::Relaxed);
        Self(listener)
    }
}

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        self.0.accepting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An IPv4 client of a socket that takes both families is an IPv4 client: rules and logs are
/// about its IPv4 address.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}
