//! The command line: flags and help texts, nothing else.

mod cert;
mod changes;
mod probe;
mod reads;
mod top;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use dbgate::protocol::Protocol;
use dbgate::route::Network;
use dbgate::tls::ServerName;

pub(crate) use cert::*;
pub(crate) use changes::*;
pub(crate) use probe::*;
pub(crate) use reads::*;
pub(crate) use top::*;

/// The heading above the options that every command of `ctl` has.
const COMMON: &str = "Options of every ctl command";

/// One public address in front of hundreds of databases, each reached by its own name.
#[derive(Debug, Parser)]
#[command(
    name = "dbgate",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    // Each is described at its arguments.
    Serve(ServeArgs),
    Ctl(Box<CtlArgs>),
    Probe(Box<ProbeArgs>),
    Cert(CertArgs),
    Top(Box<TopArgs>),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Run the gateway.
///
/// Without -c it reads ./dbgate.toml, else /etc/dbgate/dbgate.toml, else runs on built-in
/// defaults: clients on port 7432, no databases yet.
///
/// SIGTERM and SIGINT stop it: no new clients, running sessions get timeouts.drain; a second
/// signal closes them at once. SIGHUP reads the configuration again.
///
/// Started as root it should get --user: it binds ports below 1024 first and then turns into that
/// user, as whom it opens all else. Under systemd it takes the sockets that it is given, and
/// reports its state.
///
/// The log goes to standard error, a line for each ended session to standard output. `DBGATE_LOG`
/// sets what is logged: error, warn, info (the default), debug or trace. `NO_COLOR` turns colours
/// off.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Control socket [default: for root /run/dbgate/control.sock, else in the
    /// user's runtime directory]
    #[arg(
        long,
        value_name = "PATH",
        env = "DBGATE_SOCKET",
        hide_env_values = true
    )]
    pub(crate) socket: Option<PathBuf>,
    /// Directory for runtime exposures [default: for root /var/lib/dbgate, else in
    /// the user's state directory]
    #[arg(long, value_name = "PATH")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Turn from root into this user, for good
    #[arg(long, value_name = "NAME[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Check the configuration and everything it names, print each problem, exit 0 or 1
    #[arg(long)]
    pub(crate) check: bool,
}

/// Steer a running gateway through its control socket.
///
/// The socket is the one that `serve` would use here: --socket, `DBGATE_SOCKET`, the configuration
/// file, the default. Answers go to standard output, remarks and errors to standard error.
///
/// Exit codes: 0 done, 1 the gateway refused, 2 usage, 3 gateway not reachable, 4 conflict,
/// 5 not found.
#[derive(Debug, Args)]
#[command(after_long_help = VERBS)]
pub(crate) struct CtlArgs {
    /// Control socket [default: as `serve` finds it]
    #[arg(
        long,
        value_name = "PATH",
        env = "DBGATE_SOCKET",
        hide_env_values = true,
        global = true,
        help_heading = COMMON
    )]
    pub(crate) socket: Option<PathBuf>,
    /// Output format
    #[arg(
        short,
        long,
        value_enum,
        default_value_t = Output::Table,
        global = true,
        help_heading = COMMON
    )]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: CtlCommand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text in columns
    Table,
    /// With more columns
    Wide,
    /// One JSON document and nothing else
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CtlCommand {
    // These are described at their arguments.
    Expose(Box<ExposeArgs>),
    Hide(HideArgs),
    Delete(DeleteArgs),
    /// One row for each database
    #[command(visible_alias = "ls")]
    List {
        /// Only these databases
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// One database in full
    #[command(visible_alias = "describe")]
    Show {
        /// The database
        name: String,
    },
    /// The database that a host reaches, and each step of the decision
    Explain {
        /// The name as a client would send it
        host: String,
        /// The listener it arrives on [default: the first]
        #[arg(long, value_name = "NAME")]
        listener: Option<String>,
        /// The client's address, to check allow and deny as well
        #[arg(long, value_name = "IP")]
        client: Option<IpAddr>,
    },
    Sessions(SessionsArgs),
    Rejects(RejectsArgs),
    /// Close sessions at once
    ///
    /// If one of the ids is gone, the others are closed all the same; the exit code is 5 then.
    Kill {
        /// Ids, as shown by `sessions`
        #[arg(required_unless_present = "database", conflicts_with = "database")]
        id: Vec<u64>,
        /// All sessions of this database
        #[arg(long, value_name = "NAME")]
        database: Option<String>,
        #[command(flatten)]
        why: ReasonArgs,
    },
    Drain(DrainArgs),
    Resume(ResumeArgs),
    /// The gateway itself: version, uptime, listeners, counts
    Status,
    /// Read the configuration again, all of it or nothing, and print the changes
    Reload {
        #[command(flatten)]
        why: ReasonArgs,
    },
    /// Differences between the running gateway and its files: every section, and renewed
    /// certificates
    ///
    /// Each difference is shown with the running value, that of the file, and the effect of a reload:
    /// at once, for new sessions, ending sessions, or none before a restart. Changes made by ctl come
    /// first.
    ///
    /// Exit codes: 0 no differences, 1 differences, 2 they could not be compared, 3 gateway not
    /// reachable.
    Diff,
    /// The running databases and hosts as TOML
    Export,
    Events(EventsArgs),
}

/// Print shell completions.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

/// Write the man pages.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory to write to
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
}

/// A network, or a single address.
fn network(text: &str) -> Result<Network, String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.into());
    }
    text.parse()
}

fn protocol() -> impl TypedValueParser<Value = Protocol> {
    PossibleValuesParser::new(Protocol::ALL.map(Protocol::as_str))
        .try_map(|word| word.parse::<Protocol>())
}

fn server_name(text: &str) -> Result<ServerName, String> {
    ServerName::typed(text).map_err(|e| e.to_string())
}
