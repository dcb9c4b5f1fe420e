//! The command line: flags and help texts, nothing else.

mod cert;
mod probe;
mod top;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use dbgate::author::MAX_REASON;
use dbgate::config::parse_duration;
use dbgate::protocol::Protocol;
use dbgate::proxy_protocol::Version;
use dbgate::route::{Host, Network};
use dbgate::tls::{ClientName, ClientUser, ServerName, TlsMode};
use dbgate::upstream::BackendAddr;

pub(crate) use cert::*;
pub(crate) use probe::*;
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
    List,
    /// One database in full
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
    /// Live sessions
    Sessions {
        /// Only those of this database
        #[arg(long, value_name = "NAME")]
        database: Option<String>,
    },
    /// The last clients that were turned away, and why
    Rejects,
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
    /// Events, one JSON object a line
    Events {
        /// Go on until interrupted
        #[arg(long, required = true)]
        follow: bool,
    },
}

/// Make a database reachable under a host, or change what ctl made of it.
///
/// NAME is declared in the configuration, or new: then --to says where it is. Of one that ctl made,
/// the flags that are given are changed and the others stay as they are; --replace states all. The
/// same command twice changes nothing. Without --host it takes back what `hide` did to NAME; several
/// may be named then.
/// The gateway also checks the backends, for two seconds at most, and warns of those that would
/// not serve a session.
#[derive(Debug, Args)]
#[command(
    override_usage = "dbgate ctl expose <NAME>... [--host <HOST>...] [--to <ADDR>...] [OPTIONS]",
    after_long_help = "\
Examples:
  A new database, kept over restarts:
    dbgate ctl expose pg1 --host my-postgres.example --to 10.0.0.5:5432
  One more name for it, for two hours:
    dbgate ctl expose pg1 --host staging.example --ttl 2h
  Another limit; all else stays as it is:
    dbgate ctl expose pg1 --max-sessions 50
  One with two servers, where the gateway ends TLS with its own certificate:
    dbgate ctl expose pg2 --host b.example --to 10.0.0.6:5432 10.0.0.7:5432 --tls terminate
  What `hide` did to two databases:
    dbgate ctl expose pg3 pg4"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct ExposeArgs {
    /// The database
    #[arg(required = true)]
    pub(crate) name: Vec<String>,
    /// DNS name, exact or *.suffix; may be given several times
    #[arg(long = "host", value_name = "HOST", num_args = 1..)]
    pub(crate) hosts: Vec<Host>,
    /// Backend, HOST:PORT; several are tried in turn
    #[arg(long, value_name = "ADDR", num_args = 1..)]
    pub(crate) to: Vec<BackendAddr>,
    /// Its protocol [default of a new one: by the backend's port]
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol())]
    pub(crate) protocol: Option<Protocol>,
    /// TLS mode [default of a new one: passthrough]
    #[arg(long, value_name = "MODE", value_parser = tls_mode())]
    pub(crate) tls: Option<TlsMode>,
    /// Certificate shown to clients
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Ask clients for a certificate signed by these authorities
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Refuse the certificates on these revocation lists
    #[arg(long, value_name = "FILE")]
    pub(crate) client_crl: Option<PathBuf>,
    /// Names that client certificates may have, exact or *.suffix [default: all]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) client_names: Vec<ClientName>,
    /// The user that a Postgres client may be: certificate, the name (CN) in its own
    #[arg(long, value_name = "WHO", value_parser = client_user())]
    pub(crate) client_user: Option<ClientUser>,
    /// Authorities of the backends' certificates (reencrypt)
    #[arg(long, value_name = "FILE")]
    pub(crate) backend_ca: Option<PathBuf>,
    /// The name in the backends' certificates (reencrypt)
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    pub(crate) backend_name: Option<ServerName>,
    /// Networks that may connect [default: all]
    #[arg(long, value_name = "CIDR", num_args = 1.., value_parser = network)]
    pub(crate) allow: Vec<Network>,
    /// Networks that may not connect
    #[arg(long, value_name = "CIDR", num_args = 1.., value_parser = network)]
    pub(crate) deny: Vec<Network>,
    /// Most sessions at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_sessions: Option<u32>,
    /// Most sessions at a time from one address (IPv6: one /64)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_sessions_per_ip: Option<u32>,
    /// Tell backends by the PROXY protocol who the client is; they have to expect it
    #[arg(long, value_name = "VERSION", value_parser = proxy_version())]
    pub(crate) send_proxy: Option<Version>,
    /// End the exposure after this time, such as 2h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) ttl: Option<Duration>,
    /// Do not keep it over a restart
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// State all: settings that are not given return to their defaults; also take over a host that
    /// ctl gave to another database
    #[arg(long)]
    pub(crate) replace: bool,
    /// Only print what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not check whether the backends answer
    #[arg(long)]
    pub(crate) no_check: bool,
    #[command(flatten)]
    pub(crate) why: ReasonArgs,
}

