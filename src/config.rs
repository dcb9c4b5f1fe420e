//! The configuration of `dbgate serve`: reading `dbgate.toml` with every mistake reported at once.
//!
//! Not here: the values (`config/settings.rs`), putting them in force, and what `ctl` changed at run
//! time ([`crate::source::state_dir`]).

mod check;
mod database;
pub mod difference;
mod listener;
mod paths;
mod pieces;
mod problem;
mod read;
mod section;
mod settings;
mod syntax;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use toml::de::DeTable;

pub use crate::duration::parse_duration;
pub use check::check;
pub use listener::bind_addr;
pub use paths::{default_socket, default_state_dir, search};
pub use problem::{Problem, Severity};
pub use settings::{
    AccessTo, Config, Control, Limits, ListenerSpec, Log, LogFormat, ProxyProtocol, ReadOnlySocket,
    Timeouts, TlsSection,
};

use crate::file;
use pieces::Pieces;
use problem::Report;
use section::Section;
use syntax::Syntax;

/// The result of reading a configuration.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The configuration; `None` where one of the problems is an error.
    pub config: Option<Config>,
    /// What was read of a configuration with errors in keys and values, for [`check`] to look at
    /// the rest; what was reported is missing from it or at its default. `None` where `config` is
    /// there, or the text is no TOML.
    pub rest: Option<Config>,
    /// Everything that is wrong with it, by position.
    pub problems: Vec<Problem>,
}

/// Reads a configuration from its text: syntax, keys, types and meaning, without reading any
/// other file.
///
/// `file` names the text in problems, and relative paths start at its directory.
#[must_use]
pub fn parse(text: &str, file: &Path) -> Parsed {
    in_pieces(text, file, pieces::PIECE).unwrap_or_else(|| as_whole(text, file))
}

/// `None` where only a look at the whole can tell what is meant, or what is wrong.
fn in_pieces(text: &str, file: &Path, most: usize) -> Option<Parsed> {
    let report = Report::new(text, file);
    let pieces = Pieces::new(text, most);
    let mut databases = Vec::new();
    for piece in &pieces.databases {
        let document = DeTable::parse(text.get(piece.clone())?).ok()?;
        let document = document.get_ref();
        if document.len() > 1 {
            return None;
        }
        let mut root = Section::root(&report, piece.start, document);
        databases.extend(database::read(&mut root));
    }
    // Each by itself, since one may end in the middle of a string that another brings to an end.
    for piece in &pieces.others {
        DeTable::parse(text.get(piece.clone())?).ok()?;
    }
    let rest = pieces.without_databases(text);
    let document = DeTable::parse(&rest).ok()?;
    let mut root = Section::root(&report, 0, document.get_ref());
    if root.section("database").is_some() {
        return None;
    }
    let count = databases.len();
    let config = read::config(&mut root, databases, &report, true);
    if config.databases.len() < count {
        return None;
    }
    root.finish();
    Some(parsed(config, report, &Syntax::default(), true))
}

fn as_whole(text: &str, file: &Path) -> Parsed {
    let report = Report::new(text, file);
    let (document, errors) = DeTable::parse_recoverable(text);
    let syntax = Syntax::new(&errors, document.get_ref(), text);
    let mut root = Section::root(&report, 0, document.get_ref());
    let databases = database::read(&mut root);
    let config = read::config(&mut root, databases, &report, errors.is_empty());
    root.finish();
    parsed(config, report, &syntax, errors.is_empty())
}

fn parsed(config: Config, report: Report<'_>, syntax: &Syntax, whole: bool) -> Parsed {
    let problems = report.finish(syntax);
    let usable = problems.iter().all(|p| p.severity != Severity::Error);
    let (config, rest) = if usable {
        (Some(config), None)
    } else {
        (None, Some(config).filter(|_| whole))
    };
    Parsed {
        config,
        rest,
        problems,
    }
}

/// The largest configuration file, in bytes: room for half a million databases.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// Reads a configuration file; one that cannot be read is a problem of its own.
#[must_use]
pub fn load(file: &Path) -> Parsed {
    let message = match file::read_text(file, MAX_FILE) {
        Ok(text) => return parse(&text, file),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
        Err(e) => format!("cannot be read: {e}"),
    };
    Parsed {
        config: None,
        rest: None,
        problems: vec![Problem {
            severity: Severity::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            message,
        }],
    }
}
