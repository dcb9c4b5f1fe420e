//! The calling end of the control socket, blocking: one request, one answer, or a stream of
//! events.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::message::{CommandError, Nothing};
use super::request;

/// How long a gateway may take to answer: far more than any command needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer, in bytes: many times what the largest gateway has to tell.
const MAX_ANSWER: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The socket cannot be connected.
    #[error("{0}")]
    Connect(#[source] io::Error),
    /// The connection broke.
    #[error("the connection to the gateway broke: {0}")]
    Io(#[from] io::Error),
    /// The gateway hung up.
    #[error("the gateway closed the connection without an answer")]
    Closed,
    /// The answer is not one.
    #[error("the gateway sent something that is no answer: {0}")]
    Garbled(#[from] serde_json::Error),
    /// The gateway did not carry the command out.
    #[error(transparent)]
    Command(CommandError),
}

/// A connection to a running gateway.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    next_id: u64,
}

impl Client {
    /// Connects to the control socket at `path`.
    ///
    /// # Errors
    /// There is none, nobody listens on it, or it may not be opened.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(ClientError::Connect)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
            next_id: 1,
        })
    }

    /// Sends one command and waits for its answer.
    ///
    /// # Errors
    /// The connection breaks, or the gateway refuses.
    pub fn call(&mut self, cmd: &str, params: &impl Serialize) -> Result<Value, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        let line = request::request(id, cmd, params) + "\n";
        self.stream.get_mut().write_all(line.as_bytes())?;
        loop {
            let answer = self.line()?;
            if answer.get("id").and_then(Value::as_u64) != Some(id) || answer.get("event").is_some()
            {
                continue;
            }
            if answer.get("ok") == Some(&Value::Bool(true)) {
                return Ok(answer);
            }
            let error = answer.get("error").cloned().unwrap_or_default();
            return Err(ClientError::Command(serde_json::from_value(error)?));
        }
    }

    /// Subscribes to events; read them with [`Client::event`].
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn follow(&mut self) -> Result<(), ClientError> {
        self.call("events", &Nothing {})?;
        self.stream.get_ref().set_read_timeout(None)?;
        Ok(())
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// The connection breaks, or the gateway stops.
    pub fn event(&mut self) -> Result<Value, ClientError> {
        loop {
            if let Some(event) = self.line()?.get_mut("event") {
                return Ok(event.take());
            }
        }
    }

    fn line(&mut self) -> Result<Value, ClientError> {
        let mut line = String::new();
        // One that is longer is cut, and then it is no JSON.
        let mut bounded = self.stream.by_ref().take(MAX_ANSWER);
        if bounded.read_line(&mut line)? == 0 {
            return Err(ClientError::Closed);
        }
        Ok(serde_json::from_str(&line)?)
    }
}
