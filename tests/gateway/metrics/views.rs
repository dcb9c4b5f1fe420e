//! All that a gateway shows, taken at one moment at which nothing moved: `dbgate ctl`, `dbgate top
//! --once`, `/metrics` and the access log.

mod compare;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};
use std::process::Command;

use serde_json::{Value, json};

use super::Scrape;
use crate::gateway::{self, Gateway};
use crate::testbed;

/// The questions to `ctl`.
const READS: [&str; 4] = ["sessions", "list", "rejects", "status"];

/// Bytes from and to clients.
pub(super) type Moved = (u64, u64);

/// The four views of one moment.
pub(super) struct Views {
    ctl: BTreeMap<&'static str, Value>,
    top: Value,
    metrics: Scrape,
    log: Vec<Value>,
}

/// The view, and its answer.
type Said<T> = (&'static str, T);

impl Views {
    /// Waits for a moment at which nothing moves and everybody who came is either connected or in
    /// the log, and takes all views of it.
    ///
    /// # Panics
    /// When there is no such moment.
    #[track_caller]
    pub(super) fn of(gateway: &Gateway) -> Self {
        let mut views = None;
        let still = testbed::until(|| {
            let taken = views.insert(Self::take(gateway));
            let after = ctl(gateway);
            let came = taken.total("accepted");
            taken.total("handshakes") == 0
                && (taken.open().len() + taken.log.len()) as u64 == came
                && timeless(&taken.ctl) == timeless(&after)
        });
        let views = views.expect("views");
        assert!(still, "it never came to rest\n{views:?}");
        views
    }

    fn take(gateway: &Gateway) -> Self {
        // The log first: what is in it has happened for all others.
        Self {
            log: gateway.access(),
            ctl: ctl(gateway),
            top: top(gateway, &[]),
            metrics: Scrape::of(gateway),
        }
    }

    /// Fails with all views unless everybody says the same.
    #[track_caller]
    pub(super) fn same<T: PartialEq + Debug>(&self, what: &str, said: &[Said<T>]) {
        let agree = said.windows(2).all(|pair| pair[0].1 == pair[1].1);
        assert!(agree, "{what}: {said:#?}\n{self:?}");
    }

    /// The open sessions by `ctl`: the facts that do not change with time, by id.
    pub(super) fn open(&self) -> BTreeMap<u64, Value> {
        by_id(rows(&self.ctl["sessions"], "sessions"))
    }

    fn watched(&self) -> BTreeMap<u64, Value> {
        by_id(rows(&self.top, "sessions"))
    }

    /// Every database of which any view tells.
    fn databases(&self) -> BTreeSet<String> {
        let names = |rows: Vec<&Value>, key: &str| -> Vec<String> {
            let names = rows.into_iter().filter_map(|row| row[key].as_str());
            names.map(str::to_owned).collect()
        };
        [
            names(rows(&self.ctl["list"], "databases"), "name"),
            names(rows(&self.top, "databases"), "name"),
            names(self.log.iter().collect(), "database"),
        ]
        .concat()
        .into_iter()
        .collect()
    }

    fn listed(&self, name: &str) -> &Value {
        let rows = rows(&self.ctl["list"], "databases");
        let row = rows.into_iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("ctl list has no {name}\n{self:?}"))
    }

    fn named(&self, tab: &str, name: &str) -> Value {
        let rows = rows(&self.top, tab);
        let row = rows.into_iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("top's {tab} have no {name}\n{self:?}"))
            .clone()
    }

    fn of_backends(&self, name: &str, key: &str) -> u64 {
        let rows = rows(&self.top, "backends").into_iter();
        let its = rows.filter(|row| row["database"] == name);
        its.map(|row| number(row, key)).sum()
    }

    fn metric(&self, series: &str, database: &str, more: &str) -> u64 {
        let series = format!("dbgate_{series}{{database=\"{database}\"{more}}}");
        self.metrics.value(&series)
    }

    /// The bytes of a database, as the metrics count them.
    pub(super) fn counted(&self, database: &str) -> Moved {
        let of = |direction| {
            let label = format!(",direction=\"{direction}\"");
            self.metric("bytes_total", database, &label)
        };
        (of("in"), of("out"))
    }

    fn total(&self, key: &str) -> u64 {
        number(&self.top["gateway"], key)
    }

    /// Clients that sent nothing: the log's lines.
    pub(super) fn empty(&self) -> usize {
        let empty = |line: &&Value| line["reason"] == "nothing_sent";
        self.log.iter().filter(empty).count()
    }

    /// The same by `ctl status` and the metrics.
    pub(super) fn told_empty(&self) -> [u64; 2] {
        [
            number(&self.ctl["status"], "empty_connects"),
            self.metrics
                .value("dbgate_empty_connects_total{listener=\"main\"}"),
        ]
    }

    /// The log's lines of who was turned away, equal ones as one with their count: the last, under
    /// the id of the first.
    fn reject_rows(&self) -> Vec<Value> {
        let mut grouped: BTreeMap<String, Value> = BTreeMap::new();
        let listed = |line: &&Value| line["close"] == "reject" && line["reason"] != "nothing_sent";
        for line in self.log.iter().filter(listed) {
            let client = text(line, "client");
            let address = client
                .rsplit_once(':')
                .map(|(address, _)| address.to_owned());
            let key = ["protocol", "reason", "sni"].map(|key| line[key].to_string());
            let mut row = line.clone();
            row["count"] = 1.into();
            let known = grouped.entry(format!("{address:?} {key:?}"));
            known
                .and_modify(|known| {
                    row["id"] = known["id"].clone();
                    row["count"] = (number(known, "count") + 1).into();
                    *known = row.clone();
                })
                .or_insert(row);
        }
        grouped.into_values().collect()
    }

    /// Rejects by listener and reason: the log's lines.
    pub(super) fn rejects(&self) -> BTreeMap<(String, String), u64> {
        let mut counts = BTreeMap::new();
        let listed = |line: &&Value| line["close"] == "reject" && line["reason"] != "nothing_sent";
        for line in self.log.iter().filter(listed) {
            *counts
                .entry((text(line, "listener"), text(line, "reason")))
                .or_insert(0) += 1;
        }
        counts
    }

    fn told_rejects(&self) -> BTreeMap<(String, String), u64> {
        let told = rows(&self.ctl["rejects"], "counts").into_iter();
        told.map(|row| {
            (
                (text(row, "listener"), text(row, "reason")),
                number(row, "count"),
            )
        })
        .collect()
    }

    fn counted_rejects(&self) -> BTreeMap<(String, String), u64> {
        let series = self.metrics.about("dbgate_rejects_total{");
        let counts = series.into_iter().map(|series| {
            let labels: Vec<&str> = series.split('"').collect();
            let [_, listener, _, reason, _] = labels[..] else {
                panic!("other labels than listener and reason: {series}");
            };
            let key = (listener.to_owned(), reason.to_owned());
            (key, self.metrics.value(series))
        });
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// The log's lines of a database.
    pub(super) fn ended(&self, database: &str) -> Vec<&Value> {
        let lines = self.log.iter();
        lines.filter(|line| line["database"] == database).collect()
    }
}

