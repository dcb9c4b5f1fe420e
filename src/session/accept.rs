//! The accept loop of one listener on one thread.

use std::future::ready;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::run::run;
use crate::gateway::{Gateway, Listener};
use crate::net::descriptors::{has_room, is_exhaustion, may_serve};

/// The first pause after descriptors ran out; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause: how late a client may be served after descriptors came back.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

const NO_ROOM: &str = "cannot accept clients: raise the limit on open files (LimitNOFILE) or lower limits.max_sessions";

/// While clients come, each loop wakes itself this often.
///
/// Tokio wakes its own event loop, by a system call, when a timer is set that runs out before all
/// others of its thread. With this one always the first, the timers of sessions never are, which
/// saves two calls for each.
const PULSE: Duration = Duration::from_millis(500);

/// The threads that serve sessions, and what each has to do.
///
/// The kernel spreads clients over the threads by a hash of their addresses, which leaves a few
/// long sessions on one core as likely as not.
pub struct WorkerHandles {
    threads: Box<[Handle]>,
    /// Number of the thread that is compared with next.
    turn: AtomicUsize,
}

impl WorkerHandles {
    /// The workers with these runtimes.
    pub fn new(threads: impl IntoIterator<Item = Handle>) -> Self {
        Self {
            threads: threads.into_iter().collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// The thread that a client is better served by than where it arrived.
    ///
    /// Each client compares with one other thread, in turn, so that the cost does not grow with
    /// their number. Handing a client over costs a few system calls and a wake-up, which a
    /// difference of one session is not worth.
    fn less_loaded(&self, mine: &Handle) -> Option<&Handle> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let other = self.threads.get(turn.checked_rem(self.threads.len())?)?;
        let sessions = |thread: &Handle| thread.metrics().num_alive_tasks();
        (sessions(mine) > sessions(other) + 1).then_some(other)
    }
}

/// The socket of a client that was accepted.
pub(super) enum Accepted {
    /// By the thread that serves it.
    ByThis(TcpStream),
    /// By another one.
    ByOther(std::net::TcpStream),
}

impl Accepted {
    /// The socket, on this thread's event loop.
    pub(super) fn into_local(self) -> io::Result<TcpStream> {
        match self {
            Self::ByThis(tcp) => Ok(tcp),
            Self::ByOther(tcp) => TcpStream::from_std(tcp),
        }
    }
}

/// Accepts clients until `stop` says true or its sender is gone. `accepting` counts the loop from
/// before it first runs, so that a gateway that is ready says so at once.
///
/// If descriptors run out the loop pauses and tries again: waiting clients stay in the kernel's
/// queue, running sessions go on and give descriptors back.
pub async fn accept(
    gateway: Arc<Gateway>,
    listener: Arc<Listener>,
    workers: Arc<WorkerHandles>,
    socket: TcpListener,
    mut stop: watch::Receiver<bool>,
    accepting: Accepting,
) {
    let mine = Handle::current();
    // None while descriptors have run out.
    let mut accepting = Some(accepting);
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
            accepting = Some(Accepting::new(listener.clone()));
            pause = FIRST_PAUSE;
        }
        match accepted {
            None => {}
            Some(Ok((tcp, client))) => {
                if !may_serve(&tcp) {
                    if accepting.take().is_some() {
                        warn!(listener = %listener.name, error = %io::Error::from(Errno::MFILE), "{NO_ROOM}");
                    }
                    // It has come, so it is the first to be served once there is room.
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => return,
                        () = room(&tcp) => {}
                    }
                    info!(listener = %listener.name, "accepting clients again");
                    accepting = Some(Accepting::new(listener.clone()));
                }
                let client = SocketAddr::new(canonical(client.ip()), client.port());
                let (gateway, listener) = (gateway.clone(), listener.clone());
                let Some(other) = workers.less_loaded(&mine) else {
                    tokio::spawn(run(gateway, listener, Accepted::ByThis(tcp), client));
                    continue;
                };
                match tcp.into_std() {
                    Ok(tcp) => {
                        other.spawn(run(gateway, listener, Accepted::ByOther(tcp), client));
                    }
                    Err(error) => debug!(listener = %listener.name, %error, "client lost"),
                }
            }
            Some(Err(error)) if exhausted => {
                if accepting.is_some() {
                    warn!(listener = %listener.name, %error, "{NO_ROOM}");
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

/// Waits until sessions have given descriptors back.
async fn room(any: &TcpStream) {
    let mut pause = FIRST_PAUSE;
    while !has_room(any) {
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// An accept loop that takes clients, counted until it is dropped.
pub struct Accepting(Arc<Listener>);

impl Accepting {
    /// One more loop of this listener.
    #[must_use]
    pub fn new(listener: Arc<Listener>) -> Self {
        listener.accepting.fetch_add(1, Ordering::Relaxed);
        Self(listener)
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.accepting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An IPv4 client of a socket that takes both families is an IPv4 client: rules and logs are
/// about its IPv4 address.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    #[test]
    fn a_client_goes_to_the_freer_thread_once_it_pays() {
        let thread = || -> Runtime { Builder::new_current_thread().build().unwrap() };
        let (busy, free) = (thread(), thread());
        let workers = WorkerHandles::new([&busy, &free].map(|t| t.handle().clone()));
        let chosen = |mine: &Runtime| {
            // Two looks compare with each thread once.
            let looks = [(); 2].map(|()| workers.less_loaded(mine.handle()));
            looks.into_iter().flatten().count()
        };
        let session = || busy.spawn(std::future::pending::<()>());
        assert_eq!((chosen(&busy), chosen(&free)), (0, 0));
        session();
        assert_eq!((chosen(&busy), chosen(&free)), (0, 0));
        session();
        assert_eq!((chosen(&busy), chosen(&free)), (1, 0));
        free.spawn(std::future::pending::<()>());
        assert_eq!((chosen(&busy), chosen(&free)), (0, 0));
    }
}
