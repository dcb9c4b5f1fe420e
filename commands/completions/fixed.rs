//! Candidates that are known without a gateway: words that an argument allows, codes of `probe`,
//! columns of `top`, kinds of URLs.

use clap::{Arg, Command, ValueEnum};
use dbgate::probe::active::Target;
use dbgate::probe::rules;
use dbgate::stats::CloseReason;

use super::command_line::CommandLine;
use crate::cli::Tab;

/// A value and a remark.
pub(super) type Candidate = (String, String);

/// The candidates for an argument whose value begins with `current`.
pub(super) fn candidates(line: &CommandLine<'_>, argument: &Arg, current: &str) -> Vec<Candidate> {
    match (line.command.get_name(), argument.get_id().as_str()) {
        ("explain", "code") => {
            let codes = rules::all();
            codes
                .map(|rule| (rule.code.to_owned(), rule.summary.to_owned()))
                .collect()
        }
        ("probe", "url") => {
            let schemes = Target::schemes();
            schemes
                .map(|scheme| (format!("{scheme}://"), String::new()))
                .collect()
        }
        ("top", "sort") => sorts(tab(line), current),
        ("top", "filter") => terms(tab(line), current),
        _ => possible_values(argument, current),
    }
}

/// The commands below this one, with what they are for.
pub(super) fn subcommands(command: &Command) -> impl Iterator<Item = Candidate> {
    let shown = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set());
    shown.map(|below| {
        let about = below.get_about().map(ToString::to_string);
        (below.get_name().to_owned(), about.unwrap_or_default())
    })
}

/// The words that an argument allows. Of several with commas between them, the last is completed.
fn possible_values(argument: &Arg, current: &str) -> Vec<Candidate> {
    let before = match current.rsplit_once(',') {
        Some((before, _)) if argument.get_value_delimiter() == Some(',') => format!("{before},"),
        _ => String::new(),
    };
    let values = argument.get_possible_values().into_iter();
    values
        .filter(|value| !value.is_hide_set())
        .filter(|value| !before.split(',').any(|typed| typed == value.get_name()))
        .map(|value| {
            let help = value.get_help().map(ToString::to_string);
            (
                format!("{before}{}", value.get_name()),
                help.unwrap_or_default(),
            )
        })
        .collect()
}

/// The tab of `top` that is asked for.
fn tab(line: &CommandLine<'_>) -> Tab {
    let named = line.values("tab").next_back();
    named
        .and_then(|name| Tab::from_str(name, true).ok())
        .unwrap_or_default()
}

fn sorts(tab: Tab, current: &str) -> Vec<Candidate> {
    let heads = tab.heads().into_iter();
    let columns = heads.map(|head| (head.name.to_owned(), head.title.to_owned()));
    match current.split_once(':') {
        None => columns.collect(),
        Some((name, _)) => {
            let orders = [("asc", "smallest first"), ("desc", "largest first")];
            let known = columns.filter(|(column, _)| column == name);
            known
                .flat_map(|(column, _)| {
                    orders.map(|(order, remark)| (format!("{column}:{order}"), remark.to_owned()))
                })
                .collect()
        }
    }
}

fn terms(tab: Tab, current: &str) -> Vec<Candidate> {
    if tab == Tab::Rejects && current.starts_with("reason:") {
        let reasons = CloseReason::ALL.iter().filter(|reason| reason.is_reject());
        let terms = reasons.map(|reason| (format!("reason:{}", reason.as_str()), String::new()));
        return terms.collect();
    }
    let heads = tab.heads().into_iter();
    let columns = heads.map(|head| (format!("{}:", head.name), head.title.to_owned()));
    columns.collect()
}
