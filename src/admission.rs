//! Admission of clients whose handshake is under way: how many there may be, in all and from one
//! source, and how much they may hold. A client that has not named a database yet costs a
//! descriptor and memory, and nobody vouches for it.
//!
//! - Beyond `max_handshakes_per_ip` clients of one source wait for their turn, in the order in
//!   which they came. Nothing is read from them meanwhile.
//! - Beyond `max_handshakes`, which counts those that wait too, the source that has most gives way.
//! - What they have sent is bounded over all: a client that sends much holds bytes of a budget that
//!   all share.
//!
//! Not here: the deadline, and what a client is told that has lost its place.

mod table;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::{future::poll_fn, pin::pin};

use tokio::sync::Notify;

use crate::config::Limits;
use crate::per_ip::counted_as;
use crate::stats::CloseReason;
use table::{Bounds, Changes, Entered, Table};

/// What a client may send without taking of the shared budget, in bytes: more than nearly every
/// ClientHello, with a client certificate behind it.
const FREE: usize = 4 * 1024;

/// The shared budget, in bytes for each handshake that there may be.
const BUDGET: usize = 12 * 1024;

/// Steps in which what a client holds is counted, in bytes.
const STEP: usize = 4 * 1024;

/// Clients without a place that are being told so at a time.
const TOLD_AT_ONCE: usize = 256;

const WAITING: u8 = 0;
const OPEN: u8 = 1;
const GAVE_WAY: u8 = 2;

/// How a handshake is reached by those that decide about it.
#[derive(Debug)]
struct Place {
    state: AtomicU8,
    changed: Notify,
}

/// The handshakes that are under way.
#[derive(Debug, Default)]
pub struct Handshakes {
    table: Mutex<Table<Arc<Place>>>,
    told: AtomicUsize,
}

/// One handshake's place in the count, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    handshakes: Arc<Handshakes>,
    source: IpAddr,
    id: u64,
    place: Arc<Place>,
    read: Arc<AtomicUsize>,
    /// What it is counted to hold of the shared budget.
    held: usize,
}

/// Leave to tell a client without a place that it has none.
#[derive(Debug)]
pub struct Telling<'a>(&'a Handshakes);

impl Handshakes {
    /// Takes a place for a client; it may have to wait for its turn ([`Slot::turn`]).
    ///
    /// # Errors
    /// [`CloseReason::HandshakesFull`]: too many clients of this source wait already.
    pub fn enter(self: &Arc<Self>, client: IpAddr, limits: &Limits) -> Result<Slot, CloseReason> {
        let source = counted_as(client);
        let place = Arc::new(Place {
            state: AtomicU8::new(OPEN),
            changed: Notify::new(),
        });
        let bounds = Bounds {
            all: limits.max_handshakes,
            per_ip: limits.max_handshakes_per_ip,
            bytes: limits.max_handshakes.saturating_mul(BUDGET),
        };
        let mut table = self.table();
        let (entered, changes) = table.enter(source, place.clone(), bounds);
        if matches!(entered, Entered::Waiting(_)) {
            // Under the lock: its turn may come as soon as that is gone.
            place.state.store(WAITING, Ordering::Release);
        }
        drop(table);
        tell(changes);
        let (Entered::Open(id) | Entered::Waiting(id)) = entered else {
            return Err(CloseReason::HandshakesFull);
        };
        Ok(Slot {
            handshakes: self.clone(),
            source,
            id,
            place,
            read: Arc::default(),
            held: 0,
        })
    }

    /// How many are under way, or wait for their turn.
    #[must_use]
    pub fn open(&self) -> usize {
        self.table().len()
    }

    /// Leave to spend time on a client without a place; `None` while that is spent on many.
    #[must_use]
    pub fn telling(&self) -> Option<Telling<'_>> {
        let more = |n: usize| (n < TOLD_AT_ONCE).then_some(n + 1);
        self.told
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(Telling(self))
    }

    fn table(&self) -> MutexGuard<'_, Table<Arc<Place>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.told.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells those for whom something has changed; not under the lock, since waking a task of another
/// thread is a system call.
fn tell(changes: Changes<Arc<Place>>) {
    for (places, state) in [(changes.turns, OPEN), (changes.gave_way, GAVE_WAY)] {
        for place in places {
            // A turn that comes late must not hide that the place is lost.
            place.state.fetch_max(state, Ordering::AcqRel);
            place.changed.notify_one();
        }
    }
}

impl Slot {
    /// The number of bytes that the client has sent so far, for whoever reads them to count on.
    #[must_use]
    pub fn read(&self) -> &Arc<AtomicUsize> {
        &self.read
    }

