//! Counts of system calls, by strace: how many of each a program makes for one connection, one round
//! trip, or one MB.
//!
//! Under strace a program is many times slower, so nothing is timed here, and calls that depend on
//! timing (`epoll_wait`, reads that find nothing) differ from an undisturbed run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::experiment::{Experiment, Ground, Work, as_float};
use crate::load::{self, CONNECTIONS};
use crate::peer::{Peer, Running, mortal};
use crate::report::figure;

/// Visits that are counted.
const VISITS: usize = 400;

/// Messages that are counted, over each connection.
const TRIPS: usize = 100;

/// MB that are counted, over each connection.
const MEGABYTES: usize = 20;

/// Most time for strace to attach.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Calls by name.
type Counts = BTreeMap<String, f64>;

/// Prints a table for each experiment that can be counted.
///
/// # Errors
/// A program does not come up, or strace does not work.
pub(crate) fn print(experiments: &[Experiment], peers: &[Peer], ground: &Ground) -> Result<()> {
    for experiment in experiments {
        let Some((what, _)) = unit(experiment.work) else {
            continue;
        };
        let mut columns = Vec::new();
        for peer in peers.iter().filter(|p| experiment.suits(p)) {
            let counts = count(*experiment, peer, ground)
                .with_context(|| format!("{experiment}, {}", peer.name))?;
            columns.push((&peer.name, counts));
        }
        println!(
            "\n| {experiment}: calls a {what} | {} |",
            join(columns.iter().map(|c| c.0.clone()))
        );
        println!("|---|{}", "---:|".repeat(columns.len()));
        let names: BTreeSet<&String> = columns.iter().flat_map(|(_, c)| c.keys()).collect();
        for name in names {
            let cells = columns
                .iter()
                .map(|(_, c)| c.get(name).map_or(String::new(), |n| figure(*n, "")));
            println!("| {name} | {} |", join(cells));
        }
        let sums = columns.iter().map(|(_, c)| figure(c.values().sum(), ""));
        println!("| all | {} |", join(sums));
    }
    Ok(())
}

fn join(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(" | ")
}

/// System calls of some work, and the number of its units.
fn unit(work: Work) -> Option<(&'static str, usize)> {
    match work {
        Work::Visits | Work::Logins(_) => Some(("connection", VISITS)),
        Work::Trips => Some(("round trip", TRIPS * CONNECTIONS)),
        Work::Bulk(_) => Some(("MB", MEGABYTES * CONNECTIONS)),
        Work::Idle | Work::Databases(_) | Work::Expose(_) => None,
    }
}

fn count(experiment: Experiment, peer: &Peer, ground: &Ground) -> Result<Counts> {
    let (running, target) = experiment.start(peer, ground)?;
    target.visits(100)?;
    let mut open = Vec::new();
    if matches!(experiment.work, Work::Trips | Work::Bulk(_)) {
        open = target.connections()?;
    }
    match experiment.work {
        Work::Trips => open.iter_mut().try_for_each(|c| {
            c.start_echo()?;
            c.round_trip(0)
        })?,
        Work::Bulk(direction) => load::bulk(&mut open, direction, 1_000_000)?,
        _ => {}
    }
    running.family.settled_cpu()?;
    let begun = Instant::now();
    let busy = traced(&running, || match experiment.work {
        Work::Trips => load::trips(&mut open, TRIPS).map(|_| ()),
        Work::Bulk(direction) => load::bulk(&mut open, direction, MEGABYTES as u64 * 1_000_000),
        _ => target.visits(VISITS),
    })?;
    let took = begun.elapsed();
    ensure!(!busy.is_empty(), "strace counted nothing");
    let idle = traced(&running, || {
        thread::sleep(took);
        Ok(())
    })?;
    let (_, units) = unit(experiment.work).context("nothing to count")?;
    let per_unit = busy.into_iter().map(|(name, calls)| {
        let calls = (calls - idle.get(&name).copied().unwrap_or(0.0)).max(0.0);
        (name, calls / as_float(units))
    });
    // What is left of less than one call in a hundred has another reason.
    Ok(per_unit.filter(|(_, calls)| *calls >= 0.005).collect())
}

/// The calls that a program makes while something goes on, until it is idle again.
fn traced(running: &Running, work: impl FnOnce() -> Result<()>) -> Result<Counts> {
    let file = running.folder.path().join("calls");
    let members = running.family.members();
    let mut command = mortal("TERM", Path::new("strace"));
    command
        .args(["-f", "-c", "-U", "calls,name", "-o"])
        .arg(&file);
    for pid in &members {
        command.args(["-p", &pid.to_string()]);
    }
    let mut strace = quiet(&mut command)?;
    let deadline = Instant::now() + TIMEOUT;
    while !members.iter().all(|pid| is_traced(*pid)) {
        if strace.try_wait()?.is_some() || Instant::now() > deadline {
            bail!("strace cannot attach (is it installed, and allowed to?)");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let worked = work().and_then(|()| running.family.settled_cpu());
    kill_process(Pid::from_child(&strace), Signal::INT)?;
    strace.wait()?;
    worked?;
    let text = fs::read_to_string(&file).context("what strace counted")?;
    Ok(text.lines().filter_map(line).collect())
}

fn quiet(command: &mut Command) -> Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().context("cannot start strace")
}

fn line(text: &str) -> Option<(String, f64)> {
    let mut words = text.split_whitespace();
    let calls = words.next()?.parse().ok()?;
    let name = words.next()?;
    (name != "total").then(|| (name.to_owned(), calls))
}

/// Returns whether all its threads are.
fn is_traced(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    tasks.flatten().all(|task| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().any(|l| {
            l.strip_prefix("TracerPid:")
                .is_some_and(|n| n.trim() != "0")
        })
    })
}
