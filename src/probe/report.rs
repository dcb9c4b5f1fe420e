//! Report of a diagnosis, for people and programs: the fields of `dbgate.probe/1`.
//!
//! Not here: its layout on a terminal, and its exit code.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use crate::cert::View;
use crate::wire::one_line;

use super::rules::{CAPTURE_NOT_ENOUGH, CLIENT_SAID_NOTHING, Rule, Severity, Stage};

/// The longest sentence of a finding, in characters; what servers say in it is shorter.
const LONGEST_DETAIL: usize = 4000;

/// The name of this shape of JSON; the number changes when a field changes its meaning.
pub const SCHEMA: &str = "dbgate.probe/1";

/// The whole in one word: of a probe or a listener `ok`, `warn` or `fail`, of a recorded connection
/// `ok`, `failed` or `unknown`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing to do.
    #[default]
    Ok,
    /// It works, but not as it should.
    Warn,
    /// It does not work.
    Fail,
    /// The recording proves that TLS did not come about.
    Failed,
    /// Not enough was recorded.
    Unknown,
}

impl Verdict {
    /// The word used in texts and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was found: a rule, and what it was this time.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The cause, with all that is always true of it.
    pub rule: &'static Rule,
    /// Severity in this case; most often that of the rule.
    pub severity: Severity,
    /// Details of this case, with names and numbers, in one or two sentences; safe to print.
    pub detail: String,
    /// The command to type next, where one can be named.
    pub command: Option<String>,
}

impl Finding {
    /// A finding as severe as its rule.
    #[must_use]
    pub fn new(rule: &'static Rule, detail: impl Into<String>) -> Self {
        Self {
            rule,
            severity: rule.severity,
            detail: one_line(&detail.into(), LONGEST_DETAIL),
            command: None,
        }
    }

    /// The same, with another severity.
    #[must_use]
    pub fn with(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The same, with the command to type next.
    #[must_use]
    pub fn then(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            code: &'a str,
            severity: Severity,
            stage: Stage,
            said_by: &'a str,
            summary: &'a str,
            detail: &'a str,
            meaning: &'a str,
            remedy: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            command: Option<&'a str>,
        }
        Shape {
            code: self.rule.code,
            severity: self.severity,
            stage: self.rule.stage,
            said_by: self.rule.said_by,
            summary: self.rule.summary,
            detail: &self.detail,
            meaning: self.rule.meaning,
            remedy: self.rule.remedy,
            command: self.command.as_deref(),
        }
        .serialize(serializer)
    }
}

/// The client's hello in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HelloReport {
    /// Bytes on the wire, record headers included.
    pub bytes: usize,
    /// TLS records that carried it.
    pub records: usize,
    /// TCP segments (or reads) that carried it.
    pub segments: usize,
    /// The client's fingerprint.
    pub ja4: String,
    /// TLS versions on offer, in the client's order, such as `1.3`.
    pub versions: Vec<String>,
    /// Key exchange groups on offer, in the client's order.
    pub groups: Vec<String>,
    /// True if one of these groups withstands quantum computers.
    pub post_quantum: bool,
}

/// The first line of JSON and everything below it. Absent parts were not looked at.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: Schema,
    /// Start, RFC 3339 in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The same of a recorded connection, by the name that all of the JSON uses for a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ts: Option<String>,
    /// The number of the conversation in its capture, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The whole in one word.
    pub verdict: Verdict,
    /// The code of the leading finding; `ok` when there is none that matters.
    pub code: String,
    /// The stage of the leading finding; `done` when there is none.
    pub stage: Stage,
    /// Protocol, as far as it is known: `postgres`, `mysql`, `mariadb`, `mongodb`, `redis`,
    /// `tls`, or `unknown`.
    pub protocol: String,
    /// True if TLS was asked for in the protocol's own way, before the handshake.
    pub starttls: bool,
    /// Answer to the `SSLRequest` of Postgres: `S`, `N`, `E`, or another byte, escaped.
    pub ssl_answer: Option<String>,
    /// The server name as sent, escaped.
    pub sni: Option<String>,
    /// `ok`, `none`, `ip` or `invalid`.
    pub sni_status: &'static str,
    /// The ALPN protocols offered, escaped.
    pub alpn: Vec<String>,
    /// The ALPN protocol agreed on, escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn_agreed: Option<String>,
    /// The version agreed on, such as `1.3`.
    pub tls_version: Option<String>,
    /// The cipher suite agreed on, by its IANA name.
    pub cipher: Option<String>,
    /// The key exchange group agreed on.
    pub group: Option<String>,
    /// The alert that ended it.
    pub alert: Option<String>,
    /// `client` or `server`.
    pub alert_by: Option<&'static str>,
    /// True if TLS was established.
    pub established: bool,
    /// Host and port of a probe's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Address and port of the client.
    pub client: Option<String>,
    /// Address and port of the server.
    pub server: Option<String>,
    /// The client's hello in numbers.
    pub hello: Option<HelloReport>,
    /// Duration of each stage, in milliseconds.
    pub phases_ms: BTreeMap<&'static str, f64>,
    /// True if the chain is trusted for the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted: Option<bool>,
    /// The certificates as they were sent, the server's own first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<View>,
    /// The subject of the trusted root at the chain's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Facts that the server gives before any login.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<&'static str, String>,
    /// Further connections and their results, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub looks: Vec<String>,
    /// Findings, the worst first.
    pub findings: Vec<Finding>,
}

