//! A command line that clap does not take: its error as text, or as JSON where that was asked for.

mod habits;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::{Failure, USAGE};
use habits::Place;

/// Flags that end sessions, or write over what is there.
const HARMFUL_FLAGS: &[&str] = &["--kill", "--force", "--drain"];

/// Prints the error, or the help that was asked for; returns the exit code.
pub(crate) fn report(error: clap::Error, words: &[OsString]) -> ExitCode {
    let error = with_tip(error, words);
    if error.use_stderr() && wants_json(words) {
        return failure(&error.render().to_string()).report(true);
    }
    // Nobody may read it any more.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
}

/// The error with our tip in the place of clap's, which knows no difference between a word that
/// shows something and one that ends it.
fn with_tip(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let of_ctl = words.get(1).is_some_and(|word| word == "ctl");
    let word = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) => Some(word.clone()),
        _ => None,
    };
    match (error.kind(), word) {
        (ErrorKind::InvalidSubcommand, Some(word)) => {
            let place = match words.get(1) {
                _ if of_ctl => Place::Verb,
                Some(first) if *first == *word => Place::Command,
                // A subcommand of `cert` or `probe`, which end nothing.
                _ => return error,
            };
            error.remove(ContextKind::SuggestedSubcommand);
            error.remove(ContextKind::Suggested);
            if let Some(tip) = habits::tip(&word, place) {
                let tip = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
                error.insert(ContextKind::Suggested, tip);
            }
        }
        (ErrorKind::UnknownArgument, _) => {
            let harmful = match error.get(ContextKind::SuggestedArg) {
                Some(ContextValue::String(flag)) => HARMFUL_FLAGS
                    .iter()
                    .any(|harmful| flag.starts_with(harmful)),
                _ => false,
            };
            if harmful {
                error.remove(ContextKind::SuggestedArg);
            }
            // Such as "'hide --keep' exists".
            if of_ctl {
                error.remove(ContextKind::SuggestedSubcommand);
                error.remove(ContextKind::Suggested);
            }
        }
        _ => {}
    }
    error
}

/// True if these words ask `ctl` or `top` for JSON.
fn wants_json(words: &[OsString]) -> bool {
    let mut words = words.iter().skip(1).map(|word| word.to_string_lossy());
    if !words
        .next()
        .is_some_and(|word| word == "ctl" || word == "top")
    {
        return false;
    }
    let mut asked = false;
    while let Some(word) = words.next() {
        let value = match &*word {
            "--" => return asked,
            "-o" | "--output" => words.next(),
            _ => ["--output=", "-o=", "-o"]
                .iter()
                .find_map(|option| word.strip_prefix(option))
                .map(|value| value.to_owned().into()),
        };
        if let Some(value) = value {
            asked = value == "json";
        }
    }
    asked
}

/// The text of clap in parts: what is wrong, tips, and how it is used.
fn failure(text: &str) -> Failure {
    let mut parts = text.split("\n\n");
    let message = parts.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let message: Vec<&str> = message.lines().map(str::trim).collect();
    let tips: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("tip: "))
        // Nobody means a word that begins like an option.
        .filter(|tip| !tip.starts_with("to pass "))
        .collect();
    let failure = Failure::new(USAGE, message.join(" "));
    if !tips.is_empty() {
        return failure.hint(tips.join("; "));
    }
    match parts.find(|part| part.starts_with("Usage: ")) {
        Some(usage) => failure.hint(usage.trim_end()),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    /// The text for a command line that is wrong.
    fn told(cli: &mut clap::Command, line: &[&str]) -> Option<String> {
        let words: Vec<OsString> = line.iter().map(OsString::from).collect();
        let error = cli.try_get_matches_from_mut(&words).err()?;
        Some(with_tip(error, &words).render().to_string())
    }

    /// All words that one slip makes of this one: a letter too much, missing, another, two swapped.
    fn slips(word: &str) -> Vec<String> {
        let mut slips = Vec::new();
        for at in 0..=word.len() {
            let (before, after) = word.split_at(at);
            let rest = after.get(1..);
            for letter in 'a'..='z' {
                slips.push(format!("{before}{letter}{after}"));
                slips.extend(rest.map(|rest| format!("{before}{letter}{rest}")));
            }
            slips.extend(rest.map(|rest| format!("{before}{rest}")));
            let mut letters = after.chars();
            if let (Some(first), Some(second)) = (letters.next(), letters.next()) {
                slips.push(format!("{before}{second}{first}{}", letters.as_str()));
            }
        }
        slips
    }

    #[test]
    fn no_slip_leads_to_what_ends_something() {
        let mut cli = Cli::command();
        cli.build();
        let ctl = cli.find_subcommand("ctl").unwrap();
        let verbs: Vec<String> = ctl
            .get_subcommands()
            .flat_map(|verb| {
                let aliases = verb.get_all_aliases().map(str::to_owned);
                aliases.chain([verb.get_name().to_owned()])
            })
            .collect();
        let harmless = verbs
            .iter()
            .filter(|verb| !habits::HARMFUL.contains(&verb.as_str()) && verb.as_str() != "rm");
        let mut led = 0;
        for verb in harmless {
            for slip in slips(verb) {
                if verbs.contains(&slip) || slip.is_empty() {
                    continue;
                }
                let text = told(&mut cli, &["dbgate", "ctl", &slip]).unwrap();
                for harmful in habits::HARMFUL {
                    assert!(!text.contains(&format!("ctl {harmful}")), "{slip}: {text}");
                    assert!(!text.contains(&format!("'{harmful}'")), "{slip}: {text}");
                }
                led += usize::from(text.contains(&format!("`dbgate ctl {verb}`")));
            }
        }
        // Most are led where they wanted to go.
        assert!(led > 3000, "{led}");
    }

    #[test]
    fn habits_are_answered_in_the_place_of_claps_guess() {
        let mut cli = Cli::command();
        let text = told(&mut cli, &["dbgate", "ctl", "unhide", "pg1"]).unwrap();
        assert!(text.contains("tip: `dbgate ctl expose NAME`"), "{text}");
        assert!(!text.contains("similar"), "{text}");
        let text = told(&mut cli, &["dbgate", "hide", "pg1"]).unwrap();
        assert!(text.contains("tip: it is `dbgate ctl hide`"), "{text}");
        let text = told(&mut cli, &["dbgate", "ctl", "hide", "pg1", "--kil"]).unwrap();
        assert!(!text.contains("--kill"), "{text}");
        let text = told(&mut cli, &["dbgate", "ctl", "hide", "pg1", "--kep"]).unwrap();
        assert!(text.contains("--keep"), "{text}");
        let text = told(&mut cli, &["dbgate", "cert", "chek"]).unwrap();
        assert!(text.contains("'check'"), "{text}");
    }

    #[test]
    fn json_is_asked_for_in_every_way_clap_takes() {
        let wants = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            wants_json(&words)
        };
        for line in [
            "dbgate ctl -o json lst",
            "dbgate ctl lst -ojson",
            "dbgate ctl lst -o=json",
            "dbgate ctl lst --output json",
            "dbgate top --once --output=json --x",
        ] {
            assert!(wants(line), "{line}");
        }
        for line in [
            "dbgate ctl lst",
            "dbgate ctl -o table lst",
            "dbgate ctl kill -- -o json",
            "dbgate cert show -o json --x",
        ] {
            assert!(!wants(line), "{line}");
        }
    }
}
