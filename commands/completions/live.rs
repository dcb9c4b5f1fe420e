//! Candidates for the word under the cursor from a running gateway: names of databases, hosts and
//! listeners, ids of sessions.
//!
//! The completions of a shell call it when TAB is pressed. It prints no errors, and gives up before
//! a person who is typing would have to wait.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory};
use dbgate::control::answer::{ListAnswer, SessionsAnswer, StatusAnswer};
use dbgate::control::client::Client;
use dbgate::control::params::{NoParams, SessionsParams};
use dbgate::route::Host;
use dbgate::route::spec::check_name;

use crate::cli::Cli;
use crate::out;
use crate::socket;
use crate::table::escape;

/// Time for all of it: reading the configuration, connecting, the answer.
const TIMEOUT: Duration = Duration::from_millis(200);

/// The most candidates printed.
const MAX_LINES: usize = 10_000;

/// Prints candidates for the last of `words`, a line each: the value, a tab, a remark. The words
/// are a command line as typed, the program's own name first.
pub(super) fn print(words: &[OsString]) -> ExitCode {
    let words: Vec<String> = words
        .iter()
        .map(|word| unquoted(&word.to_string_lossy()))
        .collect();
    let (sender, receiver) = mpsc::channel();
    // A gateway that hangs holds this thread, which ends with the process.
    thread::spawn(move || {
        let lines = Query::of(&words).and_then(|query| query.ask());
        // The receiver is gone if it has taken too long.
        let _ = sender.send(lines.unwrap_or_default());
    });
    let lines = receiver.recv_timeout(TIMEOUT).unwrap_or_default();
    // A shell that does not read has seen enough.
    let _ = out::print(&lines);
    ExitCode::SUCCESS
}

/// A kind of value that a gateway knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    Databases,
    /// Hosts of the database that the command names; of all where it names none.
    Hosts,
    Sessions,
    Listeners,
}

impl ValueKind {
    /// The kind of an argument of a `ctl` command.
    pub(super) fn of(command: &str, argument: &str) -> Option<Self> {
        match (command, argument) {
            ("expose" | "hide" | "delete" | "show" | "drain" | "resume", "name")
            | ("sessions" | "kill", "database") => Some(Self::Databases),
            ("hide", "hosts") | ("explain", "host") => Some(Self::Hosts),
            ("kill", "id") => Some(Self::Sessions),
            ("explain", "listener") => Some(Self::Listeners),
            _ => None,
        }
    }
}

/// The kind of the word under the cursor, and the arguments before it.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    kind: ValueKind,
    socket: Option<PathBuf>,
    /// The database that the command names.
    database: Option<String>,
    /// Values of the same argument.
    typed: Vec<String>,
}

impl Query {
    /// The query of a command line; `None` if the gateway has no candidates for it.
    fn of(words: &[String]) -> Option<Self> {
        let (current, before) = words.split_last()?;
        let mut cli = Cli::command();
        cli.build();
        let mut line = CommandLine::new(&cli);
        // bash makes a word of each `=`.
        for word in before.iter().skip(1).filter(|word| *word != "=") {
            line.take(word);
        }
        let argument = line.expects(current)?;
        let kind = ValueKind::of(line.command.get_name(), argument.get_id().as_str())?;
        // Sessions are closed by their ids or by their database.
        if kind == ValueKind::Sessions && line.values("database").next().is_some() {
            return None;
        }
        Some(Self {
            kind,
            socket: line.values("socket").next_back().map(PathBuf::from),
            database: line.values("name").next().map(str::to_owned),
            typed: line
                .values(argument.get_id().as_str())
                .map(str::to_owned)
                .collect(),
        })
    }

    /// The lines to print; `None` if the gateway does not answer.
    fn ask(&self) -> Option<String> {
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
        let mut lines = String::new();
        candidates
            .into_iter()
            .filter(|(value, _)| !self.typed.contains(value))
            .take(MAX_LINES)
            .for_each(|(value, remark)| {
                lines += &value;
                lines.push('\t');
                lines += &escape(&remark);
                lines.push('\n');
            });
        Some(lines)
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

/// A value and a remark.
type Candidate = (String, String);

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

/// A command line, read word by word as clap would.
struct CommandLine<'a> {
    command: &'a Command,
    /// The option whose value comes next.
    open: Option<&'a Arg>,
    /// Arguments without a name so far.
    positionals: usize,
    values: Vec<(&'a str, String)>,
}

impl<'a> CommandLine<'a> {
    fn new(command: &'a Command) -> Self {
        Self {
            command,
            open: None,
            positionals: 0,
            values: Vec::new(),
        }
    }

    fn values(&self, argument: &str) -> impl DoubleEndedIterator<Item = &str> {
        self.values
            .iter()
            .filter(move |(id, _)| *id == argument)
            .map(|(_, value)| value.as_str())
    }

    fn take(&mut self, word: &str) {
        if let Some((argument, value)) = self.option(word) {
            match value {
                Some(value) => self.keep(argument, value),
                None if takes_value(argument) => self.open = Some(argument),
                None => self.open = None,
            }
        } else if let Some(argument) = self.open {
            self.keep(argument, word);
            // Some options take several values, up to the next option.
            let most = argument.get_num_args().map_or(1, |n| n.max_values());
            if most == 1 {
                self.open = None;
            }
        } else if self.positionals == 0
            && let Some(command) = self.command.find_subcommand(word)
        {
            self.command = command;
        } else {
            if let Some(argument) = self.positional() {
                self.keep(argument, word);
            }
            self.positionals += 1;
        }
    }

    /// The argument that a word at this place is a value of.
    fn expects(&self, word: &str) -> Option<&'a Arg> {
        match self.option(word) {
            Some((argument, Some(_))) => Some(argument),
            _ if word.starts_with('-') => None,
            _ => self.open.or_else(|| self.positional()),
        }
    }

    fn keep(&mut self, argument: &'a Arg, value: &str) {
        self.values
            .push((argument.get_id().as_str(), value.to_owned()));
    }

    /// The option that a word is, with its value if that is in the same word.
    fn option<'w>(&self, word: &'w str) -> Option<(&'a Arg, Option<&'w str>)> {
        let mut arguments = self.command.get_arguments();
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            let argument = arguments.find(|argument| argument.get_long() == Some(name))?;
            return Some((argument, value));
        }
        let mut letters = word.strip_prefix('-')?.chars();
        let short = letters.next()?;
        let argument = arguments.find(|argument| argument.get_short() == Some(short))?;
        let rest = letters.as_str();
        Some((argument, (!rest.is_empty()).then_some(rest)))
    }

    /// The argument without a name that comes next.
    fn positional(&self) -> Option<&'a Arg> {
        let last = self.command.get_positionals().last();
        let repeats = last.filter(|last| last.get_num_args().is_some_and(|n| n.max_values() > 1));
        self.command
            .get_positionals()
            .nth(self.positionals)
            .or(repeats)
    }
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values()
}

/// A word without the shell's quotes, and with the home directory for a `~` before it. What else a
/// shell would put in, it puts in only when the line is run.
fn unquoted(word: &str) -> String {
    let mut plain = String::new();
    let mut rest = word;
    if let (Some(path), Some(home)) = (word.strip_prefix("~/"), std::env::var_os("HOME")) {
        plain = format!("{}/", home.to_string_lossy());
        rest = path;
    }
    let mut quote = None;
    let mut letters = rest.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None | Some('"'), '\\') => plain.extend(letters.next()),
            _ => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
