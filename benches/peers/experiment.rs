//! The experiments: each starts a program afresh, warms it up, does one thing to it, and tells what
//! that cost.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use dbgate::route::Origin;

use crate::certs::Certs;
use crate::client::{Client, Connection, Opening};
use crate::config::{Mode, Setup};
use crate::load::{self, CONNECTIONS, Direction, Target};
use crate::peer::{Kind, Peer, Running};

/// Visits of one sample.
pub(crate) const VISITS: usize = 2_000;

/// Bytes of one sample, all connections together.
pub(crate) const BYTES: u64 = 1_000_000_000;

/// Messages of one sample over each connection.
pub(crate) const TRIPS: usize = 2_500;

/// Idle sessions of one sample.
pub(crate) const IDLE: usize = 2_000;

/// Databases where their number does not matter.
pub(crate) const FEW: usize = 10;

/// Databases where it does.
pub(crate) const MANY: usize = 100_000;

/// Results by the name of the measure.
pub(crate) type Sample = BTreeMap<&'static str, f64>;

/// The setting that all experiments share.
pub(crate) struct Ground {
    pub(crate) certs: Certs,
    pub(crate) client: Client,
    pub(crate) backend: SocketAddr,
    pub(crate) workers: usize,
}

/// One kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Whole short lives of connections.
    Visits,
    /// A GB.
    Bulk(Direction),
    /// Messages of 64 bytes there and back.
    Trips,
    /// Sessions that stay silent.
    Idle,
    /// Logins to Postgres, with TLS from the first byte or after an SSLRequest.
    Logins(Opening),
    /// Start, memory and short lives with so many databases.
    Databases(usize),
    /// Exposing databases while sessions run, beside many of the configuration or of `ctl`.
    Expose(Origin),
}

/// One kind of work in one TLS mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Experiment {
    pub(crate) mode: Mode,
    pub(crate) work: Work,
}

impl fmt::Display for Experiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.mode)?;
        match self.work {
            Work::Visits => f.write_str("connections"),
            Work::Bulk(Direction::Down) => f.write_str("down"),
            Work::Bulk(Direction::Up) => f.write_str("up"),
            Work::Trips => f.write_str("trips"),
            Work::Idle => f.write_str("idle"),
            Work::Logins(Opening::PostgresRequest) => f.write_str("postgres-sslrequest"),
            Work::Logins(_) => f.write_str("postgres-direct"),
            Work::Databases(count) => write!(f, "databases-{count}"),
            Work::Expose(Origin::Config) => f.write_str("expose"),
            Work::Expose(Origin::Runtime) => f.write_str("expose-beside-ctl"),
        }
    }
}

impl Experiment {
    /// All of them, in groups: a program does the experiments of one group right after each other,
    /// because they are held against each other.
    pub(crate) fn groups() -> Vec<Vec<Self>> {
        const MODES: [Mode; 2] = [Mode::Passthrough, Mode::Terminate];
        let both = |work| MODES.map(|mode| vec![Self { mode, work }]);
        let group = |works: &[Work], mode| {
            let of_mode = |&work| Self { mode, work };
            works.iter().map(of_mode).collect::<Vec<_>>()
        };
        let works = [
            Work::Visits,
            Work::Bulk(Direction::Down),
            Work::Bulk(Direction::Up),
            Work::Trips,
            Work::Idle,
        ];
        let mut groups: Vec<_> = works.into_iter().flat_map(both).collect();
        let bulk = [Direction::Down, Direction::Up].map(Work::Bulk);
        groups.push(group(&bulk, Mode::Reencrypt));
        let logins = [Opening::PostgresDirect, Opening::PostgresRequest].map(Work::Logins);
        groups.extend(MODES.map(|mode| group(&logins, mode)));
        let databases = [FEW, MANY].map(Work::Databases);
        groups.push(group(&databases, Mode::Passthrough));
        let exposes = [Origin::Config, Origin::Runtime].map(Work::Expose);
        groups.push(group(&exposes, Mode::Passthrough));
        groups
    }

    /// Returns whether a program can do it at all.
    pub(crate) fn suits(self, peer: &Peer) -> bool {
        match self.work {
            Work::Logins(_) | Work::Expose(_) => peer.kind == Kind::Dbgate,
            // It is told a backend's name once for all hosts.
            Work::Bulk(_) if self.mode == Mode::Reencrypt => peer.kind != Kind::Traefik,
            // A file of routes this large is none of its uses.
            Work::Databases(MANY) => peer.kind != Kind::Traefik,
            _ => true,
        }
    }

    pub(crate) fn setup(self, ground: &Ground) -> Setup {
        Setup {
            mode: self.mode,
            postgres: matches!(self.work, Work::Logins(_)),
            databases: match self.work {
                Work::Databases(count) => count,
                Work::Expose(_) => MANY,
                _ => FEW,
            },
            by_ctl: self.work == Work::Expose(Origin::Runtime),
            workers: ground.workers,
            backend: ground.backend,
        }
    }

