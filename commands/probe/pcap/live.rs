//! A capture that is still being written: rows as soon as they are known, in that order.

use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use dbgate::probe::Report;
use dbgate::probe::capture::conversations::Pace;
use dbgate::probe::capture::{Capture, Hints, Progress};

use super::{complain, conclude, exit_code, rows};
use crate::cli::{PcapArgs, ProbeOutput};

/// How long the input may say nothing until what is there is judged.
const QUIET: Duration = Duration::from_millis(200);

/// Packets between two looks at the rows.
const STRIDE: usize = 256;

/// Bytes read at a time, and how many of these pieces may wait.
const PIECE: usize = 1 << 16;
const WAITING: usize = 16;

/// What comes through the pipe.
enum Message {
    Bytes(Vec<u8>),
    Failed(io::Error),
    /// The user has seen enough.
    Stop,
}

/// Standard input, read by a thread of its own, so that a pause in it can be told from its end.
pub(super) struct Pipe {
    messages: Receiver<Message>,
    piece: io::Cursor<Vec<u8>>,
    ended: bool,
}

/// Keeps the watch for Ctrl-C.
pub(super) struct Stop(#[expect(dead_code, reason = "kept alive")] thread::JoinHandle<()>);

impl Pipe {
    /// Begins to read standard input; Ctrl-C is its end.
    pub(super) fn stdin() -> (Self, Stop) {
        let (sender, messages) = sync_channel(WAITING);
        let stopper = sender.clone();
        let stop = thread::spawn(move || on_interrupt(&stopper));
        thread::spawn(move || pump(&sender));
        let pipe = Self {
            messages,
            piece: io::Cursor::new(Vec::new()),
            ended: false,
        };
        (pipe, Stop(stop))
    }
}

fn pump(sender: &SyncSender<Message>) {
    let mut input = io::stdin().lock();
    loop {
        let mut piece = vec![0; PIECE];
        let message = match input.read(&mut piece) {
            Ok(0) => Message::Stop,
            Ok(read) => {
                piece.truncate(read);
                Message::Bytes(piece)
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => Message::Failed(e),
        };
        let last = !matches!(message, Message::Bytes(_));
        if sender.send(message).is_err() || last {
            return;
        }
    }
}

fn on_interrupt(sender: &SyncSender<Message>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    // Without the watch Ctrl-C ends the program as it ends any other.
    let Ok(runtime) = runtime else { return };
    if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
        let _ = sender.send(Message::Stop);
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || self.ended || buffer.is_empty() {
                return Ok(read);
            }
            match self.messages.recv_timeout(QUIET) {
                Ok(Message::Bytes(piece)) => self.piece = io::Cursor::new(piece),
                Ok(Message::Failed(e)) => return Err(e),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => self.ended = true,
                Err(RecvTimeoutError::Timeout) => return Err(ErrorKind::WouldBlock.into()),
            }
        }
    }
}

pub(super) fn run(args: &PcapArgs, hints: Hints) -> Result<ExitCode> {
    let (pipe, _stop) = Pipe::stdin();
    let mut capture = Capture::new(pipe, hints, Pace::Live);
    let mut screen = Screen {
        output: args.output,
        only_failed: args.only_failed,
        headed: false,
        left: false,
    };
    let outcome = loop {
        let read = capture.read(STRIDE);
        while let Some(row) = capture.row() {
            screen.print(&row)?;
        }
        match read {
            Ok(Progress::End) => break Ok(()),
            Ok(_) if screen.left => break Ok(()),
            Ok(Progress::More | Progress::Pause) => {}
            Err(error) => break Err(error),
        }
    };
    let unreadable = outcome.is_err();
    if let Err(error) = &outcome {
        complain(&args.file, error);
        capture.finish();
        while let Some(row) = capture.row() {
            screen.print(&row)?;
        }
    }
    if !(unreadable && capture.tally().packets == 0) {
        conclude(&capture, 0, args.output)?;
    }
    Ok(exit_code(&capture, unreadable))
}

struct Screen {
    output: ProbeOutput,
    only_failed: bool,
    headed: bool,
    /// Nobody reads any more.
    left: bool,
}

impl Screen {
    fn print(&mut self, row: &Report) -> Result<()> {
        if self.only_failed && !row.has_failed() {
            return Ok(());
        }
        let text = match self.output {
            ProbeOutput::Json => rows::json(row)?,
            ProbeOutput::Text if std::mem::replace(&mut self.headed, true) => rows::line(row),
            ProbeOutput::Text => rows::header() + &rows::line(row),
        };
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => self.left = true,
            other => other?,
        }
        Ok(())
    }
}
