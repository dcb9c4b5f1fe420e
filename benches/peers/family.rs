//! Cost of a process and its children, by the kernel's own accounting: time on a processor in
//! nanoseconds, memory, descriptors.
//!
//! Not here: memory of the kernel (socket buffers, pipes), which no process is charged for; an open
//! pipe shows among the descriptors.
//! Source: proc(5): `/proc/PID/task/TID/schedstat` and `status`, `/proc/PID/smaps_rollup`, `/proc/PID/fd`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Processor time of an idle gateway in [`QUIET`], at most.
const IDLE: Duration = Duration::from_micros(100);

/// Idle time after which a gateway's work counts as done.
const QUIET: Duration = Duration::from_millis(40);

/// Time without a change after which memory counts as settled.
const CALM: Duration = Duration::from_secs(1);

/// Most time to wait for either.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A process and all that came from it.
pub(crate) struct Family {
    root: u32,
}

impl Family {
    pub(crate) fn of(root: u32) -> Self {
        Self { root }
    }

    /// The processes, the first one first.
    pub(crate) fn members(&self) -> Vec<u32> {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in entries.filter_map(|e| e.file_name().to_str()?.parse().ok()) {
            if let Some(parent) = parent(pid) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut members = vec![self.root];
        let mut at = 0;
        while let Some(pid) = members.get(at) {
            members.extend(children.get(pid).into_iter().flatten());
            at += 1;
        }
        members
    }

    /// Processor time of each live thread so far, by its number.
    ///
    /// # Errors
    /// The process is gone, or the kernel does not count.
    pub(crate) fn threads(&self) -> Result<BTreeMap<u32, Duration>> {
        let mut threads = BTreeMap::new();
        self.each_thread(|tid, task| {
            let text = fs::read_to_string(task.join("schedstat"))
                .context("this kernel does not count the run time of threads")?;
            let first = text.split(' ').next().and_then(|n| n.parse().ok());
            let nanos = first.context("schedstat holds no number")?;
            threads.insert(tid, Duration::from_nanos(nanos));
            Ok(())
        })?;
        Ok(threads)
    }

    /// Processor time of all of them so far.
    ///
    /// # Errors
    /// As [`Family::threads`].
    pub(crate) fn cpu(&self) -> Result<Duration> {
        Ok(self.threads()?.values().sum())
    }

    /// Times that live threads have gone to sleep so far.
    ///
    /// # Errors
    /// As [`Family::threads`].
    pub(crate) fn sleeps(&self) -> Result<u64> {
        let mut sleeps = 0;
        self.each_thread(|_, task| {
            let text = fs::read_to_string(task.join("status"))?;
            let line = text
                .lines()
                .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
            let count = line.and_then(|n| n.trim().parse::<u64>().ok());
            sleeps += count.context("status without voluntary_ctxt_switches")?;
            Ok(())
        })?;
        Ok(sleeps)
    }

    fn each_thread(&self, mut look: impl FnMut(u32, &Path) -> Result<()>) -> Result<()> {
        for pid in self.members() {
            let tasks = fs::read_dir(format!("/proc/{pid}/task"))
                .with_context(|| format!("process {pid} has ended"))?;
            for task in tasks {
                let task = task?;
                let tid = task.file_name().to_str().and_then(|n| n.parse().ok());
                look(tid.context("a thread's number")?, &task.path())?;
            }
        }
        Ok(())
    }

    /// The same once the work is done: two looks in a row find the family idle.
    ///
    /// # Errors
    /// It never becomes idle.
    pub(crate) fn settled_cpu(&self) -> Result<Duration> {
        let deadline = Instant::now() + TIMEOUT;
        let mut last = self.cpu()?;
        while Instant::now() < deadline {
            thread::sleep(QUIET);
            let now = self.cpu()?;
            if now.saturating_sub(last) < IDLE {
                return Ok(now);
            }
            last = now;
        }
        bail!("the gateway does not become idle")
    }

    /// Memory that it alone uses and its share of what it shares with others, in bytes.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn memory(&self) -> Result<u64> {
        let mut kib = 0;
        for pid in self.members() {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
                .with_context(|| format!("the memory of process {pid}"))?;
            let pss = text
                .lines()
                .find_map(|l| l.strip_prefix("Pss:"))
                .and_then(|l| l.trim().strip_suffix(" kB"))
                .and_then(|n| n.trim().parse::<u64>().ok());
            kib += pss.context("smaps_rollup without Pss")?;
        }
        Ok(kib * 1024)
    }

    /// The same once it has not changed for a second.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn settled_memory(&self) -> Result<u64> {
        let deadline = Instant::now() + TIMEOUT;
        let mut last = self.memory()?;
        let mut since = Instant::now();
        while since.elapsed() < CALM && Instant::now() < deadline {
            thread::sleep(QUIET);
            let now = self.memory()?;
            if now.abs_diff(last) > 4096 {
                last = now;
                since = Instant::now();
            }
        }
        self.memory()
    }

    /// Open descriptors, pipes included.
    pub(crate) fn descriptors(&self) -> usize {
        let members = self.members().into_iter();
        members
            .filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok())
            .map(Iterator::count)
            .sum()
    }
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}
