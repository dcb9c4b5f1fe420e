//! Looks at sessions, rejects and events: `sessions`, `rejects`, `events`.

use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use dbgate::config::parse_duration;
use dbgate::route::{Host, Network};
use dbgate::stats::EventKind;

use super::network;

/// Live sessions.
///
/// With --watch a terminal shows them anew each second; a pipe gets a table each second, with an
/// empty line behind it, or with -o json a JSON document a line. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(visible_alias = "ps")]
pub(crate) struct SessionsArgs {
    /// Only those of this database
    pub(crate) name: Option<String>,
    /// The same as NAME
    #[arg(long, value_name = "NAME", conflicts_with = "name", hide = true)]
    pub(crate) database: Option<String>,
    /// Only those of clients of this network
    #[arg(long, value_name = "NET", value_parser = network)]
    pub(crate) client: Option<Network>,
    /// Go on until interrupted
    #[arg(short, long)]
    pub(crate) watch: bool,
}

impl SessionsArgs {
    /// The database that is named.
    pub(crate) fn database(&self) -> Option<&String> {
        self.name.as_ref().or(self.database.as_ref())
    }
}

/// The last clients that were turned away, and why.
///
/// The last 1,000 are kept, equal ones in one row: clients of one network (of IPv6 addresses the
/// /64), turned away for one reason under one name. With --follow a row is printed again when it
/// has grown; -o json makes each a JSON object on a line then. Ctrl-C ends it. Clients that sent
/// nothing are counted by `status`, not listed.
#[derive(Debug, Args)]
pub(crate) struct RejectsArgs {
    /// Only those of so much time, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) since: Option<Duration>,
    /// Only those that asked for this name, exact or *.suffix
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<Host>,
    /// Only clients of this network
    #[arg(long, value_name = "NET", value_parser = network)]
    pub(crate) client: Option<Network>,
    /// Go on until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// What has happened: changes, reloads, certificates, rejects; with --follow sessions as well.
///
/// The last 1,000 changes and rejects are kept. A line an event; with -o json one document, and with
/// --follow a JSON object a line. Sessions that have ended are in the access log.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Go on until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only events of these kinds [default: all]
    #[arg(long = "kind", value_name = "KIND", num_args = 1.., value_delimiter = ',', value_parser = kind())]
    pub(crate) kinds: Vec<EventKind>,
}

fn kind() -> impl TypedValueParser<Value = EventKind> {
    PossibleValuesParser::new(EventKind::ALL.map(EventKind::as_str)).try_map(|word| {
        let mut all = EventKind::ALL.into_iter();
        all.find(|kind| kind.as_str() == word).ok_or("unknown kind")
    })
}
