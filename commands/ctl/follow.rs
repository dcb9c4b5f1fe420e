//! Commands that go on until Ctrl-C: `events --follow`, `rejects --follow`, `sessions --watch`.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crossterm::terminal;
use dbgate::control::answer::{KindedEvent, RejectGroup};
use dbgate::control::client::{Client, ClientError};
use dbgate::control::params::{EventsParams, RejectsParams, SessionsParams};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::print;
use crate::cli::Output;
use crate::failure::{Failure, NOT_REACHABLE, REFUSED};
use crate::table::Growing;
use crate::{interrupt, out};

/// Interval at which sessions are shown anew.
const INTERVAL: Duration = Duration::from_secs(1);

/// Before a frame: no wrapping of long lines, and to the upper left corner.
const HOME: &str = "\x1b[?7l\x1b[H";

/// Behind each line of a frame: the rest of what was there before.
const CLEAR_LINE: &str = "\x1b[K\r\n";

/// Behind a frame: all that is below.
const CLEAR_BELOW: &str = "\x1b[J";

/// At the end: lines wrap again.
const WRAP: &str = "\x1b[?7h";

/// A connection on which something goes on.
pub(super) struct Follower<'a> {
    pub(super) client: Client,
    pub(super) socket: &'a Path,
    pub(super) output: Output,
}

impl Follower<'_> {
    /// Prints events as they come.
    pub(super) fn events(mut self, params: &EventsParams) -> Result<u8, Failure> {
        self.begin("events", params)?;
        let words = self.output != Output::Json;
        let mut lines = Growing::default();
        loop {
            let value: Value = self.next()?;
            let text = match serde_json::from_value::<KindedEvent>(value.clone()) {
                Ok(event) if words => print::event_line(event.event, &mut lines),
                _ => format!("{value}\n"),
            };
            if !written(&text)? {
                return Ok(0);
            }
        }
    }

    /// Prints rows of rejects as they come.
    pub(super) fn rejects(mut self, params: &RejectsParams) -> Result<u8, Failure> {
        self.begin("rejects", params)?;
        let mut lines = Growing::default();
        loop {
            let text = if self.output == Output::Json {
                format!("{}\n", self.next::<Value>()?)
            } else {
                let row: RejectGroup = self.next()?;
                let wide = self.output == Output::Wide;
                lines.line(&row, print::REJECTS, wide)
            };
            if !written(&text)? {
                return Ok(0);
            }
        }
    }

    /// Shows sessions anew at intervals.
    pub(super) fn sessions(mut self, params: &SessionsParams) -> Result<u8, Failure> {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let screen = io::stdout().is_terminal() && !dumb && self.output != Output::Json;
        interrupt::ends(if screen { WRAP } else { "" }).map_err(|e| no_signals(&e))?;
        loop {
            let answer = self.client.send("sessions", params);
            let answer = answer.map_err(|error| self.failed(error))?;
            let text = match self.output {
                Output::Json => line(&answer).map_err(|error| self.failed(error))?,
                output => {
                    let sessions = print::read(&answer).map_err(|error| self.failed(error))?;
                    let page = print::sessions(&sessions, output == Output::Wide);
                    let table = page.out + &page.err;
                    if screen {
                        frame(&table, terminal::size().map_or(24, |(_, rows)| rows))
                    } else {
                        table + "\n"
                    }
                }
            };
            if !written(&text)? {
                return Ok(0);
            }
            thread::sleep(INTERVAL);
        }
    }

    fn begin(&mut self, cmd: &str, params: &impl serde::Serialize) -> Result<(), Failure> {
        interrupt::ends("").map_err(|e| no_signals(&e))?;
        let followed = self.client.follow(cmd, params);
        followed.map_err(|error| self.failed(error))?;
        out::print_err("Following; Ctrl-C ends it.\n");
        Ok(())
    }

    fn next<E: DeserializeOwned>(&mut self) -> Result<E, Failure> {
        self.client.event().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: ClientError) -> Failure {
        match error {
            ClientError::Closed => Failure::new(NOT_REACHABLE, "the gateway has stopped"),
            error => Failure::from_client(error, self.socket),
        }
    }
}

/// Writes for a reader that goes on; false when it has left.
fn written(text: &str) -> Result<bool, Failure> {
    out::print_on(text).map_err(|e| Failure::new(REFUSED, format!("cannot write: {e}")))
}

fn no_signals(error: &io::Error) -> Failure {
    Failure::new(REFUSED, format!("cannot wait for Ctrl-C: {error}"))
}

/// An answer on a line, without the fields of the protocol.
fn line(answer: &str) -> Result<String, ClientError> {
    let mut fields: Map<String, Value> = print::read(answer)?;
    fields.shift_remove("id");
    fields.shift_remove("ok");
    Ok(format!("{}\n", Value::Object(fields)))
}

/// A table in the place of the one before, as much as a screen of this height holds.
fn frame(table: &str, height: u16) -> String {
    let height = usize::from(height).saturating_sub(1).max(2);
    let lines: Vec<&str> = table.lines().collect();
    let shown = if lines.len() > height {
        height - 1
    } else {
        lines.len()
    };
    let mut frame = HOME.to_owned();
    for line in lines.iter().take(shown) {
        frame += line;
        frame += CLEAR_LINE;
    }
    if shown < lines.len() {
        // Writing to a String cannot fail.
        let _ = write!(frame, "and {} more{CLEAR_LINE}", lines.len() - shown);
    }
    frame + CLEAR_BELOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_the_screen() {
        let table = "HEAD\n1\n2\n3\n4\n";
        let all = frame(table, 24);
        assert_eq!(all.matches(CLEAR_LINE).count(), 5, "{all:?}");
        let cut = frame(table, 4);
        assert_eq!(cut.matches(CLEAR_LINE).count(), 3, "{cut:?}");
        assert!(
            cut.contains("HEAD") && cut.contains("and 3 more"),
            "{cut:?}"
        );
        assert!(cut.ends_with(CLEAR_BELOW), "{cut:?}");
    }
}