/// Serialises as [`SCHEMA`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Schema;

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SCHEMA)
    }
}

impl Report {
    /// Orders the findings, and takes verdict, code and stage from the leading one.
    ///
    /// Of two that are equally severe the one found first leads.
    pub fn conclude(&mut self) {
        // What happened comes before what its recording lacks.
        self.findings.sort_by_key(|finding| {
            let of_capture = finding.rule.stage == Stage::Capture;
            (Reverse(finding.severity), of_capture)
        });
        let leading = self.leading();
        let severity = leading.map(|finding| finding.severity);
        let (code, stage) = leading.map_or(("ok", Stage::Done), |finding| {
            (finding.rule.code, finding.rule.stage)
        });
        self.verdict = match severity {
            Some(Severity::Fail) => Verdict::Fail,
            Some(Severity::Warn) => Verdict::Warn,
            Some(Severity::Note) | None => Verdict::Ok,
        };
        code.clone_into(&mut self.code);
        self.stage = stage;
    }

    /// The finding that gives the report its code; notes do not.
    #[must_use]
    pub fn leading(&self) -> Option<&Finding> {
        let first = self.findings.first();
        first.filter(|finding| finding.severity != Severity::Note)
    }

    /// The same for a recorded connection, of which any part may be missing.
    ///
    /// It has failed only where something that was seen proves it, and where neither that nor a
    /// handshake was seen it is unknown.
    pub fn conclude_recorded(&mut self) {
        let of_capture = |finding: &Finding| finding.rule.stage == Stage::Capture;
        let matters = |finding: &Finding| finding.severity != Severity::Note;
        let findings = &mut self.findings;
        let verdict = if self.established {
            // What the recording lacks has hidden nothing of the handshake.
            for finding in findings.iter_mut().filter(|finding| of_capture(finding)) {
                finding.severity = Severity::Note;
            }
            Verdict::Ok
        } else if findings
            .iter()
            .any(|found| matters(found) && !of_capture(found))
        {
            Verdict::Failed
        } else if findings
            .iter()
            .any(|found| found.rule.code == CLIENT_SAID_NOTHING.code)
        {
            Verdict::Ok
        } else {
            if !findings.iter().any(matters) {
                let detail = "no alert, no refusal and no completed handshake was seen";
                self.find(Finding::new(&CAPTURE_NOT_ENOUGH, detail));
            }
            Verdict::Unknown
        };
        self.conclude();
        self.verdict = verdict;
    }

    /// Returns whether a recorded connection was seen to fail.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.verdict == Verdict::Failed
    }

    /// Adds a finding unless the same rule has spoken already.
    pub fn find(&mut self, finding: Finding) {
        let known = |other: &Finding| std::ptr::eq(other.rule, finding.rule);
        if !self.findings.iter().any(known) {
            self.findings.push(finding);
        }
    }

    /// Sets the time at which it began.
    pub fn began(&mut self, at: SystemTime) {
        self.time = Some(humantime::format_rfc3339_millis(at).to_string());
    }

    /// Notes how long a stage took.
    pub fn phase(&mut self, name: &'static str, took: Duration) {
        // Microseconds are enough, and a fixed number of digits reads better.
        let ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        self.phases_ms.insert(name, ms);
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules;
    use super::*;

    #[test]
    fn the_worst_finding_leads_and_notes_do_not_matter() {
        let mut report = Report::default();
        report.conclude();
        assert_eq!((report.verdict, report.code.as_str()), (Verdict::Ok, "ok"));

        report.find(Finding::new(&rules::SNI_NONE, "a").with(Severity::Note));
        report.conclude();
        assert_eq!((report.verdict, report.stage), (Verdict::Ok, Stage::Done));

        report.find(Finding::new(&rules::PG_TLS_REFUSED, "b"));
        report.find(Finding::new(&rules::PG_TLS_REFUSED, "c"));
        report.conclude();
        assert_eq!(report.verdict, Verdict::Fail);
        assert_eq!(report.code, "pg-tls-refused");
        assert_eq!(report.stage, Stage::Preface);
        assert_eq!(report.findings.len(), 2);
    }
}