/// End an exposure; the database stays, with all settings.
///
/// No new sessions come in; running ones get timeouts.drain, then they are closed. It is listed as
/// hidden, over reload and restart, until `expose NAME` takes it back or `delete` removes it.
/// Whoever asks for a hidden name is refused, also where a wildcard or a default would take it, until
/// it is exposed again, given to another database, or deleted. Of several databases all are hidden,
/// or none.
#[derive(Debug, Args)]
#[command(override_usage = "dbgate ctl hide <NAME>... [--host <HOST>...] [OPTIONS]")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct HideArgs {
    /// The database
    #[arg(required = true)]
    pub(crate) name: Vec<String>,
    /// Only this host [default: all hosts of the database]
    #[arg(long = "host", value_name = "HOST", num_args = 1..)]
    pub(crate) hosts: Vec<Host>,
    /// Time for running sessions [default: timeouts.drain]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with_all = ["keep", "kill"])]
    pub(crate) drain: Option<Duration>,
    /// Let running sessions go on
    #[arg(long, conflicts_with = "kill")]
    pub(crate) keep: bool,
    /// Close running sessions at once
    #[arg(long)]
    pub(crate) kill: bool,
    /// No error if there is nothing to hide
    #[arg(long)]
    pub(crate) if_exists: bool,
    /// Only print what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) why: ReasonArgs,
}

/// Remove what ctl made of a database, hidden or not.
///
/// Its names are free then: they are no longer refused. Running sessions get timeouts.drain. A
/// database of the configuration is deleted there. Of several databases all are removed, or none.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The database
    #[arg(required = true)]
    pub(crate) name: Vec<String>,
    /// Close running sessions at once
    #[arg(long)]
    pub(crate) kill: bool,
    /// No error if there is nothing to delete
    #[arg(long)]
    pub(crate) if_exists: bool,
    /// Only print what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) why: ReasonArgs,
}

/// Let no new sessions in; those that run go on.
///
/// New clients are refused with words that say so. With --within the sessions that still run then
/// are closed. It holds over reload and restart, until `resume`. Of several databases all are
/// drained, or none.
#[derive(Debug, Args)]
#[command(
    override_usage = "dbgate ctl drain <NAME>... [OPTIONS]",
    after_long_help = "\
Examples:
  Before the maintenance of a database: whoever works there has ten minutes:
    dbgate ctl drain pg1 --within 10m --reason 'update to 17'
  One of its two servers; clients are served by the other:
    dbgate ctl drain pg1 --backend 10.0.0.5:5432
  Take it back, also in the middle:
    dbgate ctl resume pg1"
)]
pub(crate) struct DrainArgs {
    /// The database
    #[arg(required = true)]
    pub(crate) name: Vec<String>,
    /// Only this backend of it, as `show` has it
    #[arg(long, value_name = "ADDR")]
    pub(crate) backend: Option<BackendAddr>,
    /// Close the sessions that still run after this time [default: never]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) within: Option<Duration>,
    /// Only print what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) why: ReasonArgs,
}

/// Let new sessions in again: the end of a drain, also in the middle.
#[derive(Debug, Args)]
#[command(override_usage = "dbgate ctl resume <NAME>... [OPTIONS]")]
pub(crate) struct ResumeArgs {
    /// The database
    #[arg(required = true)]
    pub(crate) name: Vec<String>,
    /// Only this backend of it
    #[arg(long, value_name = "ADDR")]
    pub(crate) backend: Option<BackendAddr>,
    /// Only print what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) why: ReasonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReasonArgs {
    /// Why, for whoever looks at it later: in `show`, in events and in the log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: Option<String>,
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

fn reason(text: &str) -> Result<String, String> {
    if text.chars().count() > MAX_REASON {
        return Err(format!("longer than {MAX_REASON} characters"));
    }
    Ok(text.to_owned())
}

fn protocol() -> impl TypedValueParser<Value = Protocol> {
    PossibleValuesParser::new(Protocol::ALL.map(Protocol::as_str))
        .try_map(|word| word.parse::<Protocol>())
}

fn tls_mode() -> impl TypedValueParser<Value = TlsMode> {
    let all = [TlsMode::Passthrough, TlsMode::Terminate, TlsMode::Reencrypt];
    PossibleValuesParser::new(all.map(TlsMode::as_str)).try_map(|word| word.parse::<TlsMode>())
}

fn proxy_version() -> impl TypedValueParser<Value = Version> {
    let all = [Version::V1, Version::V2];
    PossibleValuesParser::new(all.map(Version::as_str)).try_map(|word| word.parse::<Version>())
}

fn client_user() -> impl TypedValueParser<Value = ClientUser> {
    PossibleValuesParser::new(["certificate"]).try_map(|word| word.parse::<ClientUser>())
}

fn server_name(text: &str) -> Result<ServerName, String> {
    ServerName::typed(text).map_err(|e| e.to_string())
}

/// A network, or a single address.
fn network(text: &str) -> Result<Network, String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.into());
    }
    text.parse()
}
