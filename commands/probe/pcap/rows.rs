//! Conversations as rows of a table or lines of JSON.

use std::collections::VecDeque;
use std::fmt::Write as _;

use anyhow::Result;
use dbgate::probe::Report;
use dbgate::probe::capture::Tally;
use dbgate::probe::capture::conversations::Counts;
use dbgate::probe::capture::link::Skipped;
use dbgate::probe::report::Schema;
use serde::Serialize;

use crate::cli::ProbeOutput;
use crate::table::{align, count, escape};

/// The most rows that are kept to be sorted: about 150 MB.
const MAX_ROWS: usize = 50_000;

const HEADER: [&str; 9] = [
    "ID", "TIME", "CLIENT", "SERVER", "PROTOCOL", "SNI", "TLS", "OUTCOME", "MEANING",
];

/// The least widths of the columns where rows are printed one by one.
const WIDTHS: [usize; 8] = [4, 12, 21, 21, 8, 24, 3, 24];

/// The rows of a whole capture: failed ones first.
pub(super) struct Rows {
    only_failed: bool,
    failed: VecDeque<Report>,
    others: VecDeque<Report>,
    left_out: u64,
}

impl Rows {
    pub(super) fn new(only_failed: bool) -> Self {
        Self {
            only_failed,
            failed: VecDeque::new(),
            others: VecDeque::new(),
            left_out: 0,
        }
    }

    /// Keeps a row; where there are too many the oldest that did not fail gives way, else the
    /// oldest.
    pub(super) fn keep(&mut self, row: Report) {
        if row.has_failed() {
            self.failed.push_back(row);
        } else if !self.only_failed {
            self.others.push_back(row);
        }
        if self.failed.len() + self.others.len() > MAX_ROWS {
            self.left_out += 1;
            if self.others.pop_front().is_none() {
                self.failed.pop_front();
            }
        }
    }

    /// Number of rows that were not kept.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// All rows.
    pub(super) fn print(&mut self, output: ProbeOutput) -> Result<String> {
        for rows in [&mut self.failed, &mut self.others] {
            rows.make_contiguous().sort_by_key(|row| row.id);
        }
        let rows = self.failed.iter().chain(&self.others);
        match output {
            ProbeOutput::Json => rows.map(json).collect(),
            ProbeOutput::Text if self.failed.is_empty() && self.others.is_empty() => {
                Ok(String::new())
            }
            ProbeOutput::Text => {
                let mut lines = vec![HEADER.map(str::to_owned).to_vec()];
                lines.extend(rows.map(|row| cells(row).to_vec()));
                Ok(align(&lines))
            }
        }
    }
}

/// A row as one line of JSON.
pub(super) fn json(row: &Report) -> Result<String> {
    Ok(serde_json::to_string(row)? + "\n")
}

/// The header of rows that are printed one by one.
pub(super) fn header() -> String {
    spaced(&HEADER.map(str::to_owned))
}

/// A row that is printed before the next is known.
pub(super) fn line(row: &Report) -> String {
    spaced(&cells(row))
}

fn spaced(cells: &[String; 9]) -> String {
    let mut line = String::new();
    let widths = WIDTHS.into_iter().chain([0]);
    for (cell, width) in cells.iter().zip(widths) {
        // Writing to a String cannot fail.
        let _ = write!(line, "{cell:width$}  ");
    }
    line.trim_end().to_owned() + "\n"
}

fn cells(row: &Report) -> [String; 9] {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let meaning = match row.findings.first() {
        Some(lead) if row.leading().is_some() || !row.established => lead.rule.summary.to_owned(),
        _ if row.established => match row.phases_ms.get("tls") {
            Some(ms) => format!("established after {ms:.1} ms"),
            None => "established".to_owned(),
        },
        _ => "no TLS was seen".to_owned(),
    };
    [
        row.id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        // 2026-11-22T11:37:34.466Z: the day is the same for most captures.
        text(&row.time.as_ref().map(|time| {
            let clock = time
                .split_once('T')
                .map_or(time.as_str(), |(_, clock)| clock);
            clock.trim_end_matches('Z').to_owned()
        })),
        text(&row.client),
        text(&row.server),
        row.protocol.clone(),
        text(&row.sni),
        text(&row.tls_version),
        row.code.clone(),
        meaning,
    ]
    .map(|cell| escape(&cell))
}

/// The packets that could not be read, by reason, as a line of JSON; nothing where all could.
pub(super) fn unread(tally: &Tally) -> Result<String> {
    #[derive(Serialize)]
    struct Line {
        schema: Schema,
        packets: u64,
        unread: Vec<Kind>,
    }
    #[derive(Serialize)]
    struct Kind {
        #[serde(flatten)]
        why: Skipped,
        packets: u64,
    }
    if tally.unread.is_empty() {
        return Ok(String::new());
    }
    let kinds = tally.unread.iter();
    let line = Line {
        schema: Schema,
        packets: tally.packets,
        unread: kinds
            .map(|(&why, &packets)| Kind { why, packets })
            .collect(),
    };
    Ok(serde_json::to_string(&line)? + "\n")
}

/// Summary of a capture, in one line.
pub(super) fn summary(counts: &Counts, tally: &Tally) -> String {
    let silent = counts.told - counts.established - counts.failed - counts.unknown;
    let mut parts = vec![
        count(counts.told, "conversation"),
        format!("{} established", counts.established),
        format!("{} failed", counts.failed),
    ];
    if counts.unknown > 0 {
        parts.push(format!("{} unknown (not enough was seen)", counts.unknown));
    }
    if silent > 0 {
        parts.push(format!("{silent} in which nothing was said"));
    }
    parts.push(count(tally.packets, "packet"));
    if counts.empty > 0 {
        parts.push(format!(
            "{} without any data not listed",
            count(counts.empty, "connection")
        ));
    }
    parts.join(", ") + "\n"
}
