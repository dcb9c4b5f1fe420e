//! One further connection, within the time that is left for all of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::probe::active::attempt::Attempt;
use crate::probe::active::plan::Plan;
use crate::probe::active::setup::Setup;
use crate::probe::active::{certificate, connection, reach, report};
use crate::probe::report::{Finding, Report};
use crate::probe::rules::{Rule, Severity};

/// Share of the time for one stage that a stage of a further connection gets.
const SHARE: u32 = 5;

/// The least of that.
const LEAST: Duration = Duration::from_millis(500);

/// Further connections to one address.
pub(in crate::probe::active) struct FollowUp<'a> {
    pub(super) report: &'a mut Report,
    pub(super) first: &'a Attempt,
    pub(super) plan: &'a Plan,
    pub(super) setup: &'a Setup,
    pub(super) address: SocketAddr,
    until: Instant,
}

/// Result of a further connection.
pub(in crate::probe::active) struct Other {
    pub(super) attempt: Attempt,
    pub(super) report: Report,
}

impl<'a> FollowUp<'a> {
    pub(in crate::probe::active) fn new(
        report: &'a mut Report,
        first: &'a Attempt,
        plan: &'a Plan,
        setup: &'a Setup,
        address: SocketAddr,
    ) -> Self {
        Self {
            report,
            first,
            plan,
            setup,
            address,
            until: Instant::now() + plan.limit,
        }
    }

    /// Time for a stage of a further connection; `None` when too little is left for one.
    pub(super) fn limit(&self) -> Option<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        let share = (self.plan.limit / SHARE).max(LEAST).min(self.plan.limit);
        // A rest of some milliseconds would make the report depend on the clock.
        (left >= share / 2).then_some(share.min(left))
    }

    /// Connects once more, with another plan; the result is reported as `what`.
    pub(super) async fn other(
        &mut self,
        what: &str,
        change: impl FnOnce(&mut Plan),
    ) -> Option<Other> {
        let limit = self.limit()?;
        let mut plan = self.plan.clone();
        plan.limit = limit;
        change(&mut plan);
        let (tcp, took) = match reach::connect(self.address, limit).await {
            Ok(connected) => connected,
            Err(finding) => {
                let lost = format!("{what}: {}", finding.rule.summary);
                self.report.looks.push(lost);
                return None;
            }
        };
        let attempt = connection::run(tcp, took, &plan).await;
        let mut report = report::report(&attempt, &plan);
        certificate::verify(&mut report, &attempt, &plan, self.setup);
        report.conclude();
        self.report.looks.push(format!("{what}: {}", gist(&report)));
        Some(Other { attempt, report })
    }

    /// Replaces what the first connection alone suggested by a finding.
    pub(super) fn conclude(&mut self, rule: &'static Rule, detail: &str) {
        let is_open = |finding: &Finding| finding.severity == Severity::Fail;
        let before = self.report.findings.iter().find(|finding| is_open(finding));
        let detail = match before {
            Some(before) if !std::ptr::eq(before.rule, rule) => {
                format!("{}; {detail}", before.detail)
            }
            Some(_) | None => detail.to_owned(),
        };
        self.report.findings.retain(|finding| !is_open(finding));
        self.report.find(Finding::new(rule, detail));
    }
}

/// Summarizes a connection in a few words.
pub(super) fn gist(report: &Report) -> String {
    if report.established {
        let version = report.tls_version.as_deref().unwrap_or("?");
        return format!("TLS {version}, certificate for {}", names(report));
    }
    match report.findings.first() {
        Some(finding) => finding.rule.summary.to_owned(),
        None => "no answer".to_owned(),
    }
}

pub(super) fn names(report: &Report) -> String {
    /// Names that are listed.
    const MOST: usize = 3;
    let Some(leaf) = report.chain.first() else {
        return "nobody".to_owned();
    };
    match leaf.names.len() {
        0 => leaf.subject.clone(),
        1..=MOST => leaf.names.join(", "),
        _ => format!(
            "{} and others",
            leaf.names.get(..MOST).unwrap_or_default().join(", ")
        ),
    }
}
