//! The worker threads: one single-threaded tokio runtime each, each with its own socket on every
//! listening port, so that a session never crosses threads and never shares a queue.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tracing::error;

use crate::gateway::{Gateway, Listener};
use crate::session::accept::{Accepting, WorkerHandles, accept};

/// A socket for one worker to accept on.
struct Assignment {
    listener: Arc<Listener>,
    accepting: Accepting,
    socket: TcpListener,
    stop: watch::Receiver<bool>,
}

struct Worker {
    assignments: mpsc::UnboundedSender<Assignment>,
    thread: JoinHandle<()>,
}

/// All worker threads.
pub struct Workers {
    workers: Mutex<Vec<Worker>>,
    count: usize,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system has no thread or no event queue left.
    pub fn start(count: usize, gateway: &Arc<Gateway>) -> io::Result<Self> {
        let runtimes: Vec<Runtime> = (0..count)
            .map(|_| Builder::new_current_thread().enable_all().build())
            .collect::<io::Result<_>>()?;
        let threads = Arc::new(WorkerHandles::new(
            runtimes.iter().map(|r| r.handle().clone()),
        ));
        let mut workers = Vec::with_capacity(count);
        for (number, runtime) in runtimes.into_iter().enumerate() {
            let (assignments, waiting) = mpsc::unbounded_channel();
            let (gateway, threads) = (gateway.clone(), threads.clone());
            let thread = std::thread::Builder::new()
                .name(format!("dbgate-{number}"))
                .spawn(move || {
                    runtime.block_on(work(gateway, threads, waiting));
                    // A look-up under way must not delay the end.
                    runtime.shutdown_timeout(std::time::Duration::ZERO);
                })?;
            workers.push(Worker {
                assignments,
                thread,
            });
        }
        Ok(Self {
            workers: Mutex::new(workers),
            count,
        })
    }

    /// Number of threads.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Distributes the sockets over the threads, in turn.
    pub(super) fn assign(
        &self,
        listener: &Arc<Listener>,
        sockets: Vec<TcpListener>,
        stop: &watch::Receiver<bool>,
    ) {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        for (worker, socket) in workers.iter().cycle().zip(sockets) {
            let assignment = Assignment {
                listener: listener.clone(),
                accepting: Accepting::new(listener.clone()),
                socket,
                stop: stop.clone(),
            };
            if worker.assignments.send(assignment).is_err() {
                error!(listener = %listener.name, "a worker thread is gone");
            }
        }
    }

    /// Ends the threads; sessions that still run are dropped.
    pub fn stop(&self) {
        let workers =
            std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        for Worker {
            assignments,
            thread,
        } in workers
        {
            drop(assignments);
            if thread.join().is_err() {
                error!("a worker thread panicked");
            }
        }
    }
}

async fn work(
    gateway: Arc<Gateway>,
    threads: Arc<WorkerHandles>,
    mut assignments: mpsc::UnboundedReceiver<Assignment>,
) {
    while let Some(Assignment {
        listener,
        accepting,
        socket,
        stop,
    }) = assignments.recv().await
    {
        match tokio::net::TcpListener::from_std(socket) {
            Ok(socket) => {
                let (gateway, threads) = (gateway.clone(), threads.clone());
                tokio::spawn(accept(gateway, listener, threads, socket, stop, accepting));
            }
            Err(error) => error!(listener = %listener.name, %error, "cannot accept clients"),
        }
    }
}
