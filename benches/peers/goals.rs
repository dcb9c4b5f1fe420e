//! The rows of the table: what is told of each experiment, and what it is held against.

use dbgate::route::Origin;

use crate::client::Opening;
use crate::config::Mode;
use crate::experiment::{Experiment, FEW, MANY, Work};
use crate::load::Direction;

/// The reference of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// At most so many times the best other program's.
    Best(f64),
    /// The same, and below so many units.
    BestBelow(f64, f64),
    /// At most so many times dbgate's own in another experiment.
    Own(Experiment, f64),
    /// Below so many units.
    Below(f64),
    /// Told without a goal.
    Told,
}

/// A row of the table.
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) experiment: Experiment,
    pub(crate) measure: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) goal: Goal,
}

/// A table of rows, one a line.
macro_rules! table {
    ($($title:literal, $mode:expr, $work:expr, $measure:literal, $unit:literal, $goal:expr;)*) => {
        vec![$(Row {
            title: $title.to_owned(),
            experiment: Experiment { mode: $mode, work: $work },
            measure: $measure,
            unit: $unit,
            goal: $goal,
        }),*]
    };
}

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = of_mode(Mode::Passthrough, 0.85, 0.85, 0.95, (0.9, 2.5));
    rows.extend(of_mode(Mode::Terminate, 0.65, 0.6, 0.9, (0.7, 10.0)));
    rows.extend(of_reencrypt());
    rows.extend(of_many());
    rows
}

/// Rows of TLS on both sides.
fn of_reencrypt() -> Vec<Row> {
    let mode = Mode::Reencrypt;
    let (down, up) = (Work::Bulk(Direction::Down), Work::Bulk(Direction::Up));
    table! {
        "reencrypt: CPU a GB down", mode, down, "cpu_s", "s", Goal::Best(1.0);
        "reencrypt: CPU a GB up", mode, up, "cpu_s", "s", Goal::Best(1.0);
    }
}

/// Rows of each TLS mode, with the goals of a connection, a GB, a round trip, and an idle
/// session.
fn of_mode(mode: Mode, visit: f64, bulk: f64, trip: f64, (idle, kib): (f64, f64)) -> Vec<Row> {
    let direct = Work::Logins(Opening::PostgresDirect);
    let request = Work::Logins(Opening::PostgresRequest);
    let login = Goal::Own(Experiment { mode, work: direct }, 1.15);
    let (down, up) = (Work::Bulk(Direction::Down), Work::Bulk(Direction::Up));
    let mut rows = table! {
        "CPU a new connection", mode, Work::Visits, "cpu_us", "µs", Goal::Best(visit);
        "CPU a GB down", mode, down, "cpu_s", "s", Goal::Best(bulk);
        "the busiest worker then, 1 is an even share", mode, down, "busiest", "", Goal::Told;
        "CPU a GB up", mode, up, "cpu_s", "s", Goal::Best(bulk);
        "CPU a round trip", mode, Work::Trips, "cpu_us", "µs", Goal::Best(trip);
        "p50 of a round trip", mode, Work::Trips, "p50_us", "µs", Goal::Best(1.0);
        "p99 of a round trip", mode, Work::Trips, "p99_us", "µs", Goal::Best(1.0);
        "wake-ups a round trip", mode, Work::Trips, "wakeups", "", Goal::Told;
        "an idle session", mode, Work::Idle, "kib", "KiB", Goal::BestBelow(idle, kib);
        "descriptors of an idle session", mode, Work::Idle, "descriptors", "", Goal::Told;
        "CPU a Postgres login, direct TLS", mode, direct, "cpu_us", "µs", Goal::Told;
        "CPU a Postgres login, SSLRequest", mode, request, "cpu_us", "µs", login;
    };
    for row in &mut rows {
        row.title = format!("{mode}: {}", row.title);
    }
    rows
}

/// Rows of many databases.
fn of_many() -> Vec<Row> {
    let mode = Mode::Passthrough;
    let (few, many) = (Work::Databases(FEW), Work::Databases(MANY));
    let same = Goal::Own(Experiment { mode, work: few }, 1.03);
    let (memory, start) = (Goal::Below(45.0), Goal::Below(0.5));
    let (expose, by_ctl) = (Work::Expose(Origin::Config), Work::Expose(Origin::Runtime));
    let (answer, stall) = (Goal::Below(5.0), Goal::Below(1000.0));
    table! {
        "10 databases: CPU a new connection", mode, few, "cpu_us", "µs", Goal::Told;
        "100,000 databases: CPU a new connection", mode, many, "cpu_us", "µs", same;
        "10 databases: memory", mode, few, "mib", "MiB", Goal::Told;
        "100,000 databases: memory", mode, many, "mib", "MiB", memory;
        "100,000 databases: start", mode, many, "start_s", "s", start;
        "100,000 databases: one expose", mode, expose, "expose_ms", "ms", answer;
        "the slowest of its 30", mode, expose, "expose_worst_ms", "ms", Goal::Told;
        "longest round trip while exposing", mode, expose, "stall_us", "µs", stall;
        "longest while nothing changes", mode, expose, "calm_us", "µs", Goal::Told;
        "100,000 databases by ctl: one expose", mode, by_ctl, "expose_ms", "ms", answer;
    }
}