    /// Waits for the turn.
    ///
    /// # Errors
    /// The place went to another source.
    pub async fn turn(&self) -> Result<(), CloseReason> {
        loop {
            match self.place.state.load(Ordering::Acquire) {
                WAITING => self.place.changed.notified().await,
                OPEN => return Ok(()),
                _ => return Err(CloseReason::HandshakeGaveWay),
            }
        }
    }

    /// Does a part of the handshake for as long as the place is not lost, and counts what the
    /// client sends meanwhile.
    ///
    /// # Errors
    /// The place went to another source; the work is dropped where it was.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, CloseReason> {
        let place = self.place.clone();
        let mut changed = pin!(place.changed.notified());
        let mut work = pin!(work);
        poll_fn(|cx| {
            if changed.as_mut().poll(cx).is_ready() {
                // A turn that was told of late, or the loss.
                changed.set(place.changed.notified());
                let _ = changed.as_mut().poll(cx);
            }
            if self.is_lost() {
                return Poll::Ready(Err(CloseReason::HandshakeGaveWay));
            }
            let done = work.as_mut().poll(cx);
            self.count();
            match done {
                Poll::Pending if self.is_lost() => Poll::Ready(Err(CloseReason::HandshakeGaveWay)),
                done => done.map(Ok),
            }
        })
        .await
    }

    /// Ends the client's part of the handshake: gives the place back, unless the client has sent so
    /// much that what holds it has to be counted on.
    #[must_use]
    pub fn settle(self) -> Option<Self> {
        (self.held > 0).then_some(self)
    }

    fn is_lost(&self) -> bool {
        self.place.state.load(Ordering::Acquire) == GAVE_WAY
    }

    /// Counts what the client has sent, where that is more than each may send anyway.
    fn count(&mut self) {
        let beyond = self.read.load(Ordering::Relaxed).saturating_sub(FREE);
        if beyond > self.held {
            self.held = beyond.next_multiple_of(STEP);
            let changes = self
                .handshakes
                .table()
                .hold(self.source, self.id, self.held);
            tell(changes);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let changes = self.handshakes.table().leave(self.source, self.id);
        tell(changes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(all: usize, per_ip: usize) -> Limits {
        Limits {
            max_handshakes: all,
            max_handshakes_per_ip: per_ip,
            ..Limits::default()
        }
    }

    #[tokio::test]
    async fn a_client_waits_for_its_turn_and_begins_when_it_comes() {
        let handshakes = Arc::new(Handshakes::default());
        let enter = |ip: &str| handshakes.enter(ip.parse().unwrap(), &limits(9, 2));
        let first = enter("2001:db8::1").unwrap();
        let second = enter("2001:db8::2").unwrap();
        let third = enter("2001:db8::3").unwrap();
        let mut turn = Box::pin(third.turn());
        let pending = poll_fn(|cx| Poll::Ready(turn.as_mut().poll(cx).is_pending())).await;
        assert!(pending, "a third of the same network has to wait");
        enter("192.0.2.1").unwrap().turn().await.unwrap();
        drop(first);
        turn.as_mut().await.unwrap();
        drop(turn);
        drop((second, third));
        assert_eq!(handshakes.open(), 0);
    }

    #[tokio::test]
    async fn work_is_dropped_when_the_place_is_lost() {
        let handshakes = Arc::new(Handshakes::default());
        let enter = |ip: &str| handshakes.enter(ip.parse().unwrap(), &limits(1, 1));
        let mut slot = enter("192.0.2.1").unwrap();
        let other = async { enter("192.0.2.2").unwrap() };
        let (lost, other) = tokio::join!(slot.during(std::future::pending::<()>()), other);
        assert_eq!(lost, Err(CloseReason::HandshakeGaveWay));
        assert_eq!(handshakes.open(), 1);
        drop(slot);
        assert_eq!(handshakes.open(), 1, "the place is another's by now");
        drop(other);
        assert_eq!(handshakes.open(), 0);
    }

    #[tokio::test]
    async fn a_client_that_sends_much_holds_a_part_of_the_budget() {
        let handshakes = Arc::new(Handshakes::default());
        let enter = |ip: &str| handshakes.enter(ip.parse().unwrap(), &limits(2, 2));
        let mut little = enter("192.0.2.1").unwrap();
        let mut much = enter("192.0.2.2").unwrap();
        little.read().store(FREE, Ordering::Relaxed);
        little.during(async {}).await.unwrap();
        much.read().store(FREE + BUDGET, Ordering::Relaxed);
        much.during(async {}).await.unwrap();
        assert!(little.settle().is_none(), "its place is given back");
        let mut much = much.settle().expect("a place that is still counted");
        much.read().store(FREE + 2 * BUDGET + 1, Ordering::Relaxed);
        let lost = much.during(std::future::pending::<()>()).await;
        assert_eq!(lost, Err(CloseReason::HandshakeGaveWay));
    }
}
