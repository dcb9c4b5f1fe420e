//! The access log: one line at each session's end, rejects included.
//!
//! Records leave through a bounded queue, and a thread writes them. While the reader is stuck,
//! records are lost, counted and logged; no session waits.
//!
//! Not here: the fields of a record ([`crate::stats::Record`]), its text ([`mod@line`]) and the places
//! where it goes ([`sink`]).

pub mod line;
pub mod sink;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tracing::{info, warn};

use crate::config::Log;
use crate::stats::Record;
pub use sink::{OpenError, Sink};

/// Records that wait for a slow reader before they are lost.
const QUEUE: usize = 16 * 1024;

/// Time for which the thread that writes lets lines gather once it has written all there were. The
/// queue has room for what a busy gateway ends in that time.
const REST: Duration = Duration::from_millis(5);

/// The way to one thread that writes.
struct Writer {
    queue: SyncSender<Arc<Record>>,
    /// Records were lost since the queue was last empty.
    losing: Arc<AtomicBool>,
}

/// Writes records where the configuration says; a reload may switch it to another sink.
#[derive(Default)]
pub struct AccessLog {
    writer: ArcSwapOption<Writer>,
    lost: Arc<AtomicUsize>,
    /// One for each thread that may still be writing: closed by its end.
    threads: Mutex<Vec<Receiver<()>>>,
}

impl AccessLog {
    /// A log that writes to what the configuration names, or to nothing.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn start(log: &Log) -> Result<Self, OpenError> {
        let access_log = Self::default();
        let sink = Sink::open(log)?;
        access_log.switch(sink).map_err(OpenError::Thread)?;
        Ok(access_log)
    }

    /// Records lost so far: the queue was full, or they could not be written.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes from now on to `sink`; what is queued already still goes where it was to go.
    ///
    /// # Errors
    /// The system gives no thread; nothing has changed.
    pub fn switch(&self, sink: Option<Sink>) -> io::Result<()> {
        let writer = sink.map(|sink| self.writer(sink)).transpose()?;
        // The thread before ends when it has written what it was given.
        self.writer.store(writer);
        Ok(())
    }

    fn writer(&self, sink: Sink) -> io::Result<Arc<Writer>> {
        let (queue, records) = sync_channel(QUEUE);
        let (running, ended) = channel();
        let losing = Arc::new(AtomicBool::new(false));
        let lost = self.lost.clone();
        let writer = Arc::new(Writer {
            queue,
            losing: losing.clone(),
        });
        std::thread::Builder::new()
            .name("dbgate-log".into())
            .spawn(move || {
                // Dropped with the thread's end, which is how others learn of it.
                let _running = running;
                write_all(sink, &records, &lost, &losing);
            })?;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|ended| ended.try_recv() == Err(TryRecvError::Empty));
        threads.push(ended);
        Ok(writer)
    }

    /// Writes a record; one for which there is no room is lost and counted.
    pub fn write(&self, record: Arc<Record>) {
        let writer = self.writer.load();
        let Some(writer) = writer.as_deref() else {
            return;
        };
        if writer.queue.try_send(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            if !writer.losing.swap(true, Ordering::Relaxed) {
                warn!(
                    "nobody takes the lines of the access log: from now on they are lost, and counted"
                );
            }
        }
    }

    /// Writes what is queued and ends, within `timeout`: what is stuck is left behind.
    pub fn finish(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        self.writer.store(None);
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for ended in threads {
            // Nothing is ever sent: this waits for the thread's end.
            let _ = ended.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        if self.lost() > 0 {
            warn!(lost = self.lost(), "lines of the access log were lost");
        }
    }
}

/// Writes records until the queue is closed.
fn write_all(
    mut sink: Sink,
    records: &Receiver<Arc<Record>>,
    lost: &AtomicUsize,
    losing: &AtomicBool,
) {
    let mut failing = false;
    while let Ok(first) = records.recv() {
        sink.add(&first);
        let mut drained = false;
        while !drained && !sink.is_full() {
            match records.try_recv() {
                Ok(record) => sink.add(&record),
                Err(_) => drained = true,
            }
        }
        match sink.flush() {
            Ok(()) => failing = false,
            Err(error) => {
                lost.fetch_add(error.lost, Ordering::Relaxed);
                if !failing {
                    warn!(error = %error.source, "the access log cannot be written: its lines are lost, and counted");
                }
                failing = true;
            }
        }
        if drained {
            // Sessions that end meanwhile need not wake this thread, and share its next write.
            std::thread::sleep(REST);
        }
        if drained && losing.swap(false, Ordering::Relaxed) {
            let lost = lost.load(Ordering::Relaxed);
            info!(lost, "the lines of the access log are taken again");
        }
    }
}

#[cfg(test)]
mod tests;
