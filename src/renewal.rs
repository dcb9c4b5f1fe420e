//! Files of certificates, keys and revocation lists, read again by themselves when they change.
//!
//! Links are followed, so what counts is the file that a name leads to: Kubernetes swaps the link
//! of a whole folder, certbot that of each file. Sessions that run go on; what a change puts in
//! force is for new ones.
//!
//! Not here: reading them and putting them in force ([`crate::route::Store::renew`]).

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::{info, warn};

use crate::control::controller::{Controller, RenewalFault};
use crate::route::Attempt;
use crate::stats::CertificateFault;
use crate::tls::material::MaterialOrigin;

/// The shortest time between two looks at the files.
const PAUSE: Duration = Duration::from_secs(5);

/// The longest; with it a change is in force well within half a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The part of the time that a look may take: one in this many.
const SHARE: u32 = 50;

/// Most files that are read again in one go, since changes by `ctl` wait meanwhile.
const BATCH: usize = 500;

/// Most faults that are logged after one look; the others are counted.
const LOGGED: usize = 20;

/// A file whose content changed less than this before it was read is read once more, since clocks
/// of file systems are coarse: a second change may have the same times.
const SETTLED: Duration = Duration::from_secs(2);

/// Starts to watch, on a thread of its own, since a disk may be slow; it ends with the gateway.
///
/// # Errors
/// The thread cannot be started.
pub fn watch(controller: &Arc<Controller>) -> io::Result<()> {
    let controller = Arc::downgrade(controller);
    thread::Builder::new()
        .name("renewal".to_owned())
        .spawn(move || run(&controller))?;
    Ok(())
}

fn run(controller: &Weak<Controller>) {
    let mut watched = Watched::default();
    let mut pause = PAUSE;
    loop {
        thread::sleep(pause);
        let Some(controller) = controller.upgrade() else {
            return;
        };
        let begun = Instant::now();
        watched.look(&controller);
        pause = (begun.elapsed() * SHARE).clamp(PAUSE, LONGEST_PAUSE);
    }
}

/// The identity of a file and of its content, links followed: device, inode, size, and the times
/// of the last changes of content and inode in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64, u64),
    times: [i64; 4],
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            file: (file.dev(), file.ino(), file.size()),
            times: [
                file.mtime(),
                file.mtime_nsec(),
                file.ctime(),
                file.ctime_nsec(),
            ],
        })
    }

    /// True if a further change would have other times.
    fn is_settled(&self, now: SystemTime) -> bool {
        let [_, _, changed, _] = self.times;
        let changed = UNIX_EPOCH + Duration::from_secs(u64::try_from(changed).unwrap_or(0));
        now.duration_since(changed).is_ok_and(|age| age > SETTLED)
    }
}

/// The files in use, as they were when they were last read.
#[derive(Default)]
struct Watched {
    /// The revision of the routes that use them.
    revision: Option<u64>,
    /// `None` for one that is to be read at the next look.
    files: HashMap<MaterialOrigin, Option<Stamp>>,
    /// The faults that were logged, by the files that do not fit together.
    faults: HashMap<Vec<MaterialOrigin>, Arc<CertificateFault>>,
}

impl Watched {
    fn look(&mut self, controller: &Arc<Controller>) {
        let store = &controller.gateway().store;
        let revision = store.snapshot().revision;
        if self.revision != Some(revision) {
            let origins = store.origins();
            self.files.retain(|origin, _| origins.contains(origin));
            for origin in origins {
                self.files.entry(origin).or_default();
            }
            self.revision = Some(revision);
        }
        let changed = self.changed(SystemTime::now());
        let mut attempts = HashMap::new();
        for batch in changed.chunks(BATCH) {
            let batch: HashSet<_> = batch.iter().cloned().collect();
            let renewed = controller.on_disk(move |controller| controller.renew(&batch));
            let Ok(renewed) = renewed.blocking_recv() else {
                // It panicked, which is in the log; the next look tries again.
                return;
            };
            let done = renewed.into_iter();
            attempts.extend(done.map(|Attempt { origins, fault }| (origins, fault)));
        }
        let news = self.log(attempts);
        let faults = self.faults.iter().map(|(origins, told)| RenewalFault {
            origins: origins.clone(),
            told: told.clone(),
        });
        let mut faults: Vec<_> = faults.collect();
        faults.sort_by(|a, b| (a.told.ts, &a.told.files).cmp(&(b.told.ts, &b.told.files)));
        controller.tell_faults(faults, news);
    }

    /// The files that are not as they were, and all whose content does not fit that of others.
    fn changed(&mut self, now: SystemTime) -> Vec<MaterialOrigin> {
        let faulty: HashSet<_> = self.faults.keys().flatten().collect();
        let mut changed = Vec::new();
        for (origin, seen) in &mut self.files {
            // Before the content: a change in between is seen at the next look.
            let stamp = origin.path().and_then(Stamp::of);
            if stamp.is_some() && stamp == *seen && !faulty.contains(origin) {
                continue;
            }
            *seen = stamp.filter(|stamp| stamp.is_settled(now));
            changed.push(origin.clone());
        }
        changed
    }

    /// Logs each fault once, and once that it is over; gives those that were logged.
    fn log(
        &mut self,
        attempts: HashMap<Vec<MaterialOrigin>, Option<String>>,
    ) -> Vec<Arc<CertificateFault>> {
        let now = SystemTime::now();
        let notice = |origins: &[MaterialOrigin], error| {
            Arc::new(CertificateFault {
                ts: now,
                files: origins.iter().map(ToString::to_string).collect(),
                error,
            })
        };
        let mut news = Vec::new();
        self.faults
            .retain(|origins, _| attempts.contains_key(origins));
        let mut unlogged = 0_usize;
        let mut logged = 0_usize;
        for (origins, fault) in attempts {
            let Some(error) = fault else {
                if self.faults.remove(&origins).is_some() {
                    news.push(notice(&origins, None));
                    info!(files = %list(&origins), "files fit together again");
                }
                continue;
            };
            let known = self.faults.get(&origins);
            if known.is_some_and(|known| known.error.as_ref() == Some(&error)) {
                continue;
            }
            let told = notice(&origins, Some(error.clone()));
            self.faults.insert(origins, told.clone());
            if logged == LOGGED {
                unlogged += 1;
            } else {
                logged += 1;
                news.push(told);
                warn!(%error, "changed files cannot be used: what they held before stays in force, and they are looked at again");
            }
        }
        if unlogged > 0 {
            warn!(files = unlogged, "further changed files cannot be used");
        }
        news
    }
}

fn list(origins: &[MaterialOrigin]) -> String {
    let origins: Vec<_> = origins.iter().map(ToString::to_string).collect();
    origins.join(", ")
}
