//! The page of metrics as it is sent: made once for all that ask for it at about the same time,
//! and held while the slowest of them reads it, within bounds.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::{Notify, watch};

/// Time for which a large page is shared, in multiples of the time that it took to make: at most a tenth of the
/// control thread's time goes into pages.
const SHARED: u32 = 10;

/// Large pages at a time. When one more is wanted, those who still take the oldest are cut.
const PAGES: usize = 2;

/// An answer's text.
pub(super) struct Page {
    pieces: Vec<Bytes>,
    length: usize,
    /// Those who take it.
    takers: Mutex<Vec<Weak<Progress>>>,
}

impl Page {
    pub(super) fn new(pieces: Vec<Bytes>) -> Arc<Self> {
        Arc::new(Self {
            length: pieces.iter().map(Bytes::len).sum(),
            pieces,
            takers: Mutex::default(),
        })
    }
}

/// The large pages that are being sent, and the one that is being made.
#[derive(Default)]
pub(super) struct Pages(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// The newest last.
    pages: Vec<Weak<Page>>,
    fresh_until: Option<Instant>,
    making: Option<watch::Receiver<Option<Arc<Page>>>>,
}

impl Pages {
    /// A large page that is fresh, or a new one, made on a thread of its own: it takes long, and
    /// others ask meanwhile whether this process is alive. `None` if making it has failed.
    pub(super) async fn get(
        self: &Arc<Self>,
        make: impl FnOnce() -> Vec<Bytes> + Send + 'static,
    ) -> Option<Arc<Page>> {
        let mut waiting = {
            let mut kept = lock(&self.0);
            if kept.fresh_until.is_some_and(|until| Instant::now() < until)
                && let Some(page) = kept.pages.last().and_then(Weak::upgrade)
            {
                return Some(page);
            }
            let making = kept.making.clone();
            making.unwrap_or_else(|| {
                kept.give_way();
                let (done, waiting) = watch::channel(None);
                kept.making = Some(waiting.clone());
                let pages = self.clone();
                tokio::task::spawn_blocking(move || {
                    let begun = Instant::now();
                    let making = Making(&pages);
                    let page = Page::new(make());
                    let mut kept = lock(&pages.0);
                    kept.pages.push(Arc::downgrade(&page));
                    kept.fresh_until = Some(Instant::now() + begun.elapsed() * SHARED);
                    // Under one lock: a page that is made is not being made any more.
                    making.done(&mut kept);
                    done.send_replace(Some(page));
                });
                waiting
            })
        };
        if let Ok(page) = waiting.wait_for(Option::is_some).await {
            return page.clone();
        }
        // It was not even begun, or has failed: the next that asks tries again.
        lock(&self.0).making = None;
        None
    }
}

impl Kept {
    /// Cuts those who still take the oldest page, where there are as many as there may be.
    fn give_way(&mut self) {
        self.pages.retain(|page| page.strong_count() > 0);
        if self.pages.len() >= PAGES
            && let Some(oldest) = self.pages.remove(0).upgrade()
        {
            for taker in lock(&oldest.takers).iter().filter_map(Weak::upgrade) {
                taker.cut();
            }
        }
    }
}

/// A page that is being made, until it is or that has failed.
struct Making<'a>(&'a Pages);

impl Making<'_> {
    fn done(self, kept: &mut Kept) {
        kept.making = None;
        // Another page may be in the making when this one would be dropped.
        std::mem::forget(self);
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        lock(&self.0.0).making = None;
    }
}

