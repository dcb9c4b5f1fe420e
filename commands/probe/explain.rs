//! `dbgate probe explain`: the long text of a code, or all codes.
//!
//! Exit codes: 0 printed, 2 unknown code.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use dbgate::probe::{Rule, Stage, rules};
use dbgate::similar::similar;

use super::exit_code::USAGE;
use super::print::Page;
use crate::out;

/// Prints the rule of a code, or a list of all.
pub(crate) fn run(code: Option<&str>) -> Result<ExitCode> {
    let page = match code {
        None => list(),
        Some(code) => {
            let Some(rule) = find(code) else {
                out::complain(&unknown(code));
                return Ok(ExitCode::from(USAGE));
            };
            one(rule)
        }
    };
    out::print(&page).context("cannot write the explanation")?;
    Ok(ExitCode::SUCCESS)
}

fn find(code: &str) -> Option<&'static Rule> {
    rules::by_code(&code.to_ascii_lowercase().replace('_', "-"))
}

fn one(rule: &Rule) -> String {
    let mut page = Page::new(rule.code);
    page.row("what", rule.summary);
    page.row("severity", rule.severity.as_str());
    page.row("stage", rule.stage.as_str());
    page.row("said by", rule.said_by);
    page.row("meaning", rule.meaning);
    page.row("do", rule.remedy);
    page.text()
}

fn list() -> String {
    let mut text = String::new();
    let mut stage: Option<Stage> = None;
    let width = rules::all().map(|rule| rule.code.len()).max().unwrap_or(0);
    let mut all: Vec<&Rule> = rules::all().collect();
    // Rules of several files share a stage.
    all.sort_by_key(|rule| rule.stage as u8);
    for rule in all {
        if stage != Some(rule.stage) {
            let gap = if stage.is_some() { "\n" } else { "" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{gap}{}", rule.stage.as_str());
            stage = Some(rule.stage);
        }
        let _ = writeln!(text, "  {:width$}  {}", rule.code, rule.summary);
    }
    text
}

fn unknown(code: &str) -> String {
    match similar(code, rules::all().map(|rule| rule.code)) {
        Some(near) => format!("unknown code {code:?}; did you mean {near}?"),
        None => format!("unknown code {code:?}; `dbgate probe explain` lists all codes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_as_people_write_it() {
        for code in ["tcp-refused", "TCP-REFUSED", "tcp_refused"] {
            assert_eq!(find(code).map(|rule| rule.code), Some("tcp-refused"));
        }
        assert!(find("tcp").is_none());
        let near = unknown("tcp-refsed");
        assert!(near.ends_with("did you mean tcp-refused?"), "{near}");
        let far = unknown("\u{1b}zzzz");
        assert!(
            far.ends_with("lists all codes") && !far.contains('\u{1b}'),
            "{far}"
        );
    }

    #[test]
    fn the_list_has_each_code_once_below_its_stage() {
        let list = list();
        for rule in rules::all() {
            let line = format!("  {} ", rule.code);
            assert_eq!(list.matches(&line).count(), 1, "{line}");
        }
        let stages = list
            .lines()
            .filter(|l| !l.starts_with(' ') && !l.is_empty());
        assert_eq!(
            stages.collect::<Vec<_>>(),
            [
                "dns",
                "tcp",
                "preface",
                "tls",
                "certificate",
                "protocol",
                "capture"
            ]
        );
    }
}
