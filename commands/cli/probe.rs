//! The command line of `dbgate probe`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use dbgate::config::{bind_addr, parse_duration};
use dbgate::probe::active::{Endpoint, OnlyVersion, Split};
use dbgate::protocol::Protocol;
use dbgate::tls::ServerName;

/// Explain why a client does or does not reach a database, and what to do about it.
///
/// With a URL it connects to the database as a client would, up to the login: name, connection,
/// the protocol's own start of TLS, handshake, certificate, and the database's first answer. If one
/// connection does not show the cause it makes further ones, and says so. The other commands listen
/// for a client, read a network capture, and explain a code.
///
/// URLs: `postgres://HOST[:PORT]`, mysql://, mariadb://, mongodb://, redis://, rediss://, tls://.
/// All of them ask for TLS. User, password, database and options in a URL are
/// accepted, never used and never printed.
///
/// Exit codes: 0 TLS is up and the certificate trusted, 1 TLS is up but something is wrong, 2
/// usage, 3 cannot resolve or connect, 4 no usable handshake.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    subcommand_help_heading = "Commands",
    override_usage = "\
dbgate probe [OPTIONS] <URL>
       dbgate probe listen [OPTIONS]
       dbgate probe pcap [OPTIONS] <FILE>
       dbgate probe explain [CODE]",
    after_long_help = "\
Examples:
  A database by its name:
    dbgate probe postgres://pg1.example.com
  The same through a tunnel or port-forward, the name kept:
    dbgate probe postgres://pg1.example.com --connect 127.0.0.1:15432
  With an authority of one's own:
    dbgate probe rediss://cache.example.com:6380 --ca ca.crt
  Until a new server is ready, in a script:
    dbgate probe postgres://pg1.example.com --wait 2m"
)]
pub(crate) struct ProbeArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ProbeCommand>,
    #[command(flatten)]
    pub(crate) url: UrlArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProbeCommand {
    // The first two are described at their arguments.
    Listen(ListenArgs),
    Pcap(PcapArgs),
    /// Explain a code: what it means and what to do; without a code list all of them
    Explain {
        /// The code, as `probe` prints it
        code: Option<String>,
    },
}

/// Target and options.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct UrlArgs {
    /// The database, such as `postgres://pg1.example.com:5432`
    #[arg(required = true)]
    pub(crate) url: Option<String>,
    /// Send this server name [default: the host in the URL, when it is a name]
    #[arg(long, value_name = "NAME", value_parser = super::server_name)]
    pub(crate) sni: Option<ServerName>,
    /// Send no server name
    #[arg(long, conflicts_with_all = ["sni", "compare_no_sni"])]
    pub(crate) no_sni: bool,
    /// Dial this address, and keep the name (hostaddr in libpq)
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = Endpoint::parse)]
    pub(crate) connect: Option<Endpoint>,
    /// Start of TLS (postgres)
    #[arg(long, value_enum, default_value_t = Starttls::Auto)]
    pub(crate) starttls: Starttls,
    /// Trust these authorities instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,
    /// Do not count an untrusted certificate as a failure
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Certificate for servers that request one, PEM
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
    /// Offer only this TLS version [default: both]
    #[arg(long, value_name = "VERSION", value_parser = only_version())]
    pub(crate) tls: Option<OnlyVersion>,
    /// Split the `ClientHello`: bytes:N into TCP segments of N bytes, records:N into TLS records of
    /// N bytes
    #[arg(long, value_name = "HOW", value_parser = Split::parse)]
    pub(crate) split: Option<Split>,
    /// Probe again without a server name, and compare the certificates
    #[arg(long)]
    pub(crate) compare_no_sni: bool,
    /// Check whether logins without TLS are accepted too (postgres); leaves a line in the server's
    /// log
    #[arg(long)]
    pub(crate) check_plaintext: bool,
    /// Probe each address of the name and each host of the URL, and compare them
    #[arg(long, conflicts_with_all = ["count", "wait"])]
    pub(crate) each_address: bool,
    /// Probe N times: a line for each, and a summary
    #[arg(long, value_name = "N", conflicts_with = "wait", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: Option<u32>,
    /// Time between two probes of --count and --wait
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(crate) interval: Duration,
    /// Time for each stage; all further connections together take as long at most
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = positive_duration)]
    pub(crate) timeout: Duration,
    /// Probe again until all is well or this time is over
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) wait: Option<Duration>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = ProbeOutput::Text)]
    pub(crate) output: ProbeOutput,
}

