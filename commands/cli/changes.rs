//! Changes of a running gateway: `expose`, `hide`, `delete`, `drain`, `resume`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use dbgate::author::MAX_REASON;
use dbgate::config::parse_duration;
use dbgate::duration::HumanDuration;
use dbgate::protocol::Protocol;
use dbgate::proxy_protocol::Version;
use dbgate::rate::RateLimits;
use dbgate::route::access::Enforce;
use dbgate::route::health::Health;
use dbgate::route::hold::HttpCall;
use dbgate::route::{Host, Network};
use dbgate::tls::{ClientName, ClientUser, ServerName, TlsMode};
use dbgate::upstream::{BackendAddr, Balance, WeightedAddr};

use super::{network, protocol, server_name};

/// The commands of `ctl` beside those that its users know.
pub(super) const VERBS: &str = "\
What it is called elsewhere:
  dbgate ctl  kubectl                systemctl            HAProxy's socket
  expose      expose, apply          enable --now         enable frontend, add server
  hide        scale --replicas=0     disable --now        disable frontend
  delete      delete                 -                    del server
  drain       cordon, drain          -                    set server B/S state drain
  resume      uncordon               -                    set server B/S state ready
  kill        delete pod             kill                 shutdown session
  list        get                    list-units           show servers state
  show        describe               show                 show servers conn
  explain     -                      -                    show map, get map
  sessions    get pods               -                    show sess
  rejects     -                      journalctl           show errors
  status      cluster-info           is-system-running    show info
  reload      -                      reload               reload
  diff        diff                   -                    -
  export      get -o yaml            cat                  -
  events      events --watch         journalctl --follow  -

Unlike `kubectl drain`, drain ends no session unless it is told --within.
";

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
  Three servers that share the sessions, one of them with half of these:
    dbgate ctl expose pg4 --host d.example --balance least-sessions \
      --to 10.0.0.6:5432,weight=2 10.0.0.7:5432 10.0.0.8:5432
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
    /// Backend, HOST:PORT; several are tried in the order given, or by --balance
    ///
    /// With a --balance other than first each may have a weight: 10.0.0.5:5432,weight=3.
    #[arg(long, value_name = "ADDR", num_args = 1..)]
    pub(crate) to: Vec<WeightedAddr>,
    /// The choice among several backends [default: first, in the order given]
    #[arg(long, value_name = "RULE", value_parser = balance())]
    pub(crate) balance: Option<Balance>,
    /// Checks of the backends: off, or settings such as interval=1s,fall=2,check=tcp or
    /// http=8008/primary [default: of several backends, every 5s]
    #[arg(long, value_name = "SETTINGS")]
    pub(crate) health: Option<Health>,
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
    /// Networks whose clients come here when they ask for no name, or for one that is not known
    #[arg(long, value_name = "CIDR", num_args = 1.., value_parser = network)]
    pub(crate) networks: Vec<Network>,
    /// The sessions for which a change of --allow, --deny and --networks holds [default: new]
    ///
    /// now closes those that may no longer connect.
    #[arg(long, value_name = "WHEN", value_parser = enforce())]
    pub(crate) enforce: Option<Enforce>,
    /// Most sessions at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_sessions: Option<u32>,
    /// Let clients wait so long while no backend is ready, such as 30s
    #[arg(long, value_name = "DURATION")]
    pub(crate) hold: Option<HumanDuration>,
    /// Most clients that wait at a time [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) hold_max: Option<u32>,
    /// Start the database when clients wait by this HTTP call: a method and a URL
    #[arg(long, value_name = "CALL")]
    pub(crate) wake: Option<HttpCall>,
    /// Most sessions at a time from one address (IPv6: one /64)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_sessions_per_ip: Option<u32>,
    /// Most new sessions from one network and in all, as in network=10/s,database=200/s
    ///
    /// So many may come at once. A network is one address of IPv4 or a /64 of IPv6; of other sizes
    /// with prefix: network=10/s,prefix=24/56. Units are s, m and h.
    #[arg(long, value_name = "RATE")]
    pub(crate) rate: Option<RateLimits>,
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
#[command(visible_alias = "rm")]
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

fn reason(text: &str) -> Result<String, String> {
    if text.chars().count() > MAX_REASON {
        return Err(format!("longer than {MAX_REASON} characters"));
    }
    Ok(text.to_owned())
}

fn balance() -> impl TypedValueParser<Value = Balance> {
    PossibleValuesParser::new(Balance::ALL.map(Balance::as_str))
        .try_map(|word| word.parse::<Balance>())
}

fn enforce() -> impl TypedValueParser<Value = Enforce> {
    PossibleValuesParser::new(Enforce::ALL.map(Enforce::as_str))
        .try_map(|word| word.parse::<Enforce>())
}

fn tls_mode() -> impl TypedValueParser<Value = TlsMode> {
    let all = [TlsMode::Passthrough, TlsMode::Terminate, TlsMode::Reencrypt];
    PossibleValuesParser::new(all.map(TlsMode::as_str)).try_map(|word| word.parse::<TlsMode>())
}

fn client_user() -> impl TypedValueParser<Value = ClientUser> {
    PossibleValuesParser::new(["certificate"]).try_map(|word| word.parse::<ClientUser>())
}

fn proxy_version() -> impl TypedValueParser<Value = Version> {
    let all = [Version::V1, Version::V2];
    PossibleValuesParser::new(all.map(Version::as_str)).try_map(|word| word.parse::<Version>())
}
