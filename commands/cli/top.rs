//! The flags of `dbgate top`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use dbgate::config::parse_duration;

/// Watch a running gateway: sessions, databases, backends, rejects, events.
///
/// Press ? for the keys. Rates are over the last 10 seconds. The socket is found as `ctl` finds
/// it. `NO_COLOR` turns colours off; where the locale is not UTF-8, only ASCII is shown.
///
/// Exit codes: 0 done, 1 the gateway refused or the terminal failed, 2 usage, 3 gateway not
/// reachable at the start.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Filters are words with a space between them, and a row has to meet all:
  word                 anywhere in the row
  sni:example          the name that a client asked for
  client:10.0.0.       in that column; every column has its name
  age>5m bytes_out>1MB numbers, sizes and spans
  !state:open          rows that do not match")]
pub(crate) struct TopArgs {
    /// Control socket [default: as `serve` finds it]
    #[arg(
        long,
        value_name = "PATH",
        env = "DBGATE_SOCKET",
        hide_env_values = true
    )]
    pub(crate) socket: Option<PathBuf>,
    /// The tab to begin with [default: sessions]
    #[arg(long, value_enum)]
    pub(crate) tab: Option<Tab>,
    /// The filter of that tab to begin with
    #[arg(long, value_name = "TERMS")]
    pub(crate) filter: Option<String>,
    /// The order of that tab to begin with: a column such as age, or age:asc
    #[arg(long, value_name = "COLUMN")]
    pub(crate) sort: Option<String>,
    /// From one refresh to the next
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// No keys that change anything; on the gateway's read-only socket there are none
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Print one frame as text and end; it takes two refreshes, for the rates
    #[arg(long)]
    pub(crate) once: bool,
    /// Output format; json holds all tabs, or the one that --tab names
    #[arg(short, long, value_enum, default_value_t = TopOutput::Table, requires = "once")]
    pub(crate) output: TopOutput,
    /// Only ASCII characters
    #[arg(long)]
    pub(crate) ascii: bool,
    /// Colours, out of the terminal's own 16
    #[arg(long, value_enum, default_value_t = Theme::Auto)]
    pub(crate) theme: Theme,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopOutput {
    /// Text in columns
    Table,
    /// One JSON document and nothing else
    Json,
}

/// A tab.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tab {
    /// Live connections
    #[default]
    Sessions,
    /// Databases that clients can reach
    Databases,
    /// Their servers
    Backends,
    /// Clients turned away
    Rejects,
    /// Sessions opened and closed, changes, reloads
    Events,
}

/// Colours that are readable on the terminal's background.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Theme {
    /// Readable on light and dark alike, or what the terminal says of itself
    #[default]
    Auto,
    /// For a dark background
    Dark,
    /// For a light background
    Light,
    /// No colours
    Plain,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&interval) {
        return Ok(interval);
    }
    Err("from 100ms to 60s".to_owned())
}
