//! Verbs that people know from other programs, and what they are called here.

use clap::{Command, CommandFactory};
use dbgate::similar::similar;

use crate::cli::Cli;

/// Verbs of `ctl` that end sessions or exposures: none is ever proposed for a word that is like it.
pub(super) const HARMFUL: &[&str] = &["hide", "delete", "kill", "drain"];

/// What words lead to. What ends something leads to what ends something, the others do not.
const HABITS: &[(&[&str], &str)] = &[
    (
        &[
            "unhide", "enable", "start", "publish", "unpause", "up", "add", "create", "apply",
            "set", "edit", "patch",
        ],
        "`dbgate ctl expose NAME` makes a database reachable, also one that was hidden, and changes what is given",
    ),
    (
        &[
            "get",
            "show-all",
            "showall",
            "all",
            "databases",
            "database",
            "dbs",
            "list-units",
            "map",
            "maps",
        ],
        "`dbgate ctl list` shows all databases, `dbgate ctl show NAME` one",
    ),
    (
        &["inspect", "desc", "cat", "details"],
        "`dbgate ctl show NAME` shows a database in full",
    ),
    (
        &["undrain", "uncordon", "ready", "unblock", "continue"],
        "`dbgate ctl resume NAME` lets new sessions in again",
    ),
    (
        &["restart", "refresh", "reread", "hup"],
        "`dbgate ctl reload` reads the configuration again and drops no session; the service manager restarts the gateway",
    ),
    (
        &[
            "stats",
            "stat",
            "info",
            "health",
            "ping",
            "version",
            "uptime",
            "is-active",
        ],
        "`dbgate ctl status` shows the gateway itself, `dbgate top` what goes on",
    ),
    (
        &[
            "log", "logs", "tail", "journal", "follow", "audit", "history",
        ],
        "`dbgate ctl events --follow` shows what happens, `dbgate ctl rejects` who was turned away",
    ),
    (
        &[
            "errors", "error", "denied", "refused", "failures", "rejected",
        ],
        "`dbgate ctl rejects` shows who was turned away, and why",
    ),
    (
        &[
            "session",
            "sess",
            "connections",
            "conns",
            "conn",
            "clients",
            "who",
            "pods",
        ],
        "`dbgate ctl sessions` shows live sessions",
    ),
    (
        &[
            "why", "route", "routes", "lookup", "resolve", "trace", "test",
        ],
        "`dbgate ctl explain HOST` shows which database a name reaches, and why",
    ),
    (
        &["config", "dump", "save"],
        "`dbgate ctl export` prints the running databases as TOML",
    ),
    (
        &["watch", "monitor"],
        "`dbgate top` shows what goes on, `dbgate ctl sessions --watch` the sessions",
    ),
    (
        &["undo", "rollback", "revert"],
        "each change prints the command that takes it back; `dbgate ctl events` shows those there were",
    ),
    (
        &["disable", "unexpose", "withdraw", "unpublish"],
        "`dbgate ctl hide NAME` ends an exposure, and what runs there after timeouts.drain",
    ),
    (
        &["cordon", "maint", "maintenance", "pause", "down"],
        "`dbgate ctl drain NAME` lets no new sessions in; those that run go on",
    ),
    (
        &["remove", "del", "destroy", "unset"],
        "`dbgate ctl delete NAME` removes what ctl made of a database",
    ),
    (
        &[
            "close",
            "disconnect",
            "terminate",
            "shutdown",
            "cut",
            "end",
            "abort",
        ],
        "`dbgate ctl kill ID` closes a session at once",
    ),
    (
        &["stop"],
        "`dbgate ctl drain NAME` lets no new sessions in to a database; the service manager stops the gateway",
    ),
    (
        &["ban", "block", "deny", "allow"],
        "`dbgate ctl expose NAME --deny NET` keeps a network out, --allow lets only some in",
    ),
];

/// A word in the place of a command of `dbgate`, or of a verb of `ctl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Command,
    Verb,
}

/// The step that this word was probably meant for.
pub(super) fn tip(word: &str, place: Place) -> Option<String> {
    let word = word.to_lowercase();
    let cli = Cli::command();
    let ctl = cli.find_subcommand("ctl");
    if place == Place::Command
        && let Some(verb) = ctl.and_then(|ctl| ctl.find_subcommand(&word))
    {
        return Some(format!("it is `dbgate ctl {}`", verb.get_name()));
    }
    let habit = HABITS
        .iter()
        .find(|(words, _)| words.contains(&word.as_str()));
    if let Some((_, tip)) = habit {
        return Some((*tip).to_owned());
    }
    let (before, known) = match place {
        Place::Command => ("dbgate", Some(&cli)),
        Place::Verb => ("dbgate ctl", ctl),
    };
    let known = known?.get_subcommands().map(Command::get_name);
    let near = similar(&word, known.filter(|name| !HARMFUL.contains(name)))?;
    Some(format!("did you mean `{before} {near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verbs of `ctl` with their aliases.
    fn verbs() -> Vec<String> {
        let cli = Cli::command();
        let ctl = cli.find_subcommand("ctl").unwrap();
        let verbs = ctl.get_subcommands();
        let names = verbs.flat_map(|verb| {
            let aliases = verb.get_all_aliases().map(str::to_owned);
            aliases.chain([verb.get_name().to_owned()])
        });
        names.collect()
    }

    /// The verbs that a tip tells to type.
    fn told(tip: &str) -> Vec<String> {
        let told = tip.split("`dbgate ctl ").skip(1);
        let verb = |rest: &str| rest.split([' ', '`']).next().unwrap().to_owned();
        told.map(verb).collect()
    }

    #[test]
    fn each_habit_leads_to_a_verb_that_there_is() {
        let verbs = verbs();
        let mut seen = Vec::new();
        for (words, tip) in HABITS {
            for word in *words {
                assert!(!verbs.contains(&(*word).to_owned()), "{word} is a verb");
                assert!(!seen.contains(word), "{word} is there twice");
                seen.push(word);
            }
            for verb in told(tip) {
                assert!(verbs.contains(&verb), "{verb} in {tip}");
            }
        }
    }

    #[test]
    fn what_ends_nothing_leads_to_nothing_that_ends_something() {
        for word in [
            "unhide", "show-all", "get", "start", "restart", "enable", "undrain", "uncordon",
            "stats", "info", "log", "logs", "tail", "add", "apply", "sess", "config",
        ] {
            let tip = tip(word, Place::Verb).unwrap_or_else(|| panic!("no tip for {word}"));
            let told = told(&tip);
            assert!(!told.is_empty(), "{word}: {tip}");
            assert!(
                told.iter().all(|verb| !HARMFUL.contains(&verb.as_str())),
                "{word}: {tip}"
            );
        }
        for (word, verb) in [
            ("stop", "drain"),
            ("disable", "hide"),
            ("cordon", "drain"),
            ("remove", "delete"),
            ("close", "kill"),
            ("shutdown", "kill"),
        ] {
            assert_eq!(told(&tip(word, Place::Verb).unwrap()), [verb], "{word}");
        }
    }

    #[test]
    fn a_verb_in_the_place_of_a_command_is_found() {
        assert_eq!(
            tip("list", Place::Command).unwrap(),
            "it is `dbgate ctl list`"
        );
        assert_eq!(
            tip("ls", Place::Command).unwrap(),
            "it is `dbgate ctl list`"
        );
        assert_eq!(
            tip("serv", Place::Command).unwrap(),
            "did you mean `dbgate serve`?"
        );
        assert_eq!(tip("zzzz", Place::Command), None);
    }
}
