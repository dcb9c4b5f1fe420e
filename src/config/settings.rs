//! The values of a configuration and their defaults: what `dbgate serve` runs with.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::protocol::ListenerProtocol;
use crate::route::Network;
use crate::route::source::Declared;
use crate::tls::config::MinVersion;

/// The socket on which the journal of systemd takes entries.
pub(super) const JOURNAL: &str = "/run/systemd/journal/socket";

/// A configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The control socket.
    pub control: Control,
    /// The listeners, in the order of the file.
    pub listeners: Vec<ListenerSpec>,
    /// TLS where a database has no settings of its own.
    pub tls: TlsSection,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Limits.
    pub limits: Limits,
    /// Logging.
    pub log: Log,
    /// The address of `/metrics`, `/healthz` and `/readyz`; not served if absent.
    pub metrics: Option<SocketAddr>,
    /// The databases, by name.
    pub databases: BTreeMap<Arc<str>, Declared>,
}

impl Default for Config {
    /// The configuration without a file: one listener `main` on `[::]:7432`, protocol `auto`, and no
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
    /// The socket; [`super::default_socket`] if absent.
    pub socket: Option<PathBuf>,
    /// The permissions of the socket.
    pub mode: u32,
    /// The group of the socket; that of the process if absent.
    pub group: Option<String>,
    /// A second socket, on which nothing can be changed.
    pub read_only: Option<ReadOnlySocket>,
}

/// A control socket on which nothing can be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOnlySocket {
    /// Its path.
    pub path: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// Its group; that of the process if absent.
    pub group: Option<String>,
}

impl Control {
    /// The permissions of sockets where none are given.
    pub(super) const MODE: u32 = 0o660;
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: None,
            mode: Self::MODE,
            group: None,
            read_only: None,
        }
    }
}

/// A `[listener.NAME]` section: addresses where clients of many databases arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSpec {
    /// Its unique name.
    pub name: String,
    /// The addresses; port 0 is any free one.
    pub bind: Vec<SocketAddr>,
    /// The protocols that it accepts.
    pub protocol: ListenerProtocol,
    /// The database of clients without a known name.
    pub default: Option<String>,
    /// Who may say by the PROXY protocol which client it brings; nobody if absent.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// The key `proxy_protocol` of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Networks of the proxies whose headers are believed; at least one.
    pub trusted: Vec<Network>,
    /// True if clients come only through these proxies.
    pub required: bool,
}

impl ProxyProtocol {
    /// True if the headers of this address are believed.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }
}

impl Default for ListenerSpec {
    fn default() -> Self {
        /// The port of a gateway without a configuration: free on most machines, and near 5432.
        const PORT: u16 = 7432;
        Self {
            name: "main".to_owned(),
            bind: vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT))],
            protocol: ListenerProtocol::default(),
            default: None,
            proxy_protocol: None,
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
    /// Of a session without a byte in either direction; `None` for no limit.
    pub idle: Option<Duration>,
    /// For running sessions to end when their exposure or the gateway does.
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
    /// True if the file says so; the default gives way to the limit on open files.
    pub max_sessions_given: bool,
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
            max_sessions_given: false,
            max_sessions_per_ip: None,
            max_handshakes: 2_000,
            max_handshakes_per_ip: 64,
        }
    }
}

/// The `[log]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The format of log lines.
    pub format: LogFormat,
    /// Log each session at its end.
    pub access: bool,
    /// The destination of these lines.
    pub access_to: AccessTo,
}

/// The destination of the access log.
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

/// The format of log lines.
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
            _ => Err(format!("invalid log format \"{text}\": use text or json")),
        }
    }
}
