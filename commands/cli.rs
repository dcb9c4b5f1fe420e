//! The command line: flags and help texts, nothing else.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use dbgate::backend::BackendAddr;
use dbgate::config::parse_duration;
use dbgate::route::{Host, Protocol};
use dbgate::tls::{ServerName, TlsMode};
use ipnet::IpNet;

/// One public address in front of hundreds of databases, each reached by its own name.
#[derive(Debug, Parser)]
#[command(
    name = "dbgate",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    Serve(ServeArgs),
    /// Steer a running gateway
    Ctl(CtlArgs),
    /// Print shell completions
    Completions(CompletionsArgs),
    /// Write the man pages
    Man(ManArgs),
}

/// Run the gateway.
///
/// Without -c it reads ./dbgate.toml, else /etc/dbgate/dbgate.toml, else runs on built-in
/// defaults: clients on port 7432, no databases yet.
///
/// SIGTERM and SIGINT stop it: no new clients, running sessions get timeouts.drain; a second
/// signal closes them at once. SIGHUP reads the configuration again.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Control socket [default: /run/dbgate/control.sock, or in $XDG_RUNTIME_DIR]
    #[arg(long, value_name = "PATH", env = "DBGATE_SOCKET")]
    pub socket: Option<PathBuf>,
    /// Where runtime exposures are kept [default: /var/lib/dbgate, or in $XDG_STATE_HOME]
    #[arg(long, value_name = "PATH")]
    pub state_dir: Option<PathBuf>,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Check the configuration and everything it names, print each problem, exit 0 or 1
    #[arg(long)]
    pub check: bool,
}

/// Steer a running gateway through its control socket.
///
/// Exit codes: 0 done, 1 the gateway refused, 2 usage, 3 gateway not reachable, 4 conflict,
/// 5 not found.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// Control socket [default: as `serve` finds it]
    #[arg(long, value_name = "PATH", env = "DBGATE_SOCKET", global = true)]
    pub socket: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table, global = true)]
    pub output: Output,
    #[command(subcommand)]
    pub command: CtlCommand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// With more columns
    Wide,
    /// One JSON document and nothing else
    Json,
}

#[derive(Debug, Subcommand)]
pub enum CtlCommand {
    /// Make a database reachable under a host
    Expose(ExposeArgs),
    /// End an exposure
    Hide(HideArgs),
    /// One row for each database
    List,
    /// One database in full
    Show {
        /// The database
        name: String,
    },
    /// Which database a host reaches, and the walk that leads there
    Explain {
        /// The name as a client would send it
        host: String,
        /// The listener it arrives on [default: the first]
        #[arg(long, value_name = "NAME")]
        listener: Option<String>,
        /// The client's address, to judge allow and deny as well
        #[arg(long, value_name = "IP")]
        client: Option<IpAddr>,
    },
    /// Live sessions
    Sessions {
        /// Only those of this database
        #[arg(long, value_name = "NAME")]
        database: Option<String>,
    },
    /// The last clients that were turned away, and why
    Rejects,
    /// Close sessions at once
    Kill {
        /// Ids, as shown by `sessions`
        #[arg(required_unless_present = "database", conflicts_with = "database")]
        id: Vec<u64>,
        /// All sessions of this database
        #[arg(long, value_name = "NAME")]
        database: Option<String>,
    },
    /// Give the running sessions of a database some time, then close them; new ones may come
    Drain {
        /// The database
        name: String,
        /// How long [default: timeouts.drain]
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        drain: Option<Duration>,
    },
    /// The gateway itself: version, uptime, listeners, counts
    Status,
    /// Read the configuration again: all of it, or nothing
    Reload,
    /// What runs against what the configuration file says
    Diff,
    /// The running databases and hosts as TOML
    Export,
    /// What happens, one JSON object a line
    Events {
        /// Go on until interrupted
        #[arg(long, required = true)]
        follow: bool,
    },
}

/// Make a database reachable under a host.
///
/// NAME is declared in the configuration, or new: then --to says where it is. The same command
/// twice changes nothing. Without --host it takes back what `hide` did to NAME.
#[derive(Debug, Args)]
pub struct ExposeArgs {
    /// The database
    pub name: String,
    /// DNS name, exact or *.suffix; may be given several times
    #[arg(long = "host", value_name = "HOST", num_args = 1..)]
    pub hosts: Vec<Host>,
    /// Backend of a new database, HOST:PORT; several are tried in turn
    #[arg(long, value_name = "ADDR", num_args = 1..)]
    pub to: Vec<BackendAddr>,
    /// What it speaks [default: told by the backend's port]
    #[arg(long, value_name = "PROTOCOL", requires = "to")]
    pub protocol: Option<Protocol>,
    /// Where the client's TLS ends: passthrough, terminate, reencrypt
    #[arg(long, value_name = "MODE", requires = "to")]
    pub tls: Option<TlsMode>,
    /// Certificate shown to clients
    #[arg(long, value_name = "FILE", requires = "to", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "to", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Ask clients for a certificate signed by these authorities
    #[arg(long, value_name = "FILE", requires = "to")]
    pub client_ca: Option<PathBuf>,
    /// Authorities of the backends' certificates (reencrypt)
    #[arg(long, value_name = "FILE", requires = "to")]
    pub backend_ca: Option<PathBuf>,
    /// The name in the backends' certificates (reencrypt)
    #[arg(long, value_name = "NAME", requires = "to", value_parser = server_name)]
    pub backend_name: Option<ServerName>,
    /// Networks that may connect [default: all]
    #[arg(long, value_name = "CIDR", requires = "to", num_args = 1.., value_parser = network)]
    pub allow: Vec<IpNet>,
    /// Networks that may not connect
    #[arg(long, value_name = "CIDR", requires = "to", num_args = 1.., value_parser = network)]
    pub deny: Vec<IpNet>,
    /// Most sessions at a time
    #[arg(long, value_name = "N", requires = "to")]
    pub max_sessions: Option<u32>,
    /// End the exposure after this time, such as 2h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub ttl: Option<Duration>,
    /// Do not keep it over a restart
    #[arg(long)]
    pub ephemeral: bool,
    /// Replace what ctl declared before, or take over a host that ctl gave to another database
    #[arg(long)]
    pub replace: bool,
    /// Only tell what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// End an exposure: no new sessions; running ones get timeouts.drain, then they are closed.
#[derive(Debug, Args)]
pub struct HideArgs {
    /// The database
    pub name: String,
    /// Only this host [default: all hosts of the database]
    #[arg(long = "host", value_name = "HOST", num_args = 1..)]
    pub hosts: Vec<Host>,
    /// Time for running sessions [default: timeouts.drain]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with_all = ["keep", "kill"])]
    pub drain: Option<Duration>,
    /// Let running sessions be
    #[arg(long, conflicts_with = "kill")]
    pub keep: bool,
    /// Close running sessions at once
    #[arg(long)]
    pub kill: bool,
    /// No error if there is nothing to hide
    #[arg(long)]
    pub if_exists: bool,
    /// Only tell what would be done
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Where to write them
    #[arg(default_value = ".")]
    pub dir: PathBuf,
}

fn server_name(text: &str) -> Result<ServerName, String> {
    ServerName::parse(text).map_err(|e| e.to_string())
}

/// A network, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "expected a network such as 203.0.113.0/24, or an address".to_owned())
}
