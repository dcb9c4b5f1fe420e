//! The commands with which a Redis client introduces itself, before its first real one.
//!
//! Source: Redis documentation, "Redis serialization protocol
//! specification" (arrays of bulk strings, inline commands) and the command reference.

use super::{FlightKind, Preface, Refusal, RefusalKind};
use crate::wire::Reader;

/// Redis and Valkey.
#[derive(Clone, Copy, Debug)]
pub struct Redis;

impl Preface for Redis {
    fn classify(&self, bytes: &[u8], complete: bool) -> FlightKind {
        FlightKind::greeting_if(complete && only_greets(bytes))
    }

    /// An error before any command, as Redis itself answers a client too many.
    fn refuse(&self, refusal: &Refusal<'_>) -> Vec<u8> {
        let error = match refusal.kind {
            RefusalKind::Denied => "-NOPERM dbgate: this certificate may not connect here",
            RefusalKind::Busy => "-ERR dbgate: max number of clients reached",
            RefusalKind::Unanswered => {
                "-ERR dbgate: the database closed the connection without an answer; whether it executed the command is not known"
            }
            _ => "-ERR dbgate: the database cannot be reached now",
        };
        format!("{error}\r\n").into_bytes()
    }
}

/// Commands that change nothing but the connection on which they are sent, or only read the
/// server's own state, as drivers send them when they connect. `SELECT` and `AUTH` are undone by
/// the end of the connection.
const GREETINGS: [&str; 8] = [
    "AUTH", "COMMAND", "ECHO", "HELLO", "INFO", "PING", "READONLY", "SELECT",
];

/// Subcommands of `CLIENT` of the same kind; others cut, pause or wake other connections.
const CLIENT: [&str; 6] = ["GETNAME", "ID", "INFO", "NO-EVICT", "SETINFO", "SETNAME"];

/// True if a server that has received `input` on a new connection cannot have changed any data:
/// every complete command in it only introduces the client. A command that is not complete has
/// not been executed.
#[must_use]
pub fn only_greets(input: &[u8]) -> bool {
    let mut reader = Reader::new(input);
    while !reader.is_empty() {
        match command(&mut reader) {
            Some(Ok(())) => {}
            Some(Err(())) => return false,
            // Incomplete.
            None => return true,
        }
    }
    true
}

/// Takes the next command: whether it is a greeting, `None` if it is not all there.
fn command(reader: &mut Reader<'_>) -> Option<Result<(), ()>> {
    let first = line(reader)?;
    let Some(count) = first.strip_prefix(b"*") else {
        let mut words = first.split(u8::is_ascii_whitespace);
        return Some(judge(words.next(), words.next()));
    };
    let Some(count) = number(count) else {
        return Some(Err(()));
    };
    let (mut name, mut sub) = (None, None);
    for place in 0..count {
        let length = line(reader)?;
        let Some(length) = length.strip_prefix(b"$").and_then(number) else {
            return Some(Err(()));
        };
        let word = reader.take(length).ok()?;
        reader.skip(2).ok()?;
        match place {
            0 => name = Some(word),
            1 => sub = Some(word),
            _ => {}
        }
    }
    Some(judge(name, sub))
}

fn judge(name: Option<&[u8]>, sub: Option<&[u8]>) -> Result<(), ()> {
    let among = |word: Option<&[u8]>, known: &[&str]| {
        word.is_some_and(|word| {
            known
                .iter()
                .any(|k| k.as_bytes().eq_ignore_ascii_case(word))
        })
    };
    let greets = match name {
        // An empty line, an empty array: Redis skips them.
        None | Some(b"") => true,
        Some(_) if among(name, &["CLIENT"]) => among(sub, &CLIENT),
        Some(_) => among(name, &GREETINGS),
    };
    if greets { Ok(()) } else { Err(()) }
}

/// The next line without its end.
fn line<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let end = reader.rest().iter().position(|byte| *byte == b'\n')?;
    let line = reader.take(end).ok()?;
    reader.skip(1).ok()?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(words: &[&str]) -> Vec<u8> {
        let count = words.len();
        let word = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
        let words: String = words.iter().map(word).collect();
        format!("*{count}\r\n{words}").into_bytes()
    }

    #[test]
    fn introductions_greet_and_commands_do_not() {
        for words in [
            &["PING"][..],
            &["hello", "3", "AUTH", "app", "INCR"],
            &["AUTH", "app", "*1\r\n$4\r\nINCR"],
            &["CLIENT", "SETINFO", "LIB-NAME", "redis-py"],
            &["select", "3"],
            &["INFO"],
        ] {
            assert!(only_greets(&array(words)), "{words:?}");
        }
        for words in [
            &["INCR", "n"][..],
            &["GET", "n"],
            &["CLIENT", "KILL", "ID", "3"],
            &["CLIENT"],
            &["QUIT"],
            &["BLPOP", "list", "0"],
        ] {
            assert!(!only_greets(&array(words)), "{words:?}");
        }
        assert!(only_greets(b"PING\r\nAUTH x\n\r\n*0\r\n"));
        assert!(!only_greets(b"PING\r\nINCR n\r\n"));
        assert!(!only_greets(b"*x\r\n"));
        assert!(!only_greets(b"*1\r\nPING\r\n"));
        assert!(!only_greets(b"*-1\r\n"));
    }

    #[test]
    fn a_command_that_is_cut_has_not_been_executed() {
        let greeting = array(&["HELLO", "3"]);
        let incr = array(&["INCR", "n"]);
        let both = [greeting.clone(), incr].concat();
        for end in 0..both.len() {
            assert!(only_greets(&both[..end]), "{end}");
        }
        assert!(!only_greets(&both));
    }
}
