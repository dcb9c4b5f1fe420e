//! Repeated probes of one target: `--count`, `--wait` and `--each-address`, and what they have in
//! common.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dbgate::probe::active::{self, Setup, Target};
use dbgate::probe::{Finding, Report, Severity, Verdict, rules};
use serde::Serialize;
use tokio::time::sleep;

use super::exit_code::{self, OK, TROUBLE};
use super::print::{self, json, show};
use crate::cli::{ProbeOutput, UrlArgs};
use crate::out;
use crate::table::escape;

/// Schema of the last line of JSON, after those of the single probes.
const SCHEMA: &str = "dbgate.probe.summary/1";

/// The least time for a last attempt of `--wait`.
const LAST: Duration = Duration::from_millis(500);

/// Summary of several probes.
#[derive(Debug, Serialize)]
struct Summary {
    schema: &'static str,
    verdict: Verdict,
    /// Code of the finding about all of them, else of the worst probe.
    code: String,
    count: usize,
    /// Number of probes by code.
    codes: BTreeMap<String, usize>,
    /// In milliseconds, over the probes that went through the phase.
    phases_ms: BTreeMap<&'static str, Spread>,
    findings: Vec<Finding>,
}

/// Distribution of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spread {
    min: f64,
    avg: f64,
    max: f64,
    p99: f64,
}

impl Spread {
    fn of(mut all: Vec<f64>) -> Option<Self> {
        all.sort_by(f64::total_cmp);
        let (min, max) = (*all.first()?, *all.last()?);
        // The smallest value that 99 of 100 do not exceed.
        let p99 = *all.get((all.len() * 99).div_ceil(100).checked_sub(1)?)?;
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let avg = all.iter().sum::<f64>() / all.len() as f64;
        let rounded = |ms: f64| (ms * 1e3).round() / 1e3;
        Some(Self {
            min,
            avg: rounded(avg),
            max,
            p99,
        })
    }
}

/// Totals of all probes; bounded per probe, since there may be a million.
#[derive(Default)]
struct Tally {
    codes: BTreeMap<String, usize>,
    phases: BTreeMap<&'static str, Vec<f64>>,
    worst: Option<(u8, Verdict, String)>,
    count: usize,
}

impl Tally {
    fn add(&mut self, report: &Report) {
        self.count += 1;
        *self.codes.entry(report.code.clone()).or_default() += 1;
        for (name, ms) in &report.phases_ms {
            self.phases.entry(name).or_default().push(*ms);
        }
        let this = (exit_code::of(report), report.verdict, report.code.clone());
        if self.worst.as_ref().is_none_or(|worst| worst.0 < this.0) {
            self.worst = Some(this);
        }
    }

    fn exit(&self) -> u8 {
        self.worst.as_ref().map_or(OK, |worst| worst.0)
    }

    fn summary(self, findings: Vec<Finding>) -> Summary {
        let (_, verdict, code) = self.worst.unwrap_or_default();
        let leading = findings.first();
        Summary {
            schema: SCHEMA,
            verdict: match leading.map(|finding| finding.severity) {
                Some(Severity::Fail) => Verdict::Fail,
                Some(Severity::Warn) => verdict.max(Verdict::Warn),
                Some(Severity::Note) | None => verdict,
            },
            code: leading.map_or(code, |finding| finding.rule.code.to_owned()),
            count: self.count,
            codes: self.codes,
            phases_ms: self
                .phases
                .into_iter()
                .filter_map(|(name, all)| Some((name, Spread::of(all)?)))
                .collect(),
            findings,
        }
    }
}

/// Probes `count` times, or until interrupted.
pub(super) async fn count(
    args: &UrlArgs,
    target: &Target,
    setup: &Setup,
    count: u32,
) -> Result<u8> {
    let colours = print::colours();
    let mut tally = Tally::default();
    for at in 0..count {
        let look = async {
            if at > 0 {
                sleep(args.interval).await;
            }
            active::probe(target, setup).await
        };
        let report = tokio::select! {
            report = look => report,
            _ = tokio::signal::ctrl_c() => break,
        };
        tally.add(&report);
        match args.output {
            ProbeOutput::Text => say(&print::line(&report, colours))?,
            ProbeOutput::Json => say(&json(&report)?)?,
        }
    }
    let exit = tally.exit();
    let findings = sometimes(&tally).into_iter().collect();
    conclude(args.output, &tally.summary(findings))?;
    Ok(exit)
}

/// Finding about probes with different results.
fn sometimes(tally: &Tally) -> Option<Finding> {
    let well = tally.codes.get("ok").copied().unwrap_or_default();
    if well == 0 || tally.exit() == OK {
        return None;
    }
    let others: Vec<String> = tally
        .codes
        .iter()
        .filter(|(code, _)| *code != "ok")
        .map(|(code, n)| format!("{n} {code}"))
        .collect();
    let detail = format!(
        "of {} probes {well} were ok, {}",
        tally.count,
        others.join(", ")
    );
    Some(Finding::new(&rules::SOMETIMES, detail))
}

/// Probes each address of each host, and compares them.
pub(super) async fn each_address(args: &UrlArgs, target: &Target, setup: &Setup) -> Result<u8> {
    let (addresses, mut reports) = active::addresses(target, setup).await;
    for report in &reports {
        show(report, args.output)?;
    }
    for address in addresses {
        let report = active::probe_at(target, &address, setup).await;
        if args.output == ProbeOutput::Text && !reports.is_empty() {
            say("\n")?;
        }
        show(&report, args.output)?;
        reports.push(report);
    }
    let mut tally = Tally::default();
    for report in &reports {
        tally.add(report);
    }
    let mut exit = tally.exit();
    let difference = difference(&reports);
    if difference.is_some() {
        exit = exit.max(TROUBLE);
    }
    if args.output == ProbeOutput::Text {
        say("\n")?;
    }
    conclude(
        args.output,
        &tally.summary(difference.into_iter().collect()),
    )?;
    Ok(exit)
}