/// Progress of one connection.
pub(super) struct Progress {
    /// Time at which its answer moved last, or else of accept.
    moved: Mutex<Instant>,
    /// True while it is being answered.
    answering: std::sync::atomic::AtomicBool,
    cut: Notify,
}

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            moved: Mutex::new(Instant::now()),
            answering: false.into(),
            cut: Notify::new(),
        })
    }

    /// Time at which its answer moved last, or else of accept.
    pub(super) fn moved(&self) -> Instant {
        *lock(&self.moved)
    }

    /// Ends it: another needs its place.
    pub(super) fn cut(&self) {
        self.cut.notify_one();
    }

    /// Waits until it was cut, or its answer has not moved for `timeout`.
    pub(super) async fn stalled(&self, timeout: Duration) {
        loop {
            let still = self.moved().elapsed();
            let answering = self.answering.load(std::sync::atomic::Ordering::Relaxed);
            let left = match timeout.checked_sub(still) {
                None | Some(Duration::ZERO) if answering => return,
                Some(left) if answering => left,
                _ => timeout,
            };
            tokio::select! {
                () = self.cut.notified() => return,
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}

/// A page on its way: hyper asks for the next piece when it has room for it.
pub(super) struct Pieces {
    page: Arc<Page>,
    next: usize,
    progress: Arc<Progress>,
}

impl Pieces {
    pub(super) fn new(page: Arc<Page>, progress: &Arc<Progress>) -> Self {
        let mut takers = lock(&page.takers);
        takers.retain(|taker| taker.strong_count() > 0);
        takers.push(Arc::downgrade(progress));
        drop(takers);
        progress
            .answering
            .store(true, std::sync::atomic::Ordering::Relaxed);
        *lock(&progress.moved) = Instant::now();
        Self {
            page,
            next: 0,
            progress: progress.clone(),
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.page.pieces.get(self.next).cloned();
        self.next += 1;
        *lock(&self.progress.moved) = Instant::now();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.page.pieces.len()
    }

    fn size_hint(&self) -> SizeHint {
        let sent = self.page.pieces.iter().take(self.next).map(Bytes::len);
        let left = self.page.length - sent.sum::<usize>();
        SizeHint::with_exact(u64::try_from(left).unwrap_or(u64::MAX))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Vec<Bytes> {
        vec![Bytes::from_static(b"page")]
    }

    #[tokio::test]
    async fn a_page_is_shared_and_the_oldest_of_three_gives_way() {
        let pages = Arc::new(Pages::default());
        let (go, wait) = std::sync::mpsc::channel();
        let slow = move || {
            wait.recv().unwrap();
            page()
        };
        let both = async { tokio::join!(pages.get(slow), pages.get(page)) };
        let go = async { go.send(()).unwrap() };
        let ((first, same), ()) = tokio::join!(both, go);
        let first = first.unwrap();
        assert!(Arc::ptr_eq(&first, &same.unwrap()), "while it is made");
        let hour = Some(Instant::now() + Duration::from_secs(3600));
        lock(&pages.0).fresh_until = hour;
        let same = pages.get(page).await.unwrap();
        assert!(Arc::ptr_eq(&first, &same), "as long as it is fresh");

        let progress = Progress::new();
        let _taken = Pieces::new(first.clone(), &progress);
        let mut others = Vec::new();
        for _ in 0..2 {
            lock(&pages.0).fresh_until = None;
            let other = pages.get(page).await.unwrap();
            assert!(!Arc::ptr_eq(&first, &other));
            others.push(other);
        }
        // It would wait for an hour, were it not cut.
        progress.stalled(Duration::from_secs(3600)).await;
    }

    #[tokio::test]
    async fn after_a_failure_a_page_is_made_again() {
        let pages = Arc::new(Pages::default());
        assert!(pages.get(|| panic!("on purpose")).await.is_none());
        assert!(pages.get(page).await.is_some());
    }

    #[tokio::test]
    async fn who_does_not_read_has_stalled_and_who_has_not_asked_has_not() {
        let stalled = Duration::from_millis(20);
        let progress = Progress::new();
        let waiting = tokio::time::timeout(stalled * 3, progress.stalled(stalled));
        assert!(waiting.await.is_err());
        let _taken = Pieces::new(Page::new(page()), &progress);
        progress.stalled(stalled).await;
    }
}
