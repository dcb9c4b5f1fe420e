//! A command line that is being typed: the words of a shell, and the argument under the cursor.

use clap::{Arg, Command};

/// The words of a shell, without its quotes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Typed {
    /// Those before the cursor, the program's own name first.
    pub(super) before: Vec<String>,
    /// The one under the cursor.
    pub(super) current: String,
    /// The beginning of that one which bash takes for a word of its own.
    pub(super) apart: String,
}

impl Typed {
    /// Reads the words; `None` without any. bash makes a word of each `=` and each `:`.
    pub(super) fn of(words: &[String]) -> Option<Self> {
        let (last, before) = words.split_last()?;
        let mut typed = Self {
            before: Vec::new(),
            current: unquoted(last),
            apart: String::new(),
        };
        let mut open = false;
        for word in before.iter().filter(|word| *word != "=") {
            let colon = !word.is_empty() && word.chars().all(|c| c == ':');
            match typed.before.last_mut() {
                Some(joined) if open || colon => *joined += &unquoted(word),
                _ => typed.before.push(unquoted(word)),
            }
            open = colon;
        }
        if open && let Some(begun) = typed.before.pop() {
            typed.current.insert_str(0, &begun);
            typed.apart = begun;
        }
        Some(typed)
    }
}

/// A command line, read word by word as clap would.
pub(super) struct CommandLine<'a> {
    pub(super) command: &'a Command,
    /// The option whose value comes next.
    open: Option<&'a Arg>,
    /// Arguments without a name so far.
    pub(super) positionals: usize,
    values: Vec<(&'a str, String)>,
}

impl<'a> CommandLine<'a> {
    pub(super) fn new(command: &'a Command) -> Self {
        Self {
            command,
            open: None,
            positionals: 0,
            values: Vec::new(),
        }
    }

    pub(super) fn values(&self, argument: &str) -> impl DoubleEndedIterator<Item = &str> {
        self.values
            .iter()
            .filter(move |(id, _)| *id == argument)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn take(&mut self, word: &str) {
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
    pub(super) fn expects(&self, word: &str) -> Option<&'a Arg> {
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
pub(super) fn unquoted(word: &str) -> String {
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