/// Behaviour that a client would notice, to compare addresses.
fn behaviour(report: &Report) -> String {
    let mut text = report.code.clone();
    if let Some(version) = report.tls_version.as_ref().filter(|_| report.established) {
        let _ = write!(text, ", TLS {version}");
    }
    if let Some(leaf) = report.chain.first() {
        let names = if leaf.names.is_empty() {
            leaf.subject.clone()
        } else {
            leaf.names.join(" ")
        };
        let _ = write!(text, ", certificate for {names}");
    }
    text
}

fn difference(reports: &[Report]) -> Option<Finding> {
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for report in reports {
        let at = report.server.as_ref().or(report.target.as_ref());
        let at = at.cloned().unwrap_or_default();
        kinds.entry(behaviour(report)).or_default().push(at);
    }
    if kinds.len() < 2 {
        return None;
    }
    let kinds: Vec<String> = kinds
        .iter()
        .map(|(kind, at)| format!("{}: {kind}", at.join(", ")))
        .collect();
    Some(Finding::new(&rules::ADDRESSES_DIFFER, kinds.join("; ")))
}

/// Probes until all is well or `wait` is over; the last report is printed.
pub(super) async fn wait(
    args: &UrlArgs,
    target: &Target,
    setup: &Setup,
    wait: Duration,
) -> Result<u8> {
    let until = Instant::now() + wait;
    let left = || until.saturating_duration_since(Instant::now());
    let mut last = None;
    loop {
        let limit = args.timeout.min(left().max(LAST));
        let report = active::probe(target, &setup.within(limit)).await;
        let exit = exit_code::of(&report);
        if exit == OK || left() <= args.interval {
            show(&report, args.output)?;
            return Ok(exit);
        }
        if last.as_ref() != Some(&report.code) {
            let why = report.findings.first().map_or("", |f| f.rule.summary);
            out::complain(&format!("waiting: {}: {}", report.code, escape(why)));
            last = Some(report.code);
        }
        sleep(args.interval).await;
    }
}

fn conclude(output: ProbeOutput, summary: &Summary) -> Result<()> {
    match output {
        ProbeOutput::Text => say(&text(summary)),
        ProbeOutput::Json => {
            let mut line = serde_json::to_string(summary).context("cannot write JSON")?;
            line.push('\n');
            say(&line)
        }
    }
}

fn text(summary: &Summary) -> String {
    let codes: Vec<String> = summary
        .codes
        .iter()
        .map(|(code, n)| format!("{n} {code}"))
        .collect();
    let mut page = print::Page::new(&format!(
        "{}  {} probes: {}",
        print::verdict(summary.verdict, print::colours()),
        summary.count,
        codes.join(", ")
    ));
    for name in print::PHASES {
        if let Some(spread) = summary.phases_ms.get(name) {
            let Spread { min, avg, max, p99 } = spread;
            page.row(
                name,
                &format!("min {min:.1}  avg {avg:.1}  max {max:.1}  p99 {p99:.1} ms"),
            );
        }
    }
    for finding in &summary.findings {
        print::whole(&mut page, finding);
    }
    page.text()
}

fn say(text: &str) -> Result<()> {
    out::print(text).context("cannot write the report")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(finding: Option<Finding>, server: &str) -> Report {
        let mut report = Report {
            server: Some(server.to_owned()),
            established: finding.is_none(),
            ..Report::default()
        };
        report.phase("tcp", Duration::from_millis(1));
        if let Some(finding) = finding {
            report.find(finding);
        }
        report.conclude();
        report
    }

    #[test]
    fn the_spread_of_a_hundred_and_of_one() {
        let all: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let spread = Spread::of(all).unwrap();
        let expected = Spread {
            min: 1.0,
            avg: 100.5,
            max: 200.0,
            p99: 198.0,
        };
        assert_eq!(spread, expected);
        let one = Spread::of(vec![2.0]).unwrap();
        assert_eq!((one.min, one.p99), (one.max, one.max));
        assert!(Spread::of(Vec::new()).is_none());
    }

    #[test]
    fn looks_that_differ_are_a_finding_of_their_own() {
        let refused = || Some(Finding::new(&rules::TCP_REFUSED, "refused"));
        let mut tally = Tally::default();
        tally.add(&report(None, "a:1"));
        assert!(sometimes(&tally).is_none());
        tally.add(&report(refused(), "b:1"));
        let finding = sometimes(&tally).unwrap();
        assert_eq!(finding.detail, "of 2 probes 1 were ok, 1 tcp-refused");
        assert_eq!(tally.exit(), 3);
        let summary = tally.summary(vec![finding]);
        assert_eq!(summary.code, "fails-sometimes");
        assert_eq!(summary.verdict, Verdict::Fail);

        let alike = [report(refused(), "a:1"), report(refused(), "b:1")];
        assert!(difference(&alike).is_none());
        let unlike = [
            report(None, "a:1"),
            report(refused(), "b:1"),
            report(None, "c:1"),
        ];
        let finding = difference(&unlike).unwrap();
        assert_eq!(finding.detail, "a:1, c:1: ok; b:1: tcp-refused");
    }
}
