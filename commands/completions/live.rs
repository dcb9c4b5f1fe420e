//! Candidates for the word under the cursor: from a running gateway names of databases, hosts,
//! backends and listeners and ids of sessions, and what is known without one ([`fixed`]).
//!
//! The completions of a shell call it when TAB is pressed. It prints no errors, and gives up before
//! a person who is typing would have to wait.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::{Arg, CommandFactory, ValueHint};
use dbgate::control::answer::{ListAnswer, SessionsAnswer, StatusAnswer};
use dbgate::control::client::Client;
use dbgate::control::params::{NoParams, SessionsParams};
use dbgate::route::Host;
use dbgate::route::spec::check_name;
use dbgate::upstream::BackendAddr;

use super::command_line::{CommandLine, Typed};
use super::fixed::{self, Candidate};
use crate::cli::Cli;
use crate::out;
use crate::socket;
use crate::table::escape;

/// Time for all of it: reading the configuration, connecting, the answer.
const TIMEOUT: Duration = Duration::from_millis(200);

/// The most candidates printed.
const MAX_LINES: usize = 10_000;

/// Where nothing can be meant that a shell could know, not even the name of a file.
const NOTHING: &str = "\t\n";

/// Where the name of a file is meant.
const FILES: &str = "\tfiles\n";

/// Prints candidates for the last of `words`, a line each: the value, a tab, a remark. The words
/// are a command line as typed, the program's own name first. A line without a value is an order:
/// [`NOTHING`] or [`FILES`]. Without any line it is up to the scripts, which know commands and flags.
pub(super) fn print(words: &[OsString]) -> ExitCode {
    let words = words.iter().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = words.collect();
    let (sender, receiver) = mpsc::channel();
    // A gateway that hangs holds this thread, which ends with the process.
    thread::spawn(move || {
        // The receiver is gone if it has taken too long.
        let _ = sender.send(lines(&words));
    });
    let lines = receiver.recv_timeout(TIMEOUT);
    // A shell that does not read has seen enough.
    let _ = out::print(lines.as_deref().unwrap_or(NOTHING));
    ExitCode::SUCCESS
}

/// The lines for the last of these words.
fn lines(words: &[String]) -> String {
    let Some(typed) = Typed::of(words) else {
        return String::new();
    };
    let mut cli = Cli::command();
    cli.build();
    let mut line = CommandLine::new(&cli);
    for word in typed.before.iter().skip(1) {
        line.take(word);
    }
    let current = &typed.current;
    let commands = line.positionals == 0 && line.command.has_subcommands();
    let Some(argument) = line.expects(current) else {
        let known = commands || current.starts_with('-');
        return if known { "" } else { NOTHING }.to_owned();
    };
    let hint = argument.get_value_hint();
    if matches!(
        hint,
        ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath
    ) {
        return FILES.to_owned();
    }
    // An option and its value may be one word.
    let value = match current.split_once('=') {
        Some((option, value)) if option.starts_with("--") => value,
        _ => current,
    };
    let mut candidates = fixed::candidates(&line, argument, value);
    if let Some(query) = Query::of(&line, argument) {
        candidates.extend(query.ask().unwrap_or_default());
    }
    if commands && argument.is_positional() {
        candidates.extend(fixed::subcommands(line.command));
    }
    let typed_before: Vec<&str> = line.values(argument.get_id().as_str()).collect();
    let fresh = candidates
        .into_iter()
        .filter(|(value, _)| !typed_before.contains(&value.as_str()));
    let mut lines = String::new();
    for (value, remark) in fresh.take(MAX_LINES) {
        if let Some(value) = value.strip_prefix(&typed.apart) {
            lines.extend([value, "\t", &escape(&remark), "\n"]);
        }
    }
    if lines.is_empty() {
        lines.push_str(NOTHING);
    }
    lines
}

/// A kind of value that a gateway knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValueKind {
    Databases,
    /// Hosts of the database that the command names; of all where it names none.
    Hosts,
    /// Backends of the database that the command names.
    Backends,
    Sessions,
    Listeners,
}

