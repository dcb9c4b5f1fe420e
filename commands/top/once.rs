//! One frame without a terminal: a table in plain text, or everything as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dbgate::control::answer::Totals;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::app::App;
use super::row::{AnyRow, HIDDEN};
use super::tabs::Tab;
use super::value::whole;
use crate::table::{align, size, span};

/// The tab that is looked at as a table, all rows and columns, below the gateway as a whole.
pub(crate) fn table(app: &App) -> String {
    let mirror = app.mirror();
    let totals = &mirror.totals;
    let (rate_in, rate_out) = mirror.rates();
    let rejects = mirror.rejects_a_minute();
    let rate = |rate: f64| size(whole(rate));
    let mut text = format!(
        "dbgate {}  up {}  revision {}  pid {}\n\
         sessions {} ({} in handshake)  handshakes {:.1}/s  rejects {rejects}/min\n\
         in {}/s  out {}/s  rates over {}\n",
        crate::table::escape(&totals.version),
        span(mirror.now),
        totals.revision,
        totals.pid,
        totals.sessions,
        totals.handshakes,
        mirror.handshakes(),
        rate(rate_in),
        rate(rate_out),
        span(mirror.window()),
    );
    if app.tab == Tab::Rejects {
        for (reason, minute, all) in mirror.reasons() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{reason} {minute}/min ({all} in all)");
        }
    }
    text.push('\n');
    let heads = app.tab.heads();
    let shown: Vec<usize> = (0..heads.len())
        .filter(|at| heads.get(*at).is_some_and(|h| h.priority != HIDDEN))
        .collect();
    let titles = shown.iter().filter_map(|at| heads.get(*at));
    let mut lines: Vec<Vec<String>> = vec![titles.map(|h| h.title.to_owned()).collect()];
    for row in rows(app) {
        lines.push(shown.iter().map(|at| row.value(*at).show()).collect());
    }
    if lines.len() == 1 {
        let _ = writeln!(text, "no {}", app.tab.name());
    } else {
        text += &align(&lines);
    }
    text
}

/// The rows of the tab that is looked at, filtered and in order.
fn rows(app: &App) -> impl Iterator<Item = &dyn AnyRow> {
    let ids = app.tab_state().order.iter();
    ids.filter_map(|id| app.mirror().row(app.tab, id))
}

/// The gateway as a whole.
#[derive(Serialize)]
struct GatewaySummary<'a> {
    #[serde(flatten)]
    totals: &'a Totals,
    uptime_ms: u64,
    /// Time over which the rates are taken.
    window_ms: u64,
    /// Bytes a second from clients.
    bytes_in_per_second: f64,
    /// Bytes a second to clients.
    bytes_out_per_second: f64,
    handshakes_per_second: f64,
    rejects_last_minute: u64,
    reject_reasons: BTreeMap<&'a str, ReasonCounts>,
}

/// Clients turned away for one reason.
#[derive(Serialize)]
struct ReasonCounts {
    last_minute: u64,
    count: u64,
}

/// Everything as one document, or one tab of it. The filter and the order are those of the tab
/// that is looked at.
pub(crate) fn json(app: &mut App, only: Option<Tab>) -> Json {
    let asked = app.tab;
    let mut document = Map::new();
    let mirror = app.mirror();
    let (bytes_in, bytes_out) = mirror.rates();
    let rate = |n: f64| (n * 10.0).round() / 10.0;
    let reasons = mirror.reasons().into_iter();
    let gateway = GatewaySummary {
        totals: &mirror.totals,
        uptime_ms: mirror.now,
        window_ms: mirror.window(),
        bytes_in_per_second: rate(bytes_in),
        bytes_out_per_second: rate(bytes_out),
        handshakes_per_second: rate(mirror.handshakes()),
        rejects_last_minute: mirror.rejects_a_minute(),
        reject_reasons: reasons
            .map(|(reason, last_minute, count)| (reason, ReasonCounts { last_minute, count }))
            .collect(),
    };
    // Only a map whose keys are not text could fail, and there is none.
    let gateway = serde_json::to_value(gateway).unwrap_or_default();
    document.insert("gateway".to_owned(), gateway);
    for tab in Tab::ALL {
        if only.is_some_and(|only| only != tab) {
            continue;
        }
        app.open_tab(tab);
        let rows: Vec<Json> = rows(app).map(row).collect();
        document.insert(tab.name().to_owned(), rows.into());
    }
    app.open_tab(asked);
    document.into()
}

fn row(row: &dyn AnyRow) -> Json {
    let fields = row.fields().into_iter();
    fields
        .map(|(head, value)| (head.field.to_owned(), value.json()))
        .collect::<Map<_, _>>()
        .into()
}