    /// Starts the program for it; what comes to it.
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) fn start(self, peer: &Peer, ground: &Ground) -> Result<(Running, Target)> {
        let setup = self.setup(ground);
        let mut target = Target {
            client: ground.client.clone(),
            addr: ground.backend,
            databases: setup.databases,
            workers: setup.workers,
            opening: match self.work {
                Work::Logins(opening) => opening,
                _ => Opening::Tls,
            },
        };
        let first = target.clone();
        let visit = move |addr| {
            Target {
                addr,
                ..first.clone()
            }
            .visit(0)
        };
        let running = peer.start(&setup, &ground.certs, &visit)?;
        target.addr = running.addr;
        Ok((running, target))
    }

    /// One sample.
    ///
    /// # Errors
    /// The program does not do its work.
    pub(crate) fn sample(self, peer: &Peer, ground: &Ground) -> Result<Sample> {
        let (running, target) = self.start(peer, ground)?;
        match self.work {
            Work::Visits | Work::Logins(_) => visits(&running, &target),
            Work::Bulk(direction) => bulk(&running, &target, direction),
            Work::Trips => trips(&running, &target),
            Work::Idle => idle(&running, &target),
            Work::Databases(_) => databases(&running, &target),
            Work::Expose(_) => crate::expose::sample(&running, &target, ground.backend),
        }
    }
}

fn visits(running: &Running, target: &Target) -> Result<Sample> {
    target.visits(VISITS / 10)?;
    let cost = cost(running, || target.visits(VISITS))?;
    Ok(Sample::from([("cpu_us", micros(cost) / as_float(VISITS))]))
}

fn bulk(running: &Running, target: &Target, direction: Direction) -> Result<Sample> {
    let mut open = target.connections()?;
    let each = BYTES / CONNECTIONS as u64;
    load::bulk(&mut open, direction, each / 20)?;
    let before = running.family.threads()?;
    let cost = cost(running, || load::bulk(&mut open, direction, each))?;
    let after = running.family.threads()?;
    close(open)?;
    let used = |(tid, time): (&u32, &Duration)| {
        time.saturating_sub(*before.get(tid).unwrap_or(&Duration::ZERO))
    };
    let busiest = after.iter().map(used).max().unwrap_or_default();
    let even = cost.as_secs_f64() / as_float(target.workers);
    Ok(Sample::from([
        ("cpu_s", cost.as_secs_f64()),
        ("busiest", busiest.as_secs_f64() / even),
    ]))
}

fn trips(running: &Running, target: &Target) -> Result<Sample> {
    let mut open = target.connections()?;
    for connection in &mut open {
        connection.start_echo()?;
    }
    load::trips(&mut open, TRIPS / 10)?;
    let mut times = Vec::new();
    let sleeps = running.family.sleeps()?;
    let cost = cost(running, || {
        times = load::trips(&mut open, TRIPS)?;
        Ok(())
    })?;
    let sleeps = running.family.sleeps()? - sleeps;
    close(open)?;
    let count = times.len();
    ensure!(count == TRIPS * CONNECTIONS, "{count} messages came back");
    times.sort_unstable();
    let at = |percent: usize| micros(times[count * percent / 100]);
    Ok(Sample::from([
        ("cpu_us", micros(cost) / as_float(count)),
        ("p50_us", at(50)),
        ("p99_us", at(99)),
        ("wakeups", as_signed(sleeps) / as_float(count)),
    ]))
}

fn idle(running: &Running, target: &Target) -> Result<Sample> {
    target.visits(100)?;
    let memory = running.family.settled_memory()?;
    let descriptors = running.family.descriptors();
    let open = target.idle(IDLE)?;
    let grown = as_signed(running.family.settled_memory()?) - as_signed(memory);
    let more = running.family.descriptors().saturating_sub(descriptors);
    // Dropped, not closed one after the other: nothing is measured any more.
    drop(open);
    Ok(Sample::from([
        ("kib", grown / 1024.0 / as_float(IDLE)),
        ("descriptors", as_float(more) / as_float(IDLE)),
    ]))
}

fn databases(running: &Running, target: &Target) -> Result<Sample> {
    let started = running.started_in.as_secs_f64();
    let memory = as_signed(running.family.settled_memory()?) / 1024.0 / 1024.0;
    let mut sample = visits(running, target)?;
    sample.extend([("start_s", started), ("mib", memory)]);
    Ok(sample)
}

/// Processor time of a program for some work, all of it.
fn cost(running: &Running, work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begun = running.family.settled_cpu()?;
    work()?;
    Ok(running.family.settled_cpu()?.saturating_sub(begun))
}

fn close(open: Vec<Connection>) -> Result<()> {
    open.into_iter().try_for_each(Connection::close)
}

/// In microseconds.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn as_float(count: usize) -> f64 {
    count as f64
}

#[allow(clippy::cast_precision_loss, reason = "bytes here are far below 2^52")]
fn as_signed(bytes: u64) -> f64 {
    bytes as f64
}
