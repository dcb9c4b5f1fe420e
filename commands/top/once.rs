//! One frame without a terminal: a table in plain text, or everything as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

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
    let rate = |rate: f64| size(&whole(rate).into());
    let mut text = format!(
        "dbgate {}  up {}  revision {}  pid {}\n\
         sessions {} ({} in handshake)  handshakes {:.1}/s  rejects {rejects}/min\n\
         in {}/s  out {}/s  rates over {}\n",
        crate::table::escape(&totals.version),
        span(&mirror.now.into()),
        totals.revision,
        totals.pid,
        totals.sessions,
        totals.handshakes,
        mirror.handshakes(),
        rate(rate_in),
        rate(rate_out),
        span(&mirror.window().into()),
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

/// Everything as one document, or one tab of it. The filter and the order are those of the tab
/// that is looked at.
pub(crate) fn json(app: &mut App, only: Option<Tab>) -> Json {
    let asked = app.tab;
    let mut document = Map::new();
    let mirror = app.mirror();
    let (bytes_in, bytes_out) = mirror.rates();
    let rate = |n: f64| (n * 10.0).round() / 10.0;
    let reasons: BTreeMap<&str, Json> = mirror
        .reasons()
        .into_iter()
        .map(|(reason, minute, all)| (reason, json!({"last_minute": minute, "count": all})))
        .collect();
    let mut gateway = json!(mirror.totals);
    gateway["uptime_ms"] = mirror.now.into();
    gateway["window_ms"] = mirror.window().into();
    gateway["in"] = rate(bytes_in).into();
    gateway["out"] = rate(bytes_out).into();
    gateway["handshakes_per_second"] = rate(mirror.handshakes()).into();
    gateway["rejects_last_minute"] = mirror.rejects_a_minute().into();
    gateway["reject_reasons"] = json!(reasons);
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
        .map(|(head, value)| (head.name.to_owned(), value.json()))
        .collect::<Map<_, _>>()
        .into()
}