impl ValueKind {
    /// The kind of an argument of a `ctl` command.
    fn of(command: &str, argument: &str) -> Option<Self> {
        match (command, argument) {
            ("expose" | "hide" | "delete" | "show" | "drain" | "resume" | "sessions", "name")
            | ("list", "names")
            | ("sessions" | "kill", "database") => Some(Self::Databases),
            ("hide", "hosts") | ("explain" | "rejects", "host") => Some(Self::Hosts),
            ("drain" | "resume", "backend") => Some(Self::Backends),
            ("kill", "id") => Some(Self::Sessions),
            ("explain", "listener") => Some(Self::Listeners),
            _ => None,
        }
    }
}

/// A question to the gateway about an argument.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    kind: ValueKind,
    socket: Option<PathBuf>,
    /// The database that the command names.
    database: Option<String>,
}

impl Query {
    /// The question; `None` if the gateway has no candidates.
    fn of(line: &CommandLine<'_>, argument: &Arg) -> Option<Self> {
        let kind = ValueKind::of(line.command.get_name(), argument.get_id().as_str())?;
        // Sessions are closed by their ids or by their database.
        if kind == ValueKind::Sessions && line.values("database").next().is_some() {
            return None;
        }
        Some(Self {
            kind,
            socket: line.values("socket").next_back().map(PathBuf::from),
            database: line.values("name").next().map(str::to_owned),
        })
    }

    /// The candidates; `None` if the gateway does not answer.
    fn ask(&self) -> Option<Vec<Candidate>> {
        let socket = self
            .socket
            .clone()
            .or_else(|| std::env::var_os("DBGATE_SOCKET").map(PathBuf::from))
            .unwrap_or_else(socket::find);
        let mut gateway = Client::connect(&socket).ok()?;
        let candidates = match self.kind {
            ValueKind::Databases => {
                let answer: ListAnswer = gateway.call("list", &NoParams {}).ok()?;
                databases(&answer)
            }
            ValueKind::Hosts => {
                let answer: ListAnswer = gateway.call("list", &NoParams {}).ok()?;
                self.hosts(&answer)
            }
            ValueKind::Backends => {
                let answer: ListAnswer = gateway.call("list", &NoParams {}).ok()?;
                self.backends(&answer)
            }
            ValueKind::Sessions => {
                let all = SessionsParams::default();
                let answer: SessionsAnswer = gateway.call("sessions", &all).ok()?;
                sessions(&answer)
            }
            ValueKind::Listeners => {
                let answer: StatusAnswer = gateway.call("status", &NoParams {}).ok()?;
                listeners(&answer)
            }
        };
        Some(candidates)
    }

    /// Backends of the database that the command names.
    fn backends(&self, answer: &ListAnswer) -> Vec<Candidate> {
        let databases = answer.databases.iter();
        let named = databases.filter(|d| self.database.as_deref() == Some(&d.name));
        let backends = named.flat_map(|d| d.backends.iter().map(|backend| (backend, &d.name)));
        backends
            .filter_map(|(backend, name)| {
                Some((
                    backend.parse::<BackendAddr>().ok()?.to_string(),
                    name.clone(),
                ))
            })
            .collect()
    }

    /// Hosts of the database that the command names, or of all.
    fn hosts(&self, answer: &ListAnswer) -> Vec<Candidate> {
        let only = self.database.as_deref();
        let databases = answer.databases.iter();
        databases
            .filter(|database| only.is_none_or(|only| only == database.name))
            .flat_map(|database| database.hosts.iter().map(|host| (host, &database.name)))
            .filter_map(|(host, name)| Some((host.parse::<Host>().ok()?.to_string(), name.clone())))
            // `explain` takes a name as a client would send it.
            .filter(|(host, _)| only.is_some() || !host.starts_with('*'))
            .collect()
    }
}

fn databases(answer: &ListAnswer) -> Vec<Candidate> {
    let names = answer.databases.iter().map(|d| (&d.name, &d.protocol));
    names.filter_map(named).collect()
}

fn listeners(answer: &StatusAnswer) -> Vec<Candidate> {
    let names = answer.listeners.iter().map(|l| (&l.name, &l.protocol));
    names.filter_map(named).collect()
}

fn sessions(answer: &SessionsAnswer) -> Vec<Candidate> {
    let sessions = answer.sessions.iter();
    sessions
        .map(|s| (s.id.to_string(), format!("{} {}", s.database, s.client)))
        .collect()
}

/// A candidate, if it has the form of a name and would not be read as an option.
fn named((name, remark): (&String, &String)) -> Option<Candidate> {
    let plain = check_name(name).is_ok() && !name.starts_with('-');
    plain.then(|| (name.clone(), remark.clone()))
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
