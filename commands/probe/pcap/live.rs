//! A capture that is still being written: rows as soon as they are known, in that order.

use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use dbgate::probe::Report;
use dbgate::probe::capture::conversations::Pace;
use dbgate::probe::capture::{Capture, Hints, Progress};

use super::rows;
use super::summary::{complain, conclude, exit_code};
use crate::cli::{PcapArgs, ProbeOutput};

/// Pause of the input after which what is there is diagnosed.
const QUIET: Duration = Duration::from_millis(200);

/// Time after Ctrl-C during which input that does not pause is read. The program that writes it has
/// got the same Ctrl-C as a rule, and ends; if it has not, it may go on without end.
const LAST: Duration = Duration::from_secs(1);

/// Packets between two updates of the rows.
const STRIDE: usize = 256;

/// Bytes read at a time, and how many of these pieces may wait.
const PIECE: usize = 1 << 16;
const WAITING: usize = 16;

/// Message of the reading thread.
enum Message {
    Bytes(Vec<u8>),
    Failed(io::Error),
    End,
    /// The user has seen enough.
    Interrupt,
}

/// Standard input, read by a thread, so that a pause can be distinguished from its end.
pub(super) struct Pipe {
    messages: Receiver<Message>,
    piece: io::Cursor<Vec<u8>>,
    /// Deadline after Ctrl-C.
    until: Option<Instant>,
    ended: bool,
}

/// Keeps the watch for Ctrl-C.
pub(super) struct Stop(#[expect(dead_code, reason = "kept alive")] thread::JoinHandle<()>);

impl Pipe {
    /// Begins to read standard input; after Ctrl-C it ends with the first pause.
    pub(super) fn stdin() -> (Self, Stop) {
        let (sender, messages) = sync_channel(WAITING);
        let stopper = sender.clone();
        let stop = thread::spawn(move || on_interrupt(&stopper));
        thread::spawn(move || pump(&sender));
        (Self::of(messages), Stop(stop))
    }

    fn of(messages: Receiver<Message>) -> Self {
        Self {
            messages,
            piece: io::Cursor::new(Vec::new()),
            until: None,
            ended: false,
        }
    }
}

fn pump(sender: &SyncSender<Message>) {
    let mut input = io::stdin().lock();
    loop {
        let mut piece = vec![0; PIECE];
        let message = match input.read(&mut piece) {
            Ok(0) => Message::End,
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
        let _ = sender.send(Message::Interrupt);
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            self.ended |= self.until.is_some_and(|until| until < Instant::now());
            if read > 0 || self.ended || buffer.is_empty() {
                return Ok(read);
            }
            match self.messages.recv_timeout(QUIET) {
                Ok(Message::Bytes(piece)) => self.piece = io::Cursor::new(piece),
                Ok(Message::Failed(e)) => return Err(e),
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => self.ended = true,
                Ok(Message::Interrupt) => self.until = Some(Instant::now() + LAST),
                Err(RecvTimeoutError::Timeout) if self.until.is_some() => self.ended = true,
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
    /// The reader is gone.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(messages: Vec<Message>) -> String {
        let (sender, receiver) = sync_channel(WAITING);
        for message in messages {
            sender.send(message).unwrap();
        }
        let mut pipe = Pipe::of(receiver);
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        // Until here, so that a pause and not the end of all senders has ended it.
        drop(sender);
        text
    }

    #[test]
    fn what_is_on_its_way_at_an_interrupt_is_read() {
        let bytes = |text: &str| Message::Bytes(text.into());
        let piped = [bytes("a"), Message::Interrupt, bytes("b"), Message::End];
        assert_eq!(read_all(piped.into()), "ab");
        assert_eq!(read_all(vec![bytes("a"), Message::Interrupt]), "a");
    }

    #[test]
    fn an_interrupt_ends_input_that_never_pauses() {
        let (sender, receiver) = sync_channel(WAITING);
        sender.send(Message::Interrupt).unwrap();
        let endless = thread::spawn(move || while sender.send(Message::Bytes(vec![0])).is_ok() {});
        let mut pipe = Pipe::of(receiver);
        assert!(io::copy(&mut pipe, &mut io::sink()).unwrap() > 0);
        drop(pipe);
        endless.join().unwrap();
    }
}
