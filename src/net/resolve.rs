//! Looking up names of backends as the system does (`getaddrinfo`: hosts file, search domains,
//! mDNS, LDAP), so that a resolver which does not answer costs no more than the names it is asked.
//!
//! - At most one look-up at a time for each name, shared by all who wait for it, each on a thread
//!   of `MAX_THREADS`; what is beyond waits its turn. The callers set the deadline.
//! - An answer is good for `CacheTimes::fresh`. While the resolver is silent, or says that it cannot
//!   tell now, the last one serves until it is `CacheTimes::stale` old (RFC 8767); a name of which it
//!   says that there is none is forgotten at once.
//!
//! A DNS library of our own choice would know TTLs and need no threads, and would not see what
//! the system's resolver sees: that is what operators test with `getent hosts`.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::tls::ServerName;

/// Look-ups that run at the same time at most.
const MAX_THREADS: usize = 64;

/// Names that are remembered before those that nobody asks for any more are looked for.
const PRUNE_ABOVE: usize = 1024;

/// The resolver of this process.
static SYSTEM: LazyLock<Arc<Resolver>> = LazyLock::new(|| {
    let times = CacheTimes {
        fresh: Duration::from_secs(5),
        failed: Duration::from_secs(1),
        silent: Duration::from_millis(500),
        stale: Duration::from_secs(3600),
    };
    Resolver::new(times, Box::new(getaddrinfo))
});

/// The addresses of a name, in the order in which the system wants them tried; at least one.
///
/// # Errors
/// Why there are none.
pub async fn lookup(name: &ServerName) -> Result<Arc<[IpAddr]>, LookupError> {
    SYSTEM.lookup(name.as_ref()).await
}

