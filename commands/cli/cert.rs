//! The command line of `dbgate cert`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use dbgate::config::parse_duration;
use dbgate::tls::ServerName;

/// Days that a certificate may be made for.
const DAYS: std::ops::RangeInclusive<i64> = 1..=36_500;

/// Make certificates for databases and their clients, and inspect existing ones.
///
/// Keys are readable for their owner only and are never overwritten unasked; the same command twice
/// changes nothing until the certificate is due.
///
/// Exit codes: 0 done or unchanged; 1 failed; 2 usage; 3 a file is unreadable or invalid; 4 a
/// different certificate exists already. `show` and `check` document their own.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  An authority of your own, for names in one domain only, and a certificate below it:
    dbgate cert ca --constrain db.example
    dbgate cert new pg1.db.example
  One for a client: the database user \"app\", by certificate instead of password:
    dbgate cert new app --client
  Once a day; renews when 30 days are left, and reloads the server then:
    dbgate cert new pg1.db.example --if-due 30d --exit-code
    [ $? -ne 10 ] || systemctl reload postgresql
  Straight into Kubernetes:
    dbgate cert new pg1.db.example --secret pg1-tls -n databases | kubectl apply -f -
  What a server shows, and whether it is trusted:
    dbgate cert show postgres://pg1.db.example --ca ca.crt")]
pub(crate) struct CertArgs {
    #[command(subcommand)]
    pub(crate) command: CertCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    // Each is described at its arguments.
    Ca(CaArgs),
    New(NewArgs),
    Show(ShowArgs),
    Check(CheckArgs),
}

/// Make an authority: ca.crt, for those who verify, and ca.key, which signs.
///
/// It is made once; what is there is never overwritten, since clients trust it.
#[derive(Debug, Args)]
pub(crate) struct CaArgs {
    /// Directory of its files
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Common name [default: "dbgate CA" and a unique number]
    #[arg(long, value_name = "CN")]
    pub(crate) name: Option<String>,
    /// Lifetime in days
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(DAYS))]
    pub(crate) days: u32,
    /// Let it issue for names in these domains only, and for no IP address
    #[arg(long, value_name = "DOMAIN", num_args = 1.., value_parser = super::server_name)]
    pub(crate) constrain: Vec<ServerName>,
}

/// Make a certificate: NAME.crt, with whatever must be sent along, and NAME.key.
///
/// Names are DNS names, wildcards (*.db.example, any one label) and IP addresses. A second run
/// keeps what is there, renews what is due (with the same key), and repairs what an interrupted run
/// left behind. Further names are added to the certificate of the first name, with the same key; to
/// take one away is up to --force. With --if-due the first word printed is "renewed" or "unchanged".
#[derive(Debug, Args)]
#[command(override_usage = "dbgate cert new <NAME>... [OPTIONS]")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct NewArgs {
    /// Names of the server; with --client the one name of the client
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    /// Directory of the authority that signs [default: this directory]
    #[arg(long, value_name = "DIR", conflicts_with = "self_signed")]
    pub(crate) ca: Option<PathBuf>,
    /// Sign it with its own key: clients have to trust this very certificate
    #[arg(long)]
    pub(crate) self_signed: bool,
    /// Lifetime in days, at most until its authority ends
    #[arg(long, value_name = "N", default_value_t = 397, value_parser = clap::value_parser!(u32).range(DAYS))]
    pub(crate) days: u32,
    /// For a client; Postgres takes the name for the user's
    #[arg(long, conflicts_with = "self_signed")]
    pub(crate) client: bool,
    /// Directory for the files [default: this directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print a Kubernetes Secret of type kubernetes.io/tls, with the key, and nothing else
    #[arg(long, value_name = "NAME", value_parser = kubernetes_name)]
    pub(crate) secret: Option<String>,
    /// Namespace of the Secret
    #[arg(short, long, value_name = "NS", requires = "secret", value_parser = kubernetes_label)]
    pub(crate) namespace: Option<String>,
    /// Renew it when less than this is left [default: 30d, or a third of a shorter life]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) if_due: Option<Duration>,
    /// Exit with 10 if it was renewed, and with 0 if nothing changed
    #[arg(long, requires = "if_due")]
    pub(crate) exit_code: bool,
    /// Make a new key, too, whenever the certificate is renewed or gets further names
    #[arg(long)]
    pub(crate) new_key: bool,
    /// Make certificate and key anew, whatever is there
    #[arg(long, conflicts_with = "if_due")]
    pub(crate) force: bool,
}

/// Tell what certificates say, and what is wrong with them.
///
/// WHAT is a file (PEM or DER, several certificates, a key among them), - for standard input, or a
/// server: HOST:PORT, or an address such as `postgres://pg1.example` or `mysql://db.example:3307`,
/// which starts TLS in the protocol's own way. No private key is ever printed.
///
/// Exit codes for a file: 0 nothing is wrong, 1 something is, 3 it cannot be read. For a server:
/// 0 trusted, 1 something is wrong, 3 cannot resolve or connect, 4 no usable handshake.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// File or server
    #[arg(value_hint = clap::ValueHint::AnyPath)]
    pub(crate) what: String,
    /// Verify with these authorities [default: the system's for a server, none for a file]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = CertOutput::Text)]
    pub(crate) output: CertOutput,
}

/// Check whether the certificates in a file are due to be renewed.
///
/// The one that expires first counts. Exit codes: 0 fine, 1 due (or over, or not valid yet), 2
/// usage, 3 cannot be read.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// PEM or DER; - for standard input
    pub(crate) file: PathBuf,
    /// Less time left than this is due
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = parse_duration)]
    pub(crate) within: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CertOutput {
    /// For people
    Text,
    /// One JSON object and nothing else
    Json,
}

/// A DNS subdomain name (RFC 1123), as the names of most Kubernetes objects.
fn kubernetes_name(text: &str) -> Result<String, String> {
    if text.len() <= 253 && text.split('.').all(is_label) {
        Ok(text.to_owned())
    } else {
        Err("use lower case letters, digits, '-' and '.'".to_owned())
    }
}

fn kubernetes_label(text: &str) -> Result<String, String> {
    if is_label(text) {
        Ok(text.to_owned())
    } else {
        Err("use lower case letters, digits and '-', at most 63".to_owned())
    }
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
