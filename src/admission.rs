//! Admission of clients whose handshake is under way: how many there may be, in all and from one
//! source, and how much they may hold. A client that has not named a database yet costs a
//! descriptor and memory before it has shown who it is.
//!
//! - Beyond `max_handshakes_per_ip` clients of one source wait for their turn, in the order in
//!   which they came. Nothing is read from them meanwhile.
//! - Beyond `max_handshakes`, which counts those that wait too, the source that has most gives way.
//! - Bytes are bounded over all: a client that sends more than a few kilobytes is read no further
//!   until it holds a part of a budget that all share. Where the budget is used up, the source
//!   that holds most gives way.
//!
//! Not here: the deadline, and the answer to a client that was evicted.

mod table;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::{future::poll_fn, pin::pin};

use tokio::sync::Notify;

use crate::config::Limits;
use crate::net::{Buffered, ReadAllowance};
use crate::per_ip::counted_as;
use crate::stats::CloseReason;
use table::{Bounds, Decisions, Entered, Table};

/// Bytes that a client may send without taking of the shared budget: more than nearly every
/// ClientHello, with a client certificate behind it.
const FREE: usize = 4 * 1024;

/// Bytes of the shared budget for each handshake that there may be.
const BUDGET: usize = 12 * 1024;

/// Steps in which a client takes of the shared budget, in bytes.
const STEP: usize = 4 * 1024;

/// Bytes by which TLS and the protocols of databases are told apart.
const BEGINNING: usize = 64;

/// Clients without a slot that are answered at a time.
const MAX_REFUSALS: usize = 256;

const WAITING: u8 = 0;
const OPEN: u8 = 1;
const EVICTED: u8 = 2;

/// The part of a slot that others change: the decisions about its handshake.
#[derive(Debug)]
struct SlotState {
    stage: AtomicU8,
    /// Bytes of the shared budget that it may hold.
    granted: AtomicUsize,
    changed: Notify,
}

/// The handshakes that are under way.
#[derive(Debug, Default)]
pub struct Handshakes {
    table: Mutex<Table<Arc<SlotState>>>,
    refusals: AtomicUsize,
}

/// One handshake's entry in the count, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    handshakes: Arc<Handshakes>,
    source: IpAddr,
    id: u64,
    state: Arc<SlotState>,
    allowance: Arc<ReadAllowance>,
    /// Bytes of the shared budget that it has asked for.
    requested: usize,
    /// Those of them that were granted.
    held: usize,
}

/// Permit to spend time on the refusal of a client without a slot.
#[derive(Debug)]
pub struct RefusalPermit<'a>(&'a Handshakes);

impl Handshakes {
    /// Takes a slot for a client; it may have to wait for its turn ([`Slot::turn`]).
    ///
    /// # Errors
    /// [`CloseReason::HandshakesFull`]: too many clients of this source wait already.
    pub fn enter(self: &Arc<Self>, client: IpAddr, limits: &Limits) -> Result<Slot, CloseReason> {
        let source = counted_as(client);
        let state = Arc::new(SlotState {
            stage: AtomicU8::new(OPEN),
            granted: AtomicUsize::new(0),
            changed: Notify::new(),
        });
        let bounds = Bounds {
            all: limits.max_handshakes,
            per_ip: limits.max_handshakes_per_ip,
            bytes: limits.max_handshakes.saturating_mul(BUDGET),
        };
        let mut table = self.table();
        let (entered, decisions) = table.enter(source, state.clone(), bounds);
        if matches!(entered, Entered::Waiting(_)) {
            // Under the lock: its turn may come as soon as that is gone.
            state.stage.store(WAITING, Ordering::Release);
        }
        drop(table);
        notify(decisions);
        let (Entered::Open(id) | Entered::Waiting(id)) = entered else {
            return Err(CloseReason::HandshakesFull);
        };
        Ok(Slot {
            handshakes: self.clone(),
            source,
            id,
            state,
            allowance: Arc::new(ReadAllowance::new(FREE)),
            requested: 0,
            held: 0,
        })
    }

    /// Number of handshakes under way, those that wait for their turn included.
    #[must_use]
    pub fn open(&self) -> usize {
        self.table().len()
    }

