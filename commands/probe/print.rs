//! A report for people: the verdict first, then what was seen, what it means and what to do.
//!
//! Texts of a peer are escaped in the report already; they are escaped once
//! more here. Nothing is coloured but the verdict, and that only on a terminal.

use std::fmt::Write as _;
use std::io::IsTerminal;

use anyhow::{Context, Result};
use dbgate::cert::View;
use dbgate::probe::{Finding, Report, Severity, Verdict};

use crate::cli::ProbeOutput;
use crate::out;
use crate::table::escape;

/// Column at which the text of a row begins.
const INDENT: usize = 14;

/// The column at which lines are broken, where a space allows it.
const WIDTH: usize = 100;

/// Names of a certificate that are listed.
const NAMES: usize = 4;

/// The stages in their order.
pub(crate) const PHASES: [&str; 6] = ["dns", "tcp", "preface", "tls", "protocol", "total"];

/// A headline and rows of a label and a text.
pub(crate) struct Page(String);

impl Page {
    /// A page under this headline.
    pub(crate) fn new(headline: &str) -> Self {
        Self(format!("{headline}\n"))
    }

    /// Adds a row, broken into lines.
    pub(crate) fn row(&mut self, label: &str, text: &str) {
        let label = format!("  {label}");
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{label:<INDENT$}");
        let mut column = label.chars().count().max(INDENT);
        if label.chars().count() >= INDENT {
            self.0.push(' ');
            column += 1;
        }
        let text = escape(text);
        for (at, word) in text.split(' ').enumerate() {
            let length = word.chars().count();
            if at > 0 && column + 1 + length > WIDTH {
                let _ = write!(self.0, "\n{:INDENT$}", "");
                column = INDENT;
            } else if at > 0 {
                self.0.push(' ');
                column += 1;
            }
            self.0.push_str(word);
            column += length;
        }
        self.0.push('\n');
    }

    /// The whole.
    pub(crate) fn text(self) -> String {
        self.0
    }
}

/// Returns whether standard output takes colours: a terminal, unless switched off.
pub(crate) fn colours() -> bool {
    let said_no = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && !said_no && !dumb
}

/// `OK`, `WARN` or `FAIL`, four columns wide, or `UNKNOWN`.
pub(crate) fn verdict(verdict: Verdict, colours: bool) -> String {
    let (word, colour) = match verdict {
        Verdict::Ok => ("OK  ", 32),
        Verdict::Warn => ("WARN", 33),
        Verdict::Fail | Verdict::Failed => ("FAIL", 31),
        Verdict::Unknown => ("UNKNOWN", 33),
    };
    if colours {
        format!("\u{1b}[1;{colour}m{word}\u{1b}[0m")
    } else {
        word.to_owned()
    }
}

/// The first line: verdict, protocol, place, and the gist.
pub(crate) fn headline(report: &Report, colours: bool) -> String {
    let mut parts = vec![report.protocol.clone(), address(report)];
    match report.leading() {
        Some(lead) => parts.push(lead.rule.summary.to_owned()),
        None => parts.push(gist(report)),
    }
    parts.retain(|part| !part.is_empty());
    let parts = escape(&parts.join("  "));
    format!("{}  {parts}", verdict(report.verdict, colours))
}

/// Target and address, or the two ends.
fn address(report: &Report) -> String {
    match (&report.target, &report.client, &report.server) {
        (Some(target), _, Some(server)) if target == server => target.clone(),
        (Some(target), _, Some(server)) => format!("{target}  ({server})"),
        (Some(target), _, None) => target.clone(),
        (None, Some(client), Some(server)) => format!("{client} -> {server}"),
        (None, Some(end), None) | (None, None, Some(end)) => end.clone(),
        (None, None, None) => String::new(),
    }
}