impl Debug for Views {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut log = String::new();
        for line in &self.log {
            writeln!(log, "{line}")?;
        }
        write!(
            f,
            "--- ctl\n{:#}\n--- top\n{:#}\n--- metrics\n{:#?}\n--- access log\n{log}",
            json!(self.ctl),
            self.top,
            self.metrics.0
        )
    }
}

fn ctl(gateway: &Gateway) -> BTreeMap<&'static str, Value> {
    let ask = |command| {
        let out = gateway.ctl_ok(&["-o", "json", command]);
        let answer = serde_json::from_str(&out);
        (
            command,
            answer.unwrap_or_else(|e| panic!("{command}: {e}: {out}")),
        )
    };
    READS.map(ask).into()
}

/// The same but for what changes with time alone.
fn timeless(ctl: &BTreeMap<&'static str, Value>) -> BTreeMap<&'static str, Value> {
    let mut ctl = ctl.clone();
    if let Some(status) = ctl.get_mut("status") {
        status["uptime_ms"].take();
    }
    let sessions = ctl
        .get_mut("sessions")
        .map(|answer| &mut answer["sessions"]);
    for session in sessions.and_then(Value::as_array_mut).into_iter().flatten() {
        session["age_ms"].take();
    }
    ctl
}

/// `dbgate top --once` with refreshes in quick succession.
pub(super) fn top_once(gateway: &Gateway, words: &[&str]) -> String {
    let output = Command::new(gateway::binary())
        .args(["top", "--once", "--interval", "100ms", "--socket"])
        .arg(gateway.socket())
        .args(words)
        .output()
        .expect("dbgate top");
    assert!(output.status.success(), "dbgate top {words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The same as JSON; all tabs together and each for itself tell the same.
pub(super) fn top(gateway: &Gateway, words: &[&str]) -> Value {
    let out = top_once(gateway, &[&["-o", "json"], words].concat());
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
}

fn rows<'a>(document: &'a Value, key: &str) -> Vec<&'a Value> {
    let rows = document[key].as_array();
    let rows = rows.unwrap_or_else(|| panic!("no {key}: {document:#}"));
    rows.iter().collect()
}

/// A session's facts by its id; the backend's address has two names.
fn by_id(rows: Vec<&Value>) -> BTreeMap<u64, Value> {
    let facts = |row: &Value| {
        let keys = [
            "database",
            "host",
            "sni",
            "client",
            "listener",
            "protocol",
            "tls",
            "backend",
            "bytes_in",
            "bytes_out",
            "state",
        ];
        json!(BTreeMap::from(keys.map(|key| (key, row[key].clone()))))
    };
    rows.into_iter()
        .map(|row| (number(row, "id"), facts(row)))
        .collect()
}

#[track_caller]
fn number(row: &Value, key: &str) -> u64 {
    row[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no {key}: {row:#}"))
}

#[track_caller]
fn text(row: &Value, key: &str) -> String {
    let text = row[key].as_str();
    text.unwrap_or_else(|| panic!("no {key}: {row:#}"))
        .to_owned()
}

/// The bytes of these rows together.
pub(super) fn moved<'a>(rows: impl IntoIterator<Item = &'a Value>) -> Moved {
    let bytes = |row| (number(row, "bytes_in"), number(row, "bytes_out"));
    rows.into_iter().map(bytes).fold((0, 0), plus)
}

/// Both together.
pub(super) fn plus((a_in, a_out): Moved, (b_in, b_out): Moved) -> Moved {
    (a_in + b_in, a_out + b_out)
}
