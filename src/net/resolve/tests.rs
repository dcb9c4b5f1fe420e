//! The cache and its threads, with queries that the test answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

const NEVER: Duration = Duration::ZERO;
const ALWAYS: Duration = Duration::from_secs(3600);

type Found = Result<Box<[IpAddr]>, LookupError>;

fn address(last: u8) -> Box<[IpAddr]> {
    Box::new([IpAddr::from([127, 0, 0, last])])
}

/// The addresses that a session gets.
async fn found(resolver: &Arc<Resolver>, name: &str) -> Found {
    let addresses = resolver.lookup(name).await?;
    Ok(addresses.next(0).iter().map(SocketAddr::ip).collect())
}

/// A resolver that answers by what the test sends, and nothing before; it counts the look-ups
/// of `slow.example` and answers any other name at once.
fn resolver(times: CacheTimes) -> (Arc<Resolver>, mpsc::Sender<Found>, Arc<AtomicUsize>) {
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
        waiting.spawn(async move { found(&resolver, "slow.example").await });
    }
    tokio::task::yield_now().await;
    assert_eq!(found(&resolver, "quick.example").await, Ok(address(9)));
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
    assert_eq!(found(&resolver, "slow.example").await, Ok(address(1)));
    // Asked again, and silent.
    assert_eq!(found(&resolver, "slow.example").await, Ok(address(1)));
    drop(answers);
    // It cannot tell: that is no news.
    assert_eq!(found(&resolver, "slow.example").await, Ok(address(1)));
}

#[tokio::test]
async fn addresses_at_which_nobody_answered_are_asked_for_anew() {
    let (resolver, answers, asked) = resolver(times(ALWAYS, ALWAYS, ALWAYS));
    for (last, asked_by_then) in [(1, 1), (1, 1), (2, 2)] {
        if asked_by_then > asked.load(Ordering::SeqCst) {
            answers.send(Ok(address(last))).unwrap();
            resolver.mark_stale("slow.example");
        }
        let answer = found(&resolver, "slow.example").await;
        assert_eq!(answer, Ok(address(last)));
        assert_eq!(asked.load(Ordering::SeqCst), asked_by_then);
    }
    // Silent from here on.
    drop(answers);
    resolver.mark_stale("slow.example");
    assert_eq!(found(&resolver, "slow.example").await, Ok(address(2)));
}

#[tokio::test]
async fn a_name_that_is_gone_is_forgotten() {
    let (resolver, answers, _) = resolver(times(NEVER, ALWAYS, ALWAYS));
    for answer in [Ok(address(1)), Ok(address(2)), Err(LookupError::Unknown)] {
        answers.send(answer.clone()).unwrap();
        assert_eq!(found(&resolver, "slow.example").await, answer);
    }
    drop(answers);
    assert_eq!(
        found(&resolver, "slow.example").await,
        Err(LookupError::TryAgain)
    );
}

#[tokio::test]
async fn an_answer_too_old_is_not_used() {
    let (resolver, answers, _) = resolver(times(NEVER, NEVER, NEVER));
    answers.send(Ok(address(1))).unwrap();
    assert_eq!(found(&resolver, "slow.example").await, Ok(address(1)));
    drop(answers);
    let second = found(&resolver, "slow.example").await;
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
        waiting.spawn(async move { found(&resolver, &format!("n{i}.example")).await });
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
