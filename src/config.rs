//! The configuration of `dbgate serve`: its values, their defaults, and reading them from
//! `dbgate.toml` with every mistake told at once.
//!
//! Not here: putting it in force, and what `ctl` changed at run time ([`crate::source::state_dir`]).

mod check;
mod database;
pub mod difference;
mod duration;
mod listener;
mod paths;
mod pieces;
mod problem;
mod read;
mod section;
mod syntax;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

pub use check::check;
pub use duration::parse_duration;
pub use listener::bind_addr;
pub use paths::{default_socket, default_state_dir, search};
pub use problem::{Problem, Severity};

use crate::file;
use crate::protocol::ListenerProtocol;
use crate::route::source::Declared;
use crate::tls::config::MinVersion;
use pieces::Pieces;
use problem::Report;
use section::Section;
use syntax::Syntax;

/// Everything that a configuration file can say.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The control socket.
    pub control: Control,
    /// Where clients arrive.
    pub listeners: Vec<ListenerSpec>,
    /// What the gateway shows where a database names nothing of its own.
    pub tls: TlsSection,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How many things there may be.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: Log,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; nowhere if absent.
    pub metrics: Option<SocketAddr>,
    /// The databases, by name.
    pub databases: BTreeMap<Arc<str>, Declared>,
}

impl Default for Config {
    /// What runs without a file: one listener `main` on `[::]:7432`, protocol `auto`, and no
    /// databases.
    fn default() -> Self {
        Self {
            control: Control::default(),
            listeners: vec![ListenerSpec::default()],
            tls: TlsSection::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            log: Log::default(),
            metrics: None,
            databases: BTreeMap::new(),
        }
    }
}

/// The `[control]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The socket; [`default_socket`] if absent.
    pub socket: Option<PathBuf>,
    /// The permissions of the socket.
    pub mode: u32,
    /// The group that the socket belongs to; the gateway's own if absent.
    pub group: Option<String>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: None,
            mode: 0o660,
            group: None,
        }
    }
}

/// A `[listener.NAME]` section: addresses where clients of many databases arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSpec {
    /// Its unique name.
    pub name: String,
    /// The addresses; port 0 stands for any free one.
    pub bind: Vec<SocketAddr>,
    /// What clients may speak here.
    pub protocol: ListenerProtocol,
    /// The database of clients that come without a known name.
    pub default: Option<String>,
}

impl Default for ListenerSpec {
    fn default() -> Self {
        /// The port of a gateway that nobody configured: free on most machines, and near 5432.
        const PORT: u16 = 7432;
        Self {
            name: "main".to_owned(),
            bind: vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT))],
            protocol: ListenerProtocol::default(),
            default: None,
        }
    }
}

/// The `[tls]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSection {
    /// Certificate chain and key, PEM; a pair minted into the state directory if absent.
    pub files: Option<(PathBuf, PathBuf)>,
    /// Oldest version accepted from clients.
    pub min_version: MinVersion,
}

/// The `[timeouts]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept until the backend is chosen and the client's TLS is up.
    pub handshake: Duration,
    /// To reach a backend.
    pub connect: Duration,
    /// A session without a byte in either direction; `None` lets it be.
    pub idle: Option<Duration>,
    /// What running sessions get when their exposure or the gateway ends.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            idle: None,
            drain: Duration::from_secs(30),
        }
    }
}

/// The `[limits]` section; every number is at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at a time.
    pub max_sessions: usize,
    /// The same, from one address.
    pub max_sessions_per_ip: Option<u32>,
    /// Clients whose handshake is under way, and those that wait for their turn, at a time; also the
    /// clients of one database that wait for a backend.
    pub max_handshakes: usize,
    /// Clients of one address whose handshake is under way; the others wait for their turn.
    pub max_handshakes_per_ip: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_sessions: 20_000,
            max_sessions_per_ip: None,
            max_handshakes: 2_000,
            max_handshakes_per_ip: 64,
        }
    }
}

/// The `[log]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How lines are written.
    pub format: LogFormat,
    /// Whether each session leaves a line at its end.
    pub access: bool,
    /// Where these lines go.
    pub access_to: AccessTo,
}

/// Where the lines of the access log go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessTo {
    /// Standard output.
    #[default]
    Stdout,
    /// The journal that listens on this socket.
    Journal(PathBuf),
    /// This file, opened anew by a reload.
    File(PathBuf),
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            access: true,
            access_to: AccessTo::default(),
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("\"{text}\" is no log format: use text or json")),
        }
    }
}

/// What reading a configuration came to.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The configuration; `None` where one of the problems is an error.
    pub config: Option<Config>,
    /// Everything that is wrong with it, by position.
    pub problems: Vec<Problem>,
}

/// Reads a configuration from its text: syntax, keys, types and meaning, without a look at any
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
    Some(judge(config, report, &Syntax::default()))
}

fn as_whole(text: &str, file: &Path) -> Parsed {
    let report = Report::new(text, file);
    let (document, errors) = DeTable::parse_recoverable(text);
    let syntax = Syntax::new(&errors, document.get_ref(), &report);
    let mut root = Section::root(&report, 0, document.get_ref());
    let databases = database::read(&mut root);
    let config = read::config(&mut root, databases, &report, errors.is_empty());
    root.finish();
    judge(config, report, &syntax)
}

fn judge(config: Config, report: Report<'_>, syntax: &Syntax) -> Parsed {
    let problems = report.finish(syntax);
    let usable = problems.iter().all(|p| p.severity != Severity::Error);
    Parsed {
        config: usable.then_some(config),
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
        Err(e) if e.kind() == io::ErrorKind::InvalidData => "is no UTF-8 text".to_owned(),
        Err(e) => format!("cannot be read: {e}"),
    };
    Parsed {
        config: None,
        problems: vec![Problem {
            severity: Severity::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            message,
        }],
    }
}
