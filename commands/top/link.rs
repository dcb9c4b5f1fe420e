//! The connection to the gateway, on a thread of its own: it subscribes, passes on what comes,
//! and connects again when the gateway went away.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use dbgate::control::answer::{Envelope, Streamed, WatchAnswer};
use dbgate::control::client::{CONNECT_TIMEOUT, ClientError, connect, io_error};
use dbgate::control::params::WatchParams;
use dbgate::control::request;

use super::dialog::Request;
use super::input::{Input, Message};

/// The longest line taken: several times what a gateway sends.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// Time for the gateway to answer the subscription.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for the gateway to take a request, while the screen waits.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The first pause before connecting again; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The id of the subscription; requests have others.
const WATCH: u64 = 1;

/// A connection that is subscribed.
pub(crate) struct Connection {
    lines: BufReader<UnixStream>,
    line: Vec<u8>,
    /// Longest silence of the gateway.
    silence: Duration,
    /// True if the gateway takes no changes on this socket.
    pub(crate) read_only: bool,
}

impl Connection {
    /// Connects to the control socket at `path` and subscribes.
    ///
    /// # Errors
    /// No gateway can be reached there, or it does not know the subscription.
    pub(crate) fn open(path: &Path, interval: Duration) -> Result<Self, ClientError> {
        let mut stream = connect(path, CONNECT_TIMEOUT).map_err(ClientError::Connect)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let line = request::request(WATCH, "watch", &WatchParams { interval_ms }) + "\n";
        stream.write_all(line.as_bytes())?;
        let mut connection = Self {
            lines: BufReader::with_capacity(64 * 1024, stream),
            line: Vec::new(),
            silence: ANSWER_TIMEOUT,
            read_only: false,
        };
        let line = connection.line()?;
        let answer: Envelope = serde_json::from_slice(line)?;
        if !answer.ok {
            return Err(ClientError::Command(answer.error.unwrap_or_default()));
        }
        let WatchAnswer { read_only, .. } = serde_json::from_slice(line)?;
        connection.read_only = read_only;
        // Something comes at every interval; longer silence than this is none of the gateway's.
        let silence = interval * 3 + ANSWER_TIMEOUT;
        let stream = connection.lines.get_ref();
        stream.set_read_timeout(Some(silence))?;
        stream.set_write_timeout(Some(SEND_TIMEOUT))?;
        connection.silence = silence;
        Ok(connection)
    }

    /// The end through which requests are sent.
    ///
    /// # Errors
    /// Descriptors have run out.
    pub(crate) fn sender(&self) -> io::Result<UnixStream> {
        self.lines.get_ref().try_clone()
    }

    /// Waits for the next line of the gateway.
    ///
    /// # Errors
    /// The connection breaks, or what comes is not of the protocol.
    pub(crate) fn next(&mut self) -> Result<Message, ClientError> {
        let line = self.line()?;
        let Streamed { event } = serde_json::from_slice(line)?;
        if let Some(update) = event {
            return Ok(Message::Update(Box::new(update)));
        }
        let answer: Envelope = serde_json::from_slice(line)?;
        Ok(Message::Answer(if answer.ok {
            Ok(serde_json::from_slice(line)?)
        } else {
            Err(answer.error.unwrap_or_default())
        }))
    }

    fn line(&mut self) -> Result<&[u8], ClientError> {
        self.line.clear();
        let read = (&mut self.lines)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut self.line);
        if read.map_err(|e| io_error(e, self.silence))? == 0 {
            return Err(ClientError::Closed);
        }
        Ok(&self.line)
    }
}

/// The sending side, which outlives each connection.
#[derive(Clone, Default)]
pub(crate) struct Sender(Arc<Mutex<SendState>>);

#[derive(Default)]
struct SendState {
    stream: Option<UnixStream>,
    sent: u64,
}

impl Sender {
    fn set(&self, stream: Option<UnixStream>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stream = stream;
    }

    /// Sends a request; its answer comes as [`Message::Answer`].
    ///
    /// # Errors
    /// There is no gateway, or it does not take it.
    pub(crate) fn send(&self, request: &Request) -> Result<(), String> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.sent += 1;
        let id = WATCH + state.sent;
        let Some(stream) = &mut state.stream else {
            return Err("the gateway cannot be reached".to_owned());
        };
        let line = match request {
            Request::Kill(params) => request::request(id, "kill", params),
            Request::Drain(params) => request::request(id, "drain", params),
            Request::Resume(params) => request::request(id, "resume", params),
        } + "\n";
        stream.write_all(line.as_bytes()).map_err(|e| e.to_string())
    }
}

/// Passes on lines of the gateway, on a thread that ends with its receiver.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn start(
    connection: Connection,
    socket: PathBuf,
    interval: Duration,
    inputs: SyncSender<Input>,
) -> io::Result<Sender> {
    let sender = Sender::default();
    sender.set(Some(connection.sender()?));
    let for_thread = sender.clone();
    thread::Builder::new()
        .name("gateway".to_owned())
        .spawn(move || run(connection, &socket, interval, &inputs, &for_thread))?;
    Ok(sender)
}

fn run(
    mut connection: Connection,
    socket: &Path,
    interval: Duration,
    inputs: &SyncSender<Input>,
    sender: &Sender,
) {
    loop {
        let mut why = loop {
            let input = match connection.next() {
                Ok(message) => Input::Message(message),
                Err(error) => break error,
            };
            if inputs.send(input).is_err() {
                return;
            }
        };
        sender.set(None);
        let mut pause = FIRST_PAUSE;
        connection = loop {
            if inputs.send(Input::Lost(why.to_string())).is_err() {
                return;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            let again = Connection::open(socket, interval);
            match again.and_then(|c| Ok((c.sender()?, c))) {
                Ok((stream, connection)) => {
                    sender.set(Some(stream));
                    break connection;
                }
                Err(error) => why = error,
            }
        };
        if inputs.send(Input::Back).is_err() {
            return;
        }
    }
}