/// Start of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Starttls {
    /// As the protocol does by default, and the other way if that fails
    Auto,
    /// After an `SSLRequest`
    Sslrequest,
    /// From the first byte, with ALPN
    Direct,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProbeOutput {
    /// For people
    Text,
    /// JSON and nothing else: one object, or one a line where there are several
    Json,
}

/// Listen for a client, and report what it really sends.
///
/// Point any client at the address that is printed. The report has the client's protocol, the
/// server name exactly as sent, what it offers, and how it reacts to the answer. Needs neither a
/// certificate nor root.
#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = bind_address)]
    pub(crate) bind: SocketAddr,
    /// Protocol of the listener [default: detected by the client's first bytes]
    #[arg(long, value_name = "PROTOCOL", value_parser = super::protocol())]
    pub(crate) protocol: Option<Protocol>,
    /// End after the first client
    #[arg(long)]
    pub(crate) once: bool,
    /// Answer with a throwaway certificate for the name asked for, to see the next step
    #[arg(long, conflicts_with = "forward")]
    pub(crate) then_cert: bool,
    /// Forward each connection to this address, and report after its handshake and at its end
    #[arg(long, value_name = "ADDR:PORT", value_parser = Endpoint::parse)]
    pub(crate) forward: Option<Endpoint>,
    /// Timeout for the client's part of a handshake
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = positive_duration)]
    pub(crate) timeout: Duration,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = ProbeOutput::Text)]
    pub(crate) output: ProbeOutput,
}

/// Read a network capture, and report the outcome of each conversation.
///
/// Reads pcap and pcapng, failed conversations first; from standard input (`-`) live, a row as
/// soon as a conversation's outcome is known: tcpdump -U -s 0 -w - port 5432 | dbgate probe pcap -
///
/// A live view cannot sort: its rows come in the order in which their outcomes are known. Ctrl-C
/// prints what is known of the rest.
///
/// A conversation is `ok`, has `failed` where what was seen proves it, or is `unknown` where too
/// little was recorded to tell: packets that are missing prove nothing.
///
/// Exit codes: 0 no conversation has failed, 1 the file cannot be read, or nothing in it, 2 usage,
/// 4 some have failed.
#[derive(Debug, Args)]
pub(crate) struct PcapArgs {
    /// The capture, or - for standard input
    pub(crate) file: PathBuf,
    /// Protocol of a port, such as 6432=postgres; may be given several times
    #[arg(long = "port", value_name = "N=PROTOCOL", value_parser = port_hint)]
    pub(crate) ports: Vec<(u16, Protocol)>,
    /// Print one conversation packet by packet
    #[arg(long, value_name = "N", conflicts_with = "only_failed")]
    pub(crate) stream: Option<u64>,
    /// List only those that have failed
    #[arg(long)]
    pub(crate) only_failed: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = ProbeOutput::Text)]
    pub(crate) output: ProbeOutput,
}

fn only_version() -> impl TypedValueParser<Value = OnlyVersion> {
    PossibleValuesParser::new(["1.2", "1.3"]).map(|word| match word.as_str() {
        "1.2" => OnlyVersion::Tls12,
        _ => OnlyVersion::Tls13,
    })
}

fn bind_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.rsplit(':').next();
    let port = port.and_then(|port| port.parse::<u16>().ok()).unwrap_or(0);
    bind_addr(text, &format!("127.0.0.1:{port}"))
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("invalid duration: use 1s or more".to_owned()),
        some => Ok(some),
    }
}

/// `6432=postgres`.
fn port_hint(text: &str) -> Result<(u16, Protocol), String> {
    let (port, protocol) = text
        .split_once('=')
        .ok_or("write PORT=PROTOCOL, as in 6432=postgres")?;
    let port = port
        .parse()
        .map_err(|_| format!("invalid port \"{port}\": use 1 to 65535"))?;
    Ok((port, protocol.parse()?))
}
