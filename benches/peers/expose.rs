//! Exposing one database of a gateway that has many: the time to the answer, and how
//! long running sessions are held up meanwhile.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dbgate::control::client::Client;
use serde_json::json;

use crate::certs::DOMAIN;
use crate::experiment::{Sample, micros};
use crate::load::{self, Target};
use crate::peer::Running;

/// From when to when.
type Window = (Instant, Instant);

/// Databases that are exposed, one after the other.
const EXPOSES: usize = 30;

/// From an answer to the next one.
const PAUSE: Duration = Duration::from_millis(100);

/// Time after its answer in which a change can still be felt: what it replaced is freed then.
const AFTERMATH: Duration = Duration::from_millis(30);

/// Pause of each session before its next message: the machine must have time left, or the longest
/// wait tells only of its scheduler.
const THINK: Duration = Duration::from_micros(500);

/// One sample: milliseconds of an answer, microseconds of the longest wait of a session.
///
/// # Errors
/// The gateway refuses, or sessions break.
pub(crate) fn sample(running: &Running, target: &Target, backend: SocketAddr) -> Result<Sample> {
    target.visits(100)?;
    let mut open = target.connections()?;
    // One for each worker, more or less; more would wait for each other.
    open.truncate(4);
    for connection in &mut open {
        connection.start_echo()?;
    }
    let mut control = Client::connect(&running.control()).context("the control socket")?;
    let stop = AtomicBool::new(false);
    let (exposes, trips) = thread::scope(|scope| {
        let sessions = scope.spawn(|| load::paced(&mut open, THINK, &stop));
        let exposes = expose(&mut control, backend);
        stop.store(true, Ordering::Relaxed);
        let trips = sessions
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        anyhow::Ok((exposes?, trips?))
    })?;

    // The last one is there.
    let last = format!("new{}.{DOMAIN}", EXPOSES - 1);
    target.client.visit(target.addr, &last, target.opening)?;
    let longest = |windows: &dyn Fn(&Window) -> Window| {
        let during = |trip: &(Instant, Duration)| {
            exposes
                .iter()
                .map(windows)
                .any(|(from, to)| trip.0 < to && trip.0 + trip.1 > from)
        };
        trips
            .iter()
            .filter(|trip| during(trip))
            .map(|trip| trip.1)
            .max()
            .map(micros)
    };
    let stall = longest(&|(from, to)| (*from, *to + AFTERMATH));
    // As long, later: nothing happens then.
    let calm = longest(&|(_, to)| (*to + PAUSE / 2, *to + PAUSE / 2 + AFTERMATH));
    let mut times: Vec<_> = exposes
        .iter()
        .map(|(from, to)| micros(*to - *from) / 1000.0)
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    ensure!(times.len() == EXPOSES, "{} were exposed", times.len());
    Ok(Sample::from([
        ("expose_ms", times[EXPOSES / 2]),
        ("expose_worst_ms", times[EXPOSES - 1]),
        (
            "stall_us",
            stall.context("no message while a database was exposed")?,
        ),
        (
            "calm_us",
            calm.context("no message while nothing happened")?,
        ),
    ]))
}

/// The times at which each began and was answered.
fn expose(control: &mut Client, backend: SocketAddr) -> Result<Vec<Window>> {
    let mut windows = Vec::new();
    // Warm, like everything here.
    for number in 0..=EXPOSES {
        let name = number
            .checked_sub(1)
            .map_or("warm".to_owned(), |number| format!("new{number}"));
        let params = json!({
            "name": name,
            "hosts": [format!("{name}.{DOMAIN}")],
            "to": [backend.to_string()],
            "protocol": "tls",
        });
        thread::sleep(PAUSE);
        let begun = Instant::now();
        control.send("expose", &params).context("expose")?;
        if number > 0 {
            windows.push((begun, Instant::now()));
        }
    }
    Ok(windows)
}