    /// Permit to spend time on the refusal of a client; `None` while there are many of them.
    #[must_use]
    pub fn refusal_permit(&self) -> Option<RefusalPermit<'_>> {
        let more = |n: usize| (n < MAX_REFUSALS).then_some(n + 1);
        self.refusals
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(RefusalPermit(self))
    }

    fn table(&self) -> MutexGuard<'_, Table<Arc<SlotState>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RefusalPermit<'_> {
    fn drop(&mut self) {
        self.0.refusals.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Notifies the slots that something was decided about; not under the lock, since waking a task of
/// another thread is a system call.
fn notify(decisions: Decisions<Arc<SlotState>>) {
    for (states, stage) in [(decisions.turns, OPEN), (decisions.evicted, EVICTED)] {
        for state in states {
            // A turn that comes late must not hide the eviction.
            state.stage.fetch_max(stage, Ordering::AcqRel);
            state.changed.notify_one();
        }
    }
    for (state, bytes) in decisions.granted {
        state.granted.fetch_max(bytes, Ordering::AcqRel);
        state.changed.notify_one();
    }
}

impl Slot {
    /// Binds the client's socket: only so much is read as the slot holds; to be read inside
    /// [`Self::during`].
    pub fn bind<S>(&self, client: &mut Buffered<S>) {
        client.bind(self.allowance.clone());
    }

    /// Waits for the turn.
    ///
    /// # Errors
    /// The slot went to another source.
    pub async fn turn(&self) -> Result<(), CloseReason> {
        loop {
            match self.state.stage.load(Ordering::Acquire) {
                WAITING => self.state.changed.notified().await,
                OPEN => return Ok(()),
                _ => return Err(CloseReason::HandshakeGaveWay),
            }
        }
    }

    /// Does a part of the handshake for as long as the slot is not evicted. Where the client sends
    /// more than it may hold, the work is pending until it may hold more.
    ///
    /// # Errors
    /// The slot went to another source; the work is dropped where it was.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, CloseReason> {
        let state = self.state.clone();
        let mut changed = pin!(state.changed.notified());
        let mut work = pin!(work);
        poll_fn(|cx| {
            // A turn that was notified late, a grant, or the eviction; until none is left, so that
            // the next one wakes this task.
            while changed.as_mut().poll(cx).is_ready() {
                changed.set(state.changed.notified());
            }
            loop {
                if self.is_evicted() {
                    return Poll::Ready(Err(CloseReason::HandshakeGaveWay));
                }
                if let Poll::Ready(done) = work.as_mut().poll(cx) {
                    return Poll::Ready(Ok(done));
                }
                if !self.allowance.is_exhausted() || !self.extend() {
                    break;
                }
            }
            if self.is_evicted() {
                return Poll::Ready(Err(CloseReason::HandshakeGaveWay));
            }
            Poll::Pending
        })
        .await
    }

    /// Ends the client's part of the handshake: gives the slot back, unless the client holds so
    /// much of the shared budget that it has to be counted on.
    #[must_use]
    pub fn settle(self) -> Option<Self> {
        (self.held > 0).then_some(self)
    }

    /// Gives the slot back before the client of an evicted one is answered. Of what is more than
    /// each may hold anyway only the beginning is kept, which says what the client speaks.
    pub fn surrender<S>(self, client: &mut Buffered<S>) {
        if client.ahead().len() > FREE {
            client.truncate(BEGINNING);
        }
        client.lift_allowance();
    }

    fn is_evicted(&self) -> bool {
        self.state.stage.load(Ordering::Acquire) == EVICTED
    }

    /// Takes another step of the shared budget; false while there is none.
    fn extend(&mut self) -> bool {
        if self.held == self.requested {
            self.requested += STEP;
            let mut table = self.handshakes.table();
            let decisions = table.request(self.source, self.id, self.requested);
            drop(table);
            notify(decisions);
        }
        if self.state.granted.load(Ordering::Acquire) < self.requested {
            return false;
        }
        self.held = self.requested;
        self.allowance.grant(FREE + self.held);
        true
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let decisions = self.handshakes.table().leave(self.source, self.id);
        notify(decisions);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

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

    fn bound(slot: &Slot, stream: DuplexStream) -> Buffered<DuplexStream> {
        let mut client = Buffered::new(stream);
        slot.bind(&mut client);
        client
    }

    /// Reads `n` bytes of a hello, as the handshake does.
    async fn read(client: &mut Buffered<DuplexStream>, n: usize) {
        while client.ahead().len() < n {
            assert_ne!(client.fill().await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn a_client_that_sends_much_holds_a_part_of_the_budget() {
        let handshakes = Arc::new(Handshakes::default());
        let enter = |ip: &str| handshakes.enter(ip.parse().unwrap(), &limits(2, 2));
        let sent = vec![0; FREE + 2 * BUDGET + 1];
        let stream = |slot: &Slot| {
            let (near, far) = duplex(sent.len());
            (bound(slot, near), far)
        };
        let mut little = enter("192.0.2.1").unwrap();
        let mut much = enter("192.0.2.2").unwrap();
        let ((mut client, mut far), (mut other, mut other_far)) = (stream(&little), stream(&much));
        far.write_all(&sent).await.unwrap();
        other_far.write_all(&sent).await.unwrap();
        little.during(read(&mut client, FREE)).await.unwrap();
        assert_eq!(client.ahead().len(), FREE, "more than it may hold");
        much.during(read(&mut other, FREE + BUDGET)).await.unwrap();
        assert_eq!(other.ahead().len(), FREE + BUDGET);
        assert!(little.settle().is_none(), "its slot is given back");
        let mut much = much.settle().expect("a slot that is still counted");
        let lost = much.during(read(&mut other, sent.len())).await;
        assert_eq!(lost, Err(CloseReason::HandshakeGaveWay));
        assert_eq!(other.ahead().len(), FREE + 2 * BUDGET);
    }

    #[tokio::test]
    async fn nothing_is_read_while_the_evicted_hold_the_budget() {
        let handshakes = Arc::new(Handshakes::default());
        let enter = |ip: &str| handshakes.enter(ip.parse().unwrap(), &limits(2, 2));
        let mut first = enter("192.0.2.1").unwrap();
        let mut second = enter("192.0.2.2").unwrap();
        let (near, mut far) = duplex(64 * 1024);
        let (mut client, sent) = (bound(&first, near), FREE + 2 * BUDGET);
        far.write_all(&vec![0; sent]).await.unwrap();
        first.during(read(&mut client, sent)).await.unwrap();
        let (near, mut far) = duplex(64 * 1024);
        let mut other = bound(&second, near);
        far.write_all(&vec![0; sent]).await.unwrap();
        {
            let mut reading = pin!(second.during(read(&mut other, FREE + STEP)));
            let pending = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending())).await;
            assert!(pending, "the budget is used up");
            let lost = first.during(std::future::pending::<()>()).await;
            assert_eq!(lost, Err(CloseReason::HandshakeGaveWay));
            let pending = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending())).await;
            assert!(pending, "the evicted client's bytes are still there");
            first.surrender(&mut client);
            assert_eq!(client.ahead().len(), BEGINNING);
            reading.await.unwrap();
        }
        assert_eq!(other.ahead().len(), FREE + STEP);
    }
}
