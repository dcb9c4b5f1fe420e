//! The load on a gateway while it is measured: eight connections at a time, a thread each.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::backend::CHUNK;
use crate::certs::DOMAIN;
use crate::client::{Client, Connection, Opening};

/// Connections at a time.
pub(crate) const CONNECTIONS: usize = 8;

/// The direction in which bytes flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the client.
    Down,
    /// To the backend.
    Up,
}

/// A gateway, and who comes to it.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) addr: SocketAddr,
    /// Databases that it has; clients connect to all of them.
    pub(crate) databases: usize,
    /// Threads or processes that serve them.
    pub(crate) workers: usize,
    pub(crate) opening: Opening,
}

/// The host of a database.
pub(crate) fn host(number: usize) -> String {
    format!("db{number}.{DOMAIN}")
}

impl Target {
    /// One whole visit; the gateway works when it succeeds.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn visit(&self, number: usize) -> Result<()> {
        // A multiplier without a common divisor spreads the visits over all databases.
        let host = host(number.wrapping_mul(7919) % self.databases);
        self.client.visit(self.addr, &host, self.opening)
    }

    fn open(&self, number: usize) -> Result<Connection> {
        let mut connection =
            self.client
                .open(self.addr, &host(number % self.databases), self.opening)?;
        if self.opening == Opening::Tls {
            return Ok(connection);
        }
        connection.start_echo()?;
        Ok(connection)
    }

    /// So many visits by [`CONNECTIONS`] at a time.
    ///
    /// # Errors
    /// One fails.
    pub(crate) fn visits(&self, count: usize) -> Result<()> {
        let next = AtomicUsize::new(0);
        all(|_| {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                self.visit(number)
                    .with_context(|| format!("visit {number} of {count}"))?;
            }
        })
        .map(|_: Vec<()>| ())
    }

    /// The connections of a measurement whose traffic comes later.
    ///
    /// # Errors
    /// One fails.
    pub(crate) fn connections(&self) -> Result<Vec<Connection>> {
        (0..CONNECTIONS).map(|number| self.open(number)).collect()
    }

    /// So many sessions that have said something once and are silent from then on.
    ///
    /// # Errors
    /// One fails.
    pub(crate) fn idle(&self, count: usize) -> Result<Vec<Connection>> {
        let next = AtomicUsize::new(0);
        let parts = all(|_| {
            let mut open = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(open);
                }
                let mut connection = self.open(number)?;
                connection.start_echo()?;
                open.push(connection);
            }
        })?;
        Ok(parts.into_iter().flatten().collect())
    }
}

/// Moves so many bytes over each connection.
///
/// # Errors
/// They do not arrive.
pub(crate) fn bulk(open: &mut [Connection], direction: Direction, each: u64) -> Result<()> {
    on_each(open, |connection| {
        let mut room = vec![b'u'; CHUNK];
        match direction {
            Direction::Down => connection.download(each, &mut room),
            Direction::Up => connection.upload(each, &room),
        }
    })
    .map(|_| ())
}

/// So many messages there and back over each connection; how long each took.
///
/// # Errors
/// One does not come back.
pub(crate) fn trips(open: &mut [Connection], each: usize) -> Result<Vec<Duration>> {
    let times = on_each(open, |connection| {
        let mut times = Vec::with_capacity(each);
        for number in 0..each {
            let begun = Instant::now();
            connection.round_trip(number as u64)?;
            times.push(begun.elapsed());
        }
        Ok(times)
    })?;
    Ok(times.into_iter().flatten().collect())
}

/// Messages there and back with a pause after each, until told to stop: when each began, and how
/// long it took.
///
/// # Errors
/// One does not come back.
pub(crate) fn paced(
    open: &mut [Connection],
    pause: Duration,
    stop: &AtomicBool,
) -> Result<Vec<(Instant, Duration)>> {
    let times = on_each(open, |connection| {
        let mut times = Vec::new();
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            connection.round_trip(number)?;
            times.push((begun, begun.elapsed()));
            number += 1;
            thread::sleep(pause);
        }
        Ok(times)
    })?;
    Ok(times.into_iter().flatten().collect())
}

fn on_each<T: Send>(
    open: &mut [Connection],
    work: impl Fn(&mut Connection) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = open
            .iter_mut()
            .map(|connection| scope.spawn(move || work(connection)))
            .collect();
        join(threads)
    })
}

fn all<T: Send>(work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        join(threads)
    })
}

fn join<T>(threads: Vec<thread::ScopedJoinHandle<'_, Result<T>>>) -> Result<Vec<T>> {
    let ended: Vec<_> = threads
        .into_iter()
        .map(thread::ScopedJoinHandle::join)
        .collect();
    ended
        .into_iter()
        .map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        .collect()
}
