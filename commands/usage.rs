//! A command line that clap does not take: its error as text, or as JSON where that was asked for.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::failure::{Failure, USAGE};

/// Prints the error, or the help that was asked for; returns the exit code.
pub(crate) fn report(error: &clap::Error, words: &[OsString]) -> ExitCode {
    if error.use_stderr() && wants_json(words) {
        return failure(&error.render().to_string()).report(true);
    }
    // Nobody may read it any more.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
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
    use super::*;

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
