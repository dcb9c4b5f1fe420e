//! Cached look-ups of the names of backends, so that a resolver which does not answer delays only
//! the names that it is asked for.
//!
//! - Each name has at most one query at a time, shared by all sessions that wait for it. Queries
//!   run on at most `MAX_THREADS` threads; further ones wait. The callers set the deadline.
//! - An answer is fresh for `CacheTimes::fresh`. While the resolver is silent, or cannot tell
//!   now, the last answer is used up to an age of `CacheTimes::stale` (RFC 8767). A name that the
//!   resolver says does not exist is forgotten at once.

mod cache;
mod system;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use cache::{Addresses, Answer, CacheTimes, Entry};
pub use system::LookupError;

use crate::tls::ServerName;

/// Most queries at the same time.
const MAX_THREADS: usize = 64;

/// Number of names above which those that are no longer asked for are dropped.
const PRUNE_ABOVE: usize = 1024;

/// The resolver of this process.
static SYSTEM: LazyLock<Arc<Resolver>> = LazyLock::new(|| {
    let times = CacheTimes {
        fresh: Duration::from_secs(5),
        failed: Duration::from_secs(1),
        silent: Duration::from_millis(500),
        stale: Duration::from_secs(3600),
    };
    Resolver::new(times, Box::new(system::getaddrinfo))
});

/// Returns the addresses of a name for one session, in the order in which to try them; at least
/// one.
///
/// # Errors
/// The name has no address, or the resolver does not answer.
pub async fn lookup(name: &ServerName, port: u16) -> Result<Vec<SocketAddr>, LookupError> {
    let addresses = SYSTEM.lookup(name.as_ref()).await?;
    Ok(addresses.next(port))
}

/// Makes the cached addresses of a name stale, since none of them accepted a connection.
pub fn mark_stale(name: &ServerName) {
    SYSTEM.mark_stale(name.as_ref());
}

type QueryFn = Box<dyn Fn(&str) -> Result<Box<[IpAddr]>, LookupError> + Send + Sync>;

struct Resolver {
    times: CacheTimes,
    query: QueryFn,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: HashMap<Box<str>, Name>,
    /// Queries that no thread has taken yet.
    queue: VecDeque<(Box<str>, watch::Sender<Option<Answer>>)>,
    threads: usize,
}

#[derive(Default)]
struct Name {
    entry: Entry,
    query: Option<Query>,
}

/// A query that has no answer yet.
#[derive(Clone)]
struct Query {
    since: Instant,
    answer: watch::Receiver<Option<Answer>>,
}

/// A query to wait for, and a stale answer.
type Wait = (Query, Option<Arc<Addresses>>);

impl Resolver {
    fn new(times: CacheTimes, query: QueryFn) -> Arc<Self> {
        Arc::new(Self {
            times,
            query,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lookup(self: &Arc<Self>, name: &str) -> Answer {
        let (mut query, stale) = match self.begin(name) {
            Ok(answer) => return answer,
            Err(wait) => wait,
        };
        let answer = async {
            let answer = query.answer.wait_for(Option::is_some).await;
            // The sender is dropped without an answer only where there was no thread for it.
            answer.map_or(Err(LookupError::NoThread), |answer| {
                answer.clone().unwrap_or(Err(LookupError::NoThread))
            })
        };
        let Some(stale) = stale else {
            return answer.await;
        };
        match timeout_at(query.since + self.times.silent, answer).await {
            Ok(Err(LookupError::TryAgain | LookupError::NoThread)) | Err(_) => Ok(stale),
            Ok(answer) => answer,
        }
    }

    /// The cached answer, or else the query to wait for and a stale answer.
    fn begin(self: &Arc<Self>, name: &str) -> Result<Answer, Wait> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            state.names.insert(name.into(), Name::default());
        }
        let Some(cached) = state.names.get_mut(name) else {
            return Ok(Err(LookupError::Unknown));
        };
        if let Some(fresh) = cached.entry.fresh(self.times) {
            return Ok(Ok(fresh));
        }
        let older = cached.entry.stale(self.times);
        if let Some(query) = &cached.query {
            return Err((query.clone(), older));
        }
        if let Some(error) = cached.entry.failed(self.times) {
            return Ok(older.ok_or(error));
        }
        let (sender, answer) = watch::channel(None);
        let query = Query {
            since: Instant::now(),
            answer,
        };
        cached.query = Some(query.clone());
        state.queue.push_back((name.into(), sender));
        self.start_thread(&mut state);
        Err((query, older))
    }

    /// Starts a thread for the queue, unless there are enough.
    fn start_thread(self: &Arc<Self>, state: &mut State) {
        if state.threads >= MAX_THREADS {
            return;
        }
        let this = self.clone();
        let spawned = thread::Builder::new()
            .name("resolve".into())
            .spawn(move || this.run_queries());
        match spawned {
            Ok(_) => state.threads += 1,
            // One that runs already takes the query.
            Err(_) if state.threads > 0 => {}
            Err(_) => {
                state.queue.clear();
                for name in state.names.values_mut() {
                    name.query = None;
                }
            }
        }
    }

    /// Runs queries until the queue is empty.
    fn run_queries(&self) {
        loop {
            let (name, sender) = {
                let mut state = self.state();
                let Some(queued) = state.queue.pop_front() else {
                    state.threads -= 1;
                    return;
                };
                queued
            };
            let answer = (self.query)(&name).map(Addresses::new);
            self.store(&name, &answer);
            // The sessions that waited may be gone.
            let _ = sender.send(Some(answer));
        }
    }

    fn store(&self, name: &str, answer: &Answer) {
        let mut state = self.state();
        if let Some(name) = state.names.get_mut(name) {
            name.query = None;
            name.entry.store(answer);
        }
        if state.names.len() > PRUNE_ABOVE && state.names.len() == state.names.capacity() {
            let times = self.times;
            let is_wanted = |name: &Name| name.query.is_some() || name.entry.stale(times).is_some();
            state.names.retain(|_, name| is_wanted(name));
        }
    }

    fn mark_stale(&self, name: &str) {
        if let Some(name) = self.state().names.get_mut(name) {
            name.entry.mark_stale();
        }
    }
}

#[cfg(test)]
mod tests;
