//! The thread on which everything is done that may have to wait for a disk: changes, reloads,
//! reading the configuration. The control thread answers all others meanwhile, those who ask
//! whether this process is alive first of all.
//!
//! One job at a time, in the order in which they were given.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::error;

type Job = Box<dyn FnOnce() + Send>;

/// The thread, until it is dropped and all that was given is done.
pub(super) struct DiskThread {
    /// Bounded by those who give: each waits for its answer before it gives the next.
    jobs: Sender<Job>,
}

impl DiskThread {
    /// Starts the thread. Call it inside a tokio runtime, which is also that of the jobs.
    ///
    /// # Errors
    /// There can be no further thread.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Handle::current();
        let (jobs, given) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("disk".to_owned())
            .spawn(move || {
                let _within = runtime.enter();
                for job in given {
                    if catch_unwind(AssertUnwindSafe(job)).is_err() {
                        error!("a change panicked; what was in force before still is");
                    }
                }
            })?;
        Ok(Self { jobs })
    }

    /// Gives a job; what it comes to is received, or an error if it panicked.
    pub(super) fn give<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Whoever asked may have left.
            let _ = done.send(job());
        });
        // Without the thread the job is dropped, and with it the other end of `result`.
        let _ = self.jobs.send(job);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_are_done_in_order_and_outlive_a_panic() {
        let disk = DiskThread::start().unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let first = disk.give(move || wait.recv().is_ok());
        let second = disk.give(|| -> u8 { panic!("on purpose") });
        let mut third = disk.give(|| Handle::try_current().is_ok());
        tokio::task::yield_now().await;
        assert!(third.try_recv().is_err(), "the first has not been done yet");
        go.send(()).unwrap();
        assert!(first.await.unwrap());
        assert!(second.await.is_err());
        assert!(third.await.unwrap(), "jobs may spawn tasks");
    }
}
