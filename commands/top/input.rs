//! Inputs of the event loop: lines of the gateway, keys, signals.

use std::io;

use dbgate::control::answer::{DrainAnswer, KillAnswer, Update};
use dbgate::control::error::CommandError;
use ratatui::crossterm::event::KeyEvent;
use rustix::process::Signal;
use serde::Deserialize;

/// An input of the event loop.
pub(crate) enum Input {
    /// A line of the gateway.
    Message(Message),
    /// It cannot be reached any more.
    Lost(String),
    /// It can again.
    Back,
    /// A key.
    Key(KeyEvent),
    /// The terminal has another size.
    Resize,
    /// The terminal is gone.
    Closed(io::Error),
    /// A signal asks for the end.
    Signal(Signal),
}

/// One line of the gateway.
pub(crate) enum Message {
    /// Of the subscription.
    Update(Box<Update>),
    /// The answer to a request.
    Answer(Result<Answer, CommandError>),
}

/// The answer to a request.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// Sessions were closed.
    Killed(KillAnswer),
    /// Sessions were given some time.
    Draining(DrainAnswer),
}