/// Summary of a connection without findings.
fn gist(report: &Report) -> String {
    let version = report.tls_version.as_ref().map(|v| format!("TLS {v}"));
    let trust = match report.trusted {
        Some(true) => Some("trusted".to_owned()),
        Some(false) => Some("not trusted".to_owned()),
        None => None,
    };
    let total = report
        .phases_ms
        .get("total")
        .map(|ms| format!("{ms:.1} ms"));
    [version, trust, total]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

/// The whole report.
pub(crate) fn report(report: &Report, colours: bool) -> String {
    let mut page = Page::new(&headline(report, colours));
    facts(&mut page, report);
    let leading = report.leading();
    if let Some(lead) = leading {
        page.row(lead.rule.said_by, &lead.detail);
        page.row("meaning", lead.rule.meaning);
    }
    for look in &report.looks {
        page.row("also tried", look);
    }
    if let Some(lead) = leading {
        remedy(&mut page, lead);
    }
    let others = report.findings.iter().skip(usize::from(leading.is_some()));
    for finding in others {
        other(&mut page, finding);
    }
    page.text()
}

/// The rows of what was seen.
pub(crate) fn facts(page: &mut Page, report: &Report) {
    if report.hello.is_some() || report.sni.is_some() {
        page.row("sent SNI", &sni(report));
    }
    let phases: Vec<String> = PHASES
        .iter()
        .filter_map(|name| Some(format!("{name} {:.1}", report.phases_ms.get(name)?)))
        .collect();
    if !phases.is_empty() {
        page.row("phases", &format!("{} ms", phases.join("  ")));
    }
    if let Some(tls) = agreed(report) {
        page.row("tls", &tls);
    }
    if let Some(leaf) = report.chain.first() {
        page.row("cert", &certificate(leaf));
        page.row("chain", &chain(report));
    }
    if !report.told.is_empty() {
        let told: Vec<String> = report
            .told
            .iter()
            .map(|(key, value)| format!("{key} {value}"))
            .collect();
        page.row("told", &told.join(", "));
    }
}

// Writing to a String cannot fail.
fn sni(report: &Report) -> String {
    let mut text = report.sni.clone().unwrap_or_else(|| "none".to_owned());
    if report.starttls {
        text += match report.protocol.as_str() {
            "mysql" | "mariadb" => ", after the greeting and an SSLRequest",
            _ => ", after an SSLRequest",
        };
    }
    if let Some(answer) = &report.ssl_answer {
        let _ = write!(text, " -> {answer}");
    }
    if !report.alpn.is_empty() {
        let _ = write!(text, ", ALPN {}", report.alpn.join(" "));
    }
    text
}

fn agreed(report: &Report) -> Option<String> {
    let mut parts = vec![format!("TLS {}", report.tls_version.as_ref()?)];
    parts.extend(report.cipher.clone());
    parts.extend(report.group.clone());
    if let Some(alpn) = &report.alpn_agreed {
        parts.push(format!("ALPN {alpn}"));
    }
    Some(parts.join("  "))
}

fn certificate(leaf: &View) -> String {
    let names: Vec<&str> = leaf.names.iter().map(String::as_str).collect();
    let listed = names.get(..NAMES).unwrap_or(&names).join(", ");
    let more = names.len().saturating_sub(NAMES) + leaf.more_names;
    let names = match (&leaf.common_name, names.is_empty(), more) {
        (Some(name), true, _) => format!("no names (common name {name})"),
        (None, true, _) => "no names".to_owned(),
        (_, false, 0) => listed,
        (_, false, more) => format!("{listed} and {more} more"),
    };
    let left = match leaf.days_left {
        days @ ..=-1 => format!("ended {} days ago", -days),
        0 => "less than a day left".to_owned(),
        1 => "1 day left".to_owned(),
        days => format!("{days} days left"),
    };
    format!("{names}  {}  {left}", leaf.key)
}

fn chain(report: &Report) -> String {
    let mut links: Vec<&str> = report
        .chain
        .iter()
        .map(|cert| cert.subject.as_str())
        .collect();
    // The root of the trust store; a server that sends it too says its name twice.
    if let Some(root) = report.root.as_deref()
        && links.last() != Some(&root)
    {
        links.push(root);
    }
    let end = match (&report.root, report.chain.last()) {
        (Some(_), _) => " (trusted root)".to_owned(),
        (None, Some(last)) if last.self_signed => " (signed by itself)".to_owned(),
        (None, Some(last)) => format!(" <- {} (not sent)", last.issuer),
        (None, None) => String::new(),
    };
    format!("{}{end}", links.join(" <- "))
}

/// A finding with all that belongs to it.
pub(crate) fn whole(page: &mut Page, finding: &Finding) {
    page.row(finding.severity.as_str(), finding.rule.summary);
    page.row(finding.rule.said_by, &finding.detail);
    page.row("meaning", finding.rule.meaning);
    remedy(page, finding);
}

pub(super) fn remedy(page: &mut Page, finding: &Finding) {
    page.row("do", finding.rule.remedy);
    if let Some(command) = &finding.command {
        page.row("type", command);
    }
    page.row(
        "code",
        &format!("{0}   (dbgate probe explain {0})", finding.rule.code),
    );
}

/// A finding that does not lead.
pub(super) fn other(page: &mut Page, finding: &Finding) {
    let text = format!("{}: {}", finding.rule.summary, finding.detail);
    page.row(finding.severity.as_str(), text.trim_end_matches(": "));
    if finding.severity == Severity::Note {
        return;
    }
    remedy(page, finding);
}

/// One line for one of several probes.
pub(crate) fn line(report: &Report, colours: bool) -> String {
    let mut line = headline(report, colours);
    let phases: Vec<String> = PHASES
        .iter()
        .filter(|name| **name != "total")
        .filter_map(|name| Some(format!("{name} {:.1}", report.phases_ms.get(name)?)))
        .collect();
    if !phases.is_empty() {
        let _ = write!(line, "  [{} ms]", phases.join("  "));
    }
    line.push('\n');
    line
}

/// Prints one report.
pub(super) fn show(report: &Report, output: ProbeOutput) -> Result<()> {
    let text = match output {
        ProbeOutput::Text => self::report(report, colours()),
        ProbeOutput::Json => json(report)?,
    };
    out::print(&text).context("cannot write the report")
}

/// A report as a line of JSON.
pub(super) fn json(report: &Report) -> Result<String> {
    let mut line = serde_json::to_string(report).context("cannot write JSON")?;
    line.push('\n');
    Ok(line)
}
