//! The calling end of the control socket, blocking: one request, one answer, or a stream of
//! events.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;

use super::answer::{Envelope, Streamed};
use super::error::CommandError;
use super::request;

/// Time for a gateway to accept a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for a gateway to answer. A change is answered when it is on disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer, in bytes: many times that of the largest gateway.
const MAX_ANSWER: u64 = 64 << 20;

/// A failed call.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The socket cannot be connected.
    #[error("{0}")]
    Connect(#[source] io::Error),
    /// The connection broke.
    #[error("the connection to the gateway broke: {0}")]
    Io(#[from] io::Error),
    /// Nothing came for so long. What was asked for may still be done.
    #[error("no answer from the gateway within {0:?}")]
    Timeout(Duration),
    /// The gateway hung up.
    #[error("the gateway closed the connection without an answer")]
    Closed,
    /// A line of the gateway is not an answer.
    #[error("the gateway sent an invalid answer: {0}")]
    Invalid(#[from] serde_json::Error),
    /// The gateway did not carry the command out.
    #[error(transparent)]
    Command(CommandError),
}

/// A connection to a running gateway.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    next_id: u64,
    answer_timeout: Duration,
}

/// Connects to the control socket at `path`.
///
/// # Errors
/// Nothing listens there, it may not be opened, or its queue is full for as long as `timeout`
/// (`WouldBlock`).
pub fn connect(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A connect waits for a place in the queue, and for no longer than a write would.
    socket.set_write_timeout(Some(timeout))?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_write_timeout(None)?;
    Ok(socket.into())
}

impl Client {
    /// Connects to the control socket at `path`.
    ///
    /// # Errors
    /// There is none, nothing listens on it, or it may not be opened.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        Self::connect_within(path, CONNECT_TIMEOUT, ANSWER_TIMEOUT)
    }

    fn connect_within(
        path: &Path,
        connect_timeout: Duration,
        answer_timeout: Duration,
    ) -> Result<Self, ClientError> {
        let stream = connect(path, connect_timeout).map_err(ClientError::Connect)?;
        stream.set_read_timeout(Some(answer_timeout))?;
        stream.set_write_timeout(Some(answer_timeout))?;
        Ok(Self {
            stream: BufReader::new(stream),
            next_id: 1,
            answer_timeout,
        })
    }

    /// Sends a command and reads its answer.
    ///
    /// # Errors
    /// The connection breaks, the gateway refuses, or its answer is another than expected.
    pub fn call<A: DeserializeOwned>(
        &mut self,
        cmd: &str,
        params: &impl Serialize,
    ) -> Result<A, ClientError> {
        Ok(serde_json::from_str(&self.send(cmd, params)?)?)
    }

    /// Sends a command; the line of its answer.
    ///
    /// # Errors
    /// The connection breaks, or the gateway refuses.
    pub fn send(&mut self, cmd: &str, params: &impl Serialize) -> Result<String, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        let line = request::request(id, cmd, params) + "\n";
        let written = self.stream.get_mut().write_all(line.as_bytes());
        written.map_err(|e| io_error(e, self.answer_timeout))?;
        loop {
            let line = self.line()?;
            let Envelope {
                id: answered,
                ok,
                error,
                event,
            } = serde_json::from_str(&line)?;
            if answered != Some(id.into()) || event.is_some() {
                continue;
            }
            if ok {
                return Ok(line);
            }
            return Err(ClientError::Command(error.unwrap_or_default()));
        }
    }

    /// Sends a command that asks to follow; read what comes with [`Client::event`].
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn follow(&mut self, cmd: &str, params: &impl Serialize) -> Result<(), ClientError> {
        self.send(cmd, params)?;
        self.stream.get_ref().set_read_timeout(None)?;
        Ok(())
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// The connection breaks, or the gateway stops.
    pub fn event<E: DeserializeOwned>(&mut self) -> Result<E, ClientError> {
        loop {
            let line: Streamed<E> = serde_json::from_str(&self.line()?)?;
            if let Some(event) = line.event {
                return Ok(event);
            }
        }
    }

    fn line(&mut self) -> Result<String, ClientError> {
        let mut line = String::new();
        // One that is longer is cut, and then it is not JSON.
        let mut bounded = self.stream.by_ref().take(MAX_ANSWER);
        let read = bounded.read_line(&mut line);
        if read.map_err(|e| io_error(e, self.answer_timeout))? == 0 {
            return Err(ClientError::Closed);
        }
        Ok(line)
    }
}

/// An I/O error of a connection whose reads and writes end after `timeout`.
#[must_use]
pub fn io_error(error: io::Error, timeout: Duration) -> ClientError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Timeout(timeout),
        _ => ClientError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::params::NoParams;

    const SOON: Duration = Duration::from_millis(50);

    #[test]
    fn a_gateway_that_is_stuck_ends_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        // Nothing accepts: the first waits without an answer, the second finds the queue full.
        let mut first = Client::connect_within(&path, SOON, SOON).unwrap();
        let error = first.send("status", &NoParams {}).unwrap_err();
        assert!(matches!(error, ClientError::Timeout(SOON)), "{error}");
        let error = Client::connect_within(&path, SOON, SOON).unwrap_err();
        let ClientError::Connect(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
