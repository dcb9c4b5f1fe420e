//! The table that a run prints, and the JSON file that it leaves.

use serde_json::{Value, json};

use crate::experiment::{BYTES, IDLE, TRIPS, VISITS};
use crate::goals::{Goal, Row, rows};
use crate::load::CONNECTIONS;
use crate::machine::Machine;
use crate::peer::{Kind, Peer};
use crate::results::{Ratio, Results};

/// A finished run.
pub(crate) struct Report<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) peers: &'a [Peer],
    pub(crate) left_out: &'a [String],
    pub(crate) rounds: usize,
    pub(crate) results: &'a Results,
}

impl Report<'_> {
    fn names(&self, dbgate: bool) -> Vec<String> {
        let kind = |p: &&Peer| (p.kind == Kind::Dbgate) == dbgate;
        self.peers
            .iter()
            .filter(kind)
            .map(|p| p.name.clone())
            .collect()
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = rows();
        rows.retain(|row| {
            self.results
                .0
                .iter()
                .any(|r| r.experiment == row.experiment)
        });
        rows
    }

    /// Markdown: a table of medians with its verdicts for each dbgate, then each against the first.
    pub(crate) fn print(&self) {
        println!("\n{}; {} rounds", self.machine, self.rounds);
        for peer in self.peers {
            println!("- {}: {}", peer.name, peer.version);
        }
        let others = self.names(false);
        let gateways = self.names(true);
        for gateway in &gateways {
            self.print_one(gateway, &others);
        }
        if let [first, rest @ ..] = &*gateways {
            for other in rest {
                self.print_pair(first, other);
            }
        }
        let failed: Vec<_> = self
            .results
            .0
            .iter()
            .filter(|r| r.outcome.is_err())
            .collect();
        if !failed.is_empty() || !self.left_out.is_empty() {
            println!("\nLeft out:");
        }
        for reason in self.left_out {
            println!("- {reason}");
        }
        for record in failed {
            let error = record.outcome.as_ref().err();
            let error = error.and_then(|e| e.lines().next()).unwrap_or_default();
            println!(
                "- round {}, {}, {}: {error}",
                record.round, record.experiment, record.peer
            );
        }
    }

    fn print_one(&self, gateway: &str, others: &[String]) {
        let columns = others.iter().map(String::as_str).chain([gateway]);
        let columns: Vec<&str> = columns.collect();
        println!(
            "\n| | {} | ratio | least to most | at most | |\n|---|{}---|---|---|---|",
            columns.join(" | "),
            "---:|".repeat(columns.len())
        );
        for row in self.rows() {
            let cells = columns.iter().map(|peer| {
                let median = self.results.median(row.experiment, row.measure, peer);
                median.map_or(String::new(), |value| figure(value, row.unit))
            });
            let cells: Vec<String> = cells.collect();
            let verdict = self.results.judge(&row, gateway, others);
            let (value, spread) = verdict.ratio.as_ref().map_or_else(Default::default, words);
            let met = match verdict.met {
                Some(true) => "met",
                Some(false) => "**missed**",
                None if row.goal == Goal::Told => "",
                None => "not measured",
            };
            println!(
                "| {} | {} | {value} | {spread} | {} | {met} |",
                row.title,
                cells.join(" | "),
                verdict.goal
            );
        }
    }

    fn print_pair(&self, first: &str, other: &str) {
        println!("\n| | {first} | {other} | ratio | least to most |\n|---|---:|---:|---|---|");
        for row in self.rows() {
            let median = |peer| self.results.median(row.experiment, row.measure, peer);
            let (Some(a), Some(b)) = (median(first), median(other)) else {
                continue;
            };
            let at = |peer| (row.experiment, peer);
            let ratio = self.results.ratio(row.measure, at(other), at(first));
            let (value, spread) = ratio.as_ref().map_or_else(Default::default, words);
            println!(
                "| {} | {} | {} | {value} | {spread} |",
                row.title,
                figure(a, row.unit),
                figure(b, row.unit)
            );
        }
    }

    /// Everything, for other programs.
    pub(crate) fn json(&self) -> Value {
        let others = self.names(false);
        let row = |gateway: &str, row: &Row| {
            let verdict = self.results.judge(row, gateway, &others);
            let medians = self
                .peers
                .iter()
                .filter(|p| p.kind != Kind::Dbgate || p.name == gateway);
            let medians = medians.filter_map(|p| {
                let median = self.results.median(row.experiment, row.measure, &p.name)?;
                Some((p.name.clone(), json!(median)))
            });
            json!({
                "row": row.title,
                "dbgate": gateway,
                "unit": row.unit,
                "medians": medians.collect::<serde_json::Map<_, _>>(),
                "ratio": verdict.ratio.map(|r| json!({
                    "against": r.against, "value": r.value, "least": r.least, "most": r.most,
                })),
                "goal": verdict.goal,
                "met": verdict.met,
            })
        };
        let rows_of = |gateway: &String| -> Vec<Value> {
            self.rows().iter().map(|r| row(gateway, r)).collect()
        };
        let programs = self.peers.iter().map(
            |p| json!({"name": p.name, "version": p.version, "path": p.program, "root": p.root, "tuned": p.tuned}),
        );
        json!({
            "schema": "dbgate.bench/1",
            "machine": self.machine.json(),
            "settings": {
                "rounds": self.rounds,
                "workers": self.machine.cores,
                "connections": CONNECTIONS,
                "visits": VISITS,
                "bytes": BYTES,
                "trips": TRIPS * CONNECTIONS,
                "idle_sessions": IDLE,
                "tls": "1.3, P-256 certificate, X25519, TLS_AES_256_GCM_SHA384, no resumption",
            },
            "programs": programs.collect::<Vec<_>>(),
            "left_out": self.left_out,
            "rows": self.names(true).iter().flat_map(rows_of).collect::<Vec<_>>(),
            "samples": self.results.json(),
        })
    }
}

/// Three digits that count.
pub(crate) fn figure(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$} {unit}").trim_end().to_owned()
}

fn words(ratio: &Ratio) -> (String, String) {
    let Ratio {
        value, least, most, ..
    } = ratio;
    (format!("{value:.2}"), format!("{least:.2} to {most:.2}"))
}
