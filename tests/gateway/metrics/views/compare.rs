//! The questions to which every view of a gateway has to give one answer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Views, moved, number, plus, rows, text, top, top_once};
use crate::gateway::Gateway;

/// The tabs of `top`.
const TABS: [&str; 5] = ["sessions", "databases", "backends", "rejects", "events"];

/// Close reasons of a database's sessions, as the log and the metrics call them.
const CLOSES: [&str; 7] = [
    "client", "backend", "idle", "admin", "shutdown", "error", "reject",
];

impl Views {
    /// Asks everything of which more than one view tells, and compares the answers.
    ///
    /// # Panics
    /// When they differ, with all views.
    #[track_caller]
    pub(in super::super) fn assert_agree(&self) {
        let open = self.open();
        self.same(
            "open sessions",
            &[("ctl", self.open()), ("top", self.watched())],
        );
        for name in self.databases() {
            let its = |row: &&Value| row["database"] == name.as_str();
            let listed = self.named("databases", &name);
            let count = |rows: usize| rows as u64;
            self.same(
                &format!("open sessions of {name}"),
                &[
                    ("ctl sessions", count(open.values().filter(its).count())),
                    ("ctl list", number(self.listed(&name), "sessions")),
                    ("top", number(&listed, "sessions")),
                    ("top's backends", self.of_backends(&name, "sessions")),
                    ("metrics", self.metric("sessions_active", &name, "")),
                ],
            );
            let live: Vec<&Value> = open.values().filter(its).collect();
            let ended: Vec<&Value> = self.log.iter().filter(its).collect();
            let of_backends = ["bytes_in", "bytes_out"].map(|key| self.of_backends(&name, key));
            self.same(
                &format!("bytes of {name}"),
                &[
                    ("ctl list", moved([self.listed(&name)])),
                    ("top", moved([&listed])),
                    ("top's backends", of_backends.into()),
                    ("metrics", self.counted(&name)),
                    (
                        "ctl sessions and the log",
                        plus(moved(live.clone()), moved(ended.clone())),
                    ),
                ],
            );
            for close in CLOSES {
                let logged = ended.iter().filter(|line| line["close"] == close).count();
                let label = format!(",close=\"{close}\"");
                self.same(
                    &format!("sessions of {name} that ended by {close}"),
                    &[
                        ("the log", count(logged)),
                        ("metrics", self.metric("sessions_total", &name, &label)),
                    ],
                );
            }
            let reached = ended
                .iter()
                .filter(|line| !line["backend"].is_null())
                .count();
            self.same(
                &format!("sessions of {name} that reached a backend"),
                &[
                    ("ctl sessions and the log", count(live.len() + reached)),
                    (
                        "metrics",
                        self.metric("connect_duration_seconds_count", &name, ""),
                    ),
                ],
            );
        }
        self.totals_agree();
        self.rejects_agree();
    }

    #[track_caller]
    fn totals_agree(&self) {
        let open = self.open();
        let reached = self.log.iter().filter(|line| !line["backend"].is_null());
        self.same(
            "sessions since the start",
            &[
                ("ctl status", number(&self.ctl["status"], "sessions_total")),
                ("top", self.total("sessions_total")),
                (
                    "ctl sessions and the log",
                    (open.len() + reached.count()) as u64,
                ),
            ],
        );
        self.same(
            "open sessions",
            &[
                ("ctl sessions", open.len() as u64),
                ("ctl status", number(&self.ctl["status"], "sessions")),
                ("top", self.total("sessions")),
            ],
        );
        let all = self.databases().into_iter().map(|name| self.counted(&name));
        self.same(
            "bytes in all",
            &[
                ("metrics", all.fold((0, 0), plus)),
                ("top", moved([&self.top["gateway"]])),
            ],
        );
    }

    #[track_caller]
    fn rejects_agree(&self) {
        self.same(
            "rejects by listener and reason",
            &[
                ("the log", self.rejects()),
                ("ctl", self.told_rejects()),
                ("metrics", self.counted_rejects()),
            ],
        );
        let by_reason = |all: &BTreeMap<(String, String), u64>| {
            let mut sums = BTreeMap::new();
            for ((_, reason), count) in all {
                *sums.entry(reason.clone()).or_insert(0) += count;
            }
            sums
        };
        let reasons = self.top["gateway"]["reject_reasons"].as_object();
        let reasons = reasons.expect("reasons").iter();
        let by_top = reasons.map(|(reason, told)| (reason.clone(), number(told, "count")));
        self.same(
            "rejects by reason",
            &[
                ("the log", by_reason(&self.rejects())),
                ("top", by_top.collect()),
            ],
        );
        let sum = self.rejects().values().sum();
        self.same(
            "rejects in all",
            &[
                ("the log", sum),
                ("ctl status", number(&self.ctl["status"], "rejects")),
                ("top", self.total("rejects")),
            ],
        );
        let keys = [
            "id",
            "client",
            "listener",
            "protocol",
            "reason",
            "sni",
            "sni_status",
            "count",
        ];
        let facts = |row: &Value| json!(keys.map(|key| row[key].clone()));
        let list = |rows: Vec<&Value>| -> BTreeMap<u64, Value> {
            rows.into_iter()
                .map(|row| (number(row, "id"), facts(row)))
                .collect()
        };
        let logged = self.reject_rows();
        self.same(
            "who was turned away",
            &[
                ("the log", list(logged.iter().collect())),
                ("ctl", list(rows(&self.ctl["rejects"], "rejects"))),
                ("top", list(rows(&self.top, "rejects"))),
            ],
        );
    }

    /// The tables of `ctl` and `top` hold what their JSON does, and each tab alone what all together do.
    ///
    /// # Panics
    /// When something is missing, with it.
    #[track_caller]
    pub(in super::super) fn assert_tables_agree(&self, gateway: &Gateway) {
        for tab in TABS {
            let alone = top(gateway, &["--tab", tab]);
            let count = |document: &Value| rows(document, tab).len();
            assert_eq!(
                count(&alone),
                count(&self.top),
                "{tab}: {alone:#}\n{self:?}"
            );
        }
        let shown = [
            ("sessions", "client", gateway.ctl_ok(&["sessions"])),
            (
                "sessions",
                "client",
                top_once(gateway, &["--tab", "sessions"]),
            ),
            ("databases", "name", gateway.ctl_ok(&["list"])),
            (
                "databases",
                "name",
                top_once(gateway, &["--tab", "databases"]),
            ),
            (
                "backends",
                "address",
                top_once(gateway, &["--tab", "backends"]),
            ),
            ("rejects", "client", gateway.ctl_ok(&["rejects"])),
            (
                "rejects",
                "client",
                top_once(gateway, &["--tab", "rejects"]),
            ),
            ("events", "detail", top_once(gateway, &["--tab", "events"])),
        ];
        for (tab, key, table) in shown {
            for row in rows(&self.top, tab) {
                let cell = text(row, key);
                assert!(
                    table.contains(&cell),
                    "{tab}: no {cell} in\n{table}\n{self:?}"
                );
            }
        }
    }
}