/// Looks a name up anew next time: nobody answered at its addresses. They serve on where the
/// resolver is silent.
pub fn mark_stale(name: &ServerName) {
    SYSTEM.mark_stale(name.as_ref());
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LookupError {
    /// The resolver says so.
    #[error("there is no such name, or it has no address")]
    Unknown,
    /// The resolver was asked in vain.
    #[error("the resolver does not answer, or cannot tell now")]
    TryAgain,
    /// The system gives this process no further thread.
    #[error("the system has no thread left for the look-up")]
    NoThread,
}

/// How long what is known of a name is used.
#[derive(Clone, Copy, Debug)]
struct CacheTimes {
    /// An answer is used without asking again.
    fresh: Duration,
    /// A failure is.
    failed: Duration,
    /// A resolver that takes longer counts as silent, where there is an older answer.
    silent: Duration,
    /// The oldest answer that is used while the resolver is silent.
    stale: Duration,
}

type Answer = Result<Arc<[IpAddr]>, LookupError>;

type QueryFn = Box<dyn Fn(&str) -> Answer + Send + Sync>;

struct Resolver {
    times: CacheTimes,
    ask: QueryFn,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: HashMap<Box<str>, Entry>,
    /// Look-ups that no thread has taken up yet.
    queue: VecDeque<(Box<str>, watch::Sender<Option<Answer>>)>,
    threads: usize,
}

/// What is known of a name.
#[derive(Default)]
struct Entry {
    addresses: Option<(Instant, Arc<[IpAddr]>)>,
    marked_stale: bool,
    failed: Option<(Instant, LookupError)>,
    query: Option<Query>,
}

/// A look-up that has no answer yet.
#[derive(Clone)]
struct Query {
    since: Instant,
    answer: watch::Receiver<Option<Answer>>,
}

/// A look-up to wait for, and an older answer.
type Wait = (Query, Option<Arc<[IpAddr]>>);

impl Entry {
    /// The addresses that were learnt less than `age` ago.
    fn younger(&self, age: Duration) -> Option<Arc<[IpAddr]>> {
        let (at, addresses) = self.addresses.as_ref()?;
        (at.elapsed() < age).then(|| addresses.clone())
    }
}

impl Resolver {
    fn new(times: CacheTimes, ask: QueryFn) -> Arc<Self> {
        Arc::new(Self {
            times,
            ask,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lookup(self: &Arc<Self>, name: &str) -> Answer {
        let (mut query, stale) = match self.begin(name) {
            Ok(answer) => return answer,
            Err(begun) => begun,
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

    /// What is known already, or else the look-up to wait for and an older answer.
    fn begin(self: &Arc<Self>, name: &str) -> Result<Answer, Wait> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            state.names.insert(name.into(), Entry::default());
        }
        let Some(entry) = state.names.get_mut(name) else {
            return Ok(Err(LookupError::Unknown));
        };
        if let Some(fresh) = entry.younger(self.times.fresh)
            && !entry.marked_stale
        {
            return Ok(Ok(fresh));
        }
        let older = entry.younger(self.times.stale);
        if let Some(query) = &entry.query {
            return Err((query.clone(), older));
        }
        if let Some((at, error)) = entry.failed
            && at.elapsed() < self.times.failed
        {
            return Ok(older.ok_or(error));
        }
        let (sender, answer) = watch::channel(None);
        let query = Query {
            since: Instant::now(),
            answer,
        };
        entry.query = Some(query.clone());
        state.queue.push_back((name.into(), sender));
        if state.threads < MAX_THREADS {
            let this = self.clone();
            let spawned = thread::Builder::new()
                .name("resolve".into())
                .spawn(move || this.run_queries());
            match spawned {
                Ok(_) => state.threads += 1,
                // One that runs already takes it up; if there is none, nobody would.
                Err(_) if state.threads > 0 => {}
                Err(_) => {
                    state.queue.clear();
                    for entry in state.names.values_mut() {
                        entry.query = None;
                    }
                }
            }
        }
        Err((query, older))
    }

    /// Does what is queued, then ends.
    fn run_queries(&self) {
        loop {
            let (name, sender) = {
                let mut state = self.state();
                let Some(job) = state.queue.pop_front() else {
                    state.threads -= 1;
                    return;
                };
                job
            };
            let answer = (self.ask)(&name);
            self.store(&name, &answer);
            // Nobody may wait any more.
            let _ = sender.send(Some(answer));
        }
    }

    fn store(&self, name: &str, answer: &Answer) {
        let mut state = self.state();
        if let Some(entry) = state.names.get_mut(name) {
            entry.query = None;
            let now = Instant::now();
            match answer {
                Ok(addresses) => {
                    entry.addresses = Some((now, addresses.clone()));
                    entry.marked_stale = false;
                    entry.failed = None;
                }
                Err(error) => {
                    entry.failed = Some((now, *error));
                    if *error == LookupError::Unknown {
                        entry.addresses = None;
                    }
                }
            }
        }
        if state.names.len() > PRUNE_ABOVE && state.names.len() == state.names.capacity() {
            let age = self.times.stale;
            let wanted = |entry: &Entry| entry.query.is_some() || entry.younger(age).is_some();
            state.names.retain(|_, entry| wanted(entry));
        }
    }

    fn mark_stale(&self, name: &str) {
        if let Some(entry) = self.state().names.get_mut(name) {
            entry.marked_stale = true;
        }
    }
}

/// Asks the system; blocks for as long as that takes, with a silent resolver some ten seconds for
/// each server.
fn getaddrinfo(name: &str) -> Answer {
    match (name, 0).to_socket_addrs() {
        Ok(found) => {
            let addresses: Arc<[IpAddr]> = found.map(|found| found.ip()).collect();
            if addresses.is_empty() {
                return Err(LookupError::Unknown);
            }
            Ok(addresses)
        }
        Err(error) => Err(classify(&error.to_string())),
    }
}

/// Whether this is the end of it. The standard library keeps the code (`EAI_AGAIN`, `EAI_NONAME`)
/// to itself and gives the words of the C library: of glibc, musl and macOS here.
fn classify(words: &str) -> LookupError {
    let unknown = [
        "Name or service not entry",
        "No address associated with hostname",
        "Name does not resolve",
        "Name has no usable address",
        "nodename nor servname provided",
    ];
    if unknown.iter().any(|unknown| words.contains(unknown)) {
        LookupError::Unknown
    } else {
        LookupError::TryAgain
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const NEVER: Duration = Duration::ZERO;
    const ALWAYS: Duration = Duration::from_secs(3600);

    fn address(last: u8) -> Arc<[IpAddr]> {
        Arc::new([IpAddr::from([127, 0, 0, last])])
    }

    /// A resolver that answers by what the test sends, and nothing before; it counts the look-ups
    /// of `slow.example` and answers any other name at once.
    fn resolver(times: CacheTimes) -> (Arc<Resolver>, mpsc::Sender<Answer>, Arc<AtomicUsize>) {
        let (sender, answers) = mpsc::channel();
        let answers = Mutex::new(answers);
        let asked = Arc::<AtomicUsize>::default();
        let count = asked.clone();
        let ask = move |name: &str| {
            if name != "slow.example" {
                return Ok(address(9));
            }
            count.fetch_add(1, Ordering::SeqCst);
            answers
                .lock()
                .unwrap()
                .recv()
                .unwrap_or(Err(LookupError::TryAgain))
        };
        (Resolver::new(times, Box::new(ask)), sender, asked)
    }

    fn times(fresh: Duration, silent: Duration, stale: Duration) -> CacheTimes {
        CacheTimes {
            fresh,
            failed: NEVER,
            silent,
            stale,
        }
    }

    #[tokio::test]
    async fn all_who_wait_share_one_lookup_and_other_names_do_not_wait() {
        let (resolver, answers, asked) = resolver(times(ALWAYS, NEVER, NEVER));
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let resolver = resolver.clone();
            waiting.spawn(async move { resolver.lookup("slow.example").await });
        }
        tokio::task::yield_now().await;
        assert_eq!(resolver.lookup("quick.example").await, Ok(address(9)));
        assert!(resolver.state().threads <= 2);
        answers.send(Ok(address(1))).unwrap();
        while let Some(answer) = waiting.join_next().await {
            assert_eq!(answer.unwrap(), Ok(address(1)));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_older_answer_serves_while_the_resolver_is_silent() {
        let (resolver, answers, _) = resolver(times(NEVER, NEVER, ALWAYS));
        answers.send(Ok(address(1))).unwrap();
        assert_eq!(resolver.lookup("slow.example").await, Ok(address(1)));
        // Asked again, and silent.
        assert_eq!(resolver.lookup("slow.example").await, Ok(address(1)));
        drop(answers);
        // It cannot tell: that is no news.
        assert_eq!(resolver.lookup("slow.example").await, Ok(address(1)));
    }

    #[tokio::test]
    async fn addresses_at_which_nobody_answered_are_asked_for_anew() {
        let (resolver, answers, asked) = resolver(times(ALWAYS, ALWAYS, ALWAYS));
        for (last, asked_by_then) in [(1, 1), (1, 1), (2, 2)] {
            if asked_by_then > asked.load(Ordering::SeqCst) {
                answers.send(Ok(address(last))).unwrap();
                resolver.mark_stale("slow.example");
            }
            let found = resolver.lookup("slow.example").await;
            assert_eq!(found, Ok(address(last)));
            assert_eq!(asked.load(Ordering::SeqCst), asked_by_then);
        }
        // Silent from here on.
        drop(answers);
        resolver.mark_stale("slow.example");
        assert_eq!(resolver.lookup("slow.example").await, Ok(address(2)));
    }

    #[tokio::test]
    async fn a_name_that_is_gone_is_forgotten() {
        let (resolver, answers, _) = resolver(times(NEVER, ALWAYS, ALWAYS));
        for answer in [Ok(address(1)), Ok(address(2)), Err(LookupError::Unknown)] {
            answers.send(answer.clone()).unwrap();
            assert_eq!(resolver.lookup("slow.example").await, answer);
        }
        drop(answers);
        assert_eq!(
            resolver.lookup("slow.example").await,
            Err(LookupError::TryAgain)
        );
    }

    #[tokio::test]
    async fn an_answer_too_old_is_not_used() {
        let (resolver, answers, _) = resolver(times(NEVER, NEVER, NEVER));
        answers.send(Ok(address(1))).unwrap();
        assert_eq!(resolver.lookup("slow.example").await, Ok(address(1)));
        drop(answers);
        let second = resolver.lookup("slow.example").await;
        assert_eq!(second, Err(LookupError::TryAgain));
    }

    #[tokio::test]
    async fn many_silent_names_take_a_bounded_number_of_threads() {
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let ask = move |_: &str| {
            // Ends when the test drops the other side.
            let _ = held.lock().unwrap().recv();
            Ok(address(1))
        };
        let resolver = Resolver::new(times(ALWAYS, NEVER, NEVER), Box::new(ask));
        let mut waiting = tokio::task::JoinSet::new();
        for i in 0..10 * MAX_THREADS {
            let resolver = resolver.clone();
            waiting.spawn(async move { resolver.lookup(&format!("n{i}.example")).await });
        }
        while resolver.state().names.len() < 10 * MAX_THREADS {
            tokio::task::yield_now().await;
        }
        assert_eq!(resolver.state().threads, MAX_THREADS);
        drop(release);
        while let Some(answer) = waiting.join_next().await {
            assert_eq!(answer.unwrap(), Ok(address(1)));
        }
    }

    #[tokio::test]
    async fn the_system_is_asked() {
        let name = ServerName::parse("localhost").unwrap();
        let found = lookup(&name).await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    }

    #[test]
    fn only_a_definite_no_is_one() {
        let words = "failed to lookup address information: Name or service not entry";
        assert_eq!(classify(words), LookupError::Unknown);
        let words = "failed to lookup address information: Temporary failure in name resolution";
        assert_eq!(classify(words), LookupError::TryAgain);
    }
}
